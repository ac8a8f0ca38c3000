"""Where things lie: a map's grid, a model's input and the photo, in each other's coordinates."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam.types import View

Values = NDArray[np.float32]
Interpolation = Literal["bilinear", "nearest"]


def project_to_photo(
    values: Values, view: View, size: tuple[int, int] | None = None, interpolation: Interpolation = "bilinear"
) -> Values:
    """Resample a map from its layer's grid straight to the photo's pixels.

    Bilinear as in `align_corners=False`: a cell's value stands at its centre, and the outermost values
    reach to the edge of what the model saw.

    values: `[h, w]`. size: height and width to draw the photo at; its own if None.
    Returns: float32 `[H, W]`, NaN where a pixel's centre lies outside what the model saw.
    """
    height, width = size or view.photo_size
    left, top, right, bottom = view.box
    x = (np.arange(width) + 0.5) * (view.photo_size[1] / width)
    y = (np.arange(height) + 0.5) * (view.photo_size[0] / height)
    rows = _shares(values.shape[0], (y - top) / (bottom - top), interpolation)
    columns = _shares(values.shape[1], (x - left) / (right - left), interpolation)
    laid = (rows @ values.astype(np.float32) @ columns.T).astype(np.float32, copy=False)
    laid[(y < top) | (y >= bottom)] = np.nan
    laid[:, (x < left) | (x >= right)] = np.nan
    return laid


def pixel_centres(
    size: tuple[int, int], photo_size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where on a photo the centres of the pixels lie when it is drawn at `size`: y of each row, x of each column.

    size, photo_size: height and width.
    """
    y, x = ((np.arange(count) + 0.5) * whole / count for count, whole in zip(size, photo_size, strict=True))
    return y, x


def _shares(cells: int, positions: NDArray[np.floating], interpolation: Interpolation) -> Values:
    """Weights of a row of `cells` at positions from 0 to 1 along the row: `[positions, cells]`."""
    at = positions * cells - 0.5
    if interpolation == "nearest":
        at = np.floor(at + 0.5)
    at = at.clip(0, cells - 1)
    before = np.minimum(at.astype(np.intp), max(cells - 2, 0))  # of the two cells around each position
    after, each = np.minimum(before + 1, cells - 1), np.arange(len(at))
    shares = np.zeros((len(at), cells), np.float32)
    shares[each, after] = at - before
    shares[each, before] = 1 - (at - before)
    return shares


def fit_within(size: tuple[int, int], width: float, height: float) -> tuple[int, int]:
    """The largest height and width of the same aspect within `width` × `height`; never larger than `size`."""
    factor = min(width / size[1], height / size[0], 1.0)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def hides_part_of_photo(view: View) -> bool:
    """Whether at least half a pixel of the photo lies outside what the model saw."""
    left, top, right, bottom = view.seen
    height, width = view.photo_size
    return max(left, top, width - right, height - bottom) >= 0.5
