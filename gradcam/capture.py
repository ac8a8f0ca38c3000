"""The package's only hooks: they record, trace or change a forward.

Many threads may share a model. Each forward made here holds the model's lock while its hooks are in place, and a
hook acts only in the thread that set it, so no thread sees another's activations.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_leaves, tree_map

from gradcam.errors import LayerError, quoted
from gradcam.inputs import Batch, Inputs
from gradcam.logits import GraphTooShort, read_logits, run_model
from gradcam.modules import Modules
from gradcam.reads import Reads
from gradcam.running import borrow, unwrapped
from gradcam.scores import first_tensor
from gradcam.types import TargetLayer


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward whose autograd graph reaches back to the target layer.

    model: the module that ran. logits: `[B, C]`, attached to the graph. activation: the target layer's output,
        before any later change in place.
    gradient_edge: the edge of that output in the graph; gradients are taken with respect to it.
    ends_in: how the model made probabilities of the logits, a key of `scores.ENDS`.
    earlier: the output of another layer, if one was requested.
    """

    model: nn.Module
    logits: Tensor
    activation: Tensor
    gradient_edge: Tensor | GradientEdge
    ends_in: str = ""
    earlier: Tensor | None = None


def record(
    model: nn.Module,
    batch: Batch | Inputs,
    layer: TargetLayer,
    modules: Modules | None = None,
    earlier: TargetLayer | None = None,
) -> Recording:
    """Run one forward and record autograd from the target layer on; the model is left exactly as found.

    batch: `[B, C, H, W]`, preprocessed, on the model's device, or all `Inputs`.
    layer: of an empty name for the model's input, see `input_as_layer`.
    modules: the modules that `unwrapped` returned with `model`, if the caller has them.
    earlier: a layer whose output is kept as well.

    Costs what a bare forward costs: everything before the layer runs without autograd, and no parameter needs a
    gradient. All of the forward is recorded only if a module keeps a view of the layer's output, the layer runs
    without autograd, or the forward itself works with gradients.

    Raises: LayerError if the layer never ran, or its output holds no floating-point tensor for each image.
    """
    if modules is None:
        model, modules = unwrapped(model)
    inputs = Inputs.of(batch, model)
    if not layer.name:
        return borrow(model, modules, lambda running: _record_from_input(model, running, inputs))
    enough = _enough.setdefault(model, {})
    number = enough.get(layer.name, 0)
    while True:
        begin = _BEGINS[number]
        try:
            recording = borrow(
                model, modules, lambda running, begin=begin: _record(model, running, inputs, layer, begin, earlier)
            )
        except GraphTooShort:
            number += 1
            if number == len(_BEGINS):
                raise
        else:
            enough[layer.name] = number
            return recording


def _record(
    model: nn.Module,
    running: nn.Module,
    inputs: Inputs,
    layer: TargetLayer,
    begin: _Begin,
    earlier: TargetLayer | None,
) -> Recording:
    """running: `model` or its clone. begin: how the graph begins at the layer's output, one of `_BEGINS`."""
    module = _submodule(running, layer)
    thread = threading.get_ident()
    whole = begin is not _begin_graph
    calls = 0
    found: _Begun | None = None

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        nonlocal calls, found
        if threading.get_ident() != thread:
            return
        calls += 1
        if calls != layer.call + 1:
            return
        tensor = _differentiable(output, layer)
        if not whole:
            torch.set_grad_enabled(True)  # until the block around the forward ends
        found = _Begun(*begin(tensor), tensor, tensor._version)

    def forward() -> Tensor:
        nonlocal calls, found
        calls, found = 0, None
        with torch.set_grad_enabled(whole):
            copies = inputs.copied()
            return run_model(
                running, copies.with_images(copies.images.requires_grad_().clone()) if whole else copies
            )

    with module.register_forward_hook(keep), _outputs_of(running, earlier) if earlier else nullcontext({}) as early:
        logits, ends_in = read_logits(model, inputs, forward)
    if found is None:
        raise _never_ran(layer)
    if found.values.shape[0] != inputs.count:
        raise LayerError(
            f"expected maps for {inputs.count} image(s) from layer {quoted(layer.name)}, got "
            f"{len(found.values)}; pass one image at a time, or name another layer"
        )
    _check_graph(logits, found, layer, begin)
    return Recording(model, logits, found.values, found.edge, ends_in, early.get(earlier.call) if earlier else None)


@dataclass(frozen=True, eq=False)
class _Begun:
    """A graph that begins at a layer's output: `values` and `edge` as `_Begin` returns them, the output itself, and
    its version when the graph began."""

    values: Tensor
    edge: Tensor | GradientEdge
    output: Tensor
    version: int


def _differentiable(output: Any, layer: TargetLayer) -> Tensor:
    """The tensor that a layer's output is or begins with. Raises: LayerError if it can have no gradient."""
    tensor = first_tensor(output)
    if tensor is None:
        raise LayerError(
            f"expected a tensor from layer {quoted(layer.name)}, got {type(output).__name__}; "
            "name a layer inside it"
        )
    if tensor.is_inference():
        raise LayerError(
            f"layer {quoted(layer.name)} runs under torch.inference_mode, where no gradient can be had; "
            "take that out of the model's forward"
        )
    return tensor


def _check_graph(logits: Tensor, begun: _Begun, layer: TargetLayer, begin: _Begin) -> None:
    """Raises: GraphTooShort if this graph misses how the logits depend on the layer, LayerError if any would."""
    is_changed = begun.output._is_view() and begun.output._version != begun.version  # autograd loses its edge
    if begin is not _begin_in_place and is_changed:
        raise GraphTooShort(f"the output of layer {quoted(layer.name)} is a view that is changed in place")
    if not logits.requires_grad:
        failure = GraphTooShort if begin is _begin_graph else LayerError
        raise failure(
            f"the class scores do not depend on layer {quoted(layer.name)} as autograd sees it; name another "
            "layer, or take detach, no_grad and re-entrant checkpoints out of the model's forward"
        )


def _record_from_input(model: nn.Module, running: nn.Module, inputs: Inputs) -> Recording:
    """A forward whose graph reaches back to the images. running: `model` or its clone."""
    images = inputs.images

    def forward() -> Tensor:
        nonlocal images
        copies = inputs.copied()
        images = copies.images.requires_grad_()
        return run_model(running, copies.with_images(images.clone()))  # the model may change its input in place

    with torch.enable_grad():
        logits, ends_in = read_logits(model, inputs, forward)
    return Recording(model, logits, images.detach(), images, ends_in)


Edit: TypeAlias = Callable[[Tensor], None]
"""Changes a copy of a layer's output in place."""


def logits_with(
    model: nn.Module,
    batch: Batch | Inputs,
    edits: Sequence[tuple[TargetLayer, Edit]],
    modules: Modules | None = None,
    times: int = 1,
) -> Tensor:
    """The logits `[times · B, C]` of a forward in which outputs of layers are changed; the model is left as found.

    batch, modules: as for `record`. times: how often each image occurs in an output that is changed, and behind it:
        1, 2, … B, 1, 2, … B, and so on. Not every model can be run so.
    Raises: LayerError if a layer never ran, or its output holds no tensor that can be replaced.
    """
    if modules is None:
        model, modules = unwrapped(model)
    inputs = Inputs.of(batch, model)
    return borrow(model, modules, lambda running: _logits_with(model, running, inputs, edits, times))


def _logits_with(
    model: nn.Module, running: nn.Module, inputs: Inputs, edits: Sequence[tuple[TargetLayer, Edit]], times: int
) -> Tensor:
    """running: `model` or its clone."""

    def forward() -> Tensor:
        with torch.no_grad(), ExitStack() as hooks:
            calls = [hooks.enter_context(_replacing(running, layer, edit, times)) for layer, edit in edits]
            scores = run_model(running, inputs.copied(), times)
        for (layer, _), made in zip(edits, calls, strict=True):
            if len(made) <= layer.call:
                raise _never_ran(layer)
        return scores

    return read_logits(model, inputs, forward, times)[0].detach()


@contextmanager
def _replacing(running: nn.Module, layer: TargetLayer, edit: Edit, times: int) -> Iterator[list[None]]:
    """The layer's output is a changed copy in this thread while the block runs; an item for each call."""
    thread = threading.get_ident()
    calls: list[None] = []

    def replace(_module: nn.Module, _args: Any, output: Any) -> Any:
        if threading.get_ident() != thread:
            return None
        calls.append(None)
        if len(calls) != layer.call + 1:
            return None
        tensor = _replaceable(output, layer.name)
        copy = tensor.detach().repeat(times, *[1] * (tensor.ndim - 1))
        edit(copy)
        torch.set_grad_enabled(
            True
        )  # until the surrounding no_grad() ends: a softmax at the end is found by autograd
        return tree_map(lambda leaf: copy.requires_grad_() if leaf is tensor else leaf, output)

    handle = _submodule(running, layer).register_forward_hook(replace)
    try:
        yield calls
    finally:
        handle.remove()


def _replaceable(output: Any, name: str) -> Tensor:
    """The tensor that the output of layer `name` is or begins with. Raises: LayerError if it cannot be replaced."""
    tensor = first_tensor(output)
    if tensor is None or not any(leaf is tensor for leaf in tree_leaves(output)):
        raise LayerError(
            f"expected a tensor from layer {quoted(name)}, got {type(output).__name__}; name a layer inside it"
        )
    return tensor


def _never_ran(layer: TargetLayer) -> LayerError:
    return LayerError(
        f"layer {quoted(layer.name)} did not run {layer.call + 1} time(s) in the forward; name another layer"
    )


def _submodule(running: nn.Module, layer: TargetLayer) -> nn.Module:
    try:
        return running.get_submodule(layer.name)
    except AttributeError as error:
        raise LayerError(
            f"expected one layer of the model, got {quoted(layer.name)}; name a module of it"
        ) from error


@contextmanager
def _outputs_of(running: nn.Module, layer: TargetLayer) -> Iterator[dict[int, Tensor]]:
    """Copies of the layer's outputs in this thread while the block runs, by the number of the call."""
    thread = threading.get_ident()
    found: dict[int, Tensor] = {}

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if threading.get_ident() == thread and tensor is not None:
            found[len(found)] = tensor.detach().clone()  # a later operation in place does not change the copy

    handle = _submodule(running, layer).register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


_Begin: TypeAlias = Callable[[Tensor], tuple[Tensor, "Tensor | GradientEdge"]]
"""Begins the graph at a layer's output: returns its values, and what gradients are taken with respect to."""


def _begin_graph(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Begin the graph at a tensor that was computed without autograd.

    The tensor itself becomes a copy of a leaf. Modules that keep the tensor read values on the graph, and a later
    operation in place overwrites the copy, not the leaf. A view cannot become a copy, so the view becomes the leaf.
    """
    if tensor._is_view():
        return tensor.detach().clone(), tensor.requires_grad_()
    return _begin_in_place(tensor)


def _note_edge(tensor: Tensor) -> tuple[Tensor, Tensor | GradientEdge]:
    """Return the edge of a tensor that is already on the graph."""
    return tensor.detach().clone(), _edge(tensor) or tensor.requires_grad_()


def _begin_in_place(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Overwrite the tensor's memory with a copy of a leaf, so that all tensors that share it are on the graph."""
    leaf = tensor.detach().clone().requires_grad_()
    tensor.copy_(leaf)
    return leaf, leaf


_BEGINS: tuple[_Begin, ...] = (_begin_graph, _note_edge, _begin_in_place)
"""In the order of their cost."""

_enough: weakref.WeakKeyDictionary[nn.Module, dict[str, int]] = weakref.WeakKeyDictionary()
"""For each layer of a model, by name: which of `_BEGINS` was enough."""


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of one module in a traced forward; its first argument and its output are or begin with tensors.

    name, call: the module's dotted name and which of its calls this is, from 0. shape: of the output.
    input_edge, output_edge: where the argument stood in the autograd graph before the call and the output after it.
    """

    name: str
    call: int
    module: nn.Module
    shape: tuple[int, ...]
    input_edge: GradientEdge | None
    output_edge: GradientEdge


@dataclass(frozen=True, eq=False)
class Trace:
    """One forward with autograd on from the pixels to the scores.

    logits: `[B, C]`, attached to the graph. pixels: the leaf at the graph's other end.
    module_calls: every module call that the pixels flow through, in the order in which they returned.
    ends_in: as in `Recording`.
    """

    logits: Tensor
    pixels: Tensor
    module_calls: tuple[ModuleCall, ...]
    ends_in: str = ""


def _has_several(output: Any) -> bool:
    """Whether an output holds several named tensors: the first may be unused, because others were made of it."""
    return isinstance(output, Mapping) and sum(isinstance(value, Tensor) for value in output.values()) > 1


def trace(
    model: nn.Module,
    batch: Batch | Inputs,
    reads: Reads | None = None,
    ends: Ends | None = None,
) -> Trace:
    """Run one forward and note where every module's output stands in the autograd graph; no tensor is kept.

    batch: `[B, C, H, W]`, on the model's device, or all `Inputs`; may be meta tensors for a meta model. The model
    is left as found.
    reads: filled with what the functions of this forward read.
    ends: makes logits of more than the model's last block, see there.
    """
    inputs = Inputs.of(batch, model)
    return borrow(model, Modules.of(model), lambda running: _trace(model, running, inputs, reads, ends))


def _trace(model: nn.Module, running: nn.Module, inputs: Inputs, reads: Reads | None, ends: Ends | None) -> Trace:
    thread, times = threading.get_ident(), len(ends.blocks) if ends else 1
    pixels = inputs.images
    input_edge: dict[nn.Module, list[GradientEdge | None]] = {}
    calls: dict[nn.Module, int] = {}
    module_calls: list[ModuleCall] = []

    def enter(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if threading.get_ident() == thread:
            # taken now, because an operation in place inside the module gives the tensor another edge
            input_edge.setdefault(module, []).append(_edge(first_tensor([*args, *named.values()])))

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, _args: Any, output: Any) -> None:
            if threading.get_ident() != thread:
                return
            call = calls[module] = calls.get(module, -1) + 1
            tensor = None if _has_several(output) else first_tensor(output)
            before, after = input_edge[module].pop(), _edge(tensor)
            if tensor is not None and after is not None:
                module_calls.append(ModuleCall(name, call, module, tuple(tensor.shape), before, after))

        return note

    def forward() -> Tensor:
        nonlocal pixels
        for noted in (input_edge, calls, module_calls):
            noted.clear()
        if reads is not None:
            reads.clear()
        copies = inputs.copied()
        pixels = copies.images.requires_grad_()
        with reads if reads is not None else nullcontext():
            # the model may change its input in place
            return run_model(running, copies.with_images(pixels.clone()), times)

    with torch.enable_grad(), ExitStack() as hooks:
        if ends is not None:
            hooks.enter_context(_ending(running, ends))
        for name, module in running.named_modules():
            if module is not running:
                hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(leave(name)).remove)
        logits, ends_in = read_logits(model, inputs, forward, times)
    return Trace(logits, pixels, tuple(module_calls), ends_in)


@dataclass(frozen=True)
class Ends:
    """A forward in which the model's end sees what leaves several blocks, each as if it were the last.

    The outputs of `blocks` take the place of the output of `last`, as further images: the logits are
    `[blocks · B, C]`. Behind each block the graph is cut, so that what leaves it depends on this block alone, or on
    all modules before if it is the only one.

    blocks, last: names of modules, in the order in which they run; `last` may be one of the blocks.
    """

    blocks: tuple[str, ...]
    last: str


@contextmanager
def _ending(running: nn.Module, ends: Ends) -> Iterator[None]:
    """A forward in this thread is what `ends` says while the block runs."""
    thread = threading.get_ident()
    outputs: dict[str, Tensor] = {}

    def leave(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def put(_module: nn.Module, _args: Any, output: Any) -> Any:
            if threading.get_ident() != thread:
                return None
            tensor = _replaceable(output, name)
            if name in ends.blocks:
                outputs[name] = tensor
            found = (
                torch.cat([outputs[block] for block in ends.blocks])
                if name == ends.last
                else tensor.detach().requires_grad_().clone()  # which the next module may change in place
            )
            return tree_map(lambda leaf: found if leaf is tensor else leaf, output)

        return put

    with ExitStack() as hooks:
        for name in dict.fromkeys((*ends.blocks, ends.last)):
            hooks.callback(running.get_submodule(name).register_forward_hook(leave(name)).remove)
        yield


def _edge(tensor: Tensor | None) -> GradientEdge | None:
    """Where a tensor stands in the autograd graph now; None where it is not on the graph."""
    return get_gradient_edge(tensor) if tensor is not None and tensor.requires_grad else None
