"""From a run to a report: of some of its photos, and of what the whole data set came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam import runs, shortcuts
from gradcam._compare import OnProgress, Use
from gradcam.errors import RunError
from gradcam.kinds import expect, expect_functions
from gradcam.layers import read_layer
from gradcam.report.build import build_report
from gradcam.report.data_set import (
    CandidateEntry,
    CandidateNote,
    ConfusionEntry,
    DataSetEntry,
    DifferenceEntry,
    LabelEntry,
    MeasureEntry,
)
from gradcam.report.fields import Map
from gradcam.report.limits import MAX_OF_DATA_SET
from gradcam.report.model import Report, number
from gradcam.report.statements import target_text
from gradcam.reviews.model import Verdict, agreed_status, split_note
from gradcam.targets import parse_target
from gradcam.text import listed
from gradcam.types import Style

if TYPE_CHECKING:
    from gradcam.runs import Run
    from gradcam.shortcuts import Candidate

CHANNELS, STRONGEST = 8, 4
"""Channels, and names of photos, that are told of a candidate."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def report_of_run(
    run: Run,
    photos: Sequence[int],
    name: str,
    *,
    chosen: str,
    candidates: Sequence[Candidate] = (),
    verdicts: Sequence[Verdict] = (),
    style: Style | None = None,
    now: datetime | None = None,
    use: Use | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Report:
    """A report of photos of a run, by their numbers, whose maps are computed anew, beside what the run came to.

    The other arguments are those of `data_set_of`, `build_report` and `Run.compare`. Raises: GradcamError.
    """
    expect_functions(use=use, on_progress=on_progress)
    expect(runs.Run, run)
    plan = run.plan
    return build_report(
        run.compare(photos, use=use, on_progress=on_progress),
        style=style,
        title=f"Data set {name}",
        layer={model.requested_id: read_layer(model.layer) for model in plan.models},
        fit=plan.settings.fit,
        now=now,
        data_set=data_set_of(run, name, chosen=chosen, candidates=candidates, verdicts=verdicts),
    )


def first_by(photos: int, by: str | None, kept: Sequence[str] = (), *, of: str = "") -> str:
    """How the first photos of a ranking were chosen, in words.

    kept: what all of them have, such as `label tabby`. of: whose maps the ranking is by, where it is of two models.
    """
    first = f"the first {photos}" if photos > 1 else "the first one"
    ranked = f", where {runs.RANKINGS[by].says}" if by else " of the run"
    return f"{first}{ranked}{f' ({of})' if of else ''}{f'; only of {listed(list(kept))}' if kept else ''}"


def data_set_of(
    run: Run,
    name: str,
    *,
    chosen: str,
    candidates: Sequence[Candidate] = (),
    verdicts: Sequence[Verdict] = (),
) -> DataSetEntry:
    """What a run came to, for `build_report` of a comparison that `run.compare` made.

    name: of the data set. chosen: how the photos of the report were chosen, in words.
    candidates: for shortcuts, as `find_shortcuts` gives them. verdicts: of the run's review; those on these
    candidates are told as notes. Agreement and measures are of the run's first method and target.
    """
    expect(runs.Run, run)
    plan, status = run.plan, run.status()
    method, target = plan.methods[0], plan.targets[0]
    labelled, models = run.labelled(), range(len(plan.models))
    confusions = [
        ConfusionEntry(model, row.label, row.predicted, row.photos, _maybe(row.agreement))
        for model in models
        for row in run.confusion(model, method, target)
    ]
    measured = {title: run.measured(column, method, target) for column, title in runs.MEASURES.items()}
    return DataSetEntry(
        name=name,
        photos=status.photos,
        maps=status.done,
        failed=status.failed,
        planned=status.units,
        evidence=_evidence(run),
        chosen=chosen,
        method=method,
        target="its label" if target == runs.LABEL else target_text(parse_target(target)),
        label_count=len(labelled),
        labels=tuple(
            LabelEntry(row.label, row.photos, tuple(_maybe(row.right.get(model)) for model in models))
            for row in sorted(labelled, key=lambda row: -row.photos)[: MAX_OF_DATA_SET["labels"]]
        ),
        confusions=tuple(sorted(confusions, key=lambda row: -row.photos)[: MAX_OF_DATA_SET["confusions"]]),
        measures=tuple(_measures(measured, models)),
        differences=tuple(_differences(measured, models)),
        candidates=tuple(_candidates(run, candidates, verdicts)),
    )


def _evidence(run: Run) -> str | None:
    try:
        return run.evidence
    except RunError:  # it has not finished
        return None


Measured = Mapping[str, Mapping[int, Mapping[int, float]]]
"""Values by measure, photo and model."""


def _measures(measured: Measured, models: range) -> Iterator[MeasureEntry]:
    for title, by_photo in measured.items():
        for model in models:
            values = [found[model] for found in by_photo.values() if model in found]
            if values:
                mean, low, high, photos = runs.bootstrap(values)
                spread = (number(float(value)) for value in np.quantile(values, QUANTILES))
                first, quarter, median, three, last = spread
                yield MeasureEntry(
                    title,
                    model,
                    photos,
                    number(mean),
                    (number(low), number(high)),
                    (first, quarter, median, three, last),
                )


def _differences(measured: Measured, models: range) -> Iterator[DifferenceEntry]:
    for title, by_photo in measured.items():
        for a, b in combinations(models, 2):
            values = [found[a] - found[b] for found in by_photo.values() if a in found and b in found]
            if values:
                mean, low, high, photos = runs.bootstrap(values)
                yield DifferenceEntry(title, (a, b), photos, number(mean), (number(low), number(high)))


def _candidates(run: Run, candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> Iterator[CandidateEntry]:
    if not candidates:
        return  # nor is the extra `shortcuts` needed
    models = [model.id for model in run.plan.models]
    for one, subject in zip(candidates, shortcuts.cluster_subjects(candidates), strict=True):
        found = sorted(
            (verdict for verdict in verdicts if verdict.subject == subject), key=lambda verdict: verdict.number
        )
        yield CandidateEntry(
            model=models.index(one.model),
            label=one.label,
            score=number(one.score),
            members=len(one.members),
            others=len(one.others),
            right=tuple(
                (_maybe(one.accuracy[model].members), _maybe(one.accuracy[model].others)) for model in models
            ),
            channels=tuple(channel.number for channel in one.channels[:CHANNELS]),
            strongest=tuple(member.path for member in one.members[:STRONGEST]),
            member_heat=_map(one.member_heat),
            other_heat=_map(one.other_heat),
            status=agreed_status(found),  # pyright: ignore[reportArgumentType]
            notes=tuple(_note(verdict) for verdict in found if verdict.tells),
        )


def _note(verdict: Verdict) -> CandidateNote:
    title, text = split_note(verdict.note)
    return CandidateNote(verdict.status, verdict.reviewer, f"{verdict.at[:19]}Z", title, text)  # pyright: ignore[reportArgumentType]


def _map(heat: NDArray[np.float32] | None) -> Map | None:
    return None if heat is None else tuple(tuple(number(value) for value in row) for row in heat)


def _maybe(value: float | None) -> float | None:
    return None if value is None else number(value)
