"""Small pictures of a run's photos: the photo and each model's map over it, in even rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.draw.even_rows import even_columns
from gradcam.errors import PhotoError
from gradcam.kinds import expect, expect_each
from gradcam.runs import pictures
from gradcam.runs.run import Run, Unit
from gradcam.types import Style

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
    stored = dict(zip(map(id, units), run.previews(units), strict=True))
    by_photo: dict[int, list[Unit]] = {}
    for unit in sorted(units, key=lambda unit: models.index(unit.model)):
        by_photo.setdefault(unit.photo, []).append(unit)
    return {photo: _strip(run, found, stored) for photo, found in by_photo.items()}


def strip_columns(models: int) -> int:
    """How many tiles of a strip stand beside each other: all three of two models, two by two of three models."""
    return even_columns(1 + models, MOST_BESIDE)


def _strip(run: Run, units: Sequence[Unit], stored: dict[int, bytes | None]) -> bytes:
    try:
        photo = run.photo(units[0].path).pixels
    except PhotoError:
        photo = None
    tiles = [] if photo is None else [_fitted(photo)]
    for unit in units:
        if preview := stored[id(unit)]:
            with Image.open(io.BytesIO(preview)) as picture:
                tiles.append(_fitted(np.asarray(picture.convert("RGB"))))
        elif photo is not None:
            tiles += [_fitted(drawn) for drawn in _drawn(run, unit, photo)]
    return _jpeg(tiles, strip_columns(len(units)))


def _drawn(run: Run, unit: Unit, photo: Pixels) -> Iterator[Pixels]:
    """The map of a unit over its photo, drawn now; nothing where it has none."""
    (raw,), (view,) = run.arrays([unit]), run.views([unit])
    if raw is not None and view is not None:
        small = pictures.shrink(photo, pictures.PREVIEW_SIDE)
        yield pictures.overlaid(small, raw, unit.method, view, Style())


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
