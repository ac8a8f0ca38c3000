"""The report: one frozen value that holds everything a review says, and from which every format is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Annotated, Literal, TypeAlias, get_args

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

from gradcam.errors import ReportError, quoted
from gradcam.methods import known_method
from gradcam.model_spec import display_name
from gradcam.regions import MAX_CORNERS, region_share
from gradcam.report.data_set import DataSetEntry
from gradcam.report.fields import Correlation, Count, Index, Map, Sha256, Share, Time
from gradcam.scaling import is_signed
from gradcam.statuses import ReportStatus
from gradcam.text import count
from gradcam.types import (
    Activation,
    Contrast,
    Fit,
    Numerics,
    Preprocessing,
    PythonTarget,
    ScoredTarget,
    Style,
    Target,
    TargetLayer,
    Top,
    View,
    WeightsFile,
)

FORMAT: Literal["gradcam-report-2"] = "gradcam-report-2"
"""What `report.json` calls itself. Older ones are read by `format_1`."""

TITLE = "What the models look at"
"""The title of a report that was given none."""

Status: TypeAlias = ReportStatus
STATUSES: tuple[Status, ...] = get_args(ReportStatus)

Embedded = Literal["full", "small", "none"]
"""How the photos travel along: every decoded pixel, scaled down, or not at all. Never with EXIF."""
EMBEDDED: tuple[Embedded, ...] = get_args(Embedded)

Plain: TypeAlias = str | int | float | bool | None
Configuration: TypeAlias = dict[str, Plain | list[Plain]]
"""Names with plain values or lists of them, in the order they were given."""
Region: TypeAlias = Annotated[tuple[tuple[float, float], ...], Meta(min_length=2, max_length=MAX_CORNERS)]
Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Verdict:
    """What the reviewer says about the whole. `summary` is Markdown; `date` is free text, best `2026-11-22`."""

    status: Status = "needs review"
    reviewer: str = ""
    date: str = ""
    summary: str = ""
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """What the reviewer says about one photo; `text` is Markdown."""

    status: Status = "needs review"
    text: str = ""


UNREADABLE = (0, 0)
"""The size of a photo that could not be opened; each of its panels says why."""


@dataclass(frozen=True)
class PhotoEntry:
    """One photo: `sha256` of the file, `size` (height, width) and `pixels_sha256` of the decoded pixels.

    size: `UNREADABLE` for a photo that could not be opened and has no pixels.
    embedded_sha256: of the pixels that travel with the report; None if none do.
    stretched: whether its levels were, see `open_photo`; `sha256` then is of the file and the word `stretched`.
    region: where somebody says the object is, two corners of a box or more of an outline; unset if nobody did.
    """

    name: str
    sha256: Sha256
    size: tuple[Count, Count]
    pixels_sha256: Sha256
    embedded_sha256: Sha256 | None
    note: Note = Note()
    stretched: bool = False
    region: Region | UnsetType = UNSET

    @property
    def region_share(self) -> float:
        """The share of the photo's area that its region covers, in [0, 1]; 0 without one."""
        return region_share(self.region, self.size) if self.region and min(self.size) else 0.0


MADE_BY_HAND = "made by hand"
"""The origin of a `Classifier` that was put together in Python, which no id, file or command can bring back."""


@dataclass(frozen=True)
class ModelEntry:
    """One model; what could not be found out, because it failed on every photo, is empty or None.

    id: as `load_classifier` takes it. origin: where its weights come from. classes: how many it knows; 1 only
    where gradcam 0.1.0 explained a head with a single logit, always for its positive class, which has index 1 now.
    output: which of the model's outputs are the class scores, in words; empty if nobody chose one.
    activation: how its logits become probabilities. numerics: how its modules computed.
    requested_layer: `auto`, a module's name, or an index among `candidate_layers`.
    configuration: what its library says about the weights, see `sources.configuration_of`.
    file: of somebody's own model.
    """

    id: str
    untrained: bool
    weights_sha256: Sha256 | None
    origin: str
    classes: Count | None
    preprocessing: Preprocessing | None
    output: str
    activation: Activation
    requested_layer: str
    device: str
    dtype: str
    numerics: Numerics = "eager"
    configuration: Configuration = field(default_factory=dict)
    file: WeightsFile | None = None

    @property
    def answered(self) -> bool:
        """Whether it answered on any photo, so that something is known of it."""
        return self.classes is not None


@dataclass(frozen=True)
class MethodEntry:
    """One method that made heatmaps: its name, where it was published, and the map in the paper's own symbols.

    citation: authors, year and equations. title: the paper's. All but the name are empty for a method that the
    gradcam of the time did not know.
    reads_layer: whether its maps depend on the target layer.
    """

    name: str
    citation: str
    title: str
    formula: str
    reads_layer: bool = True

    @classmethod
    def of(cls, name: str) -> MethodEntry:
        """The entry of a method that `known_method` knows, or of a name that is not among them."""
        row = known_method(name)
        if row is None:
            return cls(name, "", "", "")
        return cls(name, row.citation, row.title, row.formula, row.reads_layer)


@dataclass(frozen=True)
class ChoiceEntry:
    """One requested class as data: exactly one of its index, its name and its rank is given."""

    index: Index | None = None
    name: str | None = None
    rank: Count | None = None

    @classmethod
    def of(cls, target: int | str | Top) -> ChoiceEntry:
        if isinstance(target, Top):
            return cls(rank=target.rank)
        return cls(name=target) if isinstance(target, str) else cls(index=target)

    @property
    def choice(self) -> int | str | Top:
        """Raises: ValueError where no class is given, or several are."""
        rank = None if self.rank is None else Top(self.rank)
        given = [choice for choice in (self.index, self.name, rank) if choice is not None]
        if len(given) != 1:
            raise ValueError(f"{len(given)} of index, name and rank")
        return given[0]


@dataclass(frozen=True)
class TargetEntry(ChoiceEntry):
    """A target as data: one class, by index, name or rank, and for a contrast the class that it is against; or the
    name of a function of the logits.

    `TargetEntry.of(target).target == target`, except that a function itself is not kept.
    """

    rather_than: ChoiceEntry | None = None
    function: str | UnsetType = UNSET

    @classmethod
    def of(cls, target: Target) -> TargetEntry:
        if isinstance(target, PythonTarget):
            return cls(function=target.name)
        is_contrast = isinstance(target, Contrast)
        one = ChoiceEntry.of(target.of if is_contrast else target)
        against = ChoiceEntry.of(target.rather_than) if is_contrast else None
        return cls(one.index, one.name, one.rank, against)

    @property
    def target(self) -> Target:
        """Raises: ValueError if the entry is no target."""
        if self.function is not UNSET:
            if (self.index, self.name, self.rank, self.rather_than) != (None,) * 4:
                raise ValueError("a class beside a function")
            return PythonTarget(self.function)
        return self.choice if self.rather_than is None else Contrast(self.choice, self.rather_than.choice)


@dataclass(frozen=True)
class Prediction:
    label: str
    probability: Share
    logit: float


@dataclass(frozen=True)
class Answer:
    """What one model said of one photo, whatever the target.

    layer: the target layer; None if no method of the report read one.
    predictions: the most probable classes, the most probable first.
    """

    photo: Index
    model: Index
    view: View
    layer: TargetLayer | None
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class MapNumbers:
    """A raw map in numbers.

    peak, mean: raw units. positive: share of cells above 0. vmax: what full colour stands for in this report.
    hottest: centre of the hottest cell, x and y in photo pixels; None for a map without positive evidence.
    inside: share of the heat that lies inside the photo's region; unset without a region, or without heat.
    """

    peak: float
    mean: float
    positive: Share
    vmax: float
    hottest: tuple[float, float] | None
    inside: Share | UnsetType = UNSET


class HeatmapEntry(Struct, frozen=True, forbid_unknown_fields=True, tag_field="panel", tag="heatmap"):
    """A panel with its raw map `[h, w]`.

    target: as it was requested. scored: the target as resolved for this model and photo.
    warnings: computed sentences that belong beside this panel and nowhere else.
    """

    photo: Index
    model: Index
    method: Index
    target: Index
    scored: ScoredTarget
    map: Map
    numbers: MapNumbers
    warnings: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the map in cells."""
        return len(self.map), len(self.map[0])

    @property
    def values(self) -> NDArray[np.float32]:
        """The raw map as an array `[h, w]`."""
        return np.array(self.map, np.float32)


class FailureEntry(Struct, frozen=True, forbid_unknown_fields=True, tag_field="panel", tag="failure"):
    """A panel without a map, and the reason. The other fields are those of a `HeatmapEntry`."""

    photo: Index
    model: Index
    method: Index
    target: Index
    reason: str


Finding: TypeAlias = HeatmapEntry | FailureEntry
"""One panel of a report. Both are structs of msgspec, which tells the kinds of a union apart for structs alone."""


@dataclass(frozen=True)
class Agreement:
    """How far two models agree on one photo, method and target, measured on the photo pixels that both saw.

    rank_correlation: Spearman's, in [-1, 1]; None where it is not defined. iou: of the hottest fifths, in [0, 1].
    """

    photo: Index
    method: Index
    target: Index
    models: tuple[Index, Index]
    same_class: bool
    rank_correlation: Correlation | None
    iou: Share | None


@dataclass(frozen=True)
class Row:
    """The panels of one photo, method and target: one for each model, in the report's order."""

    photo: Index
    method: Index
    target: Index
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Environment:
    """The machine and the packages that computed the maps; `cuda` is empty without a CUDA device."""

    gradcam: str
    python: str
    torch: str
    torchvision: str
    timm: str
    numpy: str
    opencv: str
    pillow: str
    cuda: str
    os: str
    threads: Count


@dataclass(frozen=True)
class Paragraph:
    """A heading and a paragraph of fixed text."""

    heading: str
    text: str


@dataclass(frozen=True)
class Content:
    """All that `report.json` holds, in this order. See `Report`.

    findings: a panel for each photo × model × method × target, in that order.
    procedure: how the maps were made. limits: what they cannot show.
    data_set: what the run came to that the photos were chosen from; unset for photos of no run.
    """

    format: Literal["gradcam-report-2"]
    title: str
    created: Time
    verdict: Verdict
    photos: tuple[PhotoEntry, ...]
    models: tuple[ModelEntry, ...]
    methods: tuple[MethodEntry, ...]
    targets: tuple[TargetEntry, ...]
    style: Style
    fit: Fit
    embedded: Embedded
    answers: tuple[Answer, ...]
    findings: tuple[Finding, ...]
    agreements: tuple[Agreement, ...]
    procedure: tuple[Paragraph, ...]
    limits: tuple[Paragraph, ...]
    environment: Environment
    data_set: DataSetEntry | UnsetType = UNSET

    def is_signed(self, panel: HeatmapEntry) -> bool:
        """Whether a panel is drawn around zero, in red and blue."""
        return is_signed(self.methods[panel.method].name, panel.values)

    @cached_property
    def model_names(self) -> tuple[str, ...]:
        """How people call each model: by the name that its owner gave a checkpoint, else by its id. Models of one
        name are called by their ids.
        """
        names = [display_name(model.id) for model in self.models]
        return tuple(
            name if names.count(name) == 1 else model.id for name, model in zip(names, self.models, strict=True)
        )

    def answer(self, panel: HeatmapEntry) -> Answer:
        """What the panel's model said of its photo. Raises: ReportError where the report does not tell."""
        if found := self.answer_of(panel.photo, panel.model):
            return found
        raise ReportError(f"expected an answer of model {panel.model + 1} on photo {panel.photo + 1}, got none")

    def layer_of(self, panel: HeatmapEntry) -> TargetLayer | None:
        """The target layer of a panel; None if its method reads no layer."""
        return self.answer(panel).layer if self.methods[panel.method].reads_layer else None

    def layers_of(self, model: int) -> set[TargetLayer]:
        """The target layers of a model on all photos."""
        return {answer.layer for answer in self.answers_by(model) if answer.layer is not None}

    def answer_of(self, photo: int, model: int) -> Answer | None:
        """What a model said of a photo; None where it failed."""
        return self._answers.get((photo, model))

    @cached_property
    def _answers(self) -> dict[tuple[int, int], Answer]:
        return {(answer.photo, answer.model): answer for answer in self.answers}

    def answers_by(self, model: int) -> tuple[Answer, ...]:
        """What a model said, photo by photo."""
        return tuple(self._answers_by_model.get(model, ()))

    @cached_property
    def _answers_by_model(self) -> dict[int, list[Answer]]:
        found: dict[int, list[Answer]] = {}
        for answer in self.answers:
            found.setdefault(answer.model, []).append(answer)
        return found

    def rows_of(self, photo: int) -> Iterator[Row]:
        """A photo's panels, method by method and target by target."""
        several = len(self.methods) * len(self.targets)
        step = len(self.models) * several
        panels = self.findings[photo * step : (photo + 1) * step]
        for offset, requested in enumerate(product(range(len(self.methods)), range(len(self.targets)))):
            yield Row(photo, *requested, panels[offset::several])

    def reason_said_before(self, failure: FailureEntry) -> bool:
        """Whether a panel of the same model has failed for the same reason before this one."""
        return self._first_failures[failure.model, failure.reason] is not failure

    @cached_property
    def _first_failures(self) -> dict[tuple[int, str], FailureEntry]:
        return {(failure.model, failure.reason): failure for failure in reversed(self.failures)}

    def agreements_of(self, finding: Finding) -> tuple[Agreement, ...]:
        """How far the finding's model agrees with each other one on its photo, method and target."""
        return tuple(self._agreements.get((finding.photo, finding.model, finding.method, finding.target), ()))

    @cached_property
    def _agreements(self) -> dict[tuple[int, int, int, int], list[Agreement]]:
        found: dict[tuple[int, int, int, int], list[Agreement]] = {}
        for one in self.agreements:
            for model in one.models:
                found.setdefault((one.photo, model, one.method, one.target), []).append(one)
        return found

    @property
    def heatmaps(self) -> tuple[HeatmapEntry, ...]:
        return tuple(finding for finding in self.findings if isinstance(finding, HeatmapEntry))

    @property
    def failures(self) -> tuple[FailureEntry, ...]:
        return tuple(finding for finding in self.findings if isinstance(finding, FailureEntry))

    @property
    def disagreements(self) -> tuple[Agreement, ...]:
        """The agreements, the worst first; what could not be measured comes last."""

        def badness(agreement: Agreement) -> tuple[bool, float, float]:
            correlation, iou = agreement.rank_correlation, agreement.iou
            return correlation is None, correlation or 0.0, iou or 0.0

        return tuple(sorted(self.agreements, key=badness))


@dataclass(frozen=True)
class Report(Content):
    """A finished review: its content, and the pixels that travel along.

    pixels: RGB uint8 `[H, W, 3]` of each photo, or None; they are in no `report.json`, only in a ZIP. A reopened
        report decodes them when they are read, which raises ReportError if they are not the original ones.
    """

    pixels: Sequence[Pixels | None] = field(default=(), compare=False, repr=False)

    def __repr__(self) -> str:
        axes = {"photo": self.photos, "model": self.models, "heatmap": self.heatmaps, "failure": self.failures}
        counts = ", ".join(count(len(axis), noun) for noun, axis in axes.items())
        return f"Report({quoted(self.title, 60)}, {self.created}, {self.verdict.status}: {counts})"


def number(value: float) -> float:
    """The shortest decimal that is this float32, as a Python float."""
    return float(str(np.float32(value)))


def pixels_sha256(pixels: Pixels) -> str:
    """Hexadecimal SHA-256 of an image's shape and values, whatever file it came from."""
    return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
