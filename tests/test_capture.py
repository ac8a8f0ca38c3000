"""What of `capture` is not seen through `heatmaps`."""

from __future__ import annotations

import timm
from torch import nn

from gradcam.capture import modules_of


def test_modules_come_once_and_in_the_order_of_pytorch() -> None:
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared), None, shared)  # type: ignore[arg-type]
    for model in (twice, timm.create_model("tf_efficientnet_lite0", num_classes=3)):
        assert modules_of(model) == tuple(model.modules())
