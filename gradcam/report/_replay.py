"""Computing a report's maps again with the models at hand, and saying in words whether they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from gradcam._compare import OnProgress, Use, compare
from gradcam.comparison import Comparison
from gradcam.report._diff import TOLERANCE, difference_caption, environment_changes, largest_difference
from gradcam.report.build import pixels_sha256
from gradcam.report.model import UNREADABLE, Finding, Report
from gradcam.report.pictures import photo_of
from gradcam.report.reproduce import layers_of
from gradcam.report.statements import question_text
from gradcam.report.target_entries import target_of
from gradcam.text import count, dimensions
from gradcam.types import Contrast, Failure, Heatmap, Panel, Photo, Target

Outcome = Literal["same", "same within tolerance", "differs", "cannot be checked"]
OUTCOMES: tuple[Outcome, ...] = ("same", "same within tolerance", "differs", "cannot be checked")


@dataclass(frozen=True)
class MapCheck:
    """One panel computed again. `difference` is the largest over all cells, in raw units; None without two maps."""

    photo: str
    model: str
    question: str
    outcome: Outcome
    words: str
    difference: float | None = None

    def __str__(self) -> str:
        return f"{self.photo} · {self.model} · {question_text(self.question)}: {self.words}"


@dataclass(frozen=True)
class Replay:
    """A report computed again: a check a panel, in the report's order, and what is different about this machine."""

    checks: tuple[MapCheck, ...]
    environment: tuple[str, ...]

    def count(self, outcome: Outcome) -> int:
        return sum(check.outcome == outcome for check in self.checks)

    def __str__(self) -> str:
        said = [f"{self.count(outcome)} {outcome}" for outcome in OUTCOMES if self.count(outcome)]
        return f"{count(len(self.checks), 'panel')}: {', '.join(said)}"


def replay(
    report: Report,
    *,
    photos: Sequence[Photo] = (),
    use: Use | None = None,
    tolerance: float = TOLERANCE,
    on_progress: OnProgress = lambda progress: None,
) -> Replay:
    """Compute every map again and compare it with the report's, cell by cell.

    photos: the originals, for those that the report does not carry in full; known by their SHA-256.
    lend, on_progress: as for `compare`. tolerance: a share of each map's peak, see `TOLERANCE`.
    """
    found = _photos(report, photos)
    asked = {
        (finding.photo, finding.model, finding.question): _asked(report, finding) for finding in report.findings
    }
    targets = [target_of(entry) for entry in report.targets]
    targets += [target for target in dict.fromkeys(asked.values()) if target not in targets]
    again: Comparison | None = None
    if found:
        again = compare(
            [model.id for model in report.models],
            list(found.values()),
            targets,
            fit=report.fit,
            layer=layers_of(report),
            activation={model.id: model.activation for model in report.models if model.method},
            use=use,
            on_progress=on_progress,
        )
    axes = found, range(len(report.models)), range(len(targets))
    panels = dict(zip(product(*axes), again.panels, strict=True)) if again else {}
    checks: list[MapCheck] = []
    for finding in report.findings:
        target = targets.index(asked[finding.photo, finding.model, finding.question])
        panel = panels.get((finding.photo, finding.model, target))
        outcome, words, difference = _judge(report, finding, panel, tolerance)
        where = (report.photos[finding.photo].name, report.models[finding.model].id)
        checks.append(MapCheck(*where, report.questions[finding.question], outcome, words, difference))
    return Replay(tuple(checks), environment_changes(report.environment))


def _asked(report: Report, finding: Finding) -> Target:
    """What to ask for a panel: its target, or the only class that gradcam 0.1.0 knew of a single logit."""
    target = target_of(report.targets[finding.question])
    if report.models[finding.model].classes != 1:
        return target
    if finding.target is not None:
        return finding.target.index
    return Contrast(1, 1) if isinstance(target, Contrast) else target  # refused now as then


def _photos(report: Report, given: Sequence[Photo]) -> dict[int, Photo]:
    """The photos at hand by their place in the report: those given, else those carried in full."""
    by_hash = {photo.sha256: photo for photo in given}
    found: dict[int, Photo] = {}
    for place, (entry, pixels) in enumerate(zip(report.photos, report.pixels, strict=True)):
        if entry.sha256 in by_hash:
            found[place] = by_hash[entry.sha256]
        elif pixels is not None and pixels_sha256(pixels) == entry.pixels_sha256:
            found[place] = photo_of(report, place)
    return found


def _judge(
    report: Report, finding: Finding, panel: Panel | None, tolerance: float
) -> tuple[Outcome, str, float | None]:
    """Outcome, words and the largest difference."""
    if panel is None and report.photos[finding.photo].size == UNREADABLE:
        return "cannot be checked", f"cannot be checked because there was no photo: {finding.reason}", None
    if panel is None:
        sha256 = report.photos[finding.photo].sha256
        return (
            "cannot be checked",
            f"cannot be checked because the report does not carry the photo in full; give the file {sha256[:12]}…",
            None,
        )
    if finding.map is None:
        if isinstance(panel, Failure):
            return "same", "same: there is no map, now as then", None
        return "differs", f"differs: then there was no map ({finding.reason}), now there is one", None
    if isinstance(panel, Failure):
        return "cannot be checked", f"cannot be checked because the model gives no map: {panel.reason}", None
    return _judge_maps(report, finding, panel, tolerance)


def _judge_maps(
    report: Report, finding: Finding, panel: Heatmap, tolerance: float
) -> tuple[Outcome, str, float | None]:
    then, now = finding.values, panel.map
    about = _causes(report, finding, panel)
    if then.shape != now.shape:
        grids = f"{dimensions(*then.shape)} cells then, {dimensions(*now.shape)} now"
        return "differs", f"differs: {grids}{about}", None
    if np.array_equal(then, now) and not about:
        return "same", "same", 0.0
    largest, share = largest_difference(then, now)
    told = difference_caption(largest, share)
    if share <= tolerance and not about:
        return "same within tolerance", f"same within tolerance: {told}", largest
    return "differs", f"differs: {told}{about}", largest


def _causes(report: Report, finding: Finding, panel: Heatmap) -> str:
    """What else is not as it was: the weights, the layer or the class."""
    model = report.models[finding.model]
    weights = model.weights_sha256, panel.explanation.weights_sha256
    layers = report.answer(finding).layer.name, panel.explanation.layer.name
    classes = str(finding.target), str(panel.scored)
    known = model.classes, len(panel.explanation.labels)
    causes = ["the weights are others"] * (None not in weights and "" not in weights and weights[0] != weights[1])
    causes += [f"the layer was {layers[0]} and is {layers[1]}"] * (layers[0] != layers[1])
    causes += [f"the class was {classes[0]} and is {classes[1]}"] * (classes[0] != classes[1])
    causes += [f"it knew {known[0]} classes and knows {known[1]}"] * (known[0] != known[1] and known != (1, 2))
    return f"; {', '.join(causes)}" if causes else ""
