"""A manifest: somebody's table of photos, read row by row or refused with one sentence."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from gradcam import strict_json
from gradcam.errors import RunError, quoted
from gradcam.text import first_few

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the upright photo."""

MAX_ROWS = 20_000_000
MAX_COLUMNS = 200
MAX_CELL = 10_000
"""Rows and columns of a manifest, and letters of a cell."""

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("columns", pa.string(), nullable=False),
        pa.field("box", pa.list_(pa.float64())),
        pa.field("mask", pa.string()),
    ]
)
"""The columns of a data set's rows. `columns` is a JSON object of texts by name."""

_TITLES = {
    "path": ("path", "file", "filename", "file_name", "image", "photo"),
    "label": ("label", "class", "class_name", "category"),
    "box": ("box", "bbox"),
    "mask": ("mask",),
}
"""The accepted titles of each column, without regard to case; the first one present is used."""


@dataclass(frozen=True)
class PhotoRow:
    """One photo of a data set, as its manifest or its folder describes it.

    path: relative to the data set, with `/`. label: the name of its class. columns: all other columns, for slicing.
    box: where the object is. mask: the path of a picture that is black outside the object.
    """

    path: str
    label: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    box: Box | None = None
    mask: str | None = None


def to_table(rows: Iterable[PhotoRow]) -> pa.Table:
    """Rows as a table with the columns of `SCHEMA`."""
    kept: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for row in rows:
        kept["path"].append(row.path)
        kept["label"].append(row.label)
        kept["columns"].append(json.dumps(dict(row.columns), ensure_ascii=False, sort_keys=True))
        kept["box"].append(row.box)
        kept["mask"].append(row.mask)
    return pa.table(kept, schema=SCHEMA)


def to_rows(table: pa.Table) -> list[PhotoRow]:
    """The rows of a table with the columns of `SCHEMA`."""
    return [
        PhotoRow(
            row["path"],
            row["label"],
            json.loads(row["columns"]),
            None if row["box"] is None else tuple(row["box"]),
            row["mask"],
        )
        for row in table.to_pylist()
    ]


def read(name: str, open_file: Callable[[str], BinaryIO]) -> pa.Table:
    """Read the rows of a manifest into a table with the columns of `SCHEMA`.

    name: the manifest's path within its data set, with a suffix of `MANIFESTS`. Its paths start in its folder.
    Raises: RunError if it cannot be read, lacks a column, or has a row that makes no sense.
    """
    with open_file(name) as file:
        titles, records = MANIFESTS[PurePosixPath(name).suffix.lower()](name, file)
        reader = _Reader(name, _columns(name, titles))
        return to_table(map(reader.row, records))


class _Reader:
    """Turns the records of one manifest into rows, and numbers them from 1 for its errors."""

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        self._name, self._columns = name, columns
        self._folder = posixpath.dirname(name)
        self._seen: dict[str, int] = {}
        self._number = 0

    def row(self, record: Mapping[str, Any]) -> PhotoRow:
        self._number += 1
        if self._number > MAX_ROWS:
            raise self._wrong(f"at most {MAX_ROWS:,} rows", "more", "split it")
        cells = {title: self._text(title, value) for title, value in record.items()}
        named = {kind: cells.pop(title, "") for kind, title in self._columns.items()}
        box = record[self._columns["box"]] if named.get("box") else None
        path = self._path(named["path"])
        if path in self._seen:
            raise self._wrong(f"another photo than in row {self._seen[path]}", quoted(path), "drop one of the two")
        self._seen[path] = self._number
        mask = named.get("mask") or None
        return PhotoRow(
            path=path,
            label=named.get("label") or None,
            columns={encodable(title): text for title, text in cells.items() if title.strip() and text},
            box=None if box is None else self._box(box),
            mask=None if mask is None else self._path(mask),
        )

    def _text(self, title: str, value: Any) -> str:
        text = written(value)
        if len(text) > MAX_CELL:
            raise self._wrong(f"at most {MAX_CELL:,} letters under {quoted(title)}", f"{len(text):,}", "shorten it")
        return text

    def _path(self, text: str) -> str:
        if not text:
            raise self._wrong("a path", "an empty cell", "name a file")
        path = posixpath.normpath(posixpath.join(self._folder, text.replace("\\", "/")))
        if leads_out(text) or path.startswith(".."):
            raise self._wrong(
                "a path inside the manifest's folder", quoted(text), "move the photo there, or the manifest up"
            )
        return path

    def _box(self, value: Any) -> Box:
        try:
            sides = (
                json.loads(value if value.startswith("[") else f"[{value}]") if isinstance(value, str) else value
            )
            left, top, right, bottom = map(float, sides)
        except (ValueError, TypeError, RecursionError):
            raise self._wrong(
                "left, top, right and bottom in pixels as a box", quoted(value), "correct it"
            ) from None
        if not (all(map(math.isfinite, (left, top, right, bottom))) and left < right and top < bottom):
            raise self._wrong("a box with left < right and top < bottom", quoted(value), "correct it")
        return left, top, right, bottom

    def _wrong(self, wanted: str, got: str, advice: str) -> RunError:
        return RunError(f"expected {wanted}, got {got} in row {self._number} of {quoted(self._name)}; {advice}")


def leads_out(path: str) -> bool:
    """Whether a path is absolute or leads to a folder above, here or on another system."""
    parts = re.split(r"[\\/]", path)
    return path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in path


def written(value: Any) -> str:
    """A value of a table as the text that a row keeps; empty for one that is missing, as NaN is.

    A whole number reads the same whether a table holds it as `42` or `42.0`, and a date as Python writes it.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    nested = isinstance(value, bool | dict | list)
    return encodable(json.dumps(value, ensure_ascii=False, default=str) if nested else str(value).strip())


def encodable(text: str) -> str:
    """A text as UTF-8 can hold it: a half of a character, as JSON may name one, is written as `\\ud83d`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _columns(name: str, titles: list[str]) -> dict[str, str]:
    """The titles of the known columns, by their role. Raises: RunError."""
    if len(titles) > MAX_COLUMNS:
        raise RunError(f"expected at most {MAX_COLUMNS} columns in {quoted(name)}, got {len(titles)}; drop some")
    given: dict[str, str] = {}
    for title in filter(str.strip, titles):
        compared = _compared(title)
        if compared in given:
            both = f"{quoted(given[compared])} and {quoted(title)}"
            raise RunError(f"expected columns of different names in {quoted(name)}, got {both}; rename one")
        given[compared] = title
    found = {kind: next((given[one] for one in names if one in given), None) for kind, names in _TITLES.items()}
    if found["path"] is None:
        got = first_few([quoted(title, 40) for title in titles]) or "none"
        raise RunError(f"expected a column `path` in {quoted(name)}, got {got}; give one that title")
    return {kind: title for kind, title in found.items() if title is not None}


def _compared(title: str) -> str:
    """A title as it is compared: a known one without regard to case and outer blanks, any other as it is."""
    plain = title.strip().lower()
    return plain if any(plain in names for names in _TITLES.values()) else title


_Records = tuple[list[str], Iterator[Mapping[str, Any]]]
"""The titles of the columns, and the records by title."""


@contextmanager
def _refusing(name: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise RunError(
            f"expected {kind} in {quoted(name)}, got something else ({quoted(str(error), 120)}); save it anew"
        ) from error


def _from_csv(name: str, file: BinaryIO) -> _Records:
    lines = codecs.iterdecode(file, "utf-8-sig")
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    with _refusing(name, "a table as CSV", csv.Error, UnicodeDecodeError):
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        titles = next(rows, [])

    def records() -> Iterator[Mapping[str, Any]]:
        with _refusing(name, "a table as CSV", csv.Error, UnicodeDecodeError):
            for number, row in enumerate(filter(None, rows), start=1):
                if len(row) != len(titles):
                    raise RunError(
                        f"expected {len(titles)} cells in row {number} of {quoted(name)}, got {len(row)}; put "
                        "quotes around a cell that holds a comma"
                    )
                yield dict(zip(titles, row, strict=True))

    return titles, records()


def _from_jsonl(name: str, file: BinaryIO) -> _Records:
    def records() -> Iterator[Mapping[str, Any]]:
        with _refusing(name, "a JSON object on each line", ValueError, RecursionError):
            for line in iter(lambda: file.readline(MAX_COLUMNS * MAX_CELL), b""):
                if line.strip():
                    record = strict_json.loads(line)
                    if not isinstance(record, dict):
                        raise ValueError(f"a line with {type(record).__name__}")
                    yield record

    titles = _all_titles(records())
    file.seek(0)
    return titles, records()


def _all_titles(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The titles of all records, each of which may lack any; no more are looked for once they are too many."""
    titles: dict[str, None] = {}
    for record in records:
        titles.update(dict.fromkeys(record))
        if len(titles) > MAX_COLUMNS:
            break
    return list(titles)


def _from_parquet(name: str, file: BinaryIO) -> _Records:
    with _refusing(name, "a table as Parquet", pa.ArrowException, OSError):
        table = parquet.ParquetFile(io.BytesIO(file.read()))
        titles = table.schema_arrow.names

    def records() -> Iterator[Mapping[str, Any]]:
        with _refusing(name, "a table as Parquet", pa.ArrowException, OSError):
            for batch in table.iter_batches(10_000):
                yield from batch.to_pylist()

    return titles, records()


MANIFESTS: dict[str, Callable[[str, BinaryIO], _Records]] = {
    ".csv": _from_csv,
    ".tsv": _from_csv,
    ".jsonl": _from_jsonl,
    ".ndjson": _from_jsonl,
    ".parquet": _from_parquet,
}
"""The readers of manifests, by suffix."""
