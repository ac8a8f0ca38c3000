"""How sure a mean is: an interval by drawing photos again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import OptionError, quoted
from gradcam.kinds import expect_seed

DRAWS = 1_000
LEVEL = 0.95
MOST_DRAWN = 5_000
"""Of more values the interval is that of the normal distribution, from which the drawn one then hardly differs."""


class Interval(NamedTuple):
    """A mean, and the interval that holds `LEVEL` of the means of photos drawn anew. values: how many there are."""

    mean: float
    low: float
    high: float
    values: int


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of at least one value with its interval: the percentiles of `DRAWS` means.

    Raises: OptionError for no value, or what is no number.
    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    expect_seed(seed)
    known = _numbers(values)
    mean = float(known.mean())
    if len(known) > MOST_DRAWN:
        half = 1.96 * float(known.std()) / np.sqrt(len(known))
        return Interval(mean, mean - half, mean + half, len(known))
    drawn = np.random.default_rng(seed).integers(len(known), size=(DRAWS, len(known)))
    low, high = np.quantile(known[drawn].mean(axis=1), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(mean, float(low), float(high), len(known))


def _numbers(values: Sequence[float]) -> NDArray[np.float64]:
    """Float64 `[values]`, at least one. Raises: OptionError."""
    try:
        known = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        known = np.empty(0)
    if known.ndim != 1 or not len(known):
        raise OptionError(f"expected a list of numbers, got {quoted(values)}; give at least one")
    return known
