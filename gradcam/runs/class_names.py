"""Match the labels of a data set to the classes of a model, by name or by a mapping file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gradcam import strict_json
from gradcam.errors import ClassError, RunError, quoted
from gradcam.files import read_file
from gradcam.models.labels import Labels
from gradcam.text import count, first_few

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
    found = strict_json.loads(text)
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
    labels: Iterable[str],
    known: Labels,
    model: str,
    mapping: Mapping[str, str] | None = None,
    *,
    need_all: bool,
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, int | None]:
    """The class index of each label; None for a label that is no class of the model.

    mapping: as `read_mapping` returns it, for any models. A label that is not in it, or is mapped to a class that
        this model lacks, is the class that is called exactly so.
    need_all: refuse labels that are no class, and a set without labels, because the run's target is the label.
    say: is called with a sentence about labels that are no class, or not the one that they are mapped to.
    Raises: RunError for a label that is needed and no class.
    """
    mapping = mapping or {}
    found: dict[str, int | None] = {}
    lacking: dict[str, ClassError] = {}
    unmapped: list[str] = []
    for label in labels:
        try:
            found[label] = known.index(mapping[label]) if label in mapping else known.exact_index(label)
        except ClassError as error:
            found[label] = _own_class(label, known)
            if found[label] is None:
                lacking[label] = error
            else:
                unmapped.append(label)
    if need_all:
        _check_all(found, lacking, model)
    if unmapped:
        say(
            f"{model} has no class that {count(len(unmapped), 'label')} should mean ({_shown(unmapped, mapping)}): "
            "the class of the label's own name is taken"
        )
    if lacking:
        say(
            f"{model} has no class for {count(len(lacking), 'label')} ({_shown(list(lacking), mapping)})"
            f"{_nearest(next(iter(lacking)), known, mapping)}: their photos count as neither right nor wrong"
        )
    return found


def _own_class(label: str, known: Labels) -> int | None:
    """The class that is called as a label."""
    try:
        return known.exact_index(label)
    except ClassError:
        return None


def _check_all(found: Mapping[str, int | None], lacking: Mapping[str, ClassError], model: str) -> None:
    """Check that labels can be a run's target. Raises: RunError."""
    if not found:
        raise RunError(
            "expected photos with labels, because each label's class is asked for, got none; put them into folders "
            "called as their classes, or ask for --class top"
        )
    if lacking:
        label, error = next(iter(lacking.items()))
        more = f", and {count(len(lacking) - 1, 'other label')} likewise" if len(lacking) > 1 else ""
        raise RunError(
            f"expected labels that are classes of {model}, but {quoted(label, 80)} is none{more} ({error}); say "
            "with --labels-are FILE which class each label means, or ask for --class top"
        )


def _nearest(label: str, known: Labels, mapping: Mapping[str, str]) -> str:
    """Which class may be meant, as a part of a sentence; empty if none is near."""
    wanted = mapping.get(label, label)
    near = known.nearest(wanted)
    return f", but {quoted(near, 80)} is near {quoted(wanted, 80)}" if near else ""


def _shown(labels: list[str], mapping: Mapping[str, str]) -> str:
    """The first few labels, and what they are mapped to."""
    return first_few([f"{label} → {mapping[label]}" if label in mapping else label for label in labels])
