"""One model, some photos, some targets: from pixels to an `Explanation` each."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeAlias, TypeVar, overload

from torch import nn

from gradcam.errors import MapError, ModelError, OptionError, PhotoError, is_out_of_memory, quoted
from gradcam.forward import Answer, Batch, Forward, check_precision, explanations
from gradcam.kinds import expect, expect_functions
from gradcam.layers import LayerChoices
from gradcam.methods import GRADCAM, Method, find_methods
from gradcam.models.classifier import Classifier
from gradcam.photo import PhotoLike, as_photo, open_photo
from gradcam.running import clone_sharing_weights
from gradcam.signals import OnForwards, say_nothing
from gradcam.targets import as_targets
from gradcam.text import is_whole
from gradcam.types import Explanation, Fit, Photo, PhotoFailure, Target, TargetLike, Top, UnreadablePhoto

Methods: TypeAlias = list[str] | tuple[str, ...]
"""Names of rows of `methods.METHODS`; a name alone asks for one."""

log = logging.getLogger(__name__)

WORKERS = 2
"""Forwards of `explain_many` that run side by side: while one prepares photos or waits for its slowest thread, the
other uses the processor."""


@overload
def explain(
    classifier: Classifier,
    photo: PhotoLike,
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: str = GRADCAM.name,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    on_forwards: OnForwards = say_nothing,
) -> Explanation: ...


@overload
def explain(
    classifier: Classifier,
    photo: PhotoLike,
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: Methods,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    on_forwards: OnForwards = say_nothing,
) -> tuple[Explanation, ...]: ...


def explain(
    classifier: Classifier,
    photo: PhotoLike,
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: str | Methods = GRADCAM.name,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    on_forwards: OnForwards = say_nothing,
) -> Explanation | tuple[Explanation, ...]:
    """Explain what `classifier` looks at in `photo`, for each target, with one forward.

    photo: opened, or a path, encoded bytes, a Pillow image, or pixels uint8 `[H, W, 3]`.
    targets: classes, ranks or contrasts, or functions that make one number of a photo's logits, a tensor `[C]`. A
        text is the name or the number of a class: `top` is `Top(1)`, and `parse_target` reads what people type.
    method: a row of `methods.METHODS`, bare or in wrappers of `methods.WRAPPERS`, such as `SmoothGrad(LayerCAM)`. A
        list of them gives an explanation by each, in their order, from one forward and one batch of gradients.
    fit: `crop` (the model's own evaluation transform), `squash` (whole photo, aspect lost) or `pad`.
    layer: `"auto"`, a module's name, an index into `candidate_layers`, a `TargetLayer`, or several: see `heatmaps`.
    precision: one of `types.PRECISIONS`.
    on_forwards: is called before each batch of forwards of a method that needs many, with how many are done and how
        many there are; an exception raised in it ends the explanation.
    Raises: ClassError for a class that the model does not have, LayerError, ModelError, or MapError if a map is not
        finite.
    Source: the method's `citation`.
    """
    expect_functions(on_forwards=on_forwards)
    expect(Classifier, classifier)
    photo = as_photo(photo)
    found = found_by_all(explain_each(classifier, photo, targets, method, fit, layer, precision, on_forwards))
    return found[0] if isinstance(method, str) else found


def explain_each(
    classifier: Classifier,
    photo: Photo,
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    method: str | Methods = GRADCAM.name,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    on_forwards: OnForwards = say_nothing,
) -> tuple[Answer, ...]:
    """What each method makes of a photo, in their order; the arguments and other errors are those of `explain`."""
    request = _Request(classifier, as_targets(targets), find_methods(method), fit, layer, precision)
    (answers,) = request.answers([photo], classifier.module, on_forwards)
    return answers


def found_by_all(answers: Sequence[Answer]) -> tuple[Explanation, ...]:
    """The explanations, if every answer is one. Raises: the first error among the answers."""
    for answer in answers:
        if not isinstance(answer, Explanation):
            raise answer
    return tuple(answer for answer in answers if isinstance(answer, Explanation))


@overload
def explain_many(
    classifier: Classifier,
    photos: Iterable[Photo | str | Path],
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: str = GRADCAM.name,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    batch_size: int = 8,
) -> Generator[Explanation | PhotoFailure, None, None]: ...


@overload
def explain_many(
    classifier: Classifier,
    photos: Iterable[Photo | str | Path],
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: Methods,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    batch_size: int = 8,
) -> Generator[tuple[Explanation, ...] | PhotoFailure, None, None]: ...


def explain_many(
    classifier: Classifier,
    photos: Iterable[Photo | str | Path],
    targets: TargetLike | Sequence[TargetLike] = Top(1),
    *,
    method: str | Methods = GRADCAM.name,
    fit: Fit = "crop",
    layer: LayerChoices = "auto",
    precision: str = "float32",
    batch_size: int = 8,
) -> Generator[Explanation | tuple[Explanation, ...] | PhotoFailure, None, None]:
    """Explain many photos in order; the other arguments and errors are those of `explain`.

    A photo that cannot be opened, or whose map is not finite, is a `PhotoFailure` in its place; the others go on.

    photos: photos or paths, or `map(open_photo, paths)`: the next are opened while the model works. An exception
        raised by another iterator is re-raised after all earlier photos have been yielded.
    batch_size: photos per forward; two forwards run side by side. A batch that does not fit into the device's
        memory is halved.
    """
    one_method = isinstance(method, str)

    def finish(photo: Photo, answers: tuple[Answer, ...]) -> Explanation | tuple[Explanation, ...] | PhotoFailure:
        try:
            found = found_by_all(answers)
        except MapError as error:
            return PhotoFailure(photo.name, str(error))
        return found[0] if one_method else found

    request = _Request(classifier, as_targets(targets), find_methods(method), fit, layer, precision)
    yield from _of_many(request, photos, batch_size, finish)


def explain_each_of(
    classifier: Classifier,
    photos: Iterable[Photo | str | Path],
    targets: TargetLike | Sequence[TargetLike],
    method: Methods,
    fit: Fit,
    layer: LayerChoices,
    precision: str,
    batch_size: int,
) -> Generator[tuple[Answer, ...] | PhotoFailure, None, None]:
    """What each method makes of many photos; the arguments and other errors are those of `explain_many`."""
    request = _Request(classifier, as_targets(targets), find_methods(method), fit, layer, precision)
    yield from _of_many(request, photos, batch_size, lambda _, answers: answers)


def check_batch_size(size: Any) -> None:
    """Raises: OptionError for anything but a whole number from 1."""
    if not is_whole(size) or size < 1:
        raise OptionError(f"expected at least 1 photo in a batch, got {quoted(size)}; give a whole number")


_T = TypeVar("_T")


def _of_many(
    request: _Request,
    photos: Iterable[Photo | str | Path],
    batch_size: int,
    finish: Callable[[Photo, tuple[Answer, ...]], _T],
) -> Generator[_T | PhotoFailure, None, None]:
    """What `finish` makes of each photo's answers, in order; a `PhotoFailure` for a photo that cannot be opened."""
    if isinstance(photos, str | Path | Photo):
        raise PhotoError(f"expected a list of photos or paths, got {quoted(photos)} alone; put it in a list")
    check_batch_size(batch_size)
    waiting = _in_batches(_opened(photos), batch_size)
    model = request.classifier.module
    modules: SimpleQueue[nn.Module] = SimpleQueue()
    for module in (model, *(clone_sharing_weights(model) for _ in range(WORKERS - 1))):
        modules.put(module)

    ended = Event()

    def go_on(done: int, total: int) -> None:
        if ended.is_set():
            raise _Ended

    def take() -> tuple[Photo | PhotoFailure, ...]:
        return next(waiting, ())

    def answer(taken: Future[tuple[Photo | PhotoFailure, ...]]) -> list[_T | PhotoFailure]:
        module = modules.get()
        try:
            batch = taken.result()
            answers = iter(request.answers([photo for photo in batch if isinstance(photo, Photo)], module, go_on))
            return [finish(photo, next(answers)) if isinstance(photo, Photo) else photo for photo in batch]
        finally:
            modules.put(module)

    with ThreadPoolExecutor(1, "open") as opening, ThreadPoolExecutor(WORKERS, "explain") as explaining:
        coming = deque(explaining.submit(answer, opening.submit(take)) for _ in range(WORKERS + 1))
        try:
            while found := coming.popleft().result():
                coming.append(explaining.submit(answer, opening.submit(take)))
                yield from found
        finally:
            ended.set()


class _Ended(Exception):  # noqa: N818 — no error, a signal
    """Nobody waits any more for what a worker computes."""


def _opened(photos: Iterable[Photo | str | Path]) -> Iterator[Photo | PhotoFailure]:
    """The photos in order, with a `PhotoFailure` in place of each that cannot be opened."""
    given = iter(photos)
    for number in count(1):
        try:
            photo = next(given)
        except StopIteration:
            return
        except PhotoError as error:
            if not isinstance(given, map):
                raise
            yield PhotoFailure(f"photo {number}", str(error))
        else:
            yield _open(photo)


def _open(photo: Photo | str | Path) -> Photo | PhotoFailure:
    if isinstance(photo, UnreadablePhoto):
        return PhotoFailure(photo.name, photo.reason)
    if isinstance(photo, Photo):
        return photo
    try:
        return open_photo(photo)
    except PhotoError as error:
        return PhotoFailure(Path(photo).name if isinstance(photo, str | Path) else quoted(photo), str(error))


def _in_batches(photos: Iterable[Photo | PhotoFailure], size: int) -> Iterator[tuple[Photo | PhotoFailure, ...]]:
    """Batches in order. An exception of `photos` is raised after the batch of all earlier photos."""
    taken: list[Photo | PhotoFailure] = []
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
class _Request:
    """The arguments of `explain`, except the photo."""

    classifier: Classifier
    targets: Sequence[Target]
    methods: Sequence[Method]
    fit: Fit
    layer: LayerChoices
    precision: str

    def __post_init__(self) -> None:
        expect(Classifier, self.classifier)
        check_precision(self.precision)

    def answers(
        self, photos: Sequence[Photo], module: nn.Module, on_forwards: OnForwards
    ) -> list[tuple[Answer, ...]]:
        """What each method makes of each photo.

        module: the classifier's own, or a clone over the same weights.
        """
        if not photos:
            return []
        return self._answers(Batch.of(tuple(photos), self.classifier.preprocessing, self.fit), module, on_forwards)

    def _answers(self, batch: Batch, module: nn.Module, on_forwards: OnForwards) -> list[tuple[Answer, ...]]:
        spec, device = self.classifier.spec, self.classifier.device
        try:
            needs_layer = any(method.reads_layer for method in self.methods)
            forward = Forward.of(
                batch, self.classifier, self.layer, self.precision, module, needs_layer=needs_layer
            )
            targets = [self.targets] * len(batch.photos)
            return explanations(self.classifier, forward, targets, self.methods, on_forwards)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch.photos) == 1:
                raise ModelError(
                    f"{spec} needs more memory than {device} has for one photo; "
                    "use a smaller model or another device"
                ) from error
            log.warning("%s: %d photos do not fit into memory, halving", spec, len(batch.photos))
        return [answer for half in batch.halves() for answer in self._answers(half, module, on_forwards)]
