"""The causal check: what a model predicts once a candidate's channels are what the class usually has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradcam._compare import Use
from gradcam.capture import Edit, logits_with
from gradcam.errors import OptionError, PhotoError, quoted
from gradcam.forward import Batch
from gradcam.inputs import Inputs
from gradcam.kinds import expect, expect_functions, expect_numbers, expect_seed
from gradcam.layers.layouts import to_grid
from gradcam.models.classifier import Classifier
from gradcam.models.labels import labels_of_head
from gradcam.models.pool import shared_pool
from gradcam.runs import Run
from gradcam.shortcuts.candidate import Candidate, Member
from gradcam.shortcuts.evidence import class_signs
from gradcam.targets import with_negative
from gradcam.types import TargetLayer

At = Literal["target", "earlier", "both"]
Edits = list[tuple[TargetLayer, Edit]]


@dataclass(frozen=True)
class Effect:
    """What became of one photo. photo: its number in the run. is_member: else it is one beside them.

    before, after: the model's first prediction. drop: by how much the class's score fell against the mean of the
    other classes', in logits.
    """

    photo: int
    path: str
    is_member: bool
    before: str
    after: str
    drop: float

    @property
    def flips(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class Check:
    """What became of a candidate's members, and of as many other photos of the class beside them.

    channels, earlier_channels: that were set. failed: why photos could not be looked at, by their paths.
    finished: False where it was stopped; what it had is kept.
    """

    channels: tuple[int, ...]
    earlier_channels: tuple[int, ...]
    effects: tuple[Effect, ...]
    failed: dict[str, str]
    finished: bool

    @property
    def members(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.effects if effect.is_member)

    @property
    def others(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.effects if not effect.is_member)


def check_shortcut(
    run: Run,
    candidate: Candidate,
    *,
    at: At = "target",
    most: int = 48,
    at_once: int = 8,
    seed: int = 0,
    use: Use | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Check:
    """Set a candidate's channels to their mean over the class's other photos, and see whose prediction flips.

    at: set the channels of the target layer, of the earlier layer, or both.
    most: members that are looked at, the strongest; as many other photos of the class are drawn by the seed.
    at_once: photos of one forward. use: turns a model's id into a classifier, as `runs.start` takes it.
    on_progress: called with the photos done and all of them. stop: set by another thread, it ends the check within
        two forwards, which keeps what it has.
    Raises: OptionError, RunError.
    """
    expect_functions(use=use, on_progress=on_progress)
    expect_numbers(most=most, at_once=at_once)
    expect_seed(seed)
    expect(Run, run)
    expect(Candidate, candidate)
    if at not in ("target", "earlier", "both"):
        raise OptionError(f"expected 'target', 'earlier' or 'both', got {quoted(at)}; choose where to set channels")
    planned = run.model(candidate.model)
    photos = _photos(candidate, most, seed)
    channels = tuple(one.number for one in candidate.channels if at != "earlier")
    earlier = tuple(one.number for one in candidate.earlier_channels if at != "target")
    others = [one.photo for one in candidate.others]
    edits = [
        *_edits(planned.layers, channels, _means(run, candidate.model, "means", others)),
        *_edits([planned.earlier], earlier, _means(run, candidate.model, "earlier", others)),
    ]
    signs = class_signs(run, candidate.model, candidate.label)
    effects: list[Effect] = []
    failed: dict[str, str] = {}
    done = 0
    with (use or shared_pool().use)(planned.requested_id) as classifier:
        for group in _groups(photos, at_once):
            if stop is not None and stop.is_set():
                break
            effects += _effects(run, classifier, group, edits, signs, failed)
            done += len(group)
            on_progress(done, len(photos))
    return Check(channels, earlier, tuple(effects), failed, done == len(photos))


def _photos(candidate: Candidate, most: int, seed: int) -> list[tuple[Member, bool]]:
    """The strongest members, and as many others, each with whether it is a member."""
    members = candidate.members[: max(most, 1)]
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(candidate.others))[: len(members)]
    return [(one, True) for one in members] + [(candidate.others[number], False) for number in sorted(drawn)]


def _groups(photos: list[tuple[Member, bool]], at_once: int) -> Iterator[list[tuple[Member, bool]]]:
    for first in range(0, len(photos), max(at_once, 1)):
        yield photos[first : first + max(at_once, 1)]


def _means(run: Run, model: str, name: Literal["means", "earlier"], photos: list[int]) -> NDArray[np.float32]:
    return np.nanmean(run.pooled(model, name, photos), axis=0)


def _edits(layers: Sequence[TargetLayer], channels: Sequence[int], means: NDArray[np.float32]) -> Edits:
    """What sets channels, counted through all layers, to their means."""
    edits: Edits = []
    first = 0
    for layer in layers:
        mine = [number - first for number in channels if first <= number < first + layer.channels]
        if mine:
            edits.append((layer, _setting(layer, mine, torch.from_numpy(means[[first + one for one in mine]]))))
        first += layer.channels
    return edits


def _setting(layer: TargetLayer, channels: list[int], values: Tensor) -> Edit:
    def edit(output: Tensor) -> None:
        to_grid(output, layer)[:, channels] = values.to(output)[:, None, None]

    return edit


def _effects(
    run: Run,
    classifier: Classifier,
    group: list[tuple[Member, bool]],
    edits: Edits,
    signs: dict[int, float],
    failed: dict[str, str],
) -> list[Effect]:
    """Of a few photos, which share two forwards. failed: gets the reasons of photos that cannot be opened."""
    opened = []
    for member, is_member in group:
        try:
            photo = run.photo(member.path)
            Batch.of((photo,), classifier.preprocessing, run.plan.settings.fit)
            opened.append((photo, member, is_member))
        except PhotoError as error:
            failed[member.path] = str(error)
    if not opened:
        return []
    batch = Batch.of(tuple(photo for photo, *_ in opened), classifier.preprocessing, run.plan.settings.fit)
    before, after = (_logits(classifier, batch, changes) for changes in ([], edits))
    names = labels_of_head(classifier.labels, before.shape[1]).names
    drops = sum(sign * (before[:, index] - after[:, index]) for index, sign in signs.items())
    rows = zip(opened, before.argmax(axis=1), after.argmax(axis=1), np.asarray(drops), strict=True)
    return [
        Effect(member.photo, member.path, is_member, names[was], names[now], float(drop))
        for (_, member, is_member), was, now, drop in rows
    ]


def _logits(classifier: Classifier, batch: Batch, edits: Edits) -> NDArray[np.float32]:
    """`[photos, classes]`, two classes for a single logit."""
    pixels = batch.inputs.to(classifier.device, classifier.dtype, memory_format=torch.channels_last)
    inputs = Inputs.of(pixels, classifier.module, output=classifier.output)
    found = logits_with(classifier.module, inputs, edits).float().cpu().numpy()
    return np.stack([with_negative(row) for row in found])
