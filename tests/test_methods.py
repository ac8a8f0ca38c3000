"""A method is a row: its name finds it, and its function makes the maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gradcam import compare, explain
from gradcam.methods import GRADCAM, METHODS, positive_weighted_sum
from tests.test_explain import colours, quarters


def test_equation_2_by_hand() -> None:
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # one photo, two feature maps of 1×2
    alpha = torch.tensor([[[2.0, 1.0]], [[-1.0, 0.0]]])  # two scores
    assert positive_weighted_sum(activation, alpha).tolist() == [[[[5.0, 0.0]], [[0.0, 0.0]]]]


def test_another_row_makes_its_own_maps_beside_grad_cams(monkeypatch: pytest.MonkeyPatch) -> None:
    doubled = replace(GRADCAM, name="Double", combine=lambda maps, alpha: 2 * positive_weighted_sum(maps, alpha))
    monkeypatch.setitem(METHODS, "Double", doubled)
    comparison = compare([colours()], [quarters()], ["red"], methods=["grad-cam", "double"], layer="maps")
    once, twice = comparison.heatmaps
    assert (once.method, twice.method) == ("Grad-CAM", "Double")
    assert np.array_equal(2 * once.map, twice.map)
    assert once.map.max() > 0
    assert explain(colours(), quarters(), "red", method="double", layer="maps").method == "Double"
