"""What a report says of its models: a column for each, a row for each property."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from gradcam.report.model import Content, ModelEntry
from gradcam.report.sections import UNKNOWN, Table, without_empty_columns
from gradcam.report.statements import NUMERICS_LABELS, methods_line
from gradcam.text import dimensions, listed

Property: TypeAlias = Callable[[Content, int], str]
"""Gives a cell of the table of models, from a report and the index of a model."""


def models_table(report: Content) -> Table:
    """A column for each model, a row for each property. Rows in which the models differ are marked; rows of a
    choice or a file that no model has are left out, and columns of models of which nothing is known.
    """
    rows = [(label, *(read(report, index) for index in range(len(report.models)))) for label, read in _PROPERTIES]
    rows = [row for row in rows if row[0] not in _RARE or {*row[1:]} != {UNKNOWN}]
    return without_empty_columns(Table(("", *report.model_names), tuple(rows), _differing(rows)))


def configurations_table(report: Content) -> Table:
    """A column for each model with a pretrained configuration, a row for each name in one; no rows without any."""
    found = [
        (name, model.configuration)
        for name, model in zip(report.model_names, report.models, strict=True)
        if model.configuration
    ]
    told = [configuration for _, configuration in found]
    names = list(dict.fromkeys(name for one in told for name in one))
    rows = [(name, *(_told(one[name]) if name in one else UNKNOWN for one in told)) for name in names]
    return Table(("", *(name for name, _ in found)), tuple(rows), _differing(rows))


def _differing(rows: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    """The rows in which models differ, as far as it is known of them."""
    return tuple(index for index, row in enumerate(rows) if len({*row[1:]} - {UNKNOWN}) > 1)


def _told(value: object) -> str:
    """A plain value, or a list of them, as a table shows it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    return {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))


def _id(report: Content, index: int) -> str:
    """The id of a model that is called by another name."""
    id = report.models[index].id
    return UNKNOWN if report.model_names[index] == id else id


def _field(name: str) -> Property:
    def read(report: Content, index: int) -> str:
        value = getattr(report.models[index], name)
        return UNKNOWN if value in (None, "") else str(value)

    return read


def _of_file(name: str) -> Property:
    def read(report: Content, index: int) -> str:
        return getattr(report.models[index].file, name, "") or UNKNOWN

    return read


def _trained(model: ModelEntry) -> str:
    if not model.origin:
        return UNKNOWN
    return "no: random weights" if model.untrained else "yes"


def _activation(model: ModelEntry) -> str:
    words = {"softmax": "softmax over all classes", "sigmoid": "sigmoid, each class for itself"}
    return words[model.activation] if model.answered else UNKNOWN


def _preprocessing(report: Content, index: int) -> str:
    found = report.models[index].preprocessing
    if found is None:
        return UNKNOWN
    sizes = [dimensions(*size) for size in (found.resize, found.size)]
    scaled = sizes[1] if found.resize == found.size else f"{sizes[0]}, middle {sizes[1]}"
    return f"{found.mode}, {scaled}, {found.interpolation}"


def _values(report: Content, index: int) -> str:
    found = report.models[index].preprocessing
    if found is None:
        return UNKNOWN
    mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (found.mean, found.std))
    return f"mean {mean}; std {std}"


def _layers(report: Content, index: int) -> str:
    layers = sorted(map(str, report.layers_of(index)))
    return listed(layers) if layers else UNKNOWN


def _rules(report: Content, index: int) -> str:
    return " ".join(sorted({layer.rule for layer in report.layers_of(index)})) or UNKNOWN


def _device(model: ModelEntry) -> str:
    faster = "" if model.numerics == "eager" else f", {NUMERICS_LABELS[model.numerics]}"
    return f"{model.device}, {model.dtype}{faster}" if model.device else UNKNOWN


_OF_FILES = {"Network in the file": "prefix", "Found in the file": "note"}
"""What is said of a file that somebody brought, by the field of `WeightsFile`."""

_RARE = ("Id", "Class scores", *_OF_FILES)
"""Rows of the table of models that are left out where no model has anything to say."""

_PROPERTIES = (
    ("Id", _id),
    ("Weights", _field("origin")),
    *((label, _of_file(name)) for label, name in _OF_FILES.items()),
    ("Trained", lambda report, index: _trained(report.models[index])),
    ("Classes", _field("classes")),
    ("Class scores", _field("output")),
    ("Probabilities", lambda report, index: _activation(report.models[index])),
    ("Input", _preprocessing),
    ("Normalised by", _values),
    ("Target layer", _layers),
    ("Chosen because", _rules),
    ("Method", lambda report, index: methods_line(report) if report.models[index].answered else UNKNOWN),
    ("Device, type", lambda report, index: _device(report.models[index])),
)
