"""One model, some photos, some targets: from pixels to an `Explanation` each."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import nn

from gradcam.capture import twin
from gradcam.errors import ModelError, OptionError, nearest
from gradcam.forward import PRECISIONS, Batch, Forward, explanations
from gradcam.layers import LayerChoices
from gradcam.models.classifier import Classifier
from gradcam.types import Contrast, Explanation, Fit, Photo, Target, Top

log = logging.getLogger(__name__)

LANES = 2
"""Forwards of `explain_many` that run side by side: what one of them leaves idle, while it prepares photos or waits
for its slowest thread, the other uses."""


def explain(
    classifier: Classifier,
    photo: Photo,
    targets: Target | Sequence[Target] = Top(1),
    *,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
) -> Explanation:
    """Explain what `classifier` looks at in `photo`, for each target, with one forward.

    fit: `crop` (the model's own evaluation transform), `squash` (whole photo, aspect lost) or `pad`.
    layer: `"auto"`, a module's name, a place in `candidate_layers`, a `TargetLayer`, or several: see `heatmaps`.
    precision: a row of `PRECISIONS`.
    Raises: ClassError for a class that the model does not have, LayerError, ModelError, or MapError where a map is
        not finite.
    Source: Selvaraju et al. 2017, eq. 1 and 2.
    """
    question = _Question(classifier, as_targets(targets), fit, layer, precision)
    return question.answers((photo,), classifier.module)[0]


def explain_many(
    classifier: Classifier,
    photos: Iterable[Photo],
    targets: Target | Sequence[Target] = Top(1),
    *,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    batch_size: int = 8,
) -> Iterator[Explanation]:
    """Explain many photos in order; the other arguments and errors are those of `explain`.

    photos: may be lazy, such as `map(open_photo, paths)`: the next are opened while the model works. What it raises
        is raised here, after the explanations of all photos before.
    batch_size: photos of one forward; two forwards run side by side. What does not fit into the device's memory is
        halved.
    """
    question = _Question(classifier, as_targets(targets), fit, layer, precision)
    waiting = _in_batches(photos, batch_size)
    modules: SimpleQueue[nn.Module] = SimpleQueue()
    for module in (classifier.module, *(twin(classifier.module) for _ in range(LANES - 1))):
        modules.put(module)

    def take() -> tuple[Photo, ...]:
        return next(waiting, ())

    def answer(taken: Future[tuple[Photo, ...]]) -> list[Explanation]:
        module = modules.get()
        try:
            return question.answers(taken.result(), module)
        finally:
            modules.put(module)

    with ThreadPoolExecutor(1, "open") as opening, ThreadPoolExecutor(LANES, "explain") as lanes:
        coming = deque(lanes.submit(answer, opening.submit(take)) for _ in range(LANES + 1))
        while found := coming.popleft().result():
            coming.append(lanes.submit(answer, opening.submit(take)))
            yield from found


def _in_batches(photos: Iterable[Photo], size: int) -> Iterator[tuple[Photo, ...]]:
    """Batches in order. An error of `photos` comes after a batch of those that precede it."""
    taken: list[Photo] = []
    try:
        for photo in photos:
            taken.append(photo)
            if len(taken) == size:
                yield tuple(taken)
                taken = []
    except Exception:
        if taken:
            yield tuple(taken)
        raise
    if taken:
        yield tuple(taken)


@dataclass(frozen=True, eq=False)
class _Question:
    """What `explain` is asked, but for the photo."""

    classifier: Classifier
    targets: Sequence[Target]
    fit: Fit
    layer: LayerChoices
    precision: str

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            choices = nearest(self.precision, PRECISIONS)
            raise OptionError(f"expected a precision, got {self.precision!r}; use {choices}")

    def answers(self, photos: tuple[Photo, ...], module: nn.Module) -> list[Explanation]:
        """module: the classifier's own, or a `twin` of it."""
        return self._answers(Batch.of(photos, self.classifier.preprocessing, self.fit), module) if photos else []

    def _answers(self, batch: Batch, module: nn.Module) -> list[Explanation]:
        spec, device = self.classifier.spec, self.classifier.device
        try:
            forward = Forward.of(batch, self.classifier, self.layer, self.precision, module)
            return explanations(self.classifier, forward, self.targets)
        except torch.OutOfMemoryError as error:
            if len(batch.photos) == 1:
                raise ModelError(
                    f"{spec} needs more memory than {device} has for one photo; "
                    "use a smaller model or another device"
                ) from error
        log.warning("%s: %d photos do not fit into memory, halving", spec, len(batch.photos))
        return [explanation for half in batch.halves() for explanation in self._answers(half, module)]


def as_targets(targets: Target | Sequence[Target]) -> list[Target]:
    """One target or several as a list.

    Raises: OptionError where there is none.
    """
    asked = [targets] if isinstance(targets, (int, str, Top, Contrast)) else list(targets)
    if not asked:
        raise OptionError("expected at least one target to explain, got none; name a class or use Top(1)")
    return asked
