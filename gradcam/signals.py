"""What one recorded forward tells methods: activations, gradients and more, each computed when it is first read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradcam.attention import TracedAttention, is_close
from gradcam.biases import at_places, full_gradients
from gradcam.capture import Edit, Ends, Recording, Trace
from gradcam.errors import LayerError, MethodError, ModelError, quoted
from gradcam.gradients import chunk_size, differentiate, in_plain_order
from gradcam.guided import guided_gradients
from gradcam.layers import input_as_layer
from gradcam.layers.graph import before_linear, edge_after_pooling, holds_the_same, shape_at
from gradcam.layers.layouts import place_dims, to_grid
from gradcam.methods import Method, Signals
from gradcam.types import ClassTable, TargetLayer

IMAGES_TOGETHER = 16
"""Images in one forward of a method that needs many."""

ENLARGED = 2**12
"""Gradients of float16 networks are computed this many times larger: values below 6e-8 would become zero."""


OnForwards: TypeAlias = Callable[[int, int], None]
"""Takes how many forwards of a method are done, and of how many; called before each batch of them. A method that
runs another one several times tells of all its forwards together. An exception that it raises ends the explanation.
"""


def say_nothing(done: int, total: int) -> None:
    """An `OnForwards` for callers that do not wait."""


@dataclass(frozen=True, eq=False)
class Rerun:
    """How to run the model again, for methods that need more than one forward.

    images: prepares them once more, `[B, channels, H, W]`. record: runs a forward of others, of whose batch B is a
        part. trace: runs one with autograd on from the images on; the second argument is `ends` of `capture.trace`.
    cotangents: the gradients `[K, B, C]` of the scores at other logits `[B, C]`. layers: those of
        `candidate_layers`. logits_with: those of a forward of others in which the layer's output is changed; the
        last argument is `times` of `capture.logits_with`. on_forwards: see there.
    """

    images: Callable[[], Tensor]
    record: Callable[[Tensor, TargetLayer], Recording]
    trace: Callable[[Tensor, Ends | None], Trace]
    cotangents: Callable[[Tensor], Tensor]
    layers: Callable[[], Sequence[TargetLayer]]
    logits_with: Callable[[Tensor, TargetLayer, Edit, int], Tensor]
    on_forwards: OnForwards = say_nothing

    def part(self, number: int, count: int) -> Rerun:
        """The same for part `number` of `count` equal ones, whose forwards are told as some of all parts'."""

        def on_forwards(done: int, total: int) -> None:
            self.on_forwards(number * total + done, count * total)

        return replace(self, on_forwards=on_forwards)


def signals_of(
    recordings: Sequence[Recording],
    layers: Sequence[TargetLayer],
    methods: Sequence[Method],
    wanted: Tensor | ClassTable,
    rerun: Rerun,
    *,
    linear: bool = True,
) -> list[LayerSignals]:
    """The signals of each layer.

    methods: all that will read the signals. wanted, rerun: as for `LayerSignals`. linear: whether each score is a
        weighted sum of logits, so that its gradients at the logits are the same for all logits.
    """
    keep = any("gradients" in method.needs for method in methods)
    found = [
        LayerSignals(recording, wanted, layer, keep, rerun, linear)
        for recording, layer in zip(recordings, layers, strict=True)
    ]
    for method in methods:
        if linear and "scores" in method.needs and "forwards" not in method.needs:
            chosen = dict(method.parameters)
            for signals in found:  # known before the first gradient is computed, they are computed with it
                signals.rather_than_similar(int(chosen["classes"]), float(chosen["gamma"]))
    return found


@dataclass(frozen=True, eq=False)
class LayerSignals(Signals):
    """The `Signals` of one layer; see there what each part is.

    wanted: the gradients of the scores at the logits, `[K, B, C]`, one-hot for a class, +1 and −1 for a contrast;
        or the classes whose logits the scores are.
    keep: whether gradients stay in memory once their mean is known, because a method will read all of them; without
        it, they are computed again.
    rerun: None where no method will run the model again. linear: as for `signals_of`.
    measured: by layer and number of images, whether the model's end runs by itself; shared with all made of these.
    """

    recording: Recording
    wanted: Tensor | ClassTable
    layer: TargetLayer
    keep: bool = False
    rerun: Rerun | None = None
    linear: bool = True
    measured: dict[tuple[str, int, int], bool] = field(default_factory=dict)

    @cached_property
    def cotangents(self) -> Tensor:
        """`[K, B, C]`; of classes they are seldom read, and made when they are."""
        return self.wanted if isinstance(self.wanted, Tensor) else one_hot(self.wanted, self.recording.logits)

    @property
    def count(self) -> int:
        """How many scores there are, K."""
        return len(self.wanted if isinstance(self.wanted, Tensor) else self.wanted[0])

    @cached_property
    def images(self) -> Tensor:
        return self._rerun.images().detach()

    @cached_property
    def attention(self) -> TracedAttention:
        tokens = self.recording.activation.shape[1] if self.layer.layout == "tokens" else None
        return TracedAttention(
            self.recording.model,
            self._trace,
            (lambda logits: self.cotangents) if self.linear else self._rerun.cotangents,
            self.layer,
            tokens,
            self._traced,
        )

    @cached_property
    def _trace(self) -> Trace:
        return self._traced(None)

    def _traced(self, ends: Ends | None) -> Trace:
        self._rerun.on_forwards(0, 1)
        return self._rerun.trace(self.images, ends)

    def full_gradients(self) -> Iterator[Iterator[Tensor]]:
        images, _, *size = self.images.shape
        for cotangent in self.cotangents.split(1):
            shares = full_gradients(self._trace, cotangent)
            placed = (at_places(*share, self.layer, images, (size[0], size[1])) for share in shares)
            yield (self._precise(share[0]) for share in placed if share is not None)

    @cached_property
    def guided_gradients(self) -> Tensor:
        each = [guided_gradients(self._trace, cotangent) for cotangent in self.cotangents.split(1)]
        return self._precise(torch.cat(each))

    def stages(self) -> Iterator[LayerSignals]:
        try:
            last = {layer.grid: layer for layer in self._rerun.layers()}
        except LayerError as error:
            raise MethodError(str(error)) from error
        for number, layer in zip(self.counted(len(last)), last.values(), strict=True):
            recording = self._rerun.record(self.images, layer)
            rerun = self._rerun.part(number, len(last))
            yield replace(self, recording=recording, layer=layer, keep=False, rerun=rerun)

    @cached_property
    def scores(self) -> Tensor:
        return self._scores(self.recording.logits[None])[..., 0]

    def again(self, images: Iterable[Tensor], count: int) -> Iterator[LayerSignals]:
        for number, one in zip(self.counted(count), images, strict=True):
            rerun = replace(self._rerun.part(number, count), images=partial(_same, one))
            recording = rerun.record(one, self.layer)
            wanted = rerun.cotangents(recording.logits) if isinstance(self.wanted, Tensor) else self.wanted
            yield replace(self, recording=recording, wanted=wanted, keep=False, rerun=rerun)

    def at_input(self, images: Tensor) -> LayerSignals:
        layer = input_as_layer(images)
        recording = self._rerun.record(images.to(self.images), layer)
        return replace(self, recording=recording, layer=layer, keep=False)

    def one_by_one(self) -> Iterator[LayerSignals]:
        for number, cotangents in enumerate(self.cotangents.split(1)):
            yield replace(self, wanted=cotangents, rerun=self._rerun.part(number, self.count))

    def scores_of(self, change: Callable[[int], Tensor], count: int) -> Tensor:
        def logits(images: Tensor) -> Tensor:
            return self._rerun.record(images.to(self.images), self.layer).logits

        return self._in_batches(change, count, logits)

    def scores_with(self, change: Callable[[int], Tensor], count: int) -> Tensor:
        return self._in_batches(change, count, partial(self._logits_of, whole=not self._end_runs_alone()))

    def _logits_of(self, activation: Tensor, *, whole: bool) -> Tensor:
        """The logits `[n · B, classes]` when the layer gives `activation` `[n · B, C, h, w]`.

        whole: whether the part of the model before the layer runs n times, too.
        """
        times = len(activation) // len(self.images)
        images = self.images.repeat(times, 1, 1, 1) if whole else self.images

        def put(output: Tensor) -> None:
            to_grid(output, self.layer).copy_(activation)

        return self._rerun.logits_with(images, self.layer, put, 1 if whole else times)

    def _end_runs_alone(self) -> bool:
        """Whether the part of the model behind the layer makes of several activations what the whole model makes of
        each, measured once."""
        key = self.layer.name, self.layer.call, len(self.images)
        if key not in self.measured:
            self._rerun.on_forwards(0, 3)
            self.measured[key] = self._measure_end()
        return self.measured[key]

    def _measure_end(self) -> bool:
        """With the photos' own activation, and with none: three forwards."""
        none = torch.zeros_like(self.activation)
        whole = torch.cat([self.recording.logits, self._logits_of(none, whole=True)])
        try:
            end = self._logits_of(torch.cat([self.activation, none]), whole=False)
        except (LayerError, ModelError):  # as where a path leads around the layer
            return False
        return is_close(end, whole)

    def counted(self, count: int) -> Iterator[int]:
        for number in range(count):
            self._rerun.on_forwards(number, count)
            yield number

    def _in_batches(
        self, change: Callable[[int], Tensor], count: int, logits: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The scores `[K, B, count]` of what `change` makes. logits: of a batch of it, `[n · B, classes]`."""
        together, found = max(1, IMAGES_TOGETHER // len(self.images)), []
        for first in range(0, count, together):
            self._rerun.on_forwards(first, count)
            made = [change(number) for number in range(first, min(first + together, count))]
            found.append(self._scores(logits(torch.cat(made)).unflatten(0, (len(made), -1))))
        return torch.cat(found, 2)

    def _scores(self, logits: Tensor) -> Tensor:
        """The scores `[K, B, n]` in logits `[n, B, classes]`. Raises: MethodError if they are no weighted sums."""
        self._check_linear("a method of gradients")
        cotangents, logits = (self._precise(part.detach()) for part in (self.cotangents, logits))
        is_read = (cotangents != 0).any(0)  # other logits may be −∞, as of classes that a model rules out
        return torch.einsum("kbc,nbc->kbn", cotangents, logits.where(is_read, 0))

    @property
    def _rerun(self) -> Rerun:
        if self.rerun is None:
            raise MethodError("expected a method that needs one forward, got one that needs more; use Grad-CAM")
        return self.rerun

    @cached_property
    def activation(self) -> Tensor:
        return self._precise(to_grid(self.recording.activation.detach(), self.layer))

    @cached_property
    def alpha(self) -> Tensor:
        """If the scores see the activation only through spatial pooling, the gradient is taken after the pooling,
        and nothing of the grid's size is computed; the weights of a linear head are that gradient."""
        if self._head_is_linear and self._start[1].shape[2] == self.activation.shape[1]:  # else places are left
            return self._precise(self._start[1]) / prod(self.layer.grid)
        return self._from_gradients(self._mean)

    @cached_property
    def gradients(self) -> Tensor:
        """If the scores see the activation only through spatial pooling, the gradient that gave `alpha` goes on
        from there, so that the model's end is walked once."""
        return self._from_gradients(self._at_every_place)

    @cached_property
    def products(self) -> Tensor:
        return self.gradients * self.activation

    @cached_property
    def curvature(self) -> Tensor:
        self._check_linear("a method that needs first derivatives only")
        if self._head_is_linear:
            return torch.zeros_like(self.gradients)
        start, cotangents = self._start
        grids = [to_grid(self._second(start, cotangent), self.layer) for cotangent in cotangents]
        return self._precise(torch.stack(grids))

    @cached_property
    def has_linear_head(self) -> bool:
        if not self._head_is_linear:
            return False
        gradients = self.gradients
        apart = gradients.amax((3, 4)) - gradients.amin((3, 4))
        return not bool((apart > 1e-5 * gradients.abs().amax((3, 4))).any())

    @cached_property
    def head(self) -> Tensor:
        if not self.has_linear_head:
            raise MethodError(
                f"expected scores that are one linear layer of the means of layer {quoted(self.layer.name)}, got a "
                "model that computes more between the two; use Grad-CAM or HiResCAM"
            )
        return self.alpha * prod(self.layer.grid)

    def _check_linear(self, instead: str) -> None:
        if not self.linear:
            raise MethodError(f"expected a class as target, got a function of the logits; use {instead}")

    def rather_than_similar(self, classes: int, gamma: float) -> LayerSignals:
        if (classes, gamma) not in self._similar:
            self._similar[classes, gamma] = self._rather_than_similar(classes, gamma)
        return self._similar[classes, gamma]

    @cached_property
    def _similar(self) -> dict[tuple[int, float], LayerSignals]:
        return {}

    def _rather_than_similar(self, classes: int, gamma: float) -> LayerSignals:
        self._check_linear("a method that knows no other classes")
        logits = self.recording.logits.detach()
        count = min(classes, logits.shape[1] - 1)
        own = self.cotangents.argmax(2, keepdim=True)
        distances = (logits - logits.expand(len(own), -1, -1).gather(2, own)).abs().scatter(2, own, torch.inf)
        nearest = distances.topk(count, dim=2, largest=False)
        known = nearest.values.isfinite().to(self.cotangents)  # not of classes that the model rules out
        shares = gamma * known / known.sum(2, keepdim=True).clamp(min=1)
        weights = torch.zeros_like(self.cotangents).scatter_(2, nearest.indices, shares)
        rerun = self.rerun and replace(
            self.rerun, cotangents=lambda logits: self._rerun.cotangents(logits) - weights
        )
        return replace(self, wanted=self.cotangents - weights, rerun=rerun)

    # --------------------------------------------------------------------------------------------- gradients

    @property
    def _precision(self) -> torch.dtype:
        return torch.float64 if self.recording.activation.dtype == torch.float64 else torch.float32

    def _precise(self, tensor: Tensor) -> Tensor:
        """The tensor in this precision; most are."""
        precision = self._precision
        return tensor if tensor.dtype == precision else tensor.to(precision)

    @cached_property
    def _pooled_edge(self) -> GradientEdge | None:
        """Where the gradient is taken if the scores see the activation only through spatial pooling."""
        own_edge, logits = self.recording.gradient_edge, self.recording.logits
        dims = place_dims(self.layer, self.recording.activation.shape)
        return edge_after_pooling(own_edge, dims, logits) if isinstance(own_edge, Tensor) else None

    @cached_property
    def _start(self) -> tuple[Tensor | GradientEdge, Tensor]:
        """Where the gradients begin, and the cotangents there."""
        found = before_linear(self.recording.logits, self.wanted)
        return (self.recording.logits, self.cotangents) if found is None else found

    @cached_property
    def _head_is_linear(self) -> bool:
        """Whether the head is one linear layer after the pooling, so that its weights are the gradient."""
        return self._pooled_edge is not None and holds_the_same(self._start[0], self._pooled_edge)

    @cached_property
    def _kept(self) -> dict[tuple[int, int], Tensor]:
        return {}

    def _from_gradients(self, read: Callable[[Tensor], Tensor]) -> Tensor:
        """What `read` makes of the gradients of a few scores at a time, `[K, …]`."""
        if torch.float16 in (self.recording.logits.dtype, self.recording.activation.dtype):
            enlarged = _joined([*map(read, self._chunks(ENLARGED))]) / ENLARGED
            if enlarged.isfinite().all():
                return enlarged
        return _joined([*map(read, self._chunks(1))])

    def _chunks(self, factor: int) -> Iterator[Tensor]:
        """The gradients of `factor` · y at the pooled or the layer's own edge, of a few scores at a time."""
        activation, edge = self.recording.activation, self._pooled_edge
        shape = activation.shape if edge is None else shape_at(edge)
        cotangents, nbytes = self._start[1], prod(shape) * activation.element_size()
        size = chunk_size(self.recording.model, nbytes, len(cotangents))
        self._share(factor, shape)
        for number, chunk in enumerate([cotangents] if size == len(cotangents) else cotangents.split(size)):
            gradient = self._kept.get((factor, number))
            if gradient is None:
                gradient = self._walk(chunk, factor, shape)
                if self.keep:
                    self._kept[factor, number] = gradient
            yield gradient

    def _walk(self, cotangents: Tensor, factor: int, shape: Sequence[int]) -> Tensor:
        """The gradients of `factor` · y back to the pooled or the layer's own edge, of this shape."""
        cotangents = cotangents * factor if factor != 1 else cotangents
        if self._head_is_linear:
            return cotangents.reshape(len(cotangents), *shape)
        edge = self.recording.gradient_edge if self._pooled_edge is None else self._pooled_edge
        return differentiate(self._start[0], cotangents, [edge])[0]

    def _share(self, factor: int, shape: Sequence[int]) -> None:
        """Compute the gradients of these and of the similar classes' scores together, if so many may be in memory:
        a large head is read once for all of them."""
        if not self._similar or (factor, 0) in self._kept:
            return
        alike = [self, *self._similar.values()]
        parts = [one._start[1] for one in alike]
        count = sum(map(len, parts))
        nbytes = prod(shape) * self.recording.activation.element_size()
        if chunk_size(self.recording.model, nbytes, count) < count:
            return
        gradients = self._walk(torch.cat(parts), factor, shape)
        for one, gradient in zip(alike, gradients.split([*map(len, parts)]), strict=True):
            one._kept[factor, 0] = gradient

    def _mean(self, gradient: Tensor) -> Tensor:
        """The mean over the places of the grid, of gradients `[K, …]` as `_chunks` yields them."""
        if self._pooled_edge is None:  # tokens, of which some lie outside the grid
            return self._on_grid(gradient).mean(dim=(3, 4), dtype=self._precision)
        dims = place_dims(self.layer, self.recording.activation.shape)
        has_places = gradient.ndim == self.recording.activation.ndim + 1  # none after a mean
        summed_dims = tuple(dim + 1 for dim in dims) if has_places else ()
        if all(gradient.shape[dim] == 1 for dim in summed_dims):  # as after a pooling to one place
            summed = self._precise(gradient.squeeze(summed_dims))
        else:
            summed = gradient.sum(summed_dims, dtype=self._precision)
        return summed / prod(self.layer.grid)

    def _at_every_place(self, gradient: Tensor) -> Tensor:
        """Gradients as `_chunks` yields them, taken on to the layer's own edge, `[K, B, C, h, w]`."""
        if self._pooled_edge is not None:
            (gradient,) = differentiate(self._pooled_edge, gradient, [self.recording.gradient_edge])
        return self._precise(self._on_grid(gradient))

    def _on_grid(self, gradient: Tensor) -> Tensor:
        return to_grid(gradient.flatten(0, 1), self.layer).unflatten(0, gradient.shape[:2])

    def _second(self, start: Tensor | GradientEdge, cotangent: Tensor) -> Tensor:
        """The second derivative of one score, applied to the activation, in the activation's own shape."""
        edge, activation = self.recording.gradient_edge, self.recording.activation.detach()
        try:
            with in_plain_order(start):
                (first,) = torch.autograd.grad(start, edge, cotangent, create_graph=True)
            if not first.requires_grad:
                return torch.zeros_like(first)
            (second,) = torch.autograd.grad(first, edge, activation, retain_graph=True, allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise MethodError(
                f"expected a model that autograd can differentiate twice, got {quoted(str(error))}; use a method "
                "that needs first derivatives only"
            ) from error
        return torch.zeros_like(first) if second is None else second


def scores_are_linear(recordings: Sequence[Recording], layers: Sequence[TargetLayer]) -> bool:
    """Whether the logits are one linear layer of the layers' spatial means, so that its weights tell the
    contributions to any class without another pass."""
    first_class = [[0]] * len(recordings[0].logits)
    pairs = zip(recordings, layers, strict=True)
    return all(LayerSignals(recording, first_class, layer)._head_is_linear for recording, layer in pairs)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """`torch.cat`, which would copy a single part as well."""
    return parts[0].contiguous() if len(parts) == 1 else torch.cat([*parts])


def _same(images: Tensor) -> Tensor:
    return images


def mean_over_places(output: Tensor, layer: TargetLayer) -> Tensor:
    """The mean of a layer's output over its grid, `[B, channels]`; float32, or float64 for a float64 model."""
    precision = torch.promote_types(output.dtype, torch.float32)
    return to_grid(output, layer).mean((2, 3), dtype=precision)


def mean_and_spread(output: Tensor, layer: TargetLayer) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of a layer's output over its grid, `[B, channels]` each, as
    `mean_over_places`; the deviation is that of these places, not of others that they were drawn from."""
    precision = torch.promote_types(output.dtype, torch.float32)
    spread, mean = torch.std_mean(to_grid(output, layer).to(precision), (2, 3), correction=0)
    return mean, spread


def one_hot(classes: ClassTable, logits: Tensor) -> Tensor:
    """Cotangents `[K, B, C]` that pick the classes out of the logits `[B, C]`."""
    picked = torch.tensor(classes, device=logits.device).T.unsqueeze(2)
    return logits.new_zeros(len(picked), *logits.shape).scatter_(2, picked, 1)
