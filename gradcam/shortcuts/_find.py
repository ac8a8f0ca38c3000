"""Candidates for shortcuts of a class, from what a finished run keeps; no forward but one of a black photo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from gradcam._compare import Use
from gradcam.kinds import expect, expect_functions, expect_seed
from gradcam.models.pool import shared_pool
from gradcam.runs import LABEL, Run, Unit
from gradcam.shortcuts.candidate import Accuracy, Candidate, Channel, Member
from gradcam.shortcuts.components import Values
from gradcam.shortcuts.evidence import Evidence, gather
from gradcam.shortcuts.ranking import Ranked, earlier_pattern, pattern, rank

CHANNELS = 20
"""Channels of a layer that a candidate names at most."""


def find_shortcuts(run: Run, model: str, label: str, *, seed: int = 0, use: Use | None = None) -> list[Candidate]:
    """Groups of a class's photos that share something the model uses: at most three, the highest score first.

    model: its id in the run. label: of the photos, a class of the model. The same seed gives the same list.
    use: turns a model's id into a classifier, as `runs.start` takes it; its head is read, and no photo is opened.
    Raises: RunError for a run that is not finished, keeps too few photos of the class or of others, has one class,
        or has to be prepared first because the head is not linear.
    """
    expect_functions(use=use)
    expect_seed(seed)
    expect(Run, run)
    expect(str, model, label)
    planned = run.model(model)
    with (use or shared_pool().use)(planned.requested_id) as classifier:
        evidence = gather(run, model, label, classifier, seed)
    ranked = rank(evidence.in_class, evidence.earlier, evidence.contrast, seed)
    photos = evidence.photos[evidence.in_class].tolist()
    units = list(run.units(photos))
    return [_candidate(run, model, label, evidence, one, units) for one in ranked]


def _candidate(
    run: Run, model: str, label: str, evidence: Evidence, ranked: Ranked, units: Sequence[Unit]
) -> Candidate:
    first = {(unit.model, unit.photo): unit for unit in reversed(units)}
    mine = evidence.in_class
    order = [row for row in np.argsort(-ranked.strengths, kind="stable") if mine[row]]
    everyone = [_member(first[model, int(evidence.photos[row])], float(ranked.strengths[row])) for row in order]
    size = int(ranked.members.sum())
    members, others = tuple(everyone[:size]), tuple(everyone[size:])
    groups = [frozenset(one.photo for one in group) for group in (members, others)]
    return Candidate(
        model=model,
        label=label,
        score=ranked.score,
        threshold=ranked.threshold,
        members=members,
        others=others,
        channels=_channels(pattern(evidence.contrast[mine], ranked.strengths[mine])),
        earlier_channels=_channels(earlier_pattern(evidence.earlier[mine], ranked.strengths[mine])),
        member_heat=_mean_heat(run, model, units, groups[0]),
        other_heat=_mean_heat(run, model, units, groups[1]),
        accuracy={name: Accuracy(*(_accuracy(first, name, group) for group in groups)) for name in _models(run)},
        component=ranked.component,
    )


def _member(unit: Unit, strength: float) -> Member:
    return Member(unit.photo, unit.path, strength, unit.predicted, unit.right)


def _models(run: Run) -> list[str]:
    return [model.id for model in run.plan.models]


def _channels(gives: NDArray[np.floating]) -> tuple[Channel, ...]:
    """The channels that give most, with their shares of all that is given. gives: `[channels]`, at least 0."""
    total = float(gives.sum())
    strongest = np.argsort(-gives, kind="stable")[:CHANNELS]
    return tuple(Channel(int(number), float(gives[number]) / total) for number in strongest if gives[number] > 0)


def _mean_heat(run: Run, model: str, units: Iterable[Unit], photos: frozenset[int]) -> Values | None:
    """The mean of the maps of these photos as shares of their peaks: for the label where the run asked for it."""
    plan = run.plan
    target = LABEL if LABEL in plan.targets else plan.targets[0]
    wanted = [
        unit
        for unit in units
        if (unit.model, unit.method, unit.target) == (model, plan.methods[0], target) and unit.photo in photos
    ]
    maps = [found for found in run.arrays(wanted) if found is not None]
    return np.mean([found / max(float(found.max()), 1e-12) for found in maps], axis=0) if maps else None


def _accuracy(first: Mapping[tuple[str, int], Unit], model: str, photos: frozenset[int]) -> float | None:
    """The share of these photos on which a model is right."""
    units = [first[model, photo] for photo in photos if (model, photo) in first]
    known = [unit.right for unit in units if unit.right is not None]
    return mean(known) if known else None
