"""Match the labels of a data set to the classes of a model, by name or by a mapping file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from gradcam.errors import ClassError, RunError, quoted
from gradcam.files import read_file
from gradcam.models.labels import Labels
from gradcam.text import count

MAX_BYTES = 5_000_000


def read_mapping(file: Path) -> dict[str, str]:
    """Read a mapping file: the class name or index of each label.

    The file is a CSV with two columns, label and class, or a JSON object. Raises: RunError.
    """
    data = read_file(file, MAX_BYTES, "a file of labels and classes", error=RunError)
    if len(data) > MAX_BYTES:
        raise RunError(f"expected at most {MAX_BYTES // 10**6} MB in {quoted(file)}, got more; shorten it")
    try:
        text = data.decode("utf-8-sig")
        pairs = _from_json(text) if file.suffix.lower() == ".json" else _from_csv(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise RunError(
            f"expected two columns, label and class, or a JSON object in {quoted(file)}, got something else "
            f"({quoted(str(error), 120)}); save it anew"
        ) from error
    found: dict[str, str] = {}
    for label, name in pairs:
        if found.setdefault(label, name) != name:
            raise RunError(f"expected each label once in {quoted(file)}, got {quoted(label)} twice; drop one")
    return found


def _from_json(text: str) -> list[tuple[str, str]]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(type(value) in (str, int) for value in found.values()):
        raise ValueError("no object of names or indices")
    return [(label, f"#{value}" if isinstance(value, int) else value) for label, value in found.items()]


def _from_csv(text: str) -> list[tuple[str, str]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), strict=True) if any(row)]
    if any(len(row) != 2 for row in rows):
        raise ValueError("a row with another number of cells")
    if rows and [cell.lower() for cell in rows[0]] == ["label", "class"]:
        rows = rows[1:]
    return [(label, f"#{name}" if name.isdigit() else name) for label, name in rows]


def classes_of(
    labels: Iterable[str], known: Labels, model: str, mapping: Mapping[str, str] | None = None, *, need_all: bool
) -> dict[str, int | None]:
    """The class index of each label; None for a label that is no class of the model.

    mapping: as `read_mapping` returns it; a label that is not in it is looked up by its own name.
    need_all: refuse labels that are no class, because the run's target is the label.
    Raises: RunError for such a label, or if the model lacks a class of the mapping.
    """
    mapping, found, lacking = mapping or {}, {}, []
    for label in labels:
        try:
            found[label] = known.index(mapping.get(label, label))
        except ClassError as error:
            if label in mapping:
                raise RunError(f"expected classes of {model} in the mapping of labels, but {error}") from error
            found[label] = None
            lacking.append((label, error))
    if lacking and need_all:
        label, error = lacking[0]
        more = f", and {count(len(lacking) - 1, 'other label')} likewise" if len(lacking) > 1 else ""
        raise RunError(
            f"expected labels that are classes of {model}, but {quoted(label, 80)} is none{more} ({error}); say "
            "with --labels-are FILE which class each label means, or ask for --class top"
        )
    return found
