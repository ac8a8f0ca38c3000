"""Methods over several layers of a model; their maps have the finest of the layers' grids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcam.methods.from_gradients import grad_cam_plus_plus
from gradcam.methods.method import Signals


def refine_cam(signals: Signals) -> Tensor:
    """The product of Grad-CAM++ at the last layer of every stage, each divided by its maximum, on the finest grid.

    Differs from pytorch-grad-cam, which stretches each map from its minimum on, and enlarges all of them to the
    input's size before the product.
    """
    stages = [grad_cam_plus_plus(stage) for stage in signals.stages()]
    finest = max((maps.shape[2:] for maps in stages), key=lambda grid: grid.numel())
    peaks = [maps.amax((2, 3), keepdim=True) for maps in stages]
    shares = [torch.where(peak == 0, 0, maps / peak) for maps, peak in zip(stages, peaks, strict=True)]
    return torch.stack([nn.functional.interpolate(maps, finest, mode="bilinear") for maps in shares]).prod(0)
