"""From a comparison to a report, and to one with another verdict: every number and sentence is worked out here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, product

import numpy as np
from msgspec import UNSET, structs
from torch import nn

from gradcam import measures
from gradcam.comparison import Comparison, as_comparison
from gradcam.draw import render
from gradcam.errors import LayerError, ReportError, check_kind
from gradcam.geometry import fit_within
from gradcam.kinds import by_id, expect, expect_each, expect_one_of
from gradcam.layers import SEPARATOR, LayerChoices
from gradcam.model_spec import CHECKPOINT, display_name
from gradcam.models.sources import SOURCES, configuration_of
from gradcam.regions import check_region
from gradcam.report.codec import canonical
from gradcam.report.data_set import DataSetEntry
from gradcam.report.environment import environment
from gradcam.report.lazy_sequence import LazySequence
from gradcam.report.limits import MAX_EMBEDDED_PIXELS, check_extent, check_time
from gradcam.report.model import (
    EMBEDDED,
    FORMAT,
    MADE_BY_HAND,
    STATUSES,
    TITLE,
    Agreement,
    Answer,
    Embedded,
    FailureEntry,
    Finding,
    HeatmapEntry,
    MapNumbers,
    MethodEntry,
    ModelEntry,
    Note,
    Paragraph,
    PhotoEntry,
    Pixels,
    Prediction,
    Report,
    TargetEntry,
    Verdict,
    number,
    pixels_sha256,
)
from gradcam.report.statements import limits, procedure, warnings_of
from gradcam.scaling import FLOOR, full_scales
from gradcam.types import (
    FITS,
    Explanation,
    Fit,
    Heatmap,
    Panel,
    Photo,
    ScoredTarget,
    Style,
    Target,
    TargetLayer,
    UnreadablePhoto,
)

TOP = 5
SMALL_SIDE = 512
"""The longest side of a photo that travels `small`, in pixels."""

_SMALLER = Paragraph(
    "Smaller photos",
    f"The photos have more than {MAX_EMBEDDED_PIXELS // 1_000_000:,} megapixels together, which is the most that a "
    "report carries; smaller copies go along, and a replay needs the originals.",
)


def build_report(
    comparison: Comparison,
    *,
    style: Style | None = None,
    verdict: Verdict | None = None,
    notes: Sequence[Note] | None = None,
    title: str = TITLE,
    layer: LayerChoices | Mapping[str, LayerChoices] = "auto",
    fit: Fit = "crop",
    embedded: Embedded = "full",
    now: datetime | None = None,
    data_set: DataSetEntry | None = None,
) -> Report:
    """Everything a review of `comparison` says, ready to be written in any format.

    The content depends on the arguments and the machine only, so the same comparison gives the same report
    wherever it is made.

    notes: one for each photo, in order. layer, fit: the comparison's own arguments.
    embedded: whether the photos' pixels travel along in full, with their longest side at most `SMALL_SIDE`, or not.
    now: the report's time, in UTC to the second; the present if None.
    data_set: what the run came to that made the comparison, see `data_set_of`.
    Raises: OptionError or ReportError for an unknown choice, MapError if a map is not finite.
    """
    comparison, style = as_comparison(comparison), style or Style()
    expect(str, title)
    expect_one_of(FITS, fit, "a fit")
    expect(datetime | None, now)
    expect(DataSetEntry | None, data_set)
    _check(comparison, style, embedded)
    explained = _explanations(comparison)
    answers = {pair: _answer(*pair, explanation) for pair, explanation in explained.items()}
    models, methods = _models(comparison, explained, layer), tuple(map(MethodEntry.of, comparison.methods))
    check_time(created := _in_utc(now or datetime.now(UTC)))
    embedded, side = _within_limits(comparison.photos, embedded)
    pixels = LazySequence(
        len(comparison.photos), lambda index: _embedded_pixels(comparison.photos[index], embedded, side)
    )
    fit = _common_fit(explained.values()) or fit
    is_marked = any(photo.region for photo in comparison.photos)
    layers = [answer.layer for answer in answers.values() if answer.layer is not None]
    grids = {panel.explanation.grid for panel in comparison.heatmaps}
    report = Report(
        format=FORMAT,
        title=title if title.strip() else TITLE,
        created=created,
        verdict=Verdict(),
        photos=tuple(_photo(photo, kept) for photo, kept in zip(comparison.photos, pixels, strict=True)),
        models=models,
        methods=methods,
        targets=tuple(map(TargetEntry.of, _targets(comparison))),
        style=style,
        fit=fit,
        embedded=embedded,
        answers=tuple(answers.values()),
        findings=_findings(comparison, style, answers, models),
        agreements=_agreements(comparison),
        procedure=procedure(methods, models, style, fit, marked=is_marked, not_compared=_not_compared(comparison)),
        limits=(*limits(grids, layers, methods, style, fit), *([_SMALLER] if side else [])),
        environment=environment(),
        data_set=data_set or UNSET,
        pixels=pixels,
    )
    return revised(report, verdict, notes)


def _check(comparison: Comparison, style: Style, embedded: str) -> None:
    """Raises: OptionError for a style, a region of a photo, or an `embedded` outside its choices."""
    render.check_style(style)
    for photo in comparison.photos:
        if photo.region is not None:
            check_region(photo.region)
    expect_one_of(EMBEDDED, embedded, "how photos travel")


def _common_fit(explanations: Iterable[Explanation]) -> Fit | None:
    """The fit of all explanations; None where there are none, or several fits."""
    fits: set[Fit] = {explanation.view.fit for explanation in explanations}
    return fits.pop() if len(fits) == 1 else None


def _in_utc(time: datetime) -> str:
    """`2026-09-30T12:00:00Z`; a time that UTC cannot express, at either end of the calendar, as it is."""
    with suppress(OverflowError, ValueError):
        time = time.astimezone(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def revised(report: Report, verdict: Verdict | None = None, notes: Sequence[Note] | None = None) -> Report:
    """The same report with another verdict, or other notes, one a photo in the photos' order.

    Raises: ReportError for a status outside `STATUSES` or another number of notes.
    """
    expect(Report, report)
    verdict = report.verdict if verdict is None else verdict
    expect(Verdict, verdict)
    notes = [photo.note for photo in report.photos] if notes is None else expect_each(Note, notes)
    if len(notes) != len(report.photos):
        raise ReportError(
            f"expected a note for each of {len(report.photos)} photos, got {len(notes)}; add the rest"
        )
    for judgement in (verdict, *notes):
        expect_one_of(STATUSES, judgement.status, "a status", ReportError)
    photos = tuple(replace(photo, note=note) for photo, note in zip(report.photos, notes, strict=True))
    whole = canonical(replace(report, verdict=verdict, photos=photos))
    check_extent(whole)
    return whole


def _explanations(comparison: Comparison) -> dict[tuple[int, int], Explanation]:
    """What each model said of each photo, by their indices; a model that failed on a photo has none. An explanation
    that tells the layer goes before one by a method that reads none."""
    found: dict[tuple[int, int], Explanation] = {}
    for (photo, model, *_), panel in _indexed(comparison):
        if isinstance(panel, Heatmap):
            known = found.get((photo, model))
            if known is None or (known.layer is None and panel.explanation.layer is not None):
                found[photo, model] = panel.explanation
    return found


def _indexed(comparison: Comparison) -> Iterator[tuple[tuple[int, int, int, int], Panel]]:
    """Every panel with the indices of its photo, model, method and target."""
    axes = comparison.photos, comparison.models, comparison.methods, comparison.targets
    photos, models, methods, targets = (range(len(axis)) for axis in axes)
    yield from zip(product(photos, models, methods, targets), comparison.panels, strict=True)


def _targets(comparison: Comparison) -> list[Target]:
    """The comparison's targets; digits that every model took for an index become one."""
    scored: dict[int, list[ScoredTarget]] = {}
    for (*_, target), panel in _indexed(comparison):
        if isinstance(panel, Heatmap):
            scored.setdefault(target, []).append(panel.scored)
    targets = list(comparison.targets)
    for index, found in scored.items():
        text = targets[index]
        if isinstance(text, str) and all(_is_index(text, one) for one in found):
            targets[index] = found[0].index
    return targets


def _is_index(text: str, found: ScoredTarget) -> bool:
    return (
        text.isascii() and text.isdigit() and str(found.index) == (text.lstrip("0") or "0") and found.label != text
    )


def _photo(photo: Photo, kept: Pixels | None) -> PhotoEntry:
    pixels = photo.pixels[:0, :0] if isinstance(photo, UnreadablePhoto) else photo.pixels
    return PhotoEntry(
        name=photo.name,
        sha256=photo.sha256,
        size=(pixels.shape[0], pixels.shape[1]),
        pixels_sha256=pixels_sha256(pixels),
        embedded_sha256=None if kept is None else pixels_sha256(kept),
        stretched=photo.stretched,
        region=photo.region or UNSET,
    )


def _within_limits(photos: Sequence[Photo], embedded: Embedded) -> tuple[Embedded, int]:
    """How the photos can travel, and the longest side that keeps all within the limit; 0 where nothing changes."""
    pixels = sum(height * width for height, width in (photo.size for photo in photos))
    if embedded == "full" and pixels > MAX_EMBEDDED_PIXELS:
        return "small", min(SMALL_SIDE, math.isqrt(MAX_EMBEDDED_PIXELS // len(photos)))
    return embedded, 0


def _embedded_pixels(photo: Photo, embedded: Embedded, side: int) -> Pixels | None:
    if embedded == "none" or isinstance(photo, UnreadablePhoto):
        return None
    if embedded == "full":
        return photo.pixels
    side = side or SMALL_SIDE
    return render.resize(photo.pixels, fit_within(photo.size, side, side))


def _models(
    comparison: Comparison,
    explained: Mapping[tuple[int, int], Explanation],
    layer: LayerChoices | Mapping[str, LayerChoices],
) -> tuple[ModelEntry, ...]:
    first: dict[int, Explanation] = {}
    for (_, model), explanation in explained.items():
        first.setdefault(model, explanation)
    layers = by_id(layer, comparison.models, "layers")
    return tuple(
        _model(model, first.get(index), _layer_text(layers.get(model, "auto")))
        for index, model in enumerate(comparison.models)
    )


def _layer_text(layer: LayerChoices) -> str:
    if isinstance(layer, TargetLayer):
        return layer.name
    if isinstance(layer, nn.Module):
        raise LayerError("expected the name of a layer, which a report can keep, got the module itself; name it")
    if isinstance(layer, Sequence) and not isinstance(layer, str):
        return SEPARATOR.join(map(_layer_text, layer))
    check_kind(layer, (str, int), "the layers of the comparison", "pass what compare() was given", LayerError)
    return str(layer)


def _model(model: str, explanation: Explanation | None, layer: str) -> ModelEntry:
    """explanation: any of the model's; None where it failed on every photo."""
    if explanation is None:
        return ModelEntry(
            id=model,
            untrained=False,
            weights_sha256=None,
            origin="",
            classes=None,
            preprocessing=None,
            output="",
            activation="softmax",
            requested_layer=layer,
            device="",
            dtype="",
        )
    return ModelEntry(
        id=str(explanation.model),
        untrained=explanation.model.untrained,
        weights_sha256=explanation.weights_sha256 or None,
        origin=_origin(explanation),
        classes=len(explanation.labels),
        preprocessing=explanation.preprocessing,
        output=explanation.output,
        activation=explanation.activation,
        requested_layer=layer,
        device=explanation.device,
        dtype=explanation.dtype,
        numerics=explanation.numerics,
        configuration=configuration_of(explanation.model),
        file=explanation.model.file,
    )


def _origin(explanation: Explanation) -> str:
    """Where the weights come from, in words."""
    spec = explanation.model
    source = SOURCES.get(spec.source)
    if spec.untrained:
        return f"random, seed {spec.seed}"
    if spec.source == CHECKPOINT:
        return f"checkpoint {spec.weights}"
    if source is None or (source.listed and spec.name not in source.names()):
        return MADE_BY_HAND
    if spec.weights is not None and spec.weights not in source.weights(spec.name):
        return f"file {spec.weights}"
    location = source.location(spec)
    return f"installed package, {location.bundled.name}" if location.bundled else location.remote or "unknown"


def _answer(photo: int, model: int, explanation: Explanation) -> Answer:
    order = np.argsort(-explanation.logits, kind="stable")[:TOP]
    predictions = tuple(
        Prediction(
            explanation.labels[i],
            number(float(explanation.probabilities[i])),
            number(float(explanation.logits[i])),
        )
        for i in order
    )
    return Answer(photo, model, explanation.view, explanation.layer, predictions)


def _findings(
    comparison: Comparison, style: Style, answers: dict[tuple[int, int], Answer], models: Sequence[ModelEntry]
) -> tuple[Finding, ...]:
    vmax_of = full_scales(comparison.panels, style.scale)
    return tuple(
        _heatmap(indices, panel, vmax_of[panel], answers[indices[:2]], models[indices[1]])
        if isinstance(panel, Heatmap)
        else FailureEntry(*indices, panel.reason)
        for indices, panel in _indexed(comparison)
    )


def _heatmap(
    indices: tuple[int, int, int, int], panel: Heatmap, vmax: float, answer: Answer, model: ModelEntry
) -> HeatmapEntry:
    """vmax: what full colour stands for, in raw units."""
    raw = tuple(tuple(number(value) for value in row) for row in panel.map)
    entry = HeatmapEntry(*indices, _scored(panel.scored), raw, _numbers(panel, vmax))
    warnings = warnings_of(entry, answer, model)
    if note := panel.photo.note:
        warnings += (f"About the photo: {note}.",)
    return structs.replace(entry, warnings=warnings)


def _scored(target: ScoredTarget) -> ScoredTarget:
    """The same target in numbers and text that JSON keeps exactly."""
    return ScoredTarget(
        index=target.index,
        label=target.label,
        score=number(target.score),
        probability=number(target.probability),
        rank=target.rank,
        against=target.against,
        against_label=target.against_label,
    )


def _numbers(panel: Heatmap, vmax: float) -> MapNumbers:
    raw, peak = panel.map, float(panel.map.max())
    row, column = (int(index) for index in np.unravel_index(raw.argmax(), raw.shape))
    left, top, right, bottom = panel.explanation.view.box
    x = left + (column + 0.5) / raw.shape[1] * (right - left)
    y = top + (row + 0.5) / raw.shape[0] * (bottom - top)
    region = panel.photo.region
    inside = float("nan") if region is None else measures.heat_inside(raw, panel.explanation.view, region)
    return MapNumbers(
        peak=number(peak),
        mean=number(float(raw.mean(dtype=np.float64))),
        positive=number(float((raw > 0).mean())),
        vmax=number(vmax),
        hottest=(number(x), number(y)) if peak >= FLOOR else None,
        inside=number(inside) if np.isfinite(inside) else UNSET,
    )


def _agreements(comparison: Comparison) -> tuple[Agreement, ...]:
    """Every two models on every photo, method and target where both have a map and answer the same question."""
    agreements: list[Agreement] = []
    indices = product(*(range(len(axis)) for axis in (comparison.photos, comparison.methods, comparison.targets)))
    for (photo, method, target), row in zip(indices, comparison.rows(), strict=True):
        correlations = measures.agreement(row.panels, measures.rank_correlation)
        overlaps = measures.agreement(row.panels, measures.iou_of_hottest)
        compared = measures.comparable(row.panels)
        for (a, one), (b, other) in combinations(enumerate(row.panels), 2):
            if isinstance(one, Heatmap) and isinstance(other, Heatmap) and one in compared and other in compared:
                same = str(one.scored) == str(other.scored)
                pair = _finite(correlations[a, b]), _finite(overlaps[a, b])
                agreements.append(Agreement(photo, method, target, (a, b), same, *pair))
    return tuple(agreements)


def _not_compared(comparison: Comparison) -> list[str]:
    """The models whose own predictions are compared with no other's."""
    rows = list(comparison.rows())
    return [
        display_name(model)
        for index, model in enumerate(comparison.models)
        if any(row.panels[index] not in measures.comparable(row.panels) for row in rows)
    ]


def _finite(value: float) -> float | None:
    return number(value) if np.isfinite(value) else None
