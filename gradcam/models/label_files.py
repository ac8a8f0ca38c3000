"""Class names that somebody wrote into a file: a line each, a table, or JSON.

A file comes from a stranger as often as from a colleague, so whatever it holds ends in labels or in a sentence.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gradcam import strict_json
from gradcam.errors import ModelError, check_kind, quoted
from gradcam.files import read_file
from gradcam.models.labels import Labels, make_labels, printable

MAX_BYTES = 5_000_000
MAX_CLASSES = 100_000
MAX_LETTERS = 200
"""Limits of a file, of its classes and of one class name."""

_TITLES = (
    ("index", ("index", "id", "idx", "class_id", "class_index", "number")),
    ("name", ("name", "label", "class", "class_name", "category")),
    ("wnid", ("wnid", "wordnet", "wordnet_id", "synset")),
)
"""What the columns of a table may be called."""


def read_labels(file: str | Path | bytes, name: str = "") -> Labels:
    """The labels in a text file (one name a line), a CSV file or a JSON file, in the order of the model's head.

    file: a path, or the file's bytes with its `name`, whose ending tells which kind it is.
    CSV: names under `name`, in order or numbered under `index`, with WordNet ids under `wnid`; without a header one
    column of names, or indices and names. JSON: a list of names, `{"0": "cat"}` or `{"cat": 0}`.
    Raises: ModelError.
    """
    check_kind(file, (str, Path, bytes), "a file of class names", "pass its path or its bytes", ModelError)
    if not isinstance(file, bytes):
        path = Path(file).expanduser()
        name = name or path.name
        file = read_file(path, MAX_BYTES, "a file of labels", error=ModelError)
    if len(file) > MAX_BYTES:
        raise ModelError(
            f"expected at most {MAX_BYTES // 1_000_000} MB of labels, got more in {quoted(name)}; shorten it"
        )
    try:
        text = file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(
            f"expected {quoted(name)} as UTF-8 text, got other bytes; save it as UTF-8 text"
        ) from error
    read = _READERS.get(Path(name).suffix.lower(), _from_text)
    try:
        names, wnids = read(text)
        return _checked(names, wnids, name)
    except _UnfitError as error:
        raise ModelError(f"expected class names in {quoted(name)}, got {error}") from error


class _UnfitError(ValueError):
    """What is wrong with a file of labels: the second half of a sentence."""


_Read = tuple[list[str], list[str] | None]
"""Names by index, and WordNet ids where the file has them."""


def _checked(names: list[str], wnids: list[str] | None, file: str) -> Labels:
    names = [printable(name) for name in names]
    if not 0 < len(names) <= MAX_CLASSES:
        raise _UnfitError(f"{len(names)} of them; give from 1 to {MAX_CLASSES:,}")
    for index, name in enumerate(names):
        if not name:
            raise _UnfitError(f"none for class {index}; name every class")
        if len(name) > MAX_LETTERS:
            raise _UnfitError(f"more than {MAX_LETTERS} letters for class {index}; shorten it")
    return replace(make_labels(names, Path(file).stem or "own", wnids), file=Path(file).name)


def _from_text(text: str) -> _Read:
    return [line for line in text.splitlines() if line.strip()], None


def _from_json(text: str) -> _Read:
    try:
        found = strict_json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _UnfitError(f"what is no JSON ({quoted(str(error), 80)}); give a list of names") from error
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return found, None
    if isinstance(found, dict) and all(isinstance(name, str) for name in found.values()):
        return _in_order(found), None
    if isinstance(found, dict) and all(type(index) is int for index in found.values()):  # as torchvision has them
        return _numbered([str(index) for index in found.values()], list(found)), None
    raise _UnfitError('another shape; give a list of names, or {"0": "cat", "1": "dog"}')


def _from_csv(text: str) -> _Read:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(map(str.strip, row))]
    except csv.Error as error:
        raise _UnfitError(f"a table that cannot be read ({quoted(str(error))}); save it as CSV") from error
    columns, rows = _columns(rows)
    needed = 1 + max(column for column in columns.values() if column is not None)
    width = max([needed, *map(len, rows)])  # a header may have more columns than any row
    if uneven := [number for number, row in enumerate(rows) if len(row) != width]:
        raise _UnfitError(f"{len(rows[uneven[0]])} cells instead of {width} for class {uneven[0]}; even them out")
    index, name, wnid = (
        None if column is None else [row[column].strip() for row in rows]
        for column in (columns[kind] for kind in ("index", "name", "wnid"))
    )
    assert name is not None
    if index is None:
        return name, wnid
    return _numbered(index, name), None if wnid is None else _numbered(index, wnid)


def _columns(rows: list[list[str]]) -> tuple[dict[str, int | None], list[list[str]]]:
    """Which column holds what, told from the header or else from the first row, and the rows below the header."""
    first = [cell.strip().lower() for cell in rows[0]] if rows else [""]
    titled = {kind: next((first.index(name) for name in known if name in first), None) for kind, known in _TITLES}
    if titled["name"] is not None:
        return titled, rows[1:]
    if len(first) == 1:
        return {"index": None, "name": 0, "wnid": None}, rows
    if len(first) == 2 and first[0].isdecimal():
        return {"index": 0, "name": 1, "wnid": None}, rows
    raise _UnfitError("no column of that title; title the columns index and name")


def _in_order(table: Mapping[str, str]) -> list[str]:
    return _numbered(list(table), list(table.values()))


def _numbered(indices: list[str], values: list[str]) -> list[str]:
    """The values sorted by indices, which must count from 0 and leave none out."""
    by_index: dict[int, str] = {}
    for index, value in zip(indices, values, strict=True):
        if not (index.isascii() and index.isdecimal() and len(index) < 10):
            raise _UnfitError(f"the index {quoted(index, 20)}; count the classes from 0")
        if int(index) in by_index:
            raise _UnfitError(f"class {int(index)} twice; give every class once")
        by_index[int(index)] = value
    if missing := [index for index in range(len(by_index)) if index not in by_index]:
        raise _UnfitError(f"none for class {missing[0]} of {len(by_index)}; count the classes from 0 without gaps")
    return [by_index[index] for index in range(len(by_index))]


_READERS: dict[str, Callable[[str], _Read]] = {".json": _from_json, ".csv": _from_csv, ".tsv": _from_csv}
