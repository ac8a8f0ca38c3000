"""Small pictures of a run's photos: the photo and each model's map over it, in even rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.draw.even_rows import even_columns
from gradcam.errors import PhotoError
from gradcam.kinds import expect, expect_each
from gradcam.runs import pictures
from gradcam.runs.run import Run, Unit, Values
from gradcam.types import Style, View

Pixels = NDArray[np.uint8]

HEIGHT = 144
"""Pixels of a tile, which is as wide as the photo's shape wants."""
MOST_BESIDE = 3
"""Tiles beside each other; more would be tiny on a phone."""
GAP, GREY, QUALITY = 8, 150, 85


def strips(run: Run, photos: Sequence[int], models: Sequence[str], method: str, target: str) -> dict[int, bytes]:
    """Of each photo that is done, a strip as JPEG: the photo, then the maps of these models that there are, in rows
    of `strip_columns`.

    models: ids. method, target: as the run asks them. Maps come from stored previews where the run has them.
    """
    expect(Run, run)
    expect(str, method, target)
    models = expect_each(str, models)
    units = [
        unit
        for unit in run.units(photos)
        if unit.model in models and (unit.method, unit.target) == (method, target)
    ]
    units.sort(key=lambda unit: models.index(unit.model))
    by_photo: dict[int, list[_Kept]] = {}
    for kept in _kept(run, units):
        by_photo.setdefault(kept.unit.photo, []).append(kept)
    return {photo: _strip(run, found) for photo, found in by_photo.items()}


def strip_columns(models: int) -> int:
    """How many tiles of a strip stand beside each other: all three of two models, two by two of three models."""
    return even_columns(1 + models, MOST_BESIDE)


class _Kept(NamedTuple):
    """What a run keeps of a unit to make a picture of: a preview as JPEG, or else the map and where it lies."""

    unit: Unit
    preview: bytes | None
    raw: Values | None = None
    view: View | None = None


def _kept(run: Run, units: Sequence[Unit]) -> Iterator[_Kept]:
    """In the order of the units. Each shard is opened once for all of them, not once a unit."""
    previews = run.previews(units)
    bare = [unit for unit, preview in zip(units, previews, strict=True) if preview is None]
    maps = zip(run.arrays(bare), run.views(bare), strict=True)
    for unit, preview in zip(units, previews, strict=True):
        yield _Kept(unit, preview) if preview else _Kept(unit, None, *next(maps))


def _strip(run: Run, units: Sequence[_Kept]) -> bytes:
    try:
        photo = run.photo(units[0].unit.path).pixels
    except PhotoError:
        photo = None
    tiles = [] if photo is None else [_fitted(photo)]
    for unit, preview, raw, view in units:
        if preview is not None:
            with Image.open(io.BytesIO(preview)) as picture:
                tiles.append(_fitted(np.asarray(picture.convert("RGB"))))
        elif photo is not None and raw is not None and view is not None:
            small = pictures.shrink(photo, pictures.PREVIEW_SIDE)
            tiles.append(_fitted(pictures.overlaid(small, raw, unit.method, view, Style())))
    return _jpeg(tiles, strip_columns(len(units)))


def _fitted(pixels: Pixels) -> Pixels:
    """RGB uint8 of `HEIGHT` rows, at most three times as wide."""
    height, width = pixels.shape[:2]
    size = min(max(round(width * HEIGHT / height), 16), 3 * HEIGHT)
    return np.asarray(Image.fromarray(pixels).resize((size, HEIGHT), Image.Resampling.BILINEAR))


def _jpeg(tiles: Sequence[Pixels], columns: int) -> bytes:
    """Tiles row by row, with grey between them and where there is none."""
    columns = min(columns, len(tiles)) or 1
    rows = -(-len(tiles) // columns) or 1
    width = max((tile.shape[1] for tile in tiles), default=HEIGHT)
    whole = np.full((rows * (HEIGHT + GAP) - GAP, columns * (width + GAP) - GAP, 3), GREY, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (HEIGHT + GAP), number % columns * (width + GAP)
        whole[top : top + HEIGHT, left : left + tile.shape[1]] = tile
    file = io.BytesIO()
    Image.fromarray(whole).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
