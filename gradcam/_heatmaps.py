"""Grad-CAM on tensors: one forward, then the gradients of all targets at once.

Source: Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*,
equations 1 and 2: α_k = mean over places of ∂y/∂A_k; L = ReLU(Σ_k α_k A_k); y is a logit, before softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradcam.capture import Recording, record
from gradcam.errors import ClassError, LayerError, MapError, ModelError, quoted
from gradcam.inputs import Batch, Inputs
from gradcam.layers import LayerChoices, find_layers, merge_layers
from gradcam.layers.graph import before_linear, edge_after_pooling, holds_the_same, shape_at
from gradcam.layers.layouts import place_dims, to_grid
from gradcam.methods import GRADCAM, Method
from gradcam.running import unwrapped
from gradcam.scores import Output
from gradcam.types import TargetLayer

LEAST_CHUNK = 2 << 20
"""Bytes of gradients that are always computed at once: little beside the memory of the forward itself."""

CHUNKS = 24
"""For large models the limit grows to 1/24 of the weights' bytes, so that a large head is read once or a few times
for all targets, and little memory is added."""


ENLARGED = 2**12
"""Gradients of float16 networks are computed this many times larger: values below 6e-8 would become zero."""


def heatmaps(
    model: nn.Module,
    batch: Batch,
    classes: int | Sequence[int] | Sequence[Sequence[int]],
    layer: LayerChoices = "auto",
    *,
    input: int | str | None = None,
    output: Output = None,
) -> Tensor:
    """Raw Grad-CAM maps of any classifier.

    batch: `[B, C, H, W]`, preprocessed, on the model's device; a NumPy array is put there. For a model of several
        inputs a tuple or list of all of them, or a mapping by the names of its forward's arguments.
    classes: one class, a list of K classes for every image, or B lists of K classes each.
    layer: `"auto"`, a module's name, an index into `candidate_layers(model)`, a `TargetLayer`, or several of these,
        whose raw maps are averaged on the finest of their grids; each costs a forward.
    input: which of several inputs the heatmaps lie on, by position or name; by default the first with images.
    output: which of several outputs are the class scores: an index, a key or attribute, or a function of them all;
        needed only where several can be and none is named like scores (`logits`, `prediction`, …).
    Returns: `[B, K, h, w]` on the layer's own grid, not below 0, in the units of eq. 2; float64 for a float64
        model, else float32, also under autocast and for half-precision models.
    Raises: ClassError, LayerError, ModelError, OptionError, or MapError where a map is not finite.
    """
    inputs = Inputs.of(batch, model, input, output)
    model, modules = unwrapped(model)
    layers = find_layers(model, inputs, layer, modules)
    recordings = [record(model, inputs, found, modules) for found in layers]
    indices = class_table(classes, *recordings[0].logits.shape)
    maps = averaged_maps(recordings, one_hot(indices, recordings[0].logits), layers, GRADCAM)
    if not maps.isfinite().all():
        column = int((~maps.isfinite()).flatten(2).any(2).any(0).nonzero()[0])
        named = indices[:, column].unique().tolist()
        raise MapError(
            f"expected finite heat from layer {quoted(merge_layers(layers).name)} for class {named}, "
            "got NaN or infinity; check the weights and the input, or use float32"
        )
    return maps


def averaged_maps(
    recordings: Sequence[Recording], cotangents: Tensor, layers: Sequence[TargetLayer], method: Method
) -> Tensor:
    """The layers' maps, averaged on the finest of their grids; a single layer's map is not changed.

    The forward may have run under autocast; these computations do not.
    """
    with torch.autocast(cotangents.device.type, enabled=False):
        pairs = zip(recordings, layers, strict=True)
        maps = [_maps(recording, cotangents, layer, method) for recording, layer in pairs]
        if len(maps) == 1:
            return maps[0]
        finest = merge_layers(layers).grid
        return torch.stack([nn.functional.interpolate(heat, finest, mode="bilinear") for heat in maps]).mean(dim=0)


def _maps(recording: Recording, cotangents: Tensor, layer: TargetLayer, method: Method) -> Tensor:
    """Equation 1 and the method's formula, for scores that are weighted sums of logits.

    cotangents: the weights `[K, B, C]`, one-hot for a class, +1 and −1 for a contrast.
    Returns: `[B, K, h, w]`, float32 or the model's own float64, not attached to any graph.
    """
    precision = torch.promote_types(recording.activation.dtype, torch.float32)
    activation = to_grid(recording.activation.detach(), layer).to(precision)
    alpha = channel_weights(recording, cotangents, layer, precision)
    return method.combine(activation, alpha)


def channel_contributions(
    recordings: Sequence[Recording], cotangents: Tensor, layers: Sequence[TargetLayer]
) -> tuple[Tensor, Tensor]:
    """Each channel's share of each score, cₖ = Σ over places of αₖAₖ, and the mean of Aₖ over places.

    cotangents: `[K, B, C]`, as for `averaged_maps`.
    Returns: contributions `[B, K, channels]` and means `[B, channels]`; the channels of several layers are
        concatenated; float32, or float64 for a float64 model.
    """
    contributions, means = [], []
    with torch.autocast(cotangents.device.type, enabled=False):
        for recording, layer in zip(recordings, layers, strict=True):
            mean = mean_over_places(recording.activation.detach(), layer)
            alpha = channel_weights(recording, cotangents, layer, mean.dtype)
            contributions.append((alpha * mean * prod(layer.grid)).transpose(0, 1))
            means.append(mean)
    return torch.cat(contributions, dim=2), torch.cat(means, dim=1)


def scores_are_linear(recordings: Sequence[Recording], layers: Sequence[TargetLayer]) -> bool:
    """Whether the logits are one linear layer of the layers' spatial means, so that its weights tell the
    contributions to any class without another pass."""
    for recording, layer in zip(recordings, layers, strict=True):
        own_edge, logits = recording.gradient_edge, recording.logits
        if not isinstance(own_edge, Tensor):
            return False
        edge = edge_after_pooling(own_edge, place_dims(layer, recording.activation.shape), logits)
        start, _ = before_linear(logits, one_hot(logits.new_zeros(len(logits), 1, dtype=torch.int64), logits))
        if edge is None or not holds_the_same(start, edge):
            return False
    return True


def mean_over_places(output: Tensor, layer: TargetLayer) -> Tensor:
    """The mean of a layer's output over its grid, `[B, channels]`; float32, or float64 for a float64 model."""
    precision = torch.promote_types(output.dtype, torch.float32)
    return to_grid(output, layer).mean((2, 3), dtype=precision)


def channel_weights(recording: Recording, cotangents: Tensor, layer: TargetLayer, precision: torch.dtype) -> Tensor:
    """Equation 1: α `[K, B, channels]`, the mean gradient over the places of the grid.

    If the scores see the activation only through spatial pooling, the gradient is taken after the pooling, and
    nothing of the grid's size is computed.
    """
    logits, activation, own_edge = recording.logits, recording.activation, recording.gradient_edge
    dims = place_dims(layer, activation.shape)
    edge = edge_after_pooling(own_edge, dims, logits) if isinstance(own_edge, Tensor) else None
    shape = activation.shape if edge is None else shape_at(edge)
    summed_dims = tuple(dim + 1 for dim in dims) if len(shape) == activation.ndim else ()  # none after a mean
    start, cotangents = before_linear(logits, cotangents)
    is_there = edge is not None and holds_the_same(start, edge)

    def weights(chunk: Tensor) -> Tensor:
        if is_there:  # the head is one linear layer after the pooling, and its weights are the gradient
            gradient = chunk.reshape(len(chunk), *shape)
        else:
            gradient = _gradients(start, own_edge if edge is None else edge, chunk)
        if edge is None:  # tokens, of which some lie outside the grid
            grids = to_grid(gradient.flatten(0, 1), layer)
            return grids.mean(dim=(2, 3), dtype=precision).unflatten(0, gradient.shape[:2])
        summed = gradient.sum(summed_dims, dtype=precision) if summed_dims else gradient.to(precision)
        return summed / prod(layer.grid)

    chunks = cotangents.split(_chunk_size(recording, prod(shape) * activation.element_size(), len(cotangents)))
    if torch.float16 in (logits.dtype, activation.dtype):
        enlarged = torch.cat([weights(chunk * ENLARGED) for chunk in chunks]) / ENLARGED
        if enlarged.isfinite().all():
            return enlarged
    return torch.cat([weights(chunk) for chunk in chunks])


def _chunk_size(recording: Recording, nbytes: int, count: int) -> int:
    """How many of `count` gradients, each of `nbytes`, may be in memory together."""
    if count * nbytes <= LEAST_CHUNK:
        return count
    weights = sum(weight.nbytes for weight in recording.model.parameters())
    return max(1, max(LEAST_CHUNK, weights // CHUNKS) // nbytes)


def one_hot(classes: Tensor, logits: Tensor) -> Tensor:
    """Cotangents `[K, B, C]` that pick `classes` `[B, K]` out of the logits `[B, C]`."""
    cotangents = logits.new_zeros(classes.shape[1], *logits.shape)
    return cotangents.scatter_(2, classes.T[..., None].to(logits.device), 1)


def _gradients(start: Tensor | GradientEdge, end: Tensor | GradientEdge, cotangents: Tensor) -> Tensor:
    """∂(cotangent · start)/∂end for every cotangent, `[K, *shape of end]`."""

    def backward(cotangent: Tensor, *, batched: bool) -> Tensor:
        (gradient,) = torch.autograd.grad(
            start, end, cotangent, retain_graph=True, is_grads_batched=batched, allow_unused=True
        )
        if gradient is None:
            raise LayerError(
                "the class scores do not depend on the target layer as autograd sees it; name another layer, "
                "or take detach, no_grad and re-entrant checkpoints out of the model's forward"
            )
        return gradient

    if len(cotangents) > 1:
        try:
            return backward(cotangents, batched=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            pass  # an operation without a batching rule: below, one target after the other
    try:
        return torch.stack([backward(cotangent, batched=False) for cotangent in cotangents])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ModelError(
            f"expected a model that autograd can differentiate, got {quoted(str(error))}; "
            "name a later layer, or remove what autograd cannot follow"
        ) from error


def class_table(classes: Any, images: int, heads: int) -> Tensor:
    """`classes` in any accepted form as a table `[B, K]` of indices that the model has.

    Raises: ClassError, also for fractions, booleans and masks, which are no indices.
    """
    try:
        table = classes.detach().cpu().numpy() if isinstance(classes, Tensor) else np.asarray(classes)
    except (TypeError, ValueError) as error:
        raise ClassError(
            "expected a class index, K of them, or as many for each image, "
            f"got {quoted(classes)}; give every image equally many"
        ) from error
    if table.size and (table.dtype.kind not in "iu" or _has_booleans(classes)):
        raise ClassError(f"expected whole numbers as class indices, got {quoted(classes)}; name classes by index")
    if table.ndim < 2:
        table = table.reshape(1, -1).repeat(images, axis=0)
    if table.ndim != 2 or len(table) != images or table.shape[1] == 0:
        raise ClassError(
            f"expected class lists for {images} image(s), got a table {list(table.shape)}; "
            "pass one list for all images or one list for each"
        )
    outside = table[(table < 0) | (table >= heads)]
    if len(outside):
        raise ClassError(f"expected a class index from 0 to {heads - 1}, got {int(outside[0])}")
    return torch.from_numpy(table.astype(np.int64))


def _has_booleans(classes: Any) -> bool:
    """Whether a truth value is among the indices, where NumPy would read it as 0 or 1."""
    if isinstance(classes, (list, tuple)):
        return any(map(_has_booleans, classes))
    return isinstance(classes, (bool, np.bool_)) or getattr(classes, "dtype", None) in (torch.bool, np.dtype(bool))
