"""Reports of the format `gradcam-report-1`, which gradcam 0.1.0 wrote: read as they were, and upgraded to today's.

Format 1 knew one method, named with every model, and kept targets as text; later reports of it kept them as data,
too. gradcam 0.1.0 always took digits in such a text for an index, and knew only one class of a head with a single
logit: the positive one, as index 0, whatever the target was. Today this class has index 1.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct

from gradcam.errors import ClassError, ReportError, quoted
from gradcam.methods import GRADCAM
from gradcam.report.model import FORMAT, MethodEntry, TargetEntry, number
from gradcam.targets import parse_target, probabilities
from gradcam.types import Contrast, Target, Top

# As it was: these never change ---------------------------------------------------------------------------------

Passed: TypeAlias = Any
"""What both formats write alike: it is passed on as it is, and checked by today's reader."""


class _Entry(Struct, forbid_unknown_fields=True):
    """Whatever has these fields and no other."""


class PhotoEntry(_Entry):
    name: Passed
    sha256: Passed
    size: Passed
    pixels_sha256: Passed
    carried_sha256: Passed
    note: Passed = {}
    stretched: Passed = False


class ModelEntry(_Entry):
    id: Passed
    untrained: Passed
    weights_sha256: Passed
    origin: Passed
    classes: Passed
    preprocessing: Passed
    method: str
    asked_layer: Passed
    device: Passed
    dtype: Passed
    configuration: Passed = {}
    file: Passed = None
    activation: Passed = "softmax"


class Choice(_Entry):
    index: int | None = None
    name: str | None = None
    rank: int | None = None


class TargetData(Choice):
    rather_than: Choice | None = None


class Prediction(_Entry):
    label: str
    probability: float
    logit: float


class Answer(_Entry):
    photo: int
    model: int
    view: Passed
    layer: Passed
    predictions: list[Prediction]


class ScoredTarget(_Entry):
    index: int
    label: str
    score: float
    probability: Passed
    rank: int
    against: Passed = None
    against_label: str | None = None


class MapNumbers(_Entry):
    peak: Passed
    mean: Passed
    positive: Passed
    full: Passed
    hottest: Passed


class Finding(_Entry):
    photo: int
    model: int
    question: int
    target: ScoredTarget | None = None
    map: Passed = None
    numbers: MapNumbers | None = None
    warnings: Passed = []
    reason: str | None = None


class Agreement(_Entry):
    photo: Passed
    question: Passed
    models: Passed
    same_class: Passed
    rank_correlation: Passed
    iou: Passed


class Content(_Entry):
    """All that such a `report.json` held. targets: the questions as data; 0.1.0 had none."""

    format: Literal["gradcam-report-1"]
    title: Passed
    created: Passed
    verdict: Passed
    photos: list[PhotoEntry]
    models: list[ModelEntry]
    questions: list[str]
    style: dict[str, Passed]
    fit: Passed
    carried: Passed
    answers: list[Answer]
    findings: list[Finding]
    agreements: list[Agreement]
    method: Passed
    limits: Passed
    environment: Passed
    targets: list[TargetData] = []


# As it is told today -------------------------------------------------------------------------------------------


def is_format_1(found: Any) -> bool:
    return isinstance(found, dict) and found.get("format") == "gradcam-report-1"


def upgraded(found: Any) -> Any:
    """The plain data of a report of format 1 as that of format 2, which is still to be checked.

    Raises: ReportError if it contradicts itself, msgspec's ValidationError if it is no such report.
    """
    old = msgspec.convert(found, Content)
    single = {answer.model for answer in old.answers if len(answer.predictions) == 1}
    if old.targets:
        targets = _checked_targets(old)
        single.clear()
    else:
        targets = _read_targets(old)
        if len(single) == len(old.models):  # else index 0 may mean another model's class; `replay` minds it
            targets = [_of_two_classes(target) for target in targets]
    return msgspec.to_builtins(
        {
            "format": FORMAT,
            "title": old.title,
            "created": old.created,
            "verdict": old.verdict,
            "photos": [_photo(photo) for photo in old.photos],
            "models": [_model(model, index in single) for index, model in enumerate(old.models)],
            "methods": [_method(old)],
            "targets": [TargetEntry.of(target) for target in targets],
            "style": {**old.style, "blend": "even"},
            "fit": old.fit,
            "embedded": old.carried,
            "answers": [_with_negative(one) if one.model in single else one for one in old.answers],
            "findings": [_finding(one, one.model in single) for one in old.findings],
            "agreements": [_renamed(one, {"question": "target"}) | {"method": 0} for one in old.agreements],
            "procedure": old.method,
            "limits": old.limits,
            "environment": old.environment,
        }
    )


def _renamed(entry: Struct, names: dict[str, str]) -> dict[str, Any]:
    """The fields of an entry, under other names where these are given."""
    return {names.get(name, name): getattr(entry, name) for name in entry.__struct_fields__}


def _photo(photo: PhotoEntry) -> dict[str, Any]:
    return _renamed(photo, {"carried_sha256": "embedded_sha256"})


def _model(model: ModelEntry, single: bool) -> dict[str, Any]:
    """single: whether the model is one of 0.1.0 with a single logit, of which only one class was known."""
    entry = _renamed(model, {"asked_layer": "requested_layer"}) | {"output": ""}
    del entry["method"]
    return entry | {"classes": 1, "activation": "sigmoid"} if single else entry


def _method(old: Content) -> MethodEntry:
    names = {model.method for model in old.models if model.method} or {GRADCAM.name}
    if len(names) > 1:
        raise ReportError(
            f"expected one method in a report of format 1, got {quoted(sorted(names))}; export the report again"
        )
    return MethodEntry.of(names.pop())


def _finding(finding: Finding, single: bool) -> dict[str, Any]:
    """A panel, which is a heatmap or a failure now.

    single: whether its model is one of 0.1.0 with a single logit.
    """
    indices = {"photo": finding.photo, "model": finding.model, "method": 0, "target": finding.question}
    parts = (finding.map, finding.target, finding.numbers)
    if finding.reason is not None and parts == (None, None, None):
        return {"panel": "failure", **indices, "reason": finding.reason}
    if finding.reason is not None or None in parts or finding.target is None or finding.numbers is None:
        where = f"panel {finding.photo + 1}/{finding.model + 1}/{finding.question + 1}"
        raise ReportError(f"expected a map with its numbers, or a reason, in {where}; export the report again")
    return {
        "panel": "heatmap",
        **indices,
        "scored": _of_positive(finding.target) if single else finding.target,
        "map": finding.map,
        "numbers": _renamed(finding.numbers, {"full": "vmax"}),
        "warnings": finding.warnings,
    }


# Targets as text -----------------------------------------------------------------------------------------------

_TOP = re.compile(r"top(?:[- ]?(\d{1,9})| prediction)?|prediction (\d{1,9})", re.IGNORECASE | re.ASCII)
_INDEX = re.compile(r"\d{1,9}", re.ASCII)


def _checked_targets(old: Content) -> list[Target]:
    """The targets that were kept as data, if their questions say the same."""
    try:
        targets = [msgspec.convert(entry, TargetEntry, from_attributes=True).target for entry in old.targets]
        parsed = [parse_target(question) for question in old.questions]
    except (ValueError, ClassError) as error:
        raise ReportError(f"expected targets in a report, got: {error}; export it again") from error
    if parsed != targets:
        raise ReportError("expected a report's questions to say what its targets are, got others; export it again")
    return targets


def _read_targets(old: Content) -> list[Target]:
    """What the questions of 0.1.0 ask for."""
    labels: dict[int, set[str]] = {}
    for finding in old.findings:
        if finding.target is not None:
            label = finding.target.label if finding.target.against_label is None else ""
            labels.setdefault(finding.question, set()).add(label)
    return [_read_target(text, labels.get(index, set())) for index, text in enumerate(old.questions)]


def _read_target(text: str, labels: Set[str]) -> Target:
    """The target that 0.1.0 printed as `text`. labels: of explained classes; one may read as another target."""
    if labels == {text} and not _INDEX.fullmatch(text):
        return text
    of, contrast, rather_than = text.partition(" rather than ")
    return Contrast(_choice(of), _choice(rather_than)) if contrast else _choice(text)


def _choice(text: str) -> int | str | Top:
    text = text.strip()
    if match := _TOP.fullmatch(text):
        return Top(int(match[1] or match[2] or 1))
    return int(text) if _INDEX.fullmatch(text) else text


# Heads with a single logit -------------------------------------------------------------------------------------


def _of_two_classes(target: Target) -> Target:
    """The target in terms of two classes, for a report whose models all have a single logit."""
    if isinstance(target, Contrast):
        return target  # a single class had no contrasts
    return {0: 1, "class 0": "class 1"}.get(target, target) if isinstance(target, int | str) else target


def _positive(label: str) -> str:
    """The positive class's name today: an unnamed class was `class 0` of one and is `class 1` of two."""
    return "class 1" if label == "class 0" else label


def _with_negative(answer: Answer) -> Answer:
    """What the model said, with the class that 0.1.0 did not know."""
    if len(answer.predictions) != 1:
        return answer
    (one,) = answer.predictions
    label = _positive(one.label)
    negative = "class 0" if label != one.label else f"not {label}"
    share = float(probabilities(np.array([0 - one.logit], np.float32), "sigmoid")[0])
    both = Prediction(negative, number(share), 0 - one.logit), Prediction(label, one.probability, one.logit)
    return msgspec.structs.replace(answer, predictions=sorted(both, key=lambda prediction: -prediction.logit))


def _of_positive(scored: ScoredTarget) -> ScoredTarget:
    rank = 1 if scored.score > 0 else 2
    return msgspec.structs.replace(scored, index=1, label=_positive(scored.label), rank=rank)
