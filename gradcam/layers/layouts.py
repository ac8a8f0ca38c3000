"""How a module's output lies in memory, read from its shape and the size of the input."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from gradcam.types import Layout, TargetLayer

MOST_PREFIX = 16
"""Most leading tokens that are taken for class tokens and registers."""

Grid = tuple[int, int]


def to_grid(tensor: Tensor, layer: TargetLayer) -> Tensor:
    """A layer's output, or its gradient, as `[N, channels, h, w]`.

    Tokens lie row by row after the prefix; tokens after the last place of `layer.grid` are left out.
    """
    if layer.layout == "NHWC":
        return tensor.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        patches = tensor[:, layer.prefix : layer.prefix + prod(layer.grid)]
        return patches.transpose(1, 2).unflatten(2, layer.grid)
    return tensor


def place_dims(layer: TargetLayer, shape: Sequence[int]) -> tuple[int, ...]:
    """The dimensions of a layer's output of this shape that hold places of the grid only; empty if they hold other
    tokens, too, before or after the places."""
    tokens = (1,) if shape[1] == prod(layer.grid) else ()
    return {"NCHW": (2, 3), "NHWC": (1, 2), "tokens": tokens}[layer.layout]


def read_layout(
    shape: Sequence[int], batch: int, size: Sequence[int], grids: Collection[Grid], prefix: int | None
) -> tuple[Layout, Grid, int] | None:
    """Layout, grid and number of prefix tokens of an output of this shape; None where it has no layout in space.

    batch: images in the input; an output with more has windows folded into the batch. size: of the input in pixels.
    grids: grids seen upstream. prefix: number of prefix tokens, where the model says it.
    """
    if len(shape) == 4 and shape[0] == batch:
        return _read_map(shape, size)
    if len(shape) == 3 and shape[0] == batch:
        return _read_tokens(shape[1], size, grids, prefix)
    return None


def _read_map(shape: Sequence[int], size: Sequence[int]) -> tuple[Layout, Grid, int] | None:
    """`[B, C, h, w]` or `[B, h, w, C]`: whichever is closer to the aspect of the input."""
    first, last = (shape[2], shape[3]), (shape[1], shape[2])
    layout: Layout = "NCHW" if _misfit(first, size) <= _misfit(last, size) else "NHWC"
    grid = first if layout == "NCHW" else last
    return (layout, grid, 0) if is_grid(grid, size) else None


def _read_tokens(
    count: int, size: Sequence[int], grids: Collection[Grid], prefix: int | None
) -> tuple[Layout, Grid, int] | None:
    """`[B, prefix + h·w, C]`: the largest fitting grid seen upstream, or else the largest of the input's aspect."""
    rows = int((count * size[0] / size[1]) ** 0.5) + 1
    guesses = [(height, round(height * size[1] / size[0])) for height in range(rows, 1, -1)]
    for grid in [*sorted(grids, reverse=True), *guesses]:
        places = grid[0] * grid[1]
        lead = count - places
        if (lead == prefix or 0 <= lead <= min(MOST_PREFIX, places)) and is_grid(grid, size):
            return "tokens", grid, lead
    return None


def other_readings(shape: Sequence[int], layer: TargetLayer, size: Sequence[int]) -> list[TargetLayer]:
    """The other layouts, and numbers of leading tokens, in which an output of this shape may hold places."""
    if len(shape) == 4:
        layout: Layout = "NHWC" if layer.layout == "NCHW" else "NCHW"
        return [
            replace(reading, rule=layer.rule) for reading in maps_of(shape, layer, size) if reading.layout == layout
        ]
    spare = shape[1] - prod(layer.grid)
    return [replace(layer, prefix=prefix) for prefix in range(spare + 1) if prefix != layer.prefix]


def maps_of(shape: Sequence[int], layer: TargetLayer, size: Sequence[int]) -> list[TargetLayer]:
    """A 4-D output read as `[B, C, h, w]` and as `[B, h, w, C]`, with any aspect, if it is no finer than the pixels
    and has at least two places. What is pooled to one place, such as `[B, C, 1, 1]`, is read as neither."""
    if sorted(shape[1:])[:2] == [1, 1]:
        return []
    first = replace(layer, layout="NCHW", grid=(shape[2], shape[3]), channels=shape[1], prefix=0)
    last = replace(layer, layout="NHWC", grid=(shape[1], shape[2]), channels=shape[3], prefix=0)
    return [
        reading
        for reading in (first, last)
        if prod(reading.grid) >= 2 and reading.grid[0] <= size[0] and reading.grid[1] <= size[1]
    ]


def is_grid(grid: Grid, size: Sequence[int]) -> bool:
    """At least two places, no finer than the pixels, and with the aspect of the input.

    The aspect is right to within one cell, or half a cell where there is only one row or column.
    """
    most = 1 if min(grid) >= 2 else 0.5
    return prod(grid) >= 2 and grid[0] <= size[0] and grid[1] <= size[1] and _misfit(grid, size) <= most


def _misfit(grid: Grid, size: Sequence[int]) -> float:
    """How far a grid's aspect is from the input's, in cells."""
    return abs(grid[0] * size[1] - grid[1] * size[0]) / max(size)
