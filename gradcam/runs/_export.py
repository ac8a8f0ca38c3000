"""Write a run for other programs: a table of its units, or its maps over their photos."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from gradcam.draw import render
from gradcam.errors import OptionError, PhotoError, RunError, check_kind, quoted
from gradcam.files import write_whole
from gradcam.runs import pictures
from gradcam.runs.run import Run, Unit, run_folder
from gradcam.text import shorten, spreadsheet_cell
from gradcam.types import Style

LONG_SIDE, QUALITY = 512, 88
"""Of an overlay: pixels of its longer side, and the quality of its JPEG."""

_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("path", "label", "model", "method", "target", "predicted"), pa.string()),
    **{"predicted_probability": pa.float64(), "right": pa.bool_(), "class_name": pa.string()},
    **{"score": pa.float64(), "probability": pa.float64(), "rank": pa.int32()},
    **dict.fromkeys(
        ("peak", "mean", "positive", "outside_box", "on_border", "likeness", "agreement"), pa.float64()
    ),
    **{"same_class": pa.bool_(), "reason": pa.string(), "sha256": pa.string(), "key": pa.string()},
}
"""Columns of a table, named like the fields of `Unit`. The manifest's other columns follow them, see `_titles`."""

_LETTERS = 80
"""Of the name of a picture or its folder: file systems take 255 bytes, and a letter has up to three."""

_ROWS = 5_000
"""How many rows of a table are in memory together."""


def export(
    run: Run | str | Path,
    file: str | Path,
    *,
    photos: Sequence[int] | None = None,
    style: Style | None = None,
    force: bool = False,
) -> Path:
    """Write the finished units of a run, whole or not at all; the same results give the same bytes.

    file: `.csv` or `.parquet` for a row a unit, `.zip` for each map over its photo as JPEG.
    photos: the numbers of those that are wanted, in their order; by default all. style: of the maps.
    Raises: OptionError for another suffix, RunError where the file exists or cannot be written.
    """
    check_kind(file, (str, Path), "the path of a file", "name one")
    run, file = run if isinstance(run, Run) else Run(run_folder(run)), Path(file)
    if file.suffix.lower() not in EXPORTS:
        raise OptionError(f"expected a name that ends in {', '.join(EXPORTS)}, got {quoted(file.name)}; choose one")
    style = style or Style()
    render.check_style(style)
    run.plan  # noqa: B018 - a folder without a run is refused before anything is written
    with write_whole(file, force=force, error=RunError) as out:
        EXPORTS[file.suffix.lower()](run, photos, style, out)
    return file


def _write_csv(run: Run, photos: Sequence[int] | None, _style: Style, out: BinaryIO) -> None:
    slices = run.slices()
    out.write(codecs.BOM_UTF8)  # without which Excel takes it for the machine's own encoding
    text = io.TextIOWrapper(out, "utf-8", errors="backslashreplace", newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(map(spreadsheet_cell, [*_COLUMNS, *_titles(slices)]))
    for unit in _units(run, photos):
        cells = _cells(unit, slices)
        table.writerow([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    text.detach()


def _write_parquet(run: Run, photos: Sequence[int] | None, _style: Style, out: BinaryIO) -> None:
    slices = run.slices()
    schema = pa.schema([*_COLUMNS.items(), *((title, pa.string()) for title in _titles(slices))])
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        rows: list[list[object]] = []
        for unit in _units(run, photos):
            rows.append(_cells(unit, slices))
            if len(rows) == _ROWS:
                writer.write_table(_table(rows, schema))
                rows = []
        writer.write_table(_table(rows, schema))


def _table(rows: list[list[object]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _titles(slices: Sequence[str]) -> list[str]:
    """What a table calls the manifest's columns: `data.NAME` where that is the name of a column of its own."""
    taken, titles = {*_COLUMNS, *slices}, []
    for name in slices:
        title = name
        while name in _COLUMNS and title in taken:
            title = f"data.{title}"
        titles.append(title)
    return titles


def _cells(unit: Unit, slices: Sequence[str]) -> list[object]:
    return [getattr(unit, name) for name in _COLUMNS] + [unit.columns.get(name) for name in slices]


def _write_overlays(run: Run, photos: Sequence[int] | None, style: Style, out: BinaryIO) -> None:
    """A picture of each map, in a folder a model; photos that cannot be opened any more are left out."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, group in groupby(_units(run, photos), key=lambda unit: unit.path):
            units = [unit for unit in group if unit.reason is None]
            try:
                pixels = run.photo(path).pixels if units else None
            except PhotoError:
                continue
            if pixels is None:
                continue
            small = pictures.shrink(pixels, LONG_SIDE)
            for unit, raw, view in zip(units, run.arrays(units), run.views(units), strict=True):
                if raw is not None and view is not None:
                    picture = pictures.overlay_jpeg(small, raw, unit.method, view, style, QUALITY)
                    archive.writestr(zipfile.ZipInfo(_name(unit)), picture)


def _name(unit: Unit) -> str:
    """The name of a unit's file in a ZIP: MODEL/PHOTO-METHOD-TARGET.jpg; a cut one ends in a part of its key."""
    parts = (unit.model, f"{unit.photo:07}-{Path(unit.path).stem}-{unit.method}-{unit.target}")
    model, name = (re.sub(r"[^\w.-]+", "-", part) for part in parts)
    if len(name) > _LETTERS:
        name = f"{shorten(name, _LETTERS - 9)}-{(unit.key or '')[:8]}"
    return f"{shorten(model, _LETTERS)}/{name}.jpg"


def _units(run: Run, photos: Sequence[int] | None) -> Iterator[Unit]:
    """All units, or those of some photos in the given order."""
    if photos is None:
        yield from run.units()
    else:
        for number in photos:
            yield from run.units([number])


EXPORTS: dict[str, Callable[[Run, Sequence[int] | None, Style, BinaryIO], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".zip": _write_overlays,
}
"""The writers of a run, by suffix."""
