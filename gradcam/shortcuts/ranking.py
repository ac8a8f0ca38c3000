"""Which components a class may stand on: arrays in, a ranked list out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam.shortcuts.components import Component, Values, find_components

BEST = 3
"""Candidates of a class."""

ALIKE = 0.5
"""Of two components whose members overlap by more than this share of their union, the better stands for both."""

FEWEST = 4
"""Members of a candidate, and photos of the class beside them."""

USUAL = 0.99
"""The share of other classes' photos that are weaker than every member. On planted artefacts this found more of the
photos than two Gaussians fitted to the strengths of the class, and was nearly as pure."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """A component with what it says of the photos.

    strengths: `[n]`. members: bool `[n]`, the photos of the class whose strength is at least the threshold.
    """

    component: Component
    strengths: Values
    threshold: float
    members: NDArray[np.bool_]
    score: float


def rank(in_class: NDArray[np.bool_], earlier: Values, contrast: Values, seed: int = 0) -> list[Ranked]:
    """The best components of a class, at most `BEST`, the highest score first.

    in_class: bool `[n]`. earlier, contrast: the two views of all photos, see `evidence.Evidence`.
    """
    margin = contrast.sum(axis=1)
    judged = (
        _judge(one, in_class, one.strengths(earlier, contrast), margin)
        for one in find_components(earlier, contrast, seed)
    )
    found = sorted((one for one in judged if one is not None), key=lambda one: -one.score)
    best: list[Ranked] = []
    for one in found:
        if len(best) < BEST and not any(_alike(one, other) for other in best):
            best.append(one)
    return best


def _judge(component: Component, in_class: NDArray[np.bool_], strengths: Values, margin: Values) -> Ranked | None:
    """Members are the class's photos that are stronger than nearly all photos of other classes.

    The score is how far they lie above the class's other photos, in standard deviations of all that are no members,
    times the correlation of strength and margin over the class. None for few members, few others, or no score.
    """
    mine = strengths[in_class]
    threshold = float(np.quantile(strengths[~in_class], USUAL))
    members = in_class & (strengths >= threshold)
    rest = in_class & ~members
    if members.sum() < FEWEST or rest.sum() < FEWEST or margin[in_class].std() == 0:
        return None
    apart = (strengths[members].mean() - strengths[rest].mean()) / max(float(strengths[~members].std()), 1e-9)
    score = float(apart * np.corrcoef(mine, margin[in_class])[0, 1])
    return Ranked(component, strengths, threshold, members, score) if score > 0 else None


def _alike(one: Ranked, other: Ranked) -> bool:
    both, either = (one.members & other.members).sum(), (one.members | other.members).sum()
    return bool(both > ALIKE * either)


def pattern(contributions: Values, strengths: Values) -> NDArray[np.float64]:
    """How much more each channel gives to the class where a component is stronger by 1, `[channels]`; 0 for less.

    Source: Haufe et al. 2014, *On the interpretation of weight vectors of linear models*, equation 6: the weights
    that read a component out are not what it does; the covariance with it is.
    """
    centred = strengths - strengths.mean()
    slopes = (contributions * centred[:, None]).mean(axis=0) / max(float(centred.var()), 1e-12)
    return slopes.clip(min=0).astype(np.float64)


def earlier_pattern(features: Values, strengths: Values) -> NDArray[np.float64]:
    """How closely each channel of the earlier layer follows a component: the absolute correlation, `[channels]`."""
    spread = features.std(axis=0)
    centred = (strengths - strengths.mean()) / max(float(strengths.std()), 1e-12)
    return abs((features * centred[:, None]).mean(axis=0) / np.where(spread > 0, spread, np.inf)).astype(np.float64)
