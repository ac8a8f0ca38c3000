"""A Hugging Face dataset on disk, as `save_to_disk` writes it: its pictures and their columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from gradcam.errors import RunError, quoted
from gradcam.extras import packages_of
from gradcam.runs.manifest import MAX_CELL, MAX_COLUMNS, MAX_ROWS, PhotoRow, to_table, written
from gradcam.text import first_few, shorten

if TYPE_CHECKING:
    from datasets import Dataset

INFO, STATE, SPLITS = "dataset_info.json", "state.json", "dataset_dict.json"
MAX_JSON = 10_000_000
"""The most bytes that each of these files may have."""

LABELS = ("label", "labels", "class")
"""The accepted names of the label column; without one, the first ClassLabel column is used."""


def is_stored_dataset(folder: Path) -> bool:
    """Whether this folder was written by `save_to_disk`, with or without splits."""
    return (folder / SPLITS).is_file() or all((folder / name).is_file() for name in (INFO, STATE))


@dataclass(frozen=True)
class StoredPictures:
    """The pictures of a stored dataset as files named by their row, such as `00000007`."""

    root: Path

    def paths(self) -> Iterator[str]:
        return map(_name, range(len(_load(self.root)[0])))

    def open(self, path: str) -> BinaryIO:
        dataset, column = _load(self.root)
        if not path.isdigit() or int(path) >= len(dataset):
            raise FileNotFoundError(path)
        row = cast("dict[str, Any]", dataset.select_columns([column])[int(path)])
        data = (row[column] or {}).get("bytes")
        if data is None:
            raise ValueError("the dataset holds a path in place of the picture")
        return io.BytesIO(data)

    def state(self, path: str) -> tuple[int, int] | None:
        with suppress(OSError):
            return _state(self.root)
        return None


def read_rows(folder: Path) -> pa.Table:
    """The rows of a stored dataset, of `manifest.SCHEMA`; texts, numbers and classes are kept for slicing.

    Raises: RunError if it cannot be read, holds splits, has no pictures or is too large.
    """
    if (folder / SPLITS).is_file():
        splits = sorted(path.name for path in folder.iterdir() if is_stored_dataset(path))
        raise RunError(
            f"expected one split of a dataset, got several in {quoted(folder)}; name the folder of one of them: "
            f"{first_few([quoted(name, 40) for name in splits]) or 'train'}"
        )
    dataset, picture = _load(folder)
    if len(dataset) > MAX_ROWS:
        raise RunError(f"expected at most {MAX_ROWS:,} rows in {quoted(folder)}, got {len(dataset):,}; split it")
    kept = _kept_columns(dataset, picture)
    label = next((name for name in LABELS if name in kept), None)
    label = label or next((name for name, names in kept.items() if names is not None), None)
    records: Any = dataset.select_columns(list(kept)) if kept else [{}] * len(dataset)

    def rows() -> Iterator[PhotoRow]:
        for number, record in enumerate(records):
            texts = {name: _text(record[name], names) for name, names in kept.items()}
            own = texts.pop(label, "") if label else ""
            given = {name: text for name, text in texts.items() if text}
            yield PhotoRow(_name(number), own or None, given)

    return to_table(rows())


def _name(row: int) -> str:
    return f"{row:08}"


def _kept_columns(dataset: Dataset, picture: str) -> dict[str, list[str] | None]:
    """The columns to keep: None for texts and numbers, or the names of a column's classes."""
    from datasets import ClassLabel, Value

    kept = {
        name: feature.names if isinstance(feature, ClassLabel) else None
        for name, feature in dataset.features.items()
        if name != picture and isinstance(feature, ClassLabel | Value) and "binary" not in str(feature.dtype)
    }
    if len(kept) > MAX_COLUMNS:
        raise RunError(f"expected at most {MAX_COLUMNS} columns in a dataset, got {len(kept)}; drop some")
    return kept


def _text(value: Any, names: list[str] | None) -> str:
    if names is not None:
        value = names[value] if value is not None and 0 <= value < len(names) else None
    return shorten(written(value), MAX_CELL)


def _state(folder: Path) -> tuple[int, int]:
    """Size and last change of the file that every `save_to_disk` rewrites."""
    found = (folder / STATE).stat()
    return found.st_size, found.st_mtime_ns


def _load(folder: Path) -> tuple[Dataset, str]:
    """The dataset, read lazily with encoded pictures, and the name of the picture column."""
    return _load_as_it_is(folder, _state(folder))


@lru_cache(2)
def _load_as_it_is(folder: Path, _now: tuple[int, int]) -> tuple[Dataset, str]:
    with packages_of("datasets"):
        from datasets import Dataset, Image, load_from_disk
    for name in (INFO, STATE):
        if (size := (folder / name).stat().st_size) > MAX_JSON:
            raise RunError(
                f"expected at most {MAX_JSON:,} bytes in {quoted(folder / name)}, got {size:,}; save it anew"
            )
    try:
        dataset = load_from_disk(str(folder), keep_in_memory=False)
        if not isinstance(dataset, Dataset):
            raise ValueError("splits where a dataset should be")
        dataset = dataset.with_format(None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise RunError(
            f"expected a dataset as `save_to_disk` writes it in {quoted(folder)}, got a damaged one "
            f"({quoted(str(error), 120)}); save it anew"
        ) from error
    pictures = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
    if len(pictures) != 1 and "image" not in pictures:
        got = first_few([quoted(name, 40) for name in pictures or dataset.features]) or "none"
        raise RunError(
            f"expected one column of images in {quoted(folder)}, got {got}; cast one to datasets.Image, or call it "
            "image"
        )
    column = "image" if "image" in pictures else pictures[0]
    return dataset.cast_column(column, Image(decode=False)), column
