"""How far reviewers agree beyond chance, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam.kinds import expect, expect_each
from gradcam.text import count

_Part = TypeVar("_Part", bound=Hashable)

ROUNDS = 2_000
"""Samples of subjects, with replacement, that an interval is taken from."""


@dataclass(frozen=True)
class Agreement:
    """A coefficient in [−1, 1], 1 for full agreement and 0 for chance, and its 95 % interval by bootstrap.

    value: None where it cannot be said: fewer than two subjects that two reviewers judged, or only one status.
    low, high: None where too few of the samples have a value. subjects: how many it rests on.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    subjects: int

    def __str__(self) -> str:
        """It as a sentence; where it cannot be said, why."""
        if self.value is None:
            few = "fewer than two of its parts were judged by two reviewers or more"
            same = "all verdicts are the same, as they might be by chance"
            return f"{self.name} cannot be said: {few if self.subjects < 2 else same}"
        between = "" if self.low is None else f", 95 % interval {self.low:.2f} to {self.high:.2f}"
        return f"{self.name} = {self.value:.2f}{between}, over {count(self.subjects, 'part')}"


def cohen_kappa(first: Mapping[_Part, str], second: Mapping[_Part, str]) -> Agreement:
    """Two reviewers' agreement on the subjects that both judged: κ = (p_o − p_e) / (1 − p_e).

    first, second: a status for each subject. Source: Cohen 1960, *A Coefficient of Agreement for Nominal Scales*.
    """
    expect(Mapping, first, second)
    shared = sorted(first.keys() & second.keys(), key=str)
    table = _codes([[first[subject], second[subject]] for subject in shared])
    return _with_interval("Cohen's κ", table, _kappa)


def krippendorff_alpha(reviewers: Sequence[Mapping[_Part, str]]) -> Agreement:
    """Any number of reviewers' agreement, with subjects that some did not judge: α = 1 − D_o / D_e, nominal.

    reviewers: a status for each subject, by reviewer. Subjects that fewer than two judged count for nothing.
    Source: Krippendorff 2011, *Computing Krippendorff's Alpha-Reliability*.
    """
    reviewers = expect_each(Mapping, reviewers)
    subjects = sorted({subject for statuses in reviewers for subject in statuses}, key=str)
    rows = [[statuses.get(subject) for statuses in reviewers] for subject in subjects]
    table = _codes([row for row in rows if sum(status is not None for status in row) > 1])
    return _with_interval("Krippendorff's α", table, _alpha)


_Codes = NDArray[np.int64]


def _codes(rows: Sequence[Sequence[str | None]]) -> _Codes:
    """Statuses as numbers from 0, −1 for none: `[subjects, reviewers]`."""
    known = sorted({status for row in rows for status in row if status is not None})
    number = {None: -1, **{status: code for code, status in enumerate(known)}}
    width = len(rows[0]) if rows else 0
    return np.array([[number[status] for status in row] for row in rows], np.int64).reshape(len(rows), width)


def _with_interval(name: str, table: _Codes, coefficient: Callable[[_Codes], float | None]) -> Agreement:
    value = coefficient(table) if len(table) > 1 else None
    if value is None:
        return Agreement(name, None, None, None, len(table))
    random = np.random.default_rng(0)
    samples = (coefficient(table[random.integers(0, len(table), len(table))]) for _ in range(ROUNDS))
    found = [sample for sample in samples if sample is not None]
    if len(found) < ROUNDS / 2:
        return Agreement(name, value, None, None, len(table))
    low, high = np.quantile(found, [0.025, 0.975])
    return Agreement(name, value, float(low), float(high), len(table))


def _kappa(table: _Codes) -> float | None:
    counts = np.zeros((table.max() + 1,) * 2)
    np.add.at(counts, (table[:, 0], table[:, 1]), 1)
    shares = counts / len(table)
    by_chance = float(shares.sum(0) @ shares.sum(1))
    return None if by_chance == 1 else float((np.trace(shares) - by_chance) / (1 - by_chance))


def _alpha(table: _Codes) -> float | None:
    given = np.stack([(table == code).sum(1) for code in range(int(table.max()) + 1)], axis=1).astype(float)
    judged = given.sum(1)
    # coincidences: each pair of judgements of a subject, weighed by 1 / (its judgements − 1)
    same = (given * (given - 1)).sum(1) / (judged - 1)
    total, per_status = judged.sum(), given.sum(0)
    expected = total * (total - 1) - float((per_status * (per_status - 1)).sum())
    if expected == 0:
        return None
    observed = float(total - same.sum())
    return float(1 - observed * (total - 1) / expected)
