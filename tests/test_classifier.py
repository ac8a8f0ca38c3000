"""A classifier runs where it is told to, laid out for speed, and counts as itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from gradcam import Classifier, ModelError, explain, load_classifier, sample_photo
from gradcam.models.classifier import _DEVICES, pick_device

MODEL = "bundled/tf_efficientnet_lite0"


def test_the_fastest_kind_of_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # No such device is needed to choose one; maps on CUDA or MPS are not computed by this suite.
    for there, expected in ((("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")):
        for name in ("cuda", "mps"):
            monkeypatch.setitem(_DEVICES, name, lambda name=name, there=there: name in there)
        assert pick_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    for name in ("cuda", "mps"):
        monkeypatch.setitem(_DEVICES, name, lambda: False)
    with pytest.raises(ModelError, match=f"got '{device}'; use 'cpu'"):
        load_classifier(MODEL, device=device)


def test_a_word_that_is_no_device_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a device, got 'gpu'"):
        load_classifier(MODEL, device="gpu")


def test_the_faster_memory_layout_changes_no_map_by_more_than_rounding() -> None:
    fast = load_classifier(MODEL, device="cpu")
    module = copy.deepcopy(fast.module).to(memory_format=torch.contiguous_format)
    plain = Classifier(module, fast.preprocessing, fast.labels, fast.spec)
    photo, classes = sample_photo("cat and coffee"), ["Egyptian cat", "espresso"]
    expected = explain(plain, photo, classes).maps
    assert np.abs(explain(fast, photo, classes).maps - expected).max() <= 1e-5 * expected.max()
    assert fast.weights_sha256 == plain.weights_sha256
