"""Methods over the gradients of the whole model, down to its pixels; their maps have a fine grid of their own.

Each is one pure function of `Signals` and returns raw maps `[B, K, h, w]`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcam.methods.from_gradients import grad_cam
from gradcam.methods.method import Signals

CELL = 4
"""Pixels along each side of a cell of Guided Grad-CAM."""


def full_grad(signals: Signals) -> Tensor:
    """Σ ψ(x ⊙ ∂y/∂x) + Σ ψ(b ⊙ ∂y/∂b) over the pixels x and all biases b that have places, summed over channels.

    ψ takes absolute values, stretches those of one photo and bias to 0 … 1 and enlarges them to the input's size.
    Differs from pytorch-grad-cam, which stretches each channel by itself and leaves out the biases of linear layers
    and of LayerNorms.
    """
    size = signals.images.shape[2:]
    zero = signals.images.new_zeros(1)
    each = [sum((_enlarged(_stretched(one), size) for one in shares), zero) for shares in signals.full_gradients()]
    return torch.cat(each, 1)


def guided_grad_cam(signals: Signals) -> Tensor:
    """Grad-CAM, enlarged, ⊙ the guided gradients' sizes, summed over colours; the mean of cells of `CELL` pixels.

    Differs from the paper, which shows the product of each colour and pixel as a picture: as a map, most of it
    would be too faint to see beside its few brightest pixels.
    """
    fine = signals.guided_gradients.abs().sum(2).transpose(0, 1)
    product = fine * _enlarged(grad_cam(signals), fine.shape[2:])
    return nn.functional.avg_pool2d(product, CELL, ceil_mode=True)


def _stretched(share: Tensor) -> Tensor:
    """|share| `[B, C, h, w]`, stretched to 0 … 1, summed over channels: `[B, 1, h, w]`; 0 if constant."""
    sizes = share.abs()
    low, high = sizes.amin((1, 2, 3), keepdim=True), sizes.amax((1, 2, 3), keepdim=True)
    return torch.where(high == low, 0, (sizes - low) / (high - low)).sum(1, keepdim=True)  # NaN stays NaN


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return nn.functional.interpolate(maps, tuple(size), mode="bilinear")
