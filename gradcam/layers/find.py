"""Find the target layer of any image classifier from its own data flow.

One forward is traced with autograd on. From the class scores back to the pixels, the target layer is the first
module output that every path passes through, that still has a layout in space, whose places the gradient of the
scores reaches, and whose places are measured to answer to their own part of the image. No architecture is known by
name here.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from gradcam.as_found import changed_by_forward
from gradcam.capture import Trace, trace
from gradcam.errors import LayerError, ModelError, OptionError, any_of, close_to, quoted
from gradcam.inputs import Batch, Inputs
from gradcam.layers.disk_cache import kept_at, read_kept, read_shipped, request_of, write_kept
from gradcam.layers.fingerprint import fingerprint
from gradcam.layers.flow import Flow
from gradcam.layers.inputs import input_shapes, noise_like, weight_of
from gradcam.layers.layer_text import SEPARATOR
from gradcam.layers.placement import Measurement
from gradcam.layers.proof import Proof
from gradcam.layers.target import find_candidates, find_named, find_target
from gradcam.modules import Modules
from gradcam.running import lock_of, unwrap, unwrapped
from gradcam.scores import ENDS, Output
from gradcam.types import TargetLayer

LayerChoice = str | int | TargetLayer | nn.Module
"""`"auto"`, a module's name or the module itself, an index into `candidate_layers(model)`, or a `TargetLayer`."""

LayerChoices = LayerChoice | Sequence[LayerChoice]
"""One layer, or several as a list or as a text such as `"features.22 + features.29"`."""

InputSize = tuple[int, int] | Batch | Inputs | None
"""Height and width in pixels, a preprocessed example as `heatmaps` takes it, or None for the model's own size."""

Answer = TypeVar("Answer")


def resolve_target_layer(
    model: nn.Module,
    input_size: InputSize = None,
    layer: LayerChoice = "auto",
    *,
    input: int | str | None = None,
    output: Output = None,
) -> TargetLayer:
    """The layer of `model` on whose output a heatmap is drawn.

    input_size: height and width in pixels, or a preprocessed example as `heatmaps` takes it; by default the size
        that the model's own configuration names, or else 224×224.
    input, output: which of the model's inputs and outputs are meant, as `heatmaps` takes them.
    layer: what to resolve; by default the model's own target layer is searched.
    Costs about fifteen forwards of one image, once for each model, head and input size. A model on the meta device
    is resolved from its shapes alone.
    Raises: LayerError where the layer does not exist, has no layout in space or none can be found; ModelError where
    the model is no classifier; OptionError for another size.
    """
    return _at_size(model, input_size, lambda inputs: find_layer(model, inputs, layer), input, output)


def candidate_layers(
    model: nn.Module,
    input_size: InputSize = None,
    *,
    input: int | str | None = None,
    output: Output = None,
) -> list[TargetLayer]:
    """The layers where a heatmap makes sense, from early to late: one for each stage, or one for each block if the
    network keeps one grid. The last one is the target layer.

    input_size, input, output: as in `resolve_target_layer`.
    Raises: as `resolve_target_layer`.
    """
    return _at_size(model, input_size, lambda inputs: list(_remembered(model, inputs, "candidates")), input, output)


def find_layer(
    model: nn.Module, batch: Batch | Inputs, layer: LayerChoice = "auto", modules: Modules | None = None
) -> TargetLayer:
    """`resolve_target_layer` for a batch that is already there.

    batch: `[B, C, H, W]`, preprocessed, on the model's device, of which only shape, type and device are used; or
        all `Inputs`, of which the first of each other tensor is used, too.
    modules: the modules that `unwrapped` returned with `model`, if the caller has them.
    """
    if isinstance(layer, TargetLayer):
        return layer
    if isinstance(layer, nn.Module):
        layer = _name_of(layer, unwrap(model))
    if isinstance(layer, str):
        return _remembered(model, batch, layer, modules)[0]
    if isinstance(layer, bool) or not isinstance(layer, int):
        raise LayerError(
            f"expected a layer, got {type(layer).__name__}; pass 'auto', a module or its name, or a number among "
            "candidate_layers(model)"
        )
    candidates = _remembered(model, batch, "candidates", modules)
    if not -len(candidates) <= layer < len(candidates):
        raise LayerError(f"expected a candidate layer from 0 to {len(candidates) - 1}, got {layer}")
    return candidates[layer]


def find_layers(
    model: nn.Module,
    batch: Batch | Inputs,
    layers: LayerChoices = "auto",
    modules: Modules | None = None,
    *,
    needs_layer: bool = True,
) -> tuple[TargetLayer, ...]:
    """`find_layer` for one layer or for each of several.

    needs_layer: False if no method reads a layer; then a model without a target layer gets its input for one.
    Raises: LayerError as `find_layer`, and where there are none.
    """
    if not needs_layer and layers == "auto":
        with suppress(LayerError):
            return find_layers(model, batch, layers, modules)
        return (input_as_layer(Inputs.of(batch, model).images),)
    if isinstance(layers, str):
        layers = layers.split(SEPARATOR)
    elif not isinstance(layers, Sequence):
        layers = [layers]
    found = tuple(find_layer(model, batch, layer, modules) for layer in layers)
    if not found:
        raise LayerError("expected at least one layer, got none; name one or use 'auto'")
    return found


def input_as_layer(images: Tensor) -> TargetLayer:
    """The model's input in the place of a target layer; its name is empty. images: `[B, C, H, W]`."""
    height, width = images.shape[2:]
    return TargetLayer("", (height, width), images.shape[1], "the model's input")


def merge_layers(layers: Sequence[TargetLayer]) -> TargetLayer:
    """Several layers as one: their names, the finest of their grids, all their channels."""
    if len(layers) == 1:
        return layers[0]
    grid = max((layer.grid for layer in layers), key=prod)
    channels = sum(layer.channels for layer in layers)
    rule = "the mean of the heatmaps of several layers, laid on the finest of their grids"
    return TargetLayer(SEPARATOR.join(layer.name for layer in layers), grid, channels, rule)


def target_layer_support(model: nn.Module, input_size: InputSize = None) -> tuple[TargetLayer, float]:
    """The target layer, and the share of its grid that the gradient of the highest scores reaches, in [0, 1].

    Raises: as `resolve_target_layer`.
    """

    def ask(inputs: Inputs) -> tuple[TargetLayer, float]:
        with _plainly_computing(inputs.images.device):
            flow, proof = _flow(unwrap(model), inputs)
            found = find_target(flow, proof)
            return found.layer, flow.support(found)

    return _at_size(model, input_size, ask)


def measure_target(model: nn.Module, input_size: InputSize = None) -> tuple[TargetLayer, Measurement]:
    """The target layer, and how well its places answer to their own part of the image.

    Raises: as `resolve_target_layer`.
    """

    def ask(inputs: Inputs) -> tuple[TargetLayer, Measurement]:
        with _plainly_computing(inputs.images.device):
            flow, proof = _flow(unwrap(model), inputs)
            found = find_target(flow, proof)
            return found.layer, proof.measure(found, replace(found.layer, rule=""))

    return _at_size(model, input_size, ask)


def _at_size(
    model: nn.Module,
    size: InputSize,
    ask: Callable[[Inputs], Answer],
    input: int | str | None = None,
    output: Output = None,
) -> Answer:
    """The answer of `ask` for a batch of this size, in the first likely shape that the model takes."""
    model = unwrap(model)
    if size is not None and not _is_size(size):
        return ask(Inputs.of(size, model, input, output))
    shapes = input_shapes(model, size)
    weight = weight_of(model)
    failures: list[ModelError] = []
    for shape in shapes:
        try:
            return ask(Inputs.of(weight.new_empty(1, *shape), model, output=output))
        except ModelError as error:
            failures.append(error)
    raise failures[0]


def _is_size(value: object) -> TypeGuard[tuple[int, int]]:
    """Whether a value is meant as height and width. Raises: OptionError for whole numbers that can be no size."""
    if not (isinstance(value, (tuple, list)) and value and all(isinstance(side, int) for side in value)):
        return False
    if len(value) != 2 or min(value) < 1:
        raise OptionError(f"expected height and width in pixels, got {quoted(value)}; give two numbers above 0")
    return True


def _name_of(module: nn.Module, model: nn.Module) -> str:
    """The dotted name of a module of `model`. Raises: LayerError if `module` is not one of them."""
    wanted = unwrap(module)
    name = next((name for name, found in model.named_modules() if found is wanted), None)
    if not name:
        got = "the model itself" if name == "" else f"a {type(wanted).__name__} that is not part of it"
        raise LayerError(f"expected a module inside the model, got {got}; pass one of model.named_modules()")
    return name


@dataclass(eq=False)
class _Memory:
    """What was found in a model, by size, request and the model's settings.

    counters: attributes that a forward changes, such as a number of calls; they are no settings.
    """

    found: dict[tuple[object, ...], list[TargetLayer]] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()


_memories: weakref.WeakKeyDictionary[nn.Module, _Memory] = weakref.WeakKeyDictionary()
_memories_guard = threading.Lock()


def _remembered(
    model: nn.Module, batch: Batch | Inputs, layer: str, modules: Modules | None = None
) -> list[TargetLayer]:
    """The answer of `_search`, from memory if the model's modules, settings and head have not changed since."""
    if modules is None:
        model, modules = unwrapped(model)
    inputs = Inputs.of(batch, model)
    with _memories_guard:
        memory = _memories.setdefault(model, _Memory())
    request = (inputs.key, inputs.images.is_meta, layer)
    key = (*request, fingerprint(modules, memory.counters))
    if key not in memory.found:  # else no need to wait for another thread's forward
        with lock_of(model):
            if key not in memory.found:
                found = _kept_or_searched(model, inputs, layer)
                memory.counters |= changed_by_forward(model)
                memory.found[*request, fingerprint(modules, memory.counters)] = found
                return found
    return memory.found[key]


def _kept_or_searched(model: nn.Module, inputs: Inputs, layer: str) -> list[TargetLayer]:
    """The answer of `_search`; for a model loaded by id, the one that came along or was kept before."""
    request = request_of(model, inputs, layer)
    if request and (found := read_shipped(request, model)):
        return found
    file = kept_at(request) if request else None
    found = read_kept(file, model) if file is not None else None
    if found is None:
        found = _search(model, inputs, layer)
        if file is not None:
            write_kept(file, found)
    return found


def _search(model: nn.Module, inputs: Inputs, layer: str) -> list[TargetLayer]:
    """The target layer (`auto`), all candidates, or the layer of this name, found in one traced forward."""
    names = [name for name, _ in model.named_modules() if name]
    if layer not in ("auto", "candidates", *names):
        raise LayerError(f"expected the name of a layer, got {quoted(layer)}; {_suggestion(layer, names)}")
    with _plainly_computing(inputs.images.device):
        flow, proof = _flow(model, inputs)
        if layer == "auto":
            found = [find_target(flow, proof).layer]
        elif layer == "candidates":
            found = find_candidates(flow, proof)
        else:
            found = [find_named(flow, proof, layer)]
    return [replace(one, rule=one.rule + ENDS[flow.ends_in]) for one in found]


@contextmanager
def _plainly_computing(device: torch.device) -> Iterator[None]:
    """Compute with autograd and in the model's own precision, whatever the caller has switched on."""
    with ExitStack() as stack:
        if device.type != "meta" and torch.is_autocast_enabled(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


def _suggestion(layer: str, names: Sequence[str]) -> str:
    """What was meant: the layer without a wrapper's prefix, such as `module.` of DataParallel, or else names spelt
    like it; some names where none is.
    """
    parts = layer.split(".")
    inner = [name for n in range(1, len(parts)) if (name := ".".join(parts[n:])) in names]
    if meant := inner[:1] or close_to(layer, names):
        return f"did you mean {any_of(meant)}?"
    return f"none is spelt like it: name a module, such as {any_of(names[:3])}"


def _flow(model: nn.Module, inputs: Inputs) -> tuple[Flow, Proof]:
    """The flow of noise, shaped like the images, through a model with a head, and the proof of its layers."""
    if getattr(model, "num_classes", None) == 0:
        raise ModelError(
            f"expected a classifier, got {type(model).__name__} without a head (num_classes=0); "
            "build it with a head, such as num_classes=1000, and load weights that have one"
        )
    two = inputs.first(2).with_images(noise_like(inputs.images, weight_of(model).dtype))
    flow = Flow(_traced(model, two), getattr(model, "num_prefix_tokens", None))
    return flow, Proof(model, two, flow)


def _traced(model: nn.Module, two: Inputs) -> Trace:
    """Trace two images: the first dimension then tells maps from windows that are folded into the batch.

    Trace one image if the model takes no more.
    """
    try:
        return trace(model, two)
    except ModelError as error:
        try:
            return trace(model, two.first(1))
        except ModelError:
            raise error from None
