"""Numbers of one map or of two, worked out on the photo at a small size: a data set needs a million of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam.geometry import fit_within, pixel_centres, project_to_photo
from gradcam.measures import iou_of_hottest, rank_correlation, share_inside
from gradcam.regions import region_of_box
from gradcam.runs.manifest import Box
from gradcam.scaling import normalize
from gradcam.types import View

Values = NDArray[np.float32]

LONG_SIDE = 96
"""Pixels of the longer side of a photo that maps are measured on. `compare` measures at 400, which costs five times
as much or more; rank correlations differ by up to 0.01, overlaps by up to 0.02."""

BORDER = 0.1
"""Share of the photo's sides that counts as its border."""


def heat_on_photo(raw: Values, view: View) -> Values:
    """A map's shares of its own peak on the photo, `[H, W]`, NaN where the model saw nothing."""
    return project_to_photo(normalize(raw).values, view, fit_within(view.photo_size, LONG_SIDE, LONG_SIDE))


def outside_box(heat: Values, photo_size: tuple[int, int], box: Box) -> float | None:
    """The share of the heat outside a box on the photo, in [0, 1]; None where there is no heat, or the box lies
    beside the photo.

    photo_size: height and width in pixels, which the box is in.
    """
    (height, width), (left, top, right, bottom) = photo_size, box
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        return None
    return _finite(1 - share_inside(heat, photo_size, region_of_box(box)))


def outside_mask(heat: Values, mask: NDArray[np.uint8]) -> float | None:
    """The share of the heat where a mask `[H, W]` is black, in [0, 1]; None where there is no heat."""
    y, x = (np.intp(side) for side in map(np.floor, pixel_centres(heat.shape, mask.shape)))
    return _share(heat, mask[np.ix_(y, x)] == 0)


def on_border(heat: Values) -> float | None:
    """The share of the heat within `BORDER` of the photo's edges, in [0, 1]; None where there is no heat."""
    y, x = pixel_centres(heat.shape, (1, 1))
    inner = np.outer(abs(y - 0.5) < 0.5 - BORDER, abs(x - 0.5) < 0.5 - BORDER)
    return _share(heat, ~inner)


def agreement(one: Values, other: Values) -> tuple[float | None, float | None]:
    """Rank correlation and overlap of the hottest fifth of two maps on the photo; None where it cannot be said."""
    return _finite(rank_correlation(one, other)), _finite(iou_of_hottest(one, other))


def _share(heat: Values, where: NDArray[np.bool_]) -> float | None:
    known = np.nan_to_num(heat, nan=0.0).astype(np.float64)
    total = known.sum()
    return float(known[where].sum() / total) if total > 0 else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
