"""One forward of a batch of photos, and every answer that can be had from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradcam._heatmaps import channel_contributions, fused_maps
from gradcam.capture import Edit, Ends, Recording, Trace, logits_with, record, trace
from gradcam.errors import (
    QUOTED,
    ClassError,
    LayerError,
    MapError,
    ModelError,
    PhotoError,
    quoted,
)
from gradcam.inputs import Inputs
from gradcam.kinds import expect_one_of
from gradcam.layers import LayerChoices, candidate_layers, find_layers, merge_layers
from gradcam.methods import GRADCAM, Method
from gradcam.models.classifier import Classifier
from gradcam.models.labels import labels_of_head
from gradcam.models.numerics import Runner, runner_for
from gradcam.preprocess import to_input, view_of
from gradcam.python_target import value_and_gradient
from gradcam.running import unwrapped
from gradcam.scores import ACTIVATION_OF, ENDS, output_statement, output_text
from gradcam.signals import (
    LayerSignals,
    OnForwards,
    Rerun,
    mean_and_spread,
    say_nothing,
    scores_are_linear,
    signals_of,
)
from gradcam.targets import probabilities, score_target, scored_by_function, with_negative
from gradcam.text import clean, shorten
from gradcam.types import (
    NUMERICS,
    PRECISIONS,
    Activation,
    Explanation,
    Fit,
    Numerics,
    Photo,
    Preprocessing,
    PythonTarget,
    ScoredTarget,
    Target,
    TargetLayer,
    UnreadablePhoto,
    View,
)

_AUTOCAST = {name: None if name == "float32" else getattr(torch, name) for name in PRECISIONS}
"""The type that autocast computes in, by precision."""


def check_precision(precision: str) -> None:
    """Raises: OptionError for a precision outside `PRECISIONS`."""
    expect_one_of(PRECISIONS, precision, "a precision")


@dataclass(frozen=True, eq=False)
class Batch:
    """Photos ready for the model; `inputs` is `[B, 3, H, W]`, `seconds` the preparation time of each photo."""

    photos: tuple[Photo, ...]
    views: tuple[View, ...]
    inputs: Tensor
    seconds: float

    @classmethod
    def of(cls, photos: tuple[Photo, ...], preprocessing: Preprocessing, fit: Fit) -> Batch:
        """Raises: PhotoError where a photo could not be opened."""
        started = time.perf_counter()
        for photo in photos:
            if isinstance(photo, UnreadablePhoto):
                raise PhotoError(photo.reason)
        views = tuple(view_of(photo.size, preprocessing, fit) for photo in photos)
        inputs = [to_input(photo, view, preprocessing) for photo, view in zip(photos, views, strict=True)]
        return cls(photos, views, torch.stack(inputs), (time.perf_counter() - started) / len(photos))

    def halves(self) -> Iterator[Batch]:
        middle = len(self.photos) // 2
        for part in (slice(None, middle), slice(middle, None)):
            yield Batch(self.photos[part], self.views[part], self.inputs[part], self.seconds)


@dataclass(frozen=True, eq=False)
class Forward:
    """The recorded forward of a batch: each further target costs only its gradient.

    A forward does not refer to its classifier, so a cached forward does not keep its classifier in memory.

    runners: what ran for each layer. recordings: of each layer.
    """

    photos: tuple[Photo, ...]
    views: tuple[View, ...]
    layers: tuple[TargetLayer, ...]
    runners: tuple[Runner, ...]
    recordings: tuple[Recording, ...]
    precision: str
    seconds: float
    numerics: Numerics

    @classmethod
    def of(
        cls,
        batch: Batch,
        classifier: Classifier,
        layer: LayerChoices = "auto",
        precision: str = "float32",
        module: nn.Module | None = None,
        earlier: TargetLayer | None = None,
        *,
        needs_layer: bool = True,
    ) -> Forward:
        """module: the classifier's own, or a clone over the same weights for another thread.

        earlier: a layer whose output is kept for `channels_of`. needs_layer: whether any method reads a layer.
        """
        pixels = batch.inputs.to(classifier.device, classifier.dtype, memory_format=torch.channels_last)
        model, modules = unwrapped(classifier.module)
        inputs = Inputs.of(pixels, model, output=classifier.output)
        layers = find_layers(model, inputs, layer, modules, needs_layer=needs_layer)
        # Maps far from the scores follow rounding: at a chosen layer the model's own modules compute.
        is_own = layer == "auto" and bool(layers[0].name)
        most: Numerics = classifier.numerics if is_own and _AUTOCAST[precision] is None else "eager"
        kept = () if earlier is None else (earlier,)
        runners = [runner_for(model, modules, inputs, (layer, *kept), most, module) for layer in layers]
        started = time.perf_counter()  # layer and copy are found once for a model and remembered: not counted
        with _computing_in(precision, classifier.device):
            recordings = tuple(
                record(runner.module, inputs, layer, runner.modules, earlier)
                for runner, layer in zip(runners, layers, strict=True)
            )
        if not layers[0].name:  # no gradient will be taken: a kept forward holds no graph of the whole model
            recordings = tuple(replace(one, logits=one.logits.detach()) for one in recordings)
        seconds = batch.seconds + (time.perf_counter() - started) / len(batch.photos)
        numerics = NUMERICS[max(NUMERICS.index(runner.numerics) for runner in runners)]
        return cls(batch.photos, batch.views, layers, tuple(runners), recordings, precision, seconds, numerics)


Refusal: TypeAlias = ModelError | LayerError | ClassError
"""Why a method cannot explain a model; a ClassError if a target is a function that fails at the logits of another
forward of the method."""

Answer: TypeAlias = Explanation | Refusal | MapError
"""What a method makes of a photo: an explanation, or why there is none."""

Maps: TypeAlias = NDArray[np.float32] | Refusal
"""A method's maps of all photos, `[B, K, h, w]`, or why there are none."""


def explanations(
    classifier: Classifier,
    forward: Forward,
    targets: Sequence[Sequence[Target]],
    methods: Sequence[Method] = (GRADCAM,),
    on_forwards: OnForwards = say_nothing,
) -> list[tuple[Answer, ...]]:
    """Compute all gradients of a forward at once; return for each of its photos an answer by each method.

    A method that cannot explain the model and a map that is not finite fail no other method and no other photo.

    targets: for each photo, the same number. on_forwards: see there.
    Raises: ClassError.
    """
    started = time.perf_counter()
    scores = scores_of(classifier, forward, targets)
    rerun = _rerun(classifier, forward, lambda logits: _cotangents_with_functions(targets, scores.targets, logits))
    rerun = replace(rerun, on_forwards=on_forwards)
    is_linear = all(target.is_class for row in scores.targets for target in row)
    wanted = rerun.cotangents(forward.recordings[0].logits)
    signals = signals_of(forward.recordings, forward.layers, methods, wanted, rerun, linear=is_linear)
    seconds = forward.seconds + (time.perf_counter() - started) / len(forward.photos)
    maps = [_timed(signals, method) for method in methods]
    return [
        tuple(_answer(one, number, method, *found) for method, found in zip(methods, maps, strict=True))
        for number, one in enumerate(_without_maps(classifier, forward, scores, seconds))
    ]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the logits of a forward say of each of its photos.

    targets: as resolved. logits: float32 `[C]`. labels: the class names.
    """

    targets: Sequence[tuple[ScoredTarget, ...]]
    logits: Sequence[NDArray[np.float32]]
    labels: tuple[str, ...]
    activation: Activation


def scores_of(classifier: Classifier, forward: Forward, targets: Sequence[Sequence[Target]]) -> Scores:
    """The scores of each photo's targets. Raises: ClassError."""
    graph, ends_in = forward.recordings[0].logits, forward.recordings[0].ends_in
    labels = labels_of_head(classifier.labels, graph.shape[1])
    activation: Activation = "sigmoid" if graph.shape[1] == 1 else ACTIVATION_OF.get(ends_in, classifier.activation)
    logits = [with_negative(row) for row in graph.detach().float().cpu().numpy()]
    scored = [
        tuple(
            scored_by_function(target, value_and_gradient(target, differentiable)[0])
            if isinstance(target, PythonTarget)
            else score_target(target, row, labels, activation)
            for target in requested
        )
        for requested, row, differentiable in zip(targets, logits, graph, strict=True)
    ]
    return Scores(scored, logits, labels.names, activation)


def _timed(signals: Sequence[LayerSignals], method: Method) -> tuple[Maps, float]:
    """What `_maps` returns, and its seconds for each photo."""
    started = time.perf_counter()
    maps = _maps(signals, method)
    return maps, (time.perf_counter() - started) / len(signals[0].recording.logits)


def _maps(signals: Sequence[LayerSignals], method: Method) -> Maps:
    try:
        return fused_maps(signals, method).cpu().numpy()
    except (ModelError, LayerError, ClassError) as error:  # a method may read more of the model than the layer
        return error


def _without_maps(
    classifier: Classifier, forward: Forward, scores: Scores, seconds: float
) -> Iterator[Explanation]:
    """An explanation of each photo that lacks its maps: all that the methods share, and its `seconds`."""
    layer = merge_layers(forward.layers)
    for statement in (ENDS[forward.recordings[0].ends_in], output_statement(classifier.output)):
        if statement not in layer.rule:
            layer = replace(layer, rule=layer.rule + statement)
    dtype = str(classifier.dtype).removeprefix("torch.")
    for photo, view, targets, logits in zip(
        forward.photos, forward.views, scores.targets, scores.logits, strict=True
    ):
        yield Explanation(
            photo=photo,
            model=classifier.spec,
            targets=targets,
            maps=np.empty((0, *layer.grid), np.float32),
            logits=logits,
            probabilities=probabilities(logits, scores.activation),
            labels=scores.labels,
            layer=layer,
            view=view,
            seconds=seconds,
            weights_sha256=classifier.weights_sha256,
            preprocessing=classifier.preprocessing,
            device=classifier.device.type,
            dtype=forward.precision if _AUTOCAST[forward.precision] else dtype,
            activation=scores.activation,
            output=output_text(classifier.output),
            numerics=forward.numerics,
        )


def _answer(shared: Explanation, number: int, method: Method, maps: Maps, seconds: float) -> Answer:
    """The explanation by one method of photo `number` of a batch, or why there is none.

    seconds: of the method alone.
    """
    if isinstance(maps, ModelError | LayerError | ClassError):
        return maps
    found = replace(
        shared,
        maps=maps[number],
        method=method.name,
        layer=shared.layer if method.reads_layer else None,
        seconds=shared.seconds + seconds,
    )
    for target, heat in zip(found.targets, found.maps, strict=True):
        if not np.isfinite(heat).all():
            where = f"{found.model} at layer {quoted(found.layer.name)}" if found.layer else str(found.model)
            return MapError(
                f"expected finite heat from {where} for class {shorten(clean(str(target)), QUOTED)}, got NaN or "
                "infinity; check the weights, or use float32"
            )
    return found


def _rerun(classifier: Classifier, forward: Forward, cotangents: Callable[[Tensor], Tensor]) -> Rerun:
    """Runs what the forward ran; a forward keeps no pixels, so the photos are prepared again."""
    modules = dict(zip(forward.layers, forward.runners, strict=True))

    def images() -> Tensor:
        pairs = zip(forward.photos, forward.views, strict=True)
        pixels = torch.stack([to_input(photo, view, classifier.preprocessing) for photo, view in pairs])
        return pixels.to(classifier.device, classifier.dtype, memory_format=torch.channels_last)

    def run(images: Tensor, layer: TargetLayer) -> Recording:
        runner = modules.get(layer)
        module, parts = (runner.module, runner.modules) if runner else unwrapped(classifier.module)
        inputs = Inputs.of(images, module, output=classifier.output)
        with _computing_in(forward.precision, classifier.device):
            return record(module, inputs, layer, parts)

    def run_whole(images: Tensor, ends: Ends | None) -> Trace:
        model, _ = unwrapped(classifier.module)  # no copy: biases are those of its own modules
        with _computing_in(forward.precision, classifier.device):
            return trace(model, Inputs.of(images, model, output=classifier.output), ends=ends)

    def layers() -> Sequence[TargetLayer]:
        model, _ = unwrapped(classifier.module)
        return candidate_layers(model, Inputs.of(images()[:1], model, output=classifier.output))

    def run_with(images: Tensor, layer: TargetLayer, edit: Edit, times: int) -> Tensor:
        runner = modules[layer]
        inputs = Inputs.of(images, runner.module, output=classifier.output)
        with _computing_in(forward.precision, classifier.device):
            return logits_with(runner.module, inputs, [(layer, edit)], runner.modules, times)

    return Rerun(images, run, run_whole, cotangents, layers, run_with)


@dataclass(frozen=True, eq=False)
class Channels:
    """What the channels of a forward's layers hold for one photo.

    contributions: float32 `[K, channels]`, the sum over places of αₖAₖ for each target: if the head only pools, the
        logit is the sum of its contributions plus its bias. means: float32 `[channels]`, the mean of Aₖ over
        places.
    earlier, earlier_spread: float32, the mean and the standard deviation over places of each channel of the second
        recorded layer; empty if there is none.
    """

    contributions: NDArray[np.float32]
    means: NDArray[np.float32]
    earlier: NDArray[np.float32]
    earlier_spread: NDArray[np.float32]


def channels_of(
    forward: Forward, scored: Sequence[Sequence[ScoredTarget]], earlier: TargetLayer | None = None
) -> list[Channels]:
    """What the channels hold, for each photo.

    scored: the targets of each photo's explanation. earlier: as for `Forward.of`.
    """
    logits, early = forward.recordings[0].logits, forward.recordings[0].earlier
    contributions, means = channel_contributions(forward.recordings, _cotangents(scored, logits), forward.layers)
    none = means[:, :0]
    pooled = (none, none) if early is None or earlier is None else mean_and_spread(early, earlier)
    return [Channels(*row) for row in zip(*map(_to_numpy, (contributions, means, *pooled)), strict=True)]


def is_linear_in_means(classifier: Classifier, layer: LayerChoices) -> bool:
    """Whether a model's logits are one linear layer of the spatial means of its target layer's channels."""
    forward = _forward_of_black(classifier, layer)
    return scores_are_linear(forward.recordings, forward.layers)


def head_weights(classifier: Classifier, layer: LayerChoices, classes: Sequence[int]) -> NDArray[np.float32] | None:
    """What one unit of each channel's spatial mean adds to each class's score, `[classes, channels]`.

    The product of a row and a photo's means is the photo's contributions to that class. None where the logits are
    not one linear layer of the means, see `is_linear_in_means`.
    """
    forward = _forward_of_black(classifier, layer)
    if not scores_are_linear(forward.recordings, forward.layers):
        return None
    logits = forward.recordings[0].logits
    one_hot = logits.new_zeros(len(classes), 1, max(logits.shape[1], 2))
    one_hot[range(len(classes)), 0, list(classes)] = 1
    weights = [
        LayerSignals(recording, of_heads(one_hot, logits), layer).alpha[:, 0].float() * math.prod(layer.grid)
        for recording, layer in zip(forward.recordings, forward.layers, strict=True)
    ]
    return _to_numpy(torch.cat(weights, dim=1))


def _forward_of_black(classifier: Classifier, layer: LayerChoices) -> Forward:
    pixels = np.zeros((*classifier.preprocessing.size, 3), np.uint8)
    batch = Batch.of((Photo(pixels, "black", ""),), classifier.preprocessing, "squash")
    return Forward.of(batch, classifier, layer)


def _to_numpy(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    dtype = _AUTOCAST[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _cotangents(targets: Sequence[Sequence[ScoredTarget]], logits: Tensor) -> Tensor:
    """`[K, B, C]`: +1 at each target's class and −1 at the class it is contrasted with; 0 for what is no class."""
    images, heads = logits.shape
    cotangents = logits.new_zeros(len(targets[0]), images, max(heads, 2))
    for image, row in enumerate(targets):
        for k, target in enumerate(row):
            if not target.is_class:
                continue
            cotangents[k, image, target.index] = 1
            if target.against is not None:
                cotangents[k, image, target.against] = -1
    return of_heads(cotangents, logits)


def _cotangents_with_functions(
    targets: Sequence[Sequence[Target]], scored: Sequence[Sequence[ScoredTarget]], logits: Tensor
) -> Tensor:
    """`_cotangents`, and the gradient of each target that is a function at these logits."""
    cotangents = _cotangents(scored, logits)
    for image, row in enumerate(targets):
        for k, target in enumerate(row):
            if isinstance(target, PythonTarget):
                cotangents[k, image] = value_and_gradient(target, logits[image])[1]
    return cotangents


def of_heads(cotangents: Tensor, logits: Tensor) -> Tensor:
    """Cotangents `[K, B, classes]` as the head has its logits, `[K, B, C]`.

    A single logit y stands for two classes, −y and y: its cotangent is the positive class's minus the negative's.
    """
    return cotangents[..., 1:] - cotangents[..., :1] if logits.shape[1] == 1 else cotangents
