"""What a run knows of photos through one model, for one class: two views of each photo, read without a forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import RunError, TooFewError, nearest, quoted
from gradcam.models.classifier import Classifier
from gradcam.runs import Run
from gradcam.shortcuts.components import Values
from gradcam.text import count

LEAST = 20
"""Photos of the class, and of the other classes together, below which nothing can be said."""

MOST = 5000
"""Photos of the class, and of the other classes together, that are looked at; of more, the seed draws as many."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Photos of one class beside those of the others, as one model sees them.

    photos: int64 `[n]`, their numbers in the run. in_class: bool `[n]`.
    earlier: float32 `[n, 2 · channels]`, the means over places of an earlier layer's channels, then the standard
        deviations: what is small in one place shows in these.
    contrast: float32 `[n, channels]`, what each channel of the target layer contributes to the class, less the mean
        of what it contributes to the other classes.
    """

    photos: NDArray[np.int64]
    in_class: NDArray[np.bool_]
    earlier: Values
    contrast: Values

    @property
    def margin(self) -> Values:
        """The class's score less the mean of the others', up to a constant, `[n]`."""
        return self.contrast.sum(axis=1)


def gather(run: Run, model: str, label: str, classifier: Classifier, seed: int = 0) -> Evidence:
    """The evidence of a finished run. Raises: RunError, one sentence."""
    labels = classes_of(run, model, label)
    status = run.status()
    if status.state != "finished":
        raise RunError(
            f"expected a finished run, got {status.done:,} of {count(status.units, 'map')}; go on with "
            "`gradcam run resume`"
        )
    photos = {name: run.ranked(where={"label": name}) for name in labels}
    mine = _draw(photos[label], seed)
    others = _draw([number for name in labels if name != label for number in photos[name]], seed)
    numbers = np.sort(np.array([*mine, *others], np.int64))
    chosen = numbers.tolist()
    earlier = np.hstack([run.pooled(model, "earlier", chosen), run.pooled(model, "earlier_spread", chosen)])
    in_class = np.isin(numbers, mine)
    there = _are_known(earlier)
    _refuse_few(there, in_class, model, label)
    contrast = _contrast(run, model, labels, label, classifier, chosen)
    there &= _are_known(contrast)
    _refuse_few(there, in_class, model, label)
    return Evidence(numbers[there], in_class[there], earlier[there], contrast[there])


def _are_known(view: Values) -> NDArray[np.bool_]:
    """Which photos a view `[n, columns]` has; where it has none of them, it has no columns either."""
    return np.isfinite(view).all(axis=1) & (view.shape[1] > 0)


def _refuse_few(there: NDArray[np.bool_], in_class: NDArray[np.bool_], model: str, label: str) -> None:
    """Raises: TooFewError. there, in_class: bool `[n]`."""
    for group, whose in ((in_class, f"with the label {quoted(label)}"), (~in_class, "with other labels")):
        if (found := int((there & group).sum())) < LEAST:
            raise TooFewError(
                f"expected at least {LEAST} photos {whose} that {model} explained, got {found}; add photos to "
                "the run"
            )


def classes_of(run: Run, model: str, label: str) -> list[str]:
    """The labels that are classes of the model, among them the wanted one. Raises: RunError."""
    planned = run.model(model)
    known = planned.label_classes
    if label not in known:
        advice = f"use {nearest(label, known)}" if known else "give its data set labels"
        raise RunError(f"expected a label of the run, got {quoted(label)}; {advice}")
    own = planned.class_of(label)
    labels = [name for name, index in known.items() if index is not None and (name == label or index != own)]
    if len(labels) < 2:
        raise RunError(
            f"expected labels of at least two classes of {model}, got {quoted(label)} alone; add photos of another "
            "class, for what others lack tells what a class stands on"
        )
    return labels


def class_signs(run: Run, model: str, label: str) -> dict[int, float]:
    """The score of a label's class less the mean of the others', as weights of the logits, by their index."""
    labels, planned = classes_of(run, model, label), run.model(model)
    signs: dict[int, float] = {}
    for name, sign in zip(labels, _signs(labels, label).tolist(), strict=True):
        index = planned.class_of(name)
        signs[index] = signs.get(index, 0.0) + sign
    return signs


def _signs(labels: Sequence[str], label: str) -> Values:
    return np.array([1.0 if name == label else -1 / (len(labels) - 1) for name in labels], np.float32)


def _contrast(
    run: Run, model: str, labels: Sequence[str], label: str, classifier: Classifier, photos: Sequence[int]
) -> Values:
    """What each channel contributes to a label's class, less the mean of what it contributes to the others'."""
    weights = run.head_weights(model, labels, classifier)
    signs = _signs(labels, label)
    if weights is not None:
        return (run.pooled(model, "means", photos) * (signs @ weights)).astype(np.float32)
    parts = (sign * run.contributions(model, name, photos) for name, sign in zip(labels, signs, strict=True))
    total = next(parts)
    for part in parts:
        total += part
    return total


def _draw(photos: Sequence[int], seed: int) -> list[int]:
    """At most `MOST` of the photos."""
    if len(photos) <= MOST:
        return list(photos)
    return np.random.default_rng(seed).choice(np.array(photos), MOST, replace=False).tolist()
