"""What a run computes: a frozen value, whose canonical JSON is all that decides the bytes of its results.

Each start adds its new photos as a part. A part is cut into batches of a fixed size, and each batch of each column
is a shard. Batches never depend on which shards are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from gradcam import __version__, layers, methods
from gradcam.errors import LayerError, OptionError, RunError, nearest, quoted
from gradcam.layers import TypedLayer, read_layer
from gradcam.panel_key import ModelKey, PanelKey
from gradcam.runs.class_names import classes_of
from gradcam.targets import parse_target, write_target
from gradcam.text import listed
from gradcam.types import FITS, PRECISIONS, Activation, Contrast, Fit, Numerics, Target, TargetLayer, Top

if TYPE_CHECKING:
    from gradcam.models import Classifier

FORMAT = 2
"""The version of plans and shards. Raise it when the meaning of either changes."""

LABEL = "label"
"""The target that stands for each photo's own label. A class with this name is written in quotes."""

MapType = Literal["float16", "float32"]


@dataclass(frozen=True)
class Settings:
    """What all results of a run have in common.

    maps: the type in which maps are stored; all other arrays are float16.
    batch: how many photos a shard holds; a killed worker loses at most one shard. at_once: how many photos share a
        forward; four are the fastest on a processor, more on an accelerator. threads: PyTorch's threads for each
        worker. These three change the rounding, so a run keeps them.
    previews: whether a small picture of each map over its photo is stored beside its shard.
    """

    fit: Fit = "crop"
    precision: str = "float32"
    maps: MapType = "float16"
    batch: int = 64
    at_once: int = 4
    threads: int = 1
    previews: bool = False

    def check(self) -> None:
        """Raises: RunError for a value outside its choices."""
        for name, choices in (("fit", FITS), ("precision", PRECISIONS), ("maps", get_args(MapType))):
            if (value := getattr(self, name)) not in choices:
                raise RunError(f"expected {name} to be one of {', '.join(choices)}, got {quoted(value)}; take one")
        for name, most in (("batch", 100_000), ("at_once", 10_000), ("threads", 1_000)):
            if not 1 <= (value := getattr(self, name)) <= most:
                raise RunError(f"expected {name} from 1 to {most:,}, got {quoted(value)}; choose another")


@dataclass(frozen=True)
class PlannedModel:
    """A model as it was when the run was planned. If the model has changed, the run refuses to continue.

    requested_id: the id that loaded it. digest: of its `ModelKey`; the fields below it serve to name what changed.
    input_size: height and width in pixels. layer: as it was requested. layers: the target layers that were found.
    earlier: the layer whose pooled output is stored too.
    label_classes: the class index of each label; None for a label that is no class of the model.
    """

    id: str
    requested_id: str
    digest: str
    weights_sha256: str
    device: str
    dtype: str
    numerics: Numerics
    activation: Activation
    classes: tuple[str, ...]
    input_size: tuple[int, int]
    layer: str
    layers: tuple[TargetLayer, ...]
    earlier: TargetLayer
    label_classes: dict[str, int | None]

    @classmethod
    def of(
        cls, classifier: Classifier, requested_id: str, layer: str, label_classes: Mapping[str, int | None]
    ) -> PlannedModel:
        """Raises: LayerError, ModelError."""
        key, size = ModelKey.of(classifier), classifier.preprocessing.size
        found = [
            layers.resolve_target_layer(classifier.module, size, one, output=classifier.output)
            for one in _each_layer(read_layer(layer))
        ]
        return cls(
            id=key.id,
            requested_id=requested_id,
            digest=key.digest,
            weights_sha256=key.weights_sha256,
            device=key.device,
            dtype=key.dtype,
            numerics=key.numerics,
            activation=key.activation,
            classes=key.labels,
            input_size=size,
            layer=layer,
            layers=tuple(found),
            earlier=earlier_layer(classifier, found[0]),
            label_classes=dict(sorted(label_classes.items())),
        )

    def class_of(self, label: str) -> int:
        """The index of the class that a label means. Raises: RunError where it means none."""
        index = self.label_classes.get(label)
        if index is None:
            known = [name for name, found in self.label_classes.items() if found is not None]
            raise RunError(
                f"expected a label that is a class of {self.id}, got {quoted(label)}; use {nearest(label, known)}"
            )
        return index

    def check_same(self, other: PlannedModel) -> None:
        """Raises: RunError if the model has changed."""
        changed = [what for name, what in _COMPARED.items() if getattr(self, name) != getattr(other, name)]
        if changed or self.digest != other.digest:
            by_exact = "give --exact only if it was given then, or " if changed == [_COMPARED["numerics"]] else ""
            raise RunError(
                f"expected {self.id} as it was when the run began, but its "
                f"{listed(changed) if changed else 'preprocessing'} changed; {by_exact}begin beside with --new"
            )


def _each_layer(layer: TypedLayer | tuple[TypedLayer, ...]) -> tuple[TypedLayer, ...]:
    return layer if isinstance(layer, tuple) else (layer,)


_COMPARED = {
    "weights_sha256": "weights",
    "classes": "classes",
    "layers": "target layer",
    "device": "device",
    "dtype": "type of numbers",
    "numerics": "way of computing",
    "activation": "activation",
}


@dataclass(frozen=True)
class Column:
    """A model with the methods and targets that share its forward; each batch of a column is one shard.

    model: its position in `Plan.models`. methods: their maps lie on one grid, as an array of a shard has one shape.
    targets: as `write_target` writes them, or `LABEL`.
    prepared: whether the column was added by `prepare` and holds each channel's contribution to each label's class.
        Its units appear in no index, ranking or export.
    """

    model: int
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    prepared: bool = False

    @property
    def units(self) -> int:
        """Of each photo."""
        return len(self.methods) * len(self.targets)


@dataclass(frozen=True)
class Part:
    """Photos that were added to the run together. sha256: of the file that lists them."""

    photos: int
    sha256: str


@dataclass(frozen=True)
class Batch:
    """Photos that are computed and written together. start, stop: their numbers in the run."""

    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Everything that decides the results of a run. `encode(plan)` is its canonical JSON.

    versions: the versions of gradcam and PyTorch.
    """

    settings: Settings
    models: tuple[PlannedModel, ...]
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    versions: dict[str, str]
    format: int = FORMAT

    @property
    def photos(self) -> int:
        return sum(part.photos for part in self.parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order in which they were asked for, without prepared columns."""
        return tuple(dict.fromkeys(method for column in self._requested for method in column.methods))

    @property
    def targets(self) -> tuple[str, ...]:
        """In the order in which they were asked for, without prepared columns."""
        return tuple(dict.fromkeys(target for column in self._requested for target in column.targets))

    @property
    def _requested(self) -> Iterator[Column]:
        return (column for column in self.columns if not column.prepared)

    def batches(self) -> Iterator[Batch]:
        """All batches, in order."""
        number = start = 0
        for part in self.parts:
            end = start + part.photos
            for first in range(start, end, self.settings.batch):
                yield Batch(number, first, min(first + self.settings.batch, end))
                number += 1
            start = end

    def key(self, column: Column, model: ModelKey, photo_sha256: str, method: str, target: Target) -> PanelKey:
        """The key of a unit's result; the same everywhere."""
        layer, row = read_layer(self.models[column.model].layer), methods.find_method(method)
        fit, precision = self.settings.fit, self.settings.precision
        return PanelKey(photo_sha256, model, method, target, layer, fit, precision, row.parameters, row.seed)

    def check_versions(self) -> None:
        """Raises: RunError if the run was made with other versions."""
        now = versions()
        for name, value in self.versions.items():
            if now.get(name) != value:
                raise RunError(
                    f"expected {name} {value}, with which the run began, got {now.get(name)}; begin beside with "
                    "--new"
                )

    def check_continues(self, settings: Settings) -> None:
        """Raises: RunError if the run was made with other settings or versions."""
        self.check_versions()
        for name, value in msgspec.to_builtins(self.settings).items():
            if getattr(settings, name) != value:
                raise RunError(
                    f"expected {name} {value}, with which the run began, got {getattr(settings, name)}; begin "
                    "beside with --new"
                )

    def extended(self, models: Sequence[PlannedModel], methods: Sequence[str], targets: Sequence[str]) -> Plan:
        """The plan with these models, methods and targets added where they are missing.

        Raises: RunError if a model of the plan has changed.
        """
        known = {model.id: position for position, model in enumerate(self.models)}
        listed = list(self.models)
        columns = list(self.columns)
        for model in models:
            position = known.setdefault(model.id, len(listed))
            if position == len(listed):
                listed.append(model)
            else:
                listed[position].check_same(model)
                listed[position] = replace(
                    listed[position], label_classes=listed[position].label_classes | model.label_classes
                )
            columns += missing_columns(columns, position, methods, targets)
        return replace(self, models=tuple(listed), columns=tuple(columns))

    def divided(self, begun: Container[int]) -> Plan:
        """The plan with columns of one grid each, as an earlier gradcam did not plan them.

        begun: the columns that have shards; they stay. Of any other the first grid stays in its place, and the
            others become columns at the end.
        """
        kept, more = [], []
        for number, column in enumerate(self.columns):
            first, *others = (
                [column]
                if column.prepared or number in begun
                else missing_columns((), column.model, column.methods, column.targets)
            )
            kept.append(first)
            more += others
        return replace(self, columns=(*kept, *more))

    def prepared(self, model: int, targets: Sequence[str]) -> Plan:
        """The plan with a prepared column for the targets that have none yet.

        model: its position in `models`.
        """
        known = {target for one in self.columns if one.prepared and one.model == model for target in one.targets}
        missing = tuple(target for target in targets if target not in known)
        new = [Column(model, (methods.GRADCAM.name,), missing, prepared=True)] if missing else []
        return replace(self, columns=(*self.columns, *new))


def missing_columns(
    columns: Sequence[Column], model: int, methods: Sequence[str], targets: Sequence[str]
) -> list[Column]:
    """The fewest columns of one grid each that cover every missing pair of method and target of a model."""
    there = {
        (method, target)
        for column in columns
        if column.model == model and not column.prepared
        for method in column.methods
        for target in column.targets
    }
    lacking = {
        method: tuple(target for target in dict.fromkeys(targets) if (method, target) not in there)
        for method in dict.fromkeys(methods)
    }
    shared = {method: (missing, _grid(method)) for method, missing in lacking.items() if missing}
    alike = groupby(sorted(shared, key=shared.__getitem__), key=shared.__getitem__)
    return [Column(model, tuple(group), missing) for (missing, _), group in alike]


def _grid(method: str) -> str:
    """A key of the grid of a method's maps: the method's name if it may have its own grid, else `""`."""
    return method if methods.find_method(method).has_own_grid else ""


def new_plan(settings: Settings) -> Plan:
    """An empty plan. Raises: RunError for a setting outside its choices."""
    settings.check()
    return Plan(settings, (), (), (), versions())


def versions() -> dict[str, str]:
    """The versions of the packages whose change may change the numbers."""
    return {"gradcam": __version__, "torch": metadata.version("torch")}


def encode(plan: Plan) -> bytes:
    """Canonical JSON: keys in order, no spaces, UTF-8."""
    return msgspec.json.encode(plan, order="deterministic") + b"\n"


def decode(data: bytes) -> Plan:
    """Read a plan from JSON. Raises: RunError."""
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RunError(
            f"expected the plan of a run, got something else ({quoted(str(error), 120)}); begin anew with --new"
        ) from error
    if plan.format != FORMAT:
        raise RunError(
            f"expected a run of format {FORMAT}, got {plan.format}; begin beside with --new, or read it "
            "with the gradcam that made it"
        )
    return plan


def read_targets(texts: Sequence[str], names: Container[str]) -> tuple[str, ...]:
    """Typed targets in the form in which a plan stores them, so that they are read the same everywhere.

    names: class names, as `parse_target` takes them. Raises: ClassError for a text that cannot be a class.
    """
    found: dict[str, None] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        if not isinstance(text, str):
            raise OptionError(
                f"expected the targets of a run as text, such as 'label', 'top' or '#281', got {quoted(text)}; "
                "`explain` and `compare` take others, but a run stores what it was asked"
            )
        target = LABEL if text.strip() == LABEL else write_target(parse_target(text, names))
        found[json.dumps(target) if target == LABEL != text.strip() else target] = None
    return tuple(found)


def check_targets(targets: Sequence[str], model: Classifier) -> None:
    """Check that the model has every class that is named. Raises: ClassError, RunError."""
    for text in targets:
        if text != LABEL:
            _check_target(parse_target(text), model)


def _check_target(target: Target, model: Classifier) -> None:
    """Check that the model has a class or a rank. Raises: ClassError, RunError."""
    if isinstance(target, Contrast):
        _check_target(target.of, model)
        _check_target(target.rather_than, model)
    elif isinstance(target, int | str):
        model.labels.index(target)
    elif isinstance(target, Top) and not 1 <= target.rank <= max(len(model.labels), 2):
        raise RunError(
            f"expected a rank from 1 to {len(model.labels)} for {model.spec}, got {target.rank}; lower it"
        )


def label_classes(
    labels: Sequence[str],
    classifier: Classifier,
    targets: Sequence[str],
    mapping: Mapping[str, str] | None,
    say: Callable[[str], None],
) -> dict[str, int | None]:
    """`class_names.classes_of` for the labels of a head, all of which must be classes where a target is `LABEL`."""
    known = classifier.labels if len(classifier.labels) > 1 else classifier.labels.with_negative
    return classes_of(labels, known, str(classifier.spec), mapping, need_all=LABEL in targets, say=say)


def method_names(typed: Sequence[str]) -> tuple[str, ...]:
    """As rows of the table of methods are called. Raises: OptionError, also for one that would take days."""
    rows = [methods.find_method(method) for method in typed]
    if slow := [f"{row.name} ({row.cost})" for row in rows if row.takes_long]:
        raise OptionError(
            f"expected methods of few forwards for a data set, got {listed(slow)}; explain single photos so"
        )
    return tuple(row.name for row in rows)


def earlier_layer(classifier: Classifier, target: TargetLayer) -> TargetLayer:
    """The last candidate with a grid twice as fine as the target's; else one at two thirds of the depth."""
    try:
        found = layers.candidate_layers(classifier.module, classifier.preprocessing.size, output=classifier.output)
    except LayerError:
        return target
    fine = [layer for layer in found if all(a >= 2 * b for a, b in zip(layer.grid, target.grid, strict=True))]
    return fine[-1] if fine else found[2 * (len(found) - 1) // 3]
