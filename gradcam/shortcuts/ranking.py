"""Which components a class may stand on: arrays in, a ranked list out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from gradcam.shortcuts.components import Component, Joint, Values, independent

BEST = 3
"""Candidates of a class."""

ALIKE = 0.5
"""Of two components whose members overlap by more than this share of their union, the better stands for both."""

FEWEST = 4
"""Members of a candidate, and photos of the class beside them."""

USUAL = 0.99
"""The share of other classes' photos that are weaker than every member. Two Gaussians fitted to the strengths of
the class found fewer of the planted photos, and were no purer."""

NEARLY_USUAL = 0.98
"""The same while a component is sharpened: more members, some wrong, tell a direction better than few."""

STEPS = 5
"""Times that a component is sharpened at most."""

LARGEST = 0.6
"""The share of the class above which members are no group within it."""


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

    Independent components of all photos are where the search begins, at both ends of each; each is then sharpened.
    in_class: bool `[n]`. earlier, contrast: the two views of all photos, see `evidence.Evidence`.
    """
    joint, margin = Joint.of(earlier, contrast, seed), contrast.sum(axis=1)
    precision = _precision_within(joint.values, in_class)
    judged = (
        _judge(joint.component(weights), in_class, earlier, contrast, margin)
        for begun in independent(joint, seed)
        for end in (begun, -begun)
        if (weights := _sharpened(joint.values, precision, in_class, end)) is not None
    )
    found = sorted((one for one in judged if one is not None), key=lambda one: -one.score)
    best: list[Ranked] = []
    for one in found:
        if len(best) < BEST and not any(_alike(one, other) for other in best):
            best.append(one)
    return best


def _precision_within(values: NDArray[np.float64], in_class: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The inverse of the covariance within the class and within all others, shrunk, `[d, d]`.

    Source: Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*.
    """
    centred = values.copy()
    for group in (in_class, ~in_class):
        centred[group] -= centred[group].mean(axis=0)
    return np.linalg.pinv(ledoit_wolf(centred)[0], hermitian=True)


def _sharpened(
    values: NDArray[np.float64],
    precision: NDArray[np.float64],
    in_class: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """The direction that best tells the members from the class's other photos, who the members are being found anew
    with each direction; None where too few are left.

    Source: Fisher 1936, *The use of multiple measurements in taxonomic problems*: the discriminant of two groups.
    """
    _, members = _members(values @ weights, in_class, USUAL)
    for _ in range(STEPS):
        rest = in_class & ~members
        if min(members.sum(), rest.sum()) < FEWEST:
            return None
        weights = precision @ (values[members].mean(axis=0) - values[rest].mean(axis=0))
        before, (_, members) = members, _members(values @ weights, in_class, NEARLY_USUAL)
        if (members == before).all():
            break
    return weights


def _members(
    strengths: NDArray[np.floating], in_class: NDArray[np.bool_], share: float
) -> tuple[float, NDArray[np.bool_]]:
    """The strength below which this share of other classes' photos lie, and the class's photos from there on."""
    threshold = float(np.quantile(strengths[~in_class], share))
    return threshold, in_class & (strengths >= threshold)


def _judge(
    component: Component, in_class: NDArray[np.bool_], earlier: Values, contrast: Values, margin: Values
) -> Ranked | None:
    """Members are the class's photos that are stronger than nearly all photos of other classes.

    The score is how far they lie above the class's other photos, in standard deviations of all that are no members,
    times the square root of how strength and margin correlate over the class, times the fourth root of the members'
    share of it: far apart, used, and many. None for few members, few others, or no score.
    """
    strengths = component.strengths(earlier, contrast)
    threshold, members = _members(strengths, in_class, USUAL)
    rest, size = in_class & ~members, float(members.sum() / in_class.sum())
    if min(members.sum(), rest.sum()) < FEWEST or size > LARGEST or margin[in_class].std() == 0:
        return None
    apart = (strengths[members].mean() - strengths[rest].mean()) / max(float(strengths[~members].std()), 1e-9)
    used = float(np.corrcoef(strengths[in_class], margin[in_class])[0, 1])
    score = float(apart) * max(used, 0.0) ** 0.5 * size**0.25
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
