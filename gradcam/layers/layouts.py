"""How a module's output lies in memory, read from its shape and the size of the input."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from torch import Tensor

from gradcam.types import Layout, TargetLayer

MOST_PREFIX = 16
"""Most leading tokens that are taken for class tokens and registers."""

Grid = tuple[int, int]


def to_grid(tensor: Tensor, layer: TargetLayer) -> Tensor:
    """A layer's output, or its gradient, as `[N, channels, h, w]`.

    Tokens lie row by row after the prefix; their aspect is that of `layer.grid`.
    """
    if layer.layout == "NHWC":
        return tensor.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        return tensor[:, layer.prefix :].transpose(1, 2).unflatten(2, layer.grid)
    return tensor


def place_dims(layer: TargetLayer) -> tuple[int, ...]:
    """The dimensions of a layer's output that are places and nothing else; none where tokens of a prefix are among
    them."""
    return {"NCHW": (2, 3), "NHWC": (1, 2), "tokens": () if layer.prefix else (1,)}[layer.layout]


def read_layout(
    shape: Sequence[int], batch: int, size: Sequence[int], grids: Collection[Grid], prefix: int | None
) -> tuple[Layout, Grid, int] | None:
    """Layout, grid and number of prefix tokens of an output of this shape; None where it has no layout in space.

    batch: images in the input; windows folded into the batch show by having more. size: of the input in pixels.
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
    return (layout, grid, 0) if _is_grid(grid, size) else None


def _read_tokens(
    count: int, size: Sequence[int], grids: Collection[Grid], prefix: int | None
) -> tuple[Layout, Grid, int] | None:
    """`[B, prefix + h·w, C]`: the largest fitting grid seen upstream, or else the largest of the input's aspect."""
    rows = int((count * size[0] / size[1]) ** 0.5) + 1
    guesses = [(height, round(height * size[1] / size[0])) for height in range(rows, 1, -1)]
    for grid in [*sorted(grids, reverse=True), *guesses]:
        places = grid[0] * grid[1]
        lead = count - places
        if (lead == prefix or 0 <= lead <= min(MOST_PREFIX, places)) and _is_grid(grid, size):
            return "tokens", grid, lead
    return None


def _is_grid(grid: Grid, size: Sequence[int]) -> bool:
    """At least two places, no finer than the pixels, and with the aspect of the input.

    The aspect is right to within one cell, or half a cell where there is only one row or column.
    """
    most = 1 if min(grid) >= 2 else 0.5
    return prod(grid) >= 2 and grid[0] <= size[0] and grid[1] <= size[1] and _misfit(grid, size) <= most


def _misfit(grid: Grid, size: Sequence[int]) -> float:
    """How far a grid's aspect is from the input's, in cells."""
    return abs(grid[0] * size[1] - grid[1] * size[0]) / max(size)
