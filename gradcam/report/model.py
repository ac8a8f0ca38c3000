"""The report: one frozen value that holds everything a review says, and from which every format is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias, get_args

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from gradcam.errors import ReportError
from gradcam.types import Activation, Fit, Preprocessing, ScoredTarget, Style, TargetLayer, View, WeightsFile

TITLE = "What the models look at"
"""The title of a report that was given none."""

Status = Literal["needs review", "in review", "approved", "rejected"]
STATUSES: tuple[Status, ...] = get_args(Status)

Carried = Literal["full", "small", "none"]
"""How the photos travel along: every decoded pixel, scaled down, or not at all. Never with EXIF."""
CARRIED: tuple[Carried, ...] = get_args(Carried)

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Share = Annotated[float, Meta(ge=0, le=1)]
Index = Annotated[int, Meta(ge=0)]
_PLAIN = {"type": ["string", "number", "boolean", "null"]}
_PLAIN_OR_LIST = {"anyOf": [_PLAIN, {"type": "array", "items": _PLAIN}]}
Configuration = Annotated[dict[str, Any], Meta(extra_json_schema={"additionalProperties": _PLAIN_OR_LIST})]
"""Names with plain values or lists of them, in the order they were given."""
Map: TypeAlias = tuple[tuple[float, ...], ...]
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

    size: `UNREADABLE` for a photo that could not be opened, of which there are no pixels.
    carried_sha256: of the pixels that travel with the report; None where none do.
    stretched: whether its levels were, see `open_photo`; `sha256` then is of the file and the word `stretched`.
    """

    name: str
    sha256: Sha256
    size: tuple[Index, Index]
    pixels_sha256: Sha256
    carried_sha256: Sha256 | None
    note: Note = Note()
    stretched: bool = False


MADE_BY_HAND = "made by hand"
"""The origin of a `Classifier` that was put together in Python, which no id, file or command can bring back."""


@dataclass(frozen=True)
class ModelEntry:
    """One model; what could not be found out, because it failed on every photo, is empty or None.

    id: as `load_classifier` takes it. origin: where its weights come from. classes: how many it knows; 1 only
    where gradcam 0.1.0 explained a head with a single logit, always for its positive class, which has index 1 now.
    asked_layer: `auto`, a module's name, or a place among `candidate_layers`.
    configuration: what its library says about the weights, see `sources.configuration_of`.
    file: of somebody's own model. activation: how its logits become probabilities.
    """

    id: str
    untrained: bool
    weights_sha256: Sha256 | None
    origin: str
    classes: Index | None
    preprocessing: Preprocessing | None
    method: str
    asked_layer: str
    device: str
    dtype: str
    configuration: Configuration = field(default_factory=dict)
    file: WeightsFile | None = None
    activation: Activation = "softmax"


@dataclass(frozen=True)
class ChoiceEntry:
    """One class that is asked for, as data: exactly one of its index, its name and its rank is given."""

    index: Index | None = None
    name: str | None = None
    rank: Index | None = None


@dataclass(frozen=True)
class TargetEntry:
    """What is asked, as data: one class, by index, name or rank, and of a contrast the class that it is against."""

    index: Index | None = None
    name: str | None = None
    rank: Index | None = None
    rather_than: ChoiceEntry | None = None


@dataclass(frozen=True)
class Prediction:
    label: str
    probability: Share
    logit: float


@dataclass(frozen=True)
class Answer:
    """What one model said of one photo; `photo` and `model` are places in the report's lists."""

    photo: Index
    model: Index
    view: View
    layer: TargetLayer
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class MapNumbers:
    """A raw map in numbers.

    peak, mean: raw units. positive: share of cells above 0. full: what full colour stands for in this report.
    hottest: centre of the hottest cell, x and y in photo pixels; None for a map without positive evidence.
    """

    peak: float
    mean: float
    positive: Share
    full: float
    hottest: tuple[float, float] | None


@dataclass(frozen=True)
class Finding:
    """One panel: a raw map `[h, w]` with its target and numbers, or the reason why there is none.

    warnings: computed sentences that belong beside this panel and nowhere else.
    """

    photo: Index
    model: Index
    question: Index
    target: ScoredTarget | None = None
    map: Map | None = None
    numbers: MapNumbers | None = None
    warnings: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """The raw map as an array `[h, w]`.

        Raises: ReportError for a panel without one.
        """
        if self.map is None:
            raise ReportError(f"expected a panel with a map, got a failure: {self.reason}")
        return np.array(self.map, np.float32)


@dataclass(frozen=True)
class Agreement:
    """How far two models agree on one photo and question, measured on the photo pixels that both saw.

    rank_correlation: Spearman's, in [-1, 1]; None where it is not defined. iou: of the hottest fifths, in [0, 1].
    """

    photo: Index
    question: Index
    models: tuple[Index, Index]
    same_class: bool
    rank_correlation: Annotated[float, Meta(ge=-1, le=1)] | None
    iou: Share | None


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
    threads: Index


@dataclass(frozen=True)
class Paragraph:
    """A heading and a paragraph of fixed text."""

    heading: str
    text: str


@dataclass(frozen=True)
class Content:
    """All that `report.json` holds, in this order. See `Report`.

    questions: the targets as people read them. targets: the same as data.
    """

    format: Literal["gradcam-report-1"]
    title: str
    created: Time
    verdict: Verdict
    photos: tuple[PhotoEntry, ...]
    models: tuple[ModelEntry, ...]
    questions: tuple[str, ...]
    style: Style
    fit: Fit
    carried: Carried
    answers: tuple[Answer, ...]
    findings: tuple[Finding, ...]
    agreements: tuple[Agreement, ...]
    method: tuple[Paragraph, ...]
    limits: tuple[Paragraph, ...]
    environment: Environment
    targets: tuple[TargetEntry, ...] = ()

    def answer(self, finding: Finding) -> Answer:
        """What the finding's model said of its photo. Raises: ReportError for a failure without one."""
        if found := self._answers.get((finding.photo, finding.model)):
            return found
        raise ReportError(f"expected an answer of model {finding.model + 1} on photo {finding.photo + 1}, got none")

    @cached_property
    def _answers(self) -> dict[tuple[int, int], Answer]:
        return {(answer.photo, answer.model): answer for answer in self.answers}

    def findings_of(self, photo: int) -> tuple[Finding, ...]:
        """The photo's panels, question by question."""
        return self._findings.get(photo, ())

    @cached_property
    def _findings(self) -> dict[int, tuple[Finding, ...]]:
        found: dict[int, list[Finding]] = {}
        for finding in sorted(self.findings, key=lambda finding: (finding.question, finding.model)):
            found.setdefault(finding.photo, []).append(finding)
        return {photo: tuple(findings) for photo, findings in found.items()}

    def agreements_of(self, finding: Finding) -> tuple[Agreement, ...]:
        """How far the finding's model agrees with each other one on its photo and question."""
        return tuple(self._agreements.get((finding.photo, finding.question, finding.model), ()))

    @cached_property
    def _agreements(self) -> dict[tuple[int, int, int], list[Agreement]]:
        found: dict[tuple[int, int, int], list[Agreement]] = {}
        for agreement in self.agreements:
            for model in agreement.models:
                found.setdefault((agreement.photo, agreement.question, model), []).append(agreement)
        return found

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.reason is not None)

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

    pixels: RGB uint8 `[H, W, 3]` of each photo, or None; they are in no `report.json`, only in a ZIP. Of a report
        that was reopened they are decoded when they are asked for, which raises ReportError where they are others.
    """

    pixels: Sequence[Pixels | None] = field(default=(), compare=False, repr=False)


def number(value: float) -> float:
    """The shortest decimal that is this float32, as a Python float."""
    return float(str(np.float32(value)))
