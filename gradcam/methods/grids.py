"""From one grid to another: what a map lies on, and how fine it is kept."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

MOST_CELLS = 56
"""Cells along the longer side of a map that a method makes at the size of the input: finer ones would make reports
large and show no more, since no mask has finer parts."""


def on_coarse_grid(maps: Tensor, most: int = MOST_CELLS) -> Tensor:
    """Maps `[…, H, W]` averaged on a grid of at most `most` cells along its longer side; smaller ones unchanged."""
    height, width = maps.shape[-2:]
    longer = max(height, width)
    if longer <= most:
        return maps
    grid = max(1, round(height * most / longer)), max(1, round(width * most / longer))
    return functional.adaptive_avg_pool2d(maps.flatten(0, -3), grid).view(*maps.shape[:-2], *grid)


def upsampled(maps: Tensor, images: Tensor) -> Tensor:
    """Maps `[B, C, h, w]` at the size of images `[B, channels, H, W]`, bilinear between the middles of cells."""
    return functional.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)


def stretched(maps: Tensor) -> Tensor:
    """Maps `[B, C, H, W]`, each from its least value, which becomes 0, to its largest, which becomes 1; a constant
    map is 0."""
    least, most = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    varies = most - least > 1e-6 * maps.abs().amax((2, 3), keepdim=True)  # more than by rounding
    return (maps - least) / (most - least).where(varies, 1) * varies
