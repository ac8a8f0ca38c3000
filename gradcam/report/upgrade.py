"""Reports by gradcam 0.1.0, read as reports of today.

That version kept its targets as text, in which digits always were an index, and knew one class of a head with a
single logit: the positive one, as index 0, whatever was asked. Today this class has index 1.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import replace

import numpy as np

from gradcam.report.model import Answer, Content, Finding, Prediction, Report, number
from gradcam.report.target_entries import entry_of
from gradcam.targets import probabilities, write_target
from gradcam.types import Contrast, Target, Top

_TOP = re.compile(r"top(?:[- ]?(\d{1,9})| prediction)?|prediction (\d{1,9})", re.IGNORECASE | re.ASCII)
_INDEX = re.compile(r"\d{1,9}", re.ASCII)


def upgraded(content: Report) -> Report:
    """The same report as today's version says it; what is today's already is returned as it is."""
    if content.targets:
        return content
    single = {answer.model for answer in content.answers if len(answer.predictions) == 1}
    targets = [_target(text, _labels(content, place)) for place, text in enumerate(content.questions)]
    if len(single) == len(content.models):  # beside another model index 0 is that one's, and `replay` minds it
        targets = [_of_two_classes(target) for target in targets]
    models = (
        replace(model, classes=1, activation="sigmoid") if place in single else model
        for place, model in enumerate(content.models)
    )
    return replace(
        content,
        questions=tuple(map(write_target, targets)),
        targets=tuple(map(entry_of, targets)),
        models=tuple(models),
        answers=tuple(_with_negative(one) if one.model in single else one for one in content.answers),
        findings=tuple(_of_positive(one) if one.model in single else one for one in content.findings),
    )


def _labels(content: Content, question: int) -> set[str]:
    """The labels of the classes that were explained for a question; of a contrast nothing."""
    targets = [finding.target for finding in content.findings if finding.question == question]
    return {"" if target.against_label is not None else target.label for target in targets if target}


def _target(text: str, labels: Set[str]) -> Target:
    """What 0.1.0 printed as `text`. labels: of the classes it explained, for a name may read as another target."""
    if labels == {text} and not _INDEX.fullmatch(text):
        return text
    of, contrast, rather_than = text.partition(" rather than ")
    return Contrast(_choice(of), _choice(rather_than)) if contrast else _choice(text)


def _choice(text: str) -> int | str | Top:
    text = text.strip()
    if match := _TOP.fullmatch(text):
        return Top(int(match[1] or match[2] or 1))
    return int(text) if _INDEX.fullmatch(text) else text


def _of_two_classes(target: Target) -> Target:
    """The same target, for models that have a single logit all."""
    if isinstance(target, Contrast):
        return target  # there was none of a single class
    return {0: 1, "class 0": "class 1"}.get(target, target) if isinstance(target, int | str) else target


def _positive(label: str) -> str:
    """The positive class's name today: a class without a name was number 0 of one and is number 1 of two."""
    return "class 1" if label == "class 0" else label


def _with_negative(answer: Answer) -> Answer:
    """What the model said, with the class that 0.1.0 did not know."""
    (one,) = answer.predictions
    label = _positive(one.label)
    negative = "class 0" if label != one.label else f"not {label}"
    share = float(probabilities(np.array([0 - one.logit], np.float32), "sigmoid")[0])
    both = Prediction(negative, number(share), 0 - one.logit), replace(one, label=label)
    return replace(answer, predictions=tuple(sorted(both, key=lambda said: -said.logit)))


def _of_positive(finding: Finding) -> Finding:
    target = finding.target
    if target is None:
        return finding
    rank = 1 if target.score > 0 else 2
    return replace(finding, target=replace(target, index=1, label=_positive(target.label), rank=rank))
