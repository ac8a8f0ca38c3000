"""Which components a class may stand on: arrays in, a ranked list out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from gradcam.shortcuts.components import Component, Joint, Values

BEST = 3
"""Candidates of a class."""

ALIKE = 0.5
"""Of two components whose members overlap by more than this share of their union, the better stands for both."""

FEWEST = 4
"""Members of a candidate, and photos of the class beside them."""

NEAREST = 8
"""Photos with which a search begins: a photo of the class and those of the class that are most like it."""

STARTS = 200
"""Photos of the class at most that a search begins at, drawn by the seed: a group of a fiftieth of a class has four
of them on average, and the time grows with the photos rather than with their square."""

USUAL = 0.995
"""The share of other classes' photos that are weaker than every member.

On the 66 planted sets of a fifth of a class that it was chosen by, 0.99 found 0.960 of the planted photos with
0.878 of the members right, 0.995 0.945 and 0.908, 0.9975 0.923 and 0.935; on 38 of half a class, 0.870, 0.846 and
0.831 of the planted photos. Two Gaussians fitted to the strengths of the class found fewer of them than 0.99, and
were no purer."""

NEARLY_USUAL = 0.98
"""The same while a group is sharpened: more members, some wrong, tell a direction better than few."""

STEPS = 5
"""Times that a group is sharpened at most."""

LARGEST = 0.6
"""The share of the class above which members are no group within it."""


Groups = NDArray[np.bool_]
"""Groups of photos, `[…, n]`: who of all photos belongs to each."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """A component with what it says of the photos.

    strengths: `[n]`, of the component with the means of its groups taken without the photo: a photo of another
        class is simply read, one of this class does not speak for itself.
    members: bool `[n]`, the photos of the class whose strength is at least the threshold.
    """

    component: Component
    strengths: Values
    threshold: float
    members: NDArray[np.bool_]
    score: float


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Of any two groups of photos, the direction that best tells them apart.

    Source: Fisher 1936, *The use of multiple measurements in taxonomic problems*.
    values: `[n, d]`. turned: `[n, d]`, the values times the inverse of the covariance within the class and within
    all others. lengths: `[n]`, squared by that measure.
    """

    values: NDArray[np.float64]
    turned: NDArray[np.float64]
    lengths: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64], in_class: NDArray[np.bool_]) -> Discriminant:
        """The covariance is shrunk.

        Source: Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*.
        """
        centred = values.copy()
        for group in (in_class, ~in_class):
            centred[group] -= centred[group].mean(axis=0)
        turned = values @ np.linalg.pinv(ledoit_wolf(centred)[0], hermitian=True)
        return cls(values, turned, (values * turned).sum(axis=1))

    def weights(self, groups: Groups, rests: Groups) -> NDArray[np.float64]:
        """From the mean of each rest towards that of its group, `[…, d]`; of bool `[…, n]`."""
        return (_shares(groups) - _shares(rests)) @ self.turned

    def left_out(self, groups: Groups, rests: Groups) -> NDArray[np.float64]:
        """How far each photo lies along the direction between means that leave it out, `[…, n]`; the covariance is
        that of all photos. Each group and each rest has two photos at least.

        A photo that has helped to find a direction lies further along it than one like it that has not.
        Source: Lachenbruch and Mickey 1968, *Estimation of error rates in discriminant analysis*, section 3.
        """
        strengths = self.weights(groups, rests) @ self.values.T
        for mine, sign in ((groups, 1.0), (rests, -1.0)):
            towards = _shares(mine) @ self.values @ self.turned.T
            own = (self.lengths - towards) / (mine.sum(axis=-1, keepdims=True) - 1)
            strengths -= sign * np.where(mine, own, 0)
        return strengths

    def nearest(self, in_class: NDArray[np.bool_], most: int, seed: int) -> Groups:
        """Photos of the class, `STARTS` at most, each with those of the class in the most like direction from its
        mean, bool `[starts, n]`."""
        mine = np.flatnonzero(in_class)
        values, turned = (view[mine] - view[mine].mean(axis=0) for view in (self.values, self.turned))
        chosen = np.arange(len(mine))
        if len(mine) > STARTS:
            chosen = np.sort(np.random.default_rng(seed).choice(len(mine), STARTS, replace=False))
        lengths = np.sqrt(np.maximum((values * turned).sum(axis=1), 1e-12))
        likeness = values[chosen] @ turned.T / lengths  # the photo's own length changes no order
        groups = np.zeros((len(chosen), len(in_class)), bool)
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :most]
        np.put_along_axis(groups, mine[order], True, axis=1)
        return groups


def _shares(groups: Groups) -> NDArray[np.float64]:
    """What each photo counts in the mean of each group, `[…, n]`."""
    return groups / groups.sum(axis=-1, keepdims=True)


def rank(in_class: NDArray[np.bool_], earlier: Values, contrast: Values, seed: int = 0) -> list[Ranked]:
    """The best components of a class, at most `BEST`, the highest score first; none where the photos of the class
    differ in nothing that is contributed to it.

    The search begins at photos of the class with those that are most like them, and sharpens each such group.
    in_class: bool `[n]`. earlier, contrast: the two views of all photos, see `evidence.Evidence`.
    """
    margin = contrast.sum(axis=1)
    if margin[in_class].std() == 0:
        return []
    joint = Joint.of(earlier, contrast, seed)
    discriminant = Discriminant.of(joint.values, in_class)
    groups = _sharpened(discriminant, in_class, discriminant.nearest(in_class, NEAREST, seed))
    rests = in_class & ~groups
    weights, left_out = discriminant.weights(groups, rests), discriminant.left_out(groups, rests)
    judged = (_judge(joint, in_class, *each, margin) for each in zip(weights, left_out, strict=True))
    found = sorted((one for one in judged if one is not None), key=lambda one: -one.score)
    best: list[Ranked] = []
    for one in found:
        if len(best) < BEST and not any(_alike(one, other) for other in best):
            best.append(one)
    return best


def _sharpened(discriminant: Discriminant, in_class: NDArray[np.bool_], groups: Groups) -> Groups:
    """For each group, who lies along the direction that tells it from the class's other photos, the direction being
    found anew with each such group; each result once, and none with too few photos in it or beside it."""
    groups = groups[_are_enough(groups, in_class)]
    for _ in range(STEPS):
        before = groups
        _, groups = _members(discriminant.left_out(groups, in_class & ~groups), in_class, NEARLY_USUAL)
        groups = groups[_are_enough(groups, in_class)]
        if np.array_equal(groups, before):
            break
    _, first = np.unique(groups, axis=0, return_index=True)
    return groups[np.sort(first)]


def _are_enough(groups: Groups, in_class: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which groups have photos enough, and the class beside them, bool `[…]`."""
    return np.minimum(groups.sum(axis=-1), (in_class & ~groups).sum(axis=-1)) >= FEWEST


def _members(
    strengths: NDArray[np.floating], in_class: NDArray[np.bool_], share: float
) -> tuple[NDArray[np.floating], Groups]:
    """The strength below which this share of other classes' photos lie, `[…, 1]`, and the class's photos from there
    on, `[…, n]`."""
    threshold = np.quantile(strengths[..., ~in_class], share, axis=-1, keepdims=True)
    return threshold, in_class & (strengths >= threshold)


def _judge(
    joint: Joint,
    in_class: NDArray[np.bool_],
    weights: NDArray[np.float64],
    left_out: NDArray[np.float64],
    margin: Values,
) -> Ranked | None:
    """Members are the class's photos that are stronger than nearly all photos of other classes.

    The score is how far they lie above the class's other photos, in standard deviations of all that are no members,
    times the fourth root of how strength and margin correlate over the class, times the eighth root of the members'
    share of it: far apart, used, and many. None for few members, few others, or no score.
    """
    strengths = (left_out / max(float((joint.values @ weights).std()), 1e-12)).astype(np.float32)
    (threshold,), members = _members(strengths, in_class, USUAL)
    rest, size = in_class & ~members, float(members.sum() / in_class.sum())
    if not _are_enough(members, in_class) or size > LARGEST:
        return None
    apart = (strengths[members].mean() - strengths[rest].mean()) / max(float(strengths[~members].std()), 1e-9)
    used = float(np.corrcoef(strengths[in_class], margin[in_class])[0, 1])
    score = float(apart) * max(used, 0.0) ** 0.25 * size**0.125
    return Ranked(joint.component(weights), strengths, float(threshold), members, score) if score > 0 else None


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
    """How closely each channel of the earlier layer follows a component: the absolute correlation of its mean or of
    its standard deviation, whichever is more, `[channels]`. features: both, `[photos, 2 · channels]`."""
    spread = features.std(axis=0)
    centred = (strengths - strengths.mean()) / max(float(strengths.std()), 1e-12)
    follows = abs((features * centred[:, None]).mean(axis=0) / np.where(spread > 0, spread, np.inf))
    return follows.reshape(2, -1).max(axis=0).astype(np.float64)
