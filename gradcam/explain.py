"""One model, some photos, some targets: from pixels to an `Explanation` each."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gradcam.capture import Recording, record
from gradcam.errors import MapError, ModelError, OptionError, nearest
from gradcam.heatmaps import averaged_gradcam
from gradcam.layers import LayerChoices, find_layers, joined
from gradcam.models.classifier import Classifier
from gradcam.preprocess import to_input, view_of
from gradcam.targets import probabilities, score_target
from gradcam.types import Contrast, Explanation, Fit, Photo, ScoredTarget, Target, TargetLayer, Top, View

log = logging.getLogger(__name__)

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What the forward computes in; all but float32 use autocast. Maps are always float32."""


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
    return next(explain_many(classifier, [photo], targets, fit=fit, layer=layer, precision=precision))


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
    """Explain many photos in order, `batch_size` a forward; the other arguments and errors are those of `explain`.

    photos: may be lazy, such as `map(open_photo, paths)`: one batch is opened and preprocessed while the model
        works on the one before. A batch that does not fit into the device's memory is halved.
    """
    asked = _asked(targets)
    if precision not in PRECISIONS:
        raise OptionError(f"expected a precision, got {precision!r}; use {nearest(precision, PRECISIONS)}")
    waiting = iter(photos)

    def prepare() -> _Batch | None:
        started = time.perf_counter()
        group = tuple(islice(waiting, batch_size))
        return _Batch.of(group, classifier, fit, started) if group else None

    def answer(batch: _Batch) -> Iterator[Explanation]:
        try:
            forward = _Forward.of(batch, classifier, layer, precision)
            return iter(_explanations(classifier, forward, asked))
        except torch.OutOfMemoryError as error:
            if len(batch.photos) == 1:
                raise ModelError(
                    f"{classifier.spec} needs more memory than {classifier.device} has for one photo; "
                    "use a smaller model or another device"
                ) from error
        log.warning("%s: %d photos do not fit into memory, halving", classifier.spec, len(batch.photos))
        return (explanation for half in batch.halves() for explanation in answer(half))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare") as ahead:
        batch = prepare()
        while batch is not None:
            following = ahead.submit(prepare)
            yield from answer(batch)
            batch = following.result()


def _asked(targets: Target | Sequence[Target]) -> list[Target]:
    asked = [targets] if isinstance(targets, (int, str, Top, Contrast)) else list(targets)
    if not asked:
        raise OptionError("expected at least one target to explain, got none; name a class or use Top(1)")
    return asked


@dataclass(frozen=True, eq=False)
class _Batch:
    """Photos ready for the model; `inputs` is `[B, 3, H, W]`, `seconds` what each photo's preparation took."""

    photos: tuple[Photo, ...]
    views: tuple[View, ...]
    inputs: Tensor
    seconds: float

    @classmethod
    def of(cls, photos: tuple[Photo, ...], classifier: Classifier, fit: Fit, started: float) -> _Batch:
        preprocessing = classifier.preprocessing
        views = tuple(view_of(photo.size, preprocessing, fit) for photo in photos)
        inputs = [to_input(photo, view, preprocessing) for photo, view in zip(photos, views, strict=True)]
        return cls(photos, views, torch.stack(inputs), (time.perf_counter() - started) / len(photos))

    def halves(self) -> Iterator[_Batch]:
        middle = len(self.photos) // 2
        for part in (slice(None, middle), slice(middle, None)):
            yield _Batch(self.photos[part], self.views[part], self.inputs[part], self.seconds)


@dataclass(frozen=True, eq=False)
class _Forward:
    """What a forward of a batch has left behind: any target can be asked of it for the price of its gradient.

    It holds no classifier, so that one kept beside its classifier does not keep that one in memory.
    """

    photos: tuple[Photo, ...]
    views: tuple[View, ...]
    layers: tuple[TargetLayer, ...]
    recordings: tuple[Recording, ...]
    precision: str
    seconds: float

    @classmethod
    def of(cls, batch: _Batch, classifier: Classifier, layer: LayerChoices, precision: str) -> _Forward:
        inputs = batch.inputs.to(classifier.device, classifier.dtype, memory_format=torch.channels_last)
        layers = tuple(find_layers(classifier.module, inputs, layer))
        started = time.perf_counter()  # the layer is found once for a model and remembered, so it is not counted
        with _computing_in(precision, classifier.device):
            recordings = tuple(record(classifier.module, inputs, place) for place in layers)
        seconds = batch.seconds + (time.perf_counter() - started) / len(batch.photos)
        return cls(batch.photos, batch.views, layers, recordings, precision, seconds)


def _explanations(classifier: Classifier, forward: _Forward, asked: Sequence[Target]) -> list[Explanation]:
    """All gradients of a forward at once, an explanation for each of its photos."""
    started = time.perf_counter()
    found = joined(forward.layers)
    graph = forward.recordings[0].logits
    logits = graph.detach().float().cpu().numpy()
    scored = [tuple(score_target(target, row, classifier.labels) for target in asked) for row in logits]
    cotangents = _cotangents(scored, graph)
    maps = averaged_gradcam(forward.recordings, cotangents, forward.layers).cpu().numpy()
    for targets, rows in zip(scored, maps, strict=True):
        for target, heat in zip(targets, rows, strict=True):
            if not (heat < float("inf")).all():
                raise MapError(
                    f"expected finite heat from {classifier.spec} at layer {found.name!r} for class {target}, "
                    "got NaN or infinity; check the weights, or use float32"
                )
    seconds = forward.seconds + (time.perf_counter() - started) / len(forward.photos)
    dtype = str(classifier.dtype).removeprefix("torch.")
    return [
        Explanation(
            photo=photo,
            model=classifier.spec,
            targets=targets,
            maps=rows,
            logits=row,
            probabilities=probabilities(row),
            labels=classifier.labels.names,
            layer=found,
            view=view,
            seconds=seconds,
            weights_sha256=classifier.weights_sha256,
            preprocessing=classifier.preprocessing,
            device=classifier.device.type,
            dtype=forward.precision if PRECISIONS[forward.precision] else dtype,
        )
        for photo, view, targets, rows, row in zip(forward.photos, forward.views, scored, maps, logits, strict=True)
    ]


class RecentForwards:
    """`explain`, keeping the last forwards of every classifier: another class of the same photo needs no forward.

    Only forwards with the model's own target layer are kept, because an earlier layer would keep the activations of
    most of the network. They leave memory with their classifier.

    most: how many forwards of a classifier to keep.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: WeakKeyDictionary[Classifier, OrderedDict[tuple[str, Fit], _Forward]] = WeakKeyDictionary()
        self._guard = threading.Lock()

    def explain(
        self,
        classifier: Classifier,
        photo: Photo,
        targets: Target | Sequence[Target] = Top(1),
        *,
        fit: Fit = "crop",
        layer: LayerChoices = "auto",
    ) -> Explanation:
        """The answer of `explain`, with its arguments and errors; `seconds` counts what was done anew."""
        if layer != "auto":
            return explain(classifier, photo, targets, fit=fit, layer=layer)
        try:
            forward = replace(self._forward(classifier, photo, fit), photos=(photo,))
            return _explanations(classifier, forward, _asked(targets))[0]
        except torch.OutOfMemoryError:
            with self._guard:
                self._kept.clear()
        return explain(classifier, photo, targets, fit=fit)

    def _forward(self, classifier: Classifier, photo: Photo, fit: Fit) -> _Forward:
        key = photo.sha256, fit
        with self._guard:
            kept = self._kept.setdefault(classifier, OrderedDict())
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        batch = _Batch.of((photo,), classifier, fit, time.perf_counter())
        forward = _Forward.of(batch, classifier, "auto", "float32")
        with self._guard:
            kept[key] = replace(
                forward, photos=(), seconds=0.0
            )  # what is kept is no visitor's, and costs nothing more
            while len(kept) > self._most:
                kept.popitem(last=False)
        return forward


def _computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    dtype = PRECISIONS[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _cotangents(targets: Sequence[Sequence[ScoredTarget]], logits: Tensor) -> Tensor:
    """`[K, B, C]`: +1 at each target's class and −1 at the class it is contrasted with."""
    cotangents = logits.new_zeros(len(targets[0]), *logits.shape)
    for image, row in enumerate(targets):
        for k, target in enumerate(row):
            cotangents[k, image, target.index] = 1
            if target.against is not None:
                cotangents[k, image, target.against] = -1
    return cotangents
