"""What is known of a module is renewed when the module changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gradcam import explain
from gradcam.loaded_modules import state_sha256
from tests.test_explain import colours, quarters


@pytest.mark.parametrize("write", [lambda old: old.mul_(2), lambda old: setattr(old, "data", old * 2)])
def test_an_explanation_names_the_weights_that_it_was_made_with(write: Callable[[torch.Tensor], Any]) -> None:
    classifier = colours()
    first, same = (explain(classifier, quarters(), "red", layer="maps").weights_sha256 for _ in range(2))
    with torch.no_grad():
        write(next(classifier.module.parameters()))
    trained = explain(classifier, quarters(), "red", layer="maps").weights_sha256
    assert first == same != trained == state_sha256(classifier.module)
    assert classifier.with_activation("sigmoid").weights_sha256 == trained
