"""A part of a photo that somebody has marked: what makes sense as one, which pixels it holds, and it as text."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import OptionError, quoted
from gradcam.geometry import fit_within, pixel_centres
from gradcam.types import Region

MAX_CORNERS = 64
FARTHEST = 100_000
"""Pixels from the photo's corner, in either direction: further out than any photo reaches."""
LONG_SIDE = 400
"""Photos larger than this many pixels are measured at this size; maps are far coarser."""


def check_region(region: Region) -> None:
    """Raises: OptionError for what encloses nothing, or lies beyond any photo."""
    if not 2 <= len(region) <= MAX_CORNERS or any(len(corner) != 2 for corner in region):
        raise OptionError(f"expected two corners of a box, or up to {MAX_CORNERS} of an outline, got {len(region)}")
    if not all(abs(value) <= FARTHEST for value in chain.from_iterable(region)):  # also NaN
        raise OptionError(
            f"expected corners of a region within {FARTHEST:,} pixels, got {quoted(region)}; mark a part of "
            "the photo"
        )
    xs, ys = zip(*region, strict=True)
    if min(xs) == max(xs) or min(ys) == max(ys):
        raise OptionError(f"expected a region with width and height, got {quoted(region)}; move its corners apart")


def region_mask(region: Region, photo_size: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels of a photo drawn at `size` lie in a region, by their centres; bool `[H, W]`.

    photo_size, size: height and width. A line that crosses itself holds what it goes around an odd number of times.
    """
    y, x = pixel_centres(size, photo_size)
    corners = outline_of(region)
    inside = np.zeros(size, np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if y1 != y2:
            reached = (y1 > y) != (y2 > y)
            edge = x1 + (y - y1) / (y2 - y1) * (x2 - x1)
            inside ^= reached[:, None] & (x < edge[:, None])
    return inside


def region_share(region: Region, photo_size: tuple[int, int]) -> float:
    """The share of a photo's area that a region covers, in [0, 1]."""
    return float(region_mask(region, photo_size, fit_within(photo_size, LONG_SIDE, LONG_SIDE)).mean())


def outline_of(region: Region) -> Region:
    """Every corner in turn: four for a box."""
    if len(region) > 2:
        return region
    left, top, right, bottom = chain.from_iterable(region)
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def region_of_box(box: tuple[float, float, float, float]) -> Region:
    """A box given by its left, top, right and bottom."""
    left, top, right, bottom = box
    return ((left, top), (right, bottom))


def write_region(region: Region) -> str:
    """`10,20,200,180`: x and y of every corner."""
    return ",".join(f"{value:.10g}" for corner in region for value in corner)


def read_region(text: str) -> Region:
    """What `write_region` wrote. Raises: OptionError."""
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError as error:
        raise OptionError(f"expected x and y of every corner, such as 10,20,200,180, got {quoted(text)}") from error
    if len(values) % 2:
        raise OptionError(f"expected two numbers for every corner, such as 10,20,200,180, got {quoted(text)}")
    region = tuple(zip(values[::2], values[1::2], strict=True))
    check_region(region)
    return region
