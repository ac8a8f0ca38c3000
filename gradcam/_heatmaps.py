"""Heatmaps on tensors: one forward, then the gradients of all targets at once.

Source: Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*,
equations 1 and 2: α_k = mean over places of ∂y/∂A_k; L = ReLU(Σ_k α_k A_k); y is a logit, before softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from math import isfinite, prod
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from torch import Tensor, nn

from gradcam.capture import Recording, logits_with, record, trace
from gradcam.errors import ClassError, MapError, MethodError, quoted
from gradcam.inputs import Batch, Inputs
from gradcam.layers import LayerChoices, candidate_layers, find_layers, merge_layers
from gradcam.methods import GRADCAM, Method, find_methods
from gradcam.methods.method import average
from gradcam.modules import Modules
from gradcam.python_target import gradients_of, python_target
from gradcam.running import unwrapped
from gradcam.scores import Output
from gradcam.signals import LayerSignals, Rerun, mean_over_places, one_hot, signals_of
from gradcam.types import ClassTable, PythonTarget, TargetLayer

Scalar: TypeAlias = Callable[[Tensor], Tensor]
Classes: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]] | Scalar | Sequence[Scalar]
"""What `heatmaps` explains: classes by index, or functions of an image's logits."""


@overload
def heatmaps(
    model: nn.Module,
    batch: Batch,
    classes: Classes,
    layer: LayerChoices = "auto",
    *,
    method: str = GRADCAM.name,
    input: int | str | None = None,
    output: Output = None,
) -> Tensor: ...


@overload
def heatmaps(
    model: nn.Module,
    batch: Batch,
    classes: Classes,
    layer: LayerChoices = "auto",
    *,
    method: list[str] | tuple[str, ...],
    input: int | str | None = None,
    output: Output = None,
) -> tuple[Tensor, ...]: ...


def heatmaps(
    model: nn.Module,
    batch: Batch,
    classes: Classes,
    layer: LayerChoices = "auto",
    *,
    method: str | list[str] | tuple[str, ...] = GRADCAM.name,
    input: int | str | None = None,
    output: Output = None,
) -> Tensor | tuple[Tensor, ...]:
    """Raw maps of any classifier.

    batch: `[B, C, H, W]`, preprocessed, on the model's device; a NumPy array is put there. For a model of several
        inputs a tuple or list of all of them, or a mapping by the names of its forward's arguments.
    classes: one class, a list of K classes for every image, or B lists of K classes each. Or a function, or a list
        of K, that makes one number of an image's logits `[C]`: its gradient takes the place of a logit's.
    layer: `"auto"`, a module's name, an index into `candidate_layers(model)`, a `TargetLayer`, or several of these,
        whose raw maps are averaged on the finest of their grids, unless the method says otherwise; each costs a
        forward.
    method: a row of `methods.METHODS`, bare or in wrappers such as `SmoothGrad(LayerCAM)`, or several, which share
        one forward and its gradients.
    input: which of several inputs the heatmaps lie on, by position or name; by default the first with images.
    output: which of several outputs are the class scores: an index, a key or attribute, or a function of them all;
        needed only where several can be and none is named like scores (`logits`, `prediction`, …).
    Returns: `[B, K, h, w]` on the layer's own grid, or on one of the method's own, in the units of the method, not
        below 0 unless it is signed; float64 for a float64 model, else float32, also under autocast and for
        half-precision models. For several methods a tuple of these, in their order.
    Raises: ClassError, LayerError, ModelError, OptionError, or MapError where a map is not finite.
    """
    model, modules = unwrapped(model)
    methods, inputs = find_methods(method), Inputs.of(batch, model, input, output)
    layers = find_layers(model, inputs, layer, modules, needs_layer=any(one.reads_layer for one in methods))
    recordings = [record(model, inputs, found, modules) for found in layers]
    functions, logits = _functions(classes), recordings[0].logits
    indices = None if functions else class_table(classes, *logits.shape)

    def cotangents(logits: Tensor) -> Tensor:
        return gradients_of(functions, logits) if indices is None else one_hot(indices, logits)

    wanted = cotangents(logits) if indices is None else indices
    rerun = _rerun(model, modules, inputs, cotangents)
    signals = signals_of(recordings, layers, methods, wanted, rerun, linear=not functions)
    found = tuple(fused_maps(signals, one) for one in methods)
    for maps in found:
        # NaN and infinity show in the sum, which is found sooner; a sum of huge values is infinite, too
        if not isfinite(maps.sum().item()) and not maps.isfinite().all():
            column = int((~maps.isfinite()).flatten(2).any(2).any(0).nonzero()[0])
            named = functions[column] if indices is None else f"class {sorted({row[column] for row in indices})}"
            where = f"layer {quoted(merge_layers(layers).name)}" if layers[0].name else "the model"
            raise MapError(
                f"expected finite heat from {where} for {named}, "
                "got NaN or infinity; check the weights and the input, or use float32"
            )
    return found[0] if isinstance(method, str) else found


def _rerun(model: nn.Module, modules: Modules, inputs: Inputs, cotangents: Callable[[Tensor], Tensor]) -> Rerun:
    """Runs these inputs again, under the autocast that is on now, whichever is on when a part is called."""
    rerun = Rerun(
        lambda: inputs.images,
        lambda images, found: record(model, inputs.repeated(images), found, modules),
        lambda images, ends: trace(model, inputs.with_images(images), ends=ends),
        cotangents,
        lambda: candidate_layers(model, inputs),
        lambda images, found, edit, times: logits_with(
            model, inputs.repeated(images), [(found, edit)], modules, times
        ),
    )
    device = inputs.images.device.type
    if not torch.is_autocast_enabled(device):  # and nothing here switches it on
        return rerun
    now = torch.autocast(device, torch.get_autocast_dtype(device))
    return Rerun(**{part.name: now(getattr(rerun, part.name)) for part in fields(rerun)})


def _functions(classes: Classes) -> list[PythonTarget]:
    """The functions among the classes, all or none. Raises: ClassError for a mixture."""
    given = classes if isinstance(classes, list | tuple) else [classes]
    functions = [python_target(one) for one in given if callable(one)]
    if functions and len(functions) < len(given):
        raise ClassError(f"expected classes or functions, got both in {quoted(classes)}; ask for them apart")
    return functions


def _without_autocast(device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def fused_maps(signals: Sequence[LayerSignals], method: Method) -> Tensor:
    """A method's maps of one or several layers, `[B, K, h, w]`, fused on the finest of their grids; a single
    map is not changed.

    The forward may have run under autocast; these computations do not.
    Raises: MethodError if the method fuses layers in its own way and there is one layer.
    """
    if len(signals) == 1 and method.fuse is not average:
        raise MethodError(
            f"expected several layers for {method.name}, got {quoted(signals[0].layer.name)} alone; name "
            "them, such as --layer 'layer3 + layer4'"
        )
    with _without_autocast(signals[0].recording.logits.device.type):
        maps = [method.compute(one) for one in (signals if method.reads_layer else signals[:1])]
        if len(maps) > 1:
            finest = max((heat.shape[2:] for heat in maps), key=prod)
            maps = [nn.functional.interpolate(heat, finest, mode="bilinear") for heat in maps]
            maps = [method.fuse(torch.stack(maps))]
    heat, count = maps[0], signals[0].count
    # a method that knows no classes gives one map for all of them
    return heat if heat.shape[1] == count else heat.expand(-1, count, -1, -1).contiguous()


def channel_contributions(
    recordings: Sequence[Recording], cotangents: Tensor, layers: Sequence[TargetLayer]
) -> tuple[Tensor, Tensor]:
    """Each channel's share of each score, cₖ = Σ over places of αₖAₖ, and the mean of Aₖ over places.

    cotangents: the gradients of the scores at the logits, `[K, B, C]`.
    Returns: contributions `[B, K, channels]` and means `[B, channels]`; the channels of several layers are
        concatenated; float32, or float64 for a float64 model.
    """
    contributions, means = [], []
    with _without_autocast(cotangents.device.type):
        for recording, layer in zip(recordings, layers, strict=True):
            mean = mean_over_places(recording.activation.detach(), layer)
            alpha = LayerSignals(recording, cotangents, layer).alpha
            contributions.append((alpha * mean * prod(layer.grid)).transpose(0, 1))
            means.append(mean)
    return torch.cat(contributions, dim=2), torch.cat(means, dim=1)


def class_table(classes: Any, images: int, heads: int) -> ClassTable:
    """`classes` in any accepted form as a table of indices that the model has.

    Raises: ClassError, also for fractions, booleans and masks, which are no indices.
    """
    listed = _as_lists(classes)
    if not isinstance(listed, list):
        listed = [listed]
    if listed and all(type(index) is int and 0 <= index < heads for index in listed):  # as most are
        return [listed] * images
    is_table = any(isinstance(row, list) for row in listed)
    table = listed if is_table else [listed] * images
    widths = {len(row) if isinstance(row, list) else -1 for row in table}
    if len(widths) > 1:
        raise ClassError(
            "expected a class index, K of them, or as many for each image, "
            f"got {quoted(classes)}; give every image equally many"
        )
    if len(table) != images or 0 in widths:
        raise ClassError(
            f"expected class lists for {images} image(s), got a table {[len(table), *widths]}; "
            "pass one list for all images or one list for each"
        )
    indices = [index for row in table for index in row]
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in indices):
        raise ClassError(f"expected whole numbers as class indices, got {quoted(classes)}; name classes by index")
    if outside := [index for index in indices if not 0 <= index < heads]:
        raise ClassError(f"expected a class index from 0 to {heads - 1}, got {outside[0]}")
    return table


def _as_lists(classes: Any) -> Any:
    """Numbers of any library, and collections of them, as plain numbers and lists."""
    if isinstance(classes, (Tensor, np.ndarray, np.generic)):
        return classes.tolist()
    if isinstance(classes, (int, str, bytes)) or not isinstance(classes, Sequence):
        return classes
    return [_as_lists(entry) for entry in classes]
