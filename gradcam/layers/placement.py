"""Measures whether each place of a grid answers clearly more to its own part of the image than to others.

The gradients between places and pixels show whatever moves, turns, mixes or re-orders places on the way (windows,
latents, registers, flips, crops, channels taken for places). Shapes alone are not believed.

One fault is not seen: a step in the forward that moves its input by less than three quarters of a cell, such as a
narrow border that is cut off or added. Maps then lie askew by that much, as they do after any even kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradcam.layers.graph import gradient_at
from gradcam.layers.layouts import Grid, to_grid
from gradcam.types import TargetLayer

CONFIRMED_CORRELATION, CONFIRMED_OFF = 0.9, 0.75
CONTRADICTED_CORRELATION, CONTRADICTED_OFF = 0.7, 1.25
LEAST_OWN = 0.2
"""Chosen on a network of each family with random weights and on wrong readings made on purpose. Right places have
a correlation of at least 0.83 or mix nearly everything (`own` below 0.2); even kernels displace some by 0.98."""

SCALED_OWN, LEAST_SLOPE, MOST_SLOPE = 0.7, 0.6, 1.6
"""A crop or border about the middle, between modules, displaces nothing there but scales the whole map. The slope
shows it, if `own` is at least `SCALED_OWN`. Of 147 networks, one of each family, those with such an `own` have
slopes of 0.75 to 1.0; cutting out the middle half gives 0.5, and a border as large as the image 2."""

Verdict = Literal["confirmed", "inconclusive", "contradicted"]

Cell = tuple[int, int]
"""Row and column of a place."""


@dataclass(frozen=True)
class Measurement:
    """How well the places of a grid answer to their own part of the image.

    own: share of a place's gradient that is its own and not common to all places: 0 all mixed, 1 all local.
    correlation: between the centre of a place's gradient and the place itself; the lower one of rows and columns.
    off: the median distance between the two, signed, in cells; the larger one of rows and columns.
    slope: how far apart the centres lie, divided by how far apart the places lie; the lower one of rows and
        columns. It is 0.5 if the forward cuts out the middle half of its input.
    """

    own: float
    correlation: float
    off: float
    slope: float = 1.0

    @property
    def verdict(self) -> Verdict:
        scaled = self.own >= SCALED_OWN and not LEAST_SLOPE <= self.slope <= MOST_SLOPE
        if scaled:
            return "contradicted"
        if self.correlation >= CONFIRMED_CORRELATION and self.off <= CONFIRMED_OFF:
            return "confirmed"
        elsewhere = self.correlation <= CONTRADICTED_CORRELATION or self.off > CONTRADICTED_OFF
        if self.own >= LEAST_OWN and elsewhere:
            return "contradicted"
        return "inconclusive"


NOTHING = Measurement(0.0, 0.0, 0.0)
"""No pixel has a gradient: inconclusive."""

ELSEWHERE = Measurement(1.0, 0.0, float("inf"))
"""The model moves its input before it computes: contradicted."""


def orbit(grid: Grid) -> list[Cell]:
    """Up to eight places, one in all its flips and turns, that touch the first and last rows and columns.

    With inner places only, a shift by one would go unseen.
    """
    height, width = grid
    rows, columns = zip(*inner(grid), strict=True)
    cells = [(row, column) for row in (0, height - 1) for column in columns]
    cells += [(row, column) for row in rows for column in (0, width - 1)]
    return [*dict.fromkeys(cells)]


def inner(grid: Grid) -> list[Cell]:
    """Up to four places at three and seven tenths of height and width."""
    height, width = grid
    down, across = round((height - 1) * 0.3), round((width - 1) * 0.3)
    cells = [(row, column) for row in (down, height - 1 - down) for column in (across, width - 1 - across)]
    return [*dict.fromkeys(cells)]


def measure(pixels: Tensor, edge: GradientEdge, shape: Sequence[int], layer: TargetLayer) -> Measurement:
    """Whether the places of a module's output answer to the pixels of their own cells, by the pixels' gradients.

    pixels: `[B, C, H, W]`, the leaf of the graph. edge, shape: of the output. layer: how its places are believed to
    lie. Costs a backward from the output for each of eight cells at the border of the grid. If no pixel has a
    gradient for these, a frame may surround the map, and four inner cells are measured.
    """
    for cells in (orbit(layer.grid), inner(layer.grid)):
        felt = torch.cat([*_felt(pixels, edge, shape, layer, cells)])
        if (found := judge(felt, torch.tensor(cells, dtype=torch.float64))) != NOTHING:
            return found
    return NOTHING


def _felt(
    pixels: Tensor, edge: GradientEdge, shape: Sequence[int], layer: TargetLayer, cells: Sequence[Cell]
) -> Iterator[Tensor]:
    """How strong the gradient of each cell is at each place, `[B, h, w]` at a time, one cell for each image."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(cells), len(pixels)):
        some = cells[start : start + len(pixels)]
        cotangent = pixels.new_zeros(tuple(shape))
        for image, (row, column) in enumerate(some):
            weights = torch.rand(layer.channels, generator=generator) + 0.5
            to_grid(cotangent, layer)[image, :, row, column] = weights.to(cotangent)
        gradient = gradient_at(edge, cotangent, get_gradient_edge(pixels))
        gradient = torch.zeros_like(pixels) if gradient is None else gradient
        strength = gradient[: len(some)].abs().double().sum(dim=1, keepdim=True)
        yield torch.nn.functional.adaptive_avg_pool2d(strength, layer.grid)[:, 0].cpu()


def changes(activation: Callable[[Tensor], Tensor], images: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """How a module's output changes when one part of the image changes, for eight parts.

    activation: the output of a batch. images: `[B, C, H, W]`, as many as run at a time. grid: of the cells.
    Returns: the changes `[n, ...]`, not below 0, and the parts' centres `[n, 2]` as shares of height and width.
    Costs nine forwards. It proves less than `measure`, but any reading of the output can be held to it.
    """
    (height, width), (rows, columns) = images.shape[-2:], grid
    cells = orbit(grid)
    variants = images[:1].repeat(1 + len(cells), 1, 1, 1)
    for variant, (row, column) in zip(variants[1:], cells, strict=True):
        down = slice(row * height // rows, -(-(row + 1) * height // rows))
        across = slice(column * width // columns, -(-(column + 1) * width // columns))
        variant[:, down, across] *= -3
    before, *after = torch.cat([activation(part).detach() for part in variants.split(len(images))]).double().cpu()
    centres = [((row + 0.5) / rows, (column + 0.5) / columns) for row, column in cells]
    return (torch.stack(after) - before).abs(), torch.tensor(centres, dtype=torch.float64)


QUARTERS = (0.25, 0.75)


def displacement(pixels: Tensor, edge: GradientEdge, shape: Sequence[int]) -> tuple[float, float]:
    """How far the model moves its input before it computes, at most, as shares of height and width.

    edge, shape: of the image `[B, C, h, w]` as the model made it (flipped, turned, cropped, padded, resized). Four
    of its pixels are traced back to the input, and their shifts are extrapolated to the borders. Nearly free.
    """
    height, width = shape[-2:]
    pixel_at = [(int(down * height), int(across * width)) for down in QUARTERS for across in QUARTERS]
    sources = []
    for row, column in pixel_at:
        cotangent = pixels.new_zeros(tuple(shape))
        cotangent[:1, :, row, column] = 1
        gradient = gradient_at(edge, cotangent, get_gradient_edge(pixels))
        if gradient is None or not gradient.any():
            return 0.0, 0.0
        strength = gradient[0].abs().double().sum(dim=0).cpu()
        sources.append([float(_centres(strength[None], axis) / strength.shape[axis]) for axis in (0, 1)])
    points = (torch.tensor(pixel_at, dtype=torch.float64) + 0.5) / torch.tensor([height, width])
    moved = torch.tensor(sources, dtype=torch.float64) - points
    slope = (moved[3] - moved[0]) / (points[3] - points[0]).clamp(min=1e-6)
    at_borders = torch.stack([moved[0] - slope * points[0], moved[3] + slope * (1 - points[3]), moved[1], moved[2]])
    down, across = at_borders.abs().amax(dim=0).tolist()
    return down, across


def _centres(maps: Tensor, axis: int) -> Tensor:
    """Where the middle of each map `[n, h, w]` lies along rows (0) or columns (1), in cells from the border."""
    profile = maps.sum(dim=2 - axis)
    places = torch.arange(profile.shape[1], dtype=maps.dtype) + 0.5
    return profile @ places / profile.sum(dim=1).clamp(min=1e-300)


def judge_reading(changed: Tensor, centres: Tensor, layer: TargetLayer) -> Measurement:
    """Whether a reading of a module's output puts its changes where the image was changed; see `changes`."""
    sides = torch.tensor(layer.grid, dtype=torch.float64)
    return judge(to_grid(changed, layer).sum(dim=1), centres * sides - 0.5)


def judge(felt: Tensor, cells: Tensor) -> Measurement:
    """Judge places by their maps of influence.

    felt: `[n, h, w]`, not below 0, one map a place. cells: `[n, 2]`, the row and column where each place lies.
    The part that all maps share is subtracted, so that wide mixing alone proves nothing.
    """
    total = felt.sum(dim=(1, 2))
    alive = total.isfinite() & (total > 0)
    if alive.sum() < 2:
        return NOTHING
    maps, cells = felt[alive] / total[alive, None, None], cells[alive]
    others = (maps.sum(dim=0) - maps) / (len(maps) - 1)
    rest = (maps - others).clamp(min=0)
    own = rest.sum(dim=(1, 2))
    correlations, offsets, slopes = [], [], []
    for axis in (0, 1):
        if felt.shape[1 + axis] > 1:
            centres = _centres(rest, axis) - 0.5
            correlations.append(_correlation(centres, cells[:, axis]))
            slopes.append(_slope(centres, cells[:, axis]))
            offsets.append(abs(float((centres - cells[:, axis]).quantile(0.5))))
    return Measurement(float(own.mean()), min(correlations), max(offsets), min(slopes))


def _correlation(ours: Tensor, theirs: Tensor) -> float:
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    norm = float(ours.norm() * theirs.norm())
    return float(ours @ theirs) / norm if norm > 0 else 0.0


def _slope(ours: Tensor, theirs: Tensor) -> float:
    theirs = theirs - theirs.mean()
    return float(ours @ theirs) / float(theirs @ theirs)
