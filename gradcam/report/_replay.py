"""Computing a report's maps again with the models at hand, and saying in words whether they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from gradcam._compare import OnProgress, Use, compare
from gradcam.errors import quoted
from gradcam.kinds import expect, expect_each, expect_functions, expect_numbers
from gradcam.layers import count_layers
from gradcam.methods import check_forwards, known_method
from gradcam.report._diff import TOLERANCE, difference_caption, environment_changes, largest_difference
from gradcam.report.model import UNREADABLE, FailureEntry, Finding, HeatmapEntry, Report, pixels_sha256
from gradcam.report.pictures import photo_of
from gradcam.report.reproduce import layers_of
from gradcam.report.statements import request_text
from gradcam.text import count, dimensions
from gradcam.types import Contrast, Failure, Heatmap, Panel, Photo, PythonTarget, Target

Outcome = Literal["same", "same within tolerance", "differs", "cannot be checked"]
OUTCOMES: tuple[Outcome, ...] = ("same", "same within tolerance", "differs", "cannot be checked")


@dataclass(frozen=True)
class MapCheck:
    """One panel computed again.

    target: in words, with the method if the report has several.
    difference: the largest over all cells, in raw units; None without two maps.
    """

    photo: str
    model: str
    target: str
    outcome: Outcome
    statement: str
    difference: float | None = None

    def __str__(self) -> str:
        return f"{self.photo} · {self.model} · {self.target}: {self.statement}"


@dataclass(frozen=True)
class Replay:
    """A report computed again: a check for each panel, in the report's order, and how this machine differs."""

    checks: tuple[MapCheck, ...]
    environment: tuple[str, ...]

    def count(self, outcome: Outcome) -> int:
        return sum(check.outcome == outcome for check in self.checks)

    def __repr__(self) -> str:
        return f"Replay({self})"

    def __str__(self) -> str:
        counts = [f"{self.count(outcome)} {outcome}" for outcome in OUTCOMES if self.count(outcome)]
        return f"{count(len(self.checks), 'panel')}: {', '.join(counts)}"


def replay(
    report: Report,
    *,
    photos: Sequence[Photo] = (),
    use: Use | None = None,
    tolerance: float = TOLERANCE,
    most_forwards: int | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Replay:
    """Compute every map again and compare it with the report's, cell by cell.

    photos: the originals, for those that the report does not carry in full; known by their SHA-256.
    use, on_progress: as for `compare`. tolerance: a share of each map's peak, see `TOLERANCE`.
    most_forwards: that all methods may take of each photo and model together; None for as many as they take.
    Raises: OptionError if they take more, ReportError for what is no Report.
    """
    expect_functions(use=use, on_progress=on_progress)
    expect_numbers(tolerance=tolerance, most_forwards=most_forwards)
    expect(Report, report)
    panels = _panels(report, expect_each(Photo, photos), use, most_forwards, on_progress)
    checks: list[MapCheck] = []
    for finding in report.findings:
        where = report.photos[finding.photo].name, report.models[finding.model].id, request_text(report, finding)
        key = finding.photo, finding.model, finding.method, _target(report, finding)
        checks.append(MapCheck(*where, *_judge(report, finding, panels.get(key), tolerance)))
    return Replay(tuple(checks), environment_changes(report.environment))


def _panels(
    report: Report,
    photos: Sequence[Photo],
    use: Use | None,
    most_forwards: int | None,
    on_progress: OnProgress,
) -> dict[tuple[int, int, int, Target], Panel]:
    """The panels computed again, by their indices in the report and their target; none without a photo at hand."""
    found = _photos(report, photos)
    methods = {index: method for index, entry in enumerate(report.methods) if (method := known_method(entry.name))}
    if not (found and methods):
        return {}
    targets = [entry.target for entry in report.targets]
    targets += [_target(report, finding) for finding in report.findings]
    targets = [target for target in dict.fromkeys(targets) if not isinstance(target, PythonTarget)]
    if not targets:
        return {}
    if most_forwards is not None:
        instead = "replay it with `gradcam replay`, which takes as long as it must"
        layers = max((count_layers(model.requested_layer) for model in report.models), default=1)
        check_forwards(methods.values(), most_forwards, len(targets), layers, instead)
    again = compare(
        [model.id for model in report.models],
        list(found.values()),
        targets,
        methods=[method.name for method in methods.values()],
        fit=report.fit,
        layer=layers_of(report),
        activation={model.id: model.activation for model in report.models if model.answered},
        use=use,
        on_progress=on_progress,
    )
    return dict(zip(product(found, range(len(report.models)), methods, targets), again.panels, strict=True))


def _target(report: Report, finding: Finding) -> Target:
    """The target to compute for a panel: its own, or the only class of a single logit that gradcam 0.1.0 knew."""
    target = report.targets[finding.target].target
    if report.models[finding.model].classes != 1:
        return target
    if isinstance(finding, HeatmapEntry):
        return finding.scored.index
    return Contrast(1, 1) if isinstance(target, Contrast) else target  # refused now as then


def _photos(report: Report, given: Sequence[Photo]) -> dict[int, Photo]:
    """The photos at hand by their index in the report: those given, else those embedded in full."""
    by_hash = {photo.sha256: photo for photo in given}
    found: dict[int, Photo] = {}
    for index, (entry, pixels) in enumerate(zip(report.photos, report.pixels, strict=True)):
        if entry.sha256 in by_hash:
            found[index] = by_hash[entry.sha256]
        elif pixels is not None and pixels_sha256(pixels) == entry.pixels_sha256:
            found[index] = photo_of(report, index)
    return found


def _judge(
    report: Report, finding: Finding, panel: Panel | None, tolerance: float
) -> tuple[Outcome, str, float | None]:
    """Outcome, words and the largest difference."""
    reason = finding.reason if isinstance(finding, FailureEntry) else ""
    method = report.methods[finding.method].name
    if panel is None and report.photos[finding.photo].size == UNREADABLE:
        return "cannot be checked", f"cannot be checked because there was no photo: {reason}", None
    if known_method(method) is None:
        words = f"cannot be checked because this gradcam has no method {quoted(method)}"
        return "cannot be checked", words, None
    if isinstance(target := report.targets[finding.target].target, PythonTarget):
        return "cannot be checked", f"cannot be checked because it is {target}; it cannot be recomputed", None
    if panel is None:
        sha256 = report.photos[finding.photo].sha256
        return (
            "cannot be checked",
            f"cannot be checked because the report does not carry the photo in full; give the file {sha256[:12]}…",
            None,
        )
    if isinstance(finding, FailureEntry):
        if isinstance(panel, Failure):
            return "same", "same: there is no map, now as then", None
        return "differs", f"differs: then there was no map ({reason}), now there is one", None
    if isinstance(panel, Failure):
        return "cannot be checked", f"cannot be checked because the model gives no map: {panel.reason}", None
    return _judge_maps(report, finding, panel, tolerance)


def _judge_maps(
    report: Report, entry: HeatmapEntry, panel: Heatmap, tolerance: float
) -> tuple[Outcome, str, float | None]:
    then, now = entry.values, panel.map
    about = _causes(report, entry, panel)
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


def _causes(report: Report, entry: HeatmapEntry, panel: Heatmap) -> str:
    """What else is not as it was: the weights, the output, the layer or the class."""
    model = report.models[entry.model]
    weights = model.weights_sha256, panel.explanation.weights_sha256
    layers = [layer.name if layer else "none" for layer in (report.layer_of(entry), panel.explanation.layer)]
    classes = str(entry.scored), str(panel.scored)
    outputs = model.output, panel.explanation.output
    known = model.classes, len(panel.explanation.labels)
    causes = (
        (None not in weights and "" not in weights and weights[0] != weights[1], "the weights are others"),
        (
            "" not in outputs and outputs[0] != outputs[1],
            f"the class scores were the output {outputs[0]} and are {outputs[1]}",
        ),
        (layers[0] != layers[1], f"the layer was {layers[0]} and is {layers[1]}"),
        (classes[0] != classes[1], f"the class was {classes[0]} and is {classes[1]}"),
        (known[0] != known[1] and known != (1, 2), f"it knew {known[0]} classes and knows {known[1]}"),
    )
    told = ", ".join(words for is_other, words in causes if is_other)
    return f"; {told}" if told else ""
