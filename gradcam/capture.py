"""The only place that hooks a model.

A model may be shared by many threads. Each forward made here holds that model's lock for as long as its hooks
are in place, and a hook acts only in the thread that set it, so nobody ever sees another's activations.
"""

from __future__ import annotations

import copy
import logging
import pickle
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradcam.as_found import clone_in_eval_mode, left_as_found
from gradcam.errors import GradcamError, LayerError, ModelError, is_out_of_memory, quoted
from gradcam.inputs import Batch, Inputs, advice_on
from gradcam.nodes import operation
from gradcam.probabilities import (
    LeavingOut,
    Watching,
    ending_nodes,
    gives_some,
    logits_read,
    may_be_probabilities,
    probability_node,
    without_probabilities,
)
from gradcam.scores import class_scores, first_tensor
from gradcam.types import TargetLayer

log = logging.getLogger(__name__)

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock_of(model: nn.Module) -> threading.RLock:
    """The lock that every hooked forward of `model` holds."""
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def clone_sharing_weights(model: nn.Module) -> nn.Module:
    """The same modules once more over the same weights, with a lock of their own: for a second thread that computes
    at the same time. The model itself where its modules cannot be copied, so that its threads take turns.
    """
    weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    try:
        with lock_of(model):
            return copy.deepcopy(model, weights)
    except (AttributeError, RuntimeError, TypeError, ValueError, copy.Error, pickle.PicklingError) as error:
        log.info("%s cannot be copied, its threads take turns: %s", type(model).__name__, error)
        return model


def unwrap(model: nn.Module) -> nn.Module:
    """The plain module inside a wrapper, whose own forward can be hooked rightly.

    Taken off: `torch.compile(model)`, DataParallel and DistributedDataParallel, which share the weights inside.
    Raises: ModelError for TorchScript and quantised modules, whose insides cannot be hooked or have no gradient.
    """
    return unwrapped(model)[0]


Modules: TypeAlias = tuple[nn.Module, ...]
"""All modules of a model, in the order of `model.modules()`."""


def unwrapped(model: nn.Module) -> tuple[nn.Module, Modules]:
    """What `unwrap` gives, and all of its modules: a call walks over them once and hands them on."""
    while (inner := getattr(model, _WRAPPERS.get(type(model).__name__, ""), None)) is not None:
        model = inner
    modules = tuple(model.modules())
    if not any(map(_needs_a_look, set(map(type, modules)))):
        return model, modules
    for module in modules:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"expected Python modules, but {_called(module, model)} is TorchScript, which cannot be hooked "
                "inside; pass the module it was made from"
            )
        if _needs_a_look(type(module)) and _is_quantised(module):
            raise ModelError(
                f"expected floating-point modules, but {_called(module, model)} is quantised and has no gradient; "
                "pass the model before quantisation"
            )
    return model, modules


@lru_cache(4096)
def _needs_a_look(kind: type) -> bool:
    return issubclass(kind, torch.jit.ScriptModule) or ".quantized" in kind.__module__


def _is_quantised(module: nn.Module) -> bool:
    """Whether a module computes in integers. A network that is only ready for it (`FloatFunctional`) does not."""
    held = vars(module).values()
    return hasattr(module, "zero_point") or any(isinstance(value, torch.ScriptObject) for value in held)


@contextmanager
def _eager(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let what `torch.compile` or `.compile()` made of `modules` run as plain Python, where hooks act."""
    if not any(_is_compiled(module) for module in modules):
        yield
        return
    with _stance.guard:
        _stance.users += 1
        if _stance.users == 1:  # PyTorch keeps one stance for the whole process
            _stance.held = torch.compiler.set_stance("force_eager")
    try:
        yield
    finally:
        with _stance.guard:
            _stance.users -= 1
            if _stance.users == 0:
                _stance.held.__exit__(None, None, None)


def _is_compiled(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or type(module).__name__ == "OptimizedModule"


class _Stance:
    """Who needs compiled modules to run eagerly at the moment."""

    def __init__(self) -> None:
        self.guard, self.users = threading.Lock(), 0
        self.held: Any = None


_stance = _Stance()


def _called(module: nn.Module, model: nn.Module) -> str:
    """A module's name within `model`, for a sentence."""
    name = next(name for name, found in model.named_modules() if found is module)
    return f"module {quoted(name)}" if name else "the model"


_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


_T = TypeVar("_T")


def _borrow(model: nn.Module, modules: Sequence[nn.Module], use: Callable[[nn.Module], _T]) -> _T:
    """What `use` makes of `model`, of these `modules`, in eval mode; afterwards the model is as it was before.

    A model that is being trained, perhaps by another thread at this time, keeps its mode: a clone with copies of
    its weights is used. Only where its forward reaches modules that no clone can have, its own mode is switched.
    """
    with lock_of(model), torch.inference_mode(False):
        trained = [module for module in modules if module.training]
        if not trained:
            with left_as_found(model, modules), _eager(modules):
                return use(model)
        try:
            return _use_clone(model, modules, use)
        except _ReachesOriginal:
            log.info("%s holds modules that no clone can have, its mode is switched", type(model).__name__)
        with left_as_found(model, modules), _eager(modules):
            try:
                for module in trained:
                    module.training = False
                return use(model)
            finally:
                for module in trained:
                    module.training = True


def _use_clone(model: nn.Module, modules: Sequence[nn.Module], use: Callable[[nn.Module], _T]) -> _T:
    """Raises: _ReachesOriginal where the clone's forward calls a module of the model itself, as from a closure."""
    if any(hasattr(type(module), "__del__") for module in modules):
        raise _ReachesOriginal  # a clone's end would be taken for the model's
    thread = threading.get_ident()

    def refuse(_module: nn.Module, _args: Any) -> None:
        if threading.get_ident() == thread:
            raise _ReachesOriginal

    clone = clone_in_eval_mode(model)
    cloned = tuple(clone.modules())
    with ExitStack() as guards:
        for module in modules:
            guards.callback(module.register_forward_pre_hook(refuse).remove)
        with left_as_found(model, cloned), _eager(cloned):
            return use(clone)


class _ReachesOriginal(Exception):  # noqa: N818 — no error, a signal
    """A clone called a module of the model that it was made of."""


class _GraphTooShort(ModelError):  # noqa: N818 — a signal, too
    """The forward needs autograd before the layer, or reads the layer's output in a way that the graph which is
    recorded cannot follow."""


_WANTS_GRAPH = re.compile("no_grad|requires?[ _]grad|grad_fn|NoneType")
"""In what a model's code says that works only where autograd records, such as `register_hook` on a tensor."""


def _run(model: nn.Module, inputs: Inputs) -> Tensor:
    """The class scores `[B, C]`; whatever the model's own code raises is told as the model's failure."""
    try:
        output = model(*inputs.args, **inputs.kwargs)
    except (GradcamError, _ReachesOriginal):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        said = quoted(str(error)) if str(error) else f"{type(error).__name__} without a reason"
        kind = _GraphTooShort if _WANTS_GRAPH.search(str(error)) else ModelError
        shape, advice = list(inputs.images.shape), advice_on(inputs.images, model)
        raise kind(f"the model failed on a batch {shape}: {said}{advice}") from error
    return class_scores(output, len(inputs.images), inputs.output)


@dataclass(frozen=True)
class _Ending:
    """Where a model makes probabilities of its logits: in which calls of functions, of how many that are counted.

    by: what counts them, calls of softmax, sigmoid and steps that may follow, or all. heads: classes. kind: a key
    of `scores.ENDS`.
    """

    by: type[LeavingOut] | type[Watching]
    made_in: tuple[int, ...]
    calls: int
    heads: int
    kind: str

    def logits(self, forward: Callable[[], Tensor], images: int) -> Tensor | None:
        """The logits `[B, C]` of a forward; None where the model ends otherwise now."""
        if self.by is LeavingOut:
            with LeavingOut(self.made_in, odds=self.kind == "odds") as counted:
                logits = forward()
            as_met = len(counted.made) == self.calls and logits.shape[1] == self.heads
            return logits if as_met and probability_node(logits) is None else None
        with Watching(images * self.heads, *self.made_in) as watching:
            scores = forward()
        found = logits_read(scores, watching.read) if watching.calls == self.calls else None
        return found[0] if found else None


_endings: weakref.WeakKeyDictionary[nn.Module, dict[Any, _Ending]] = weakref.WeakKeyDictionary()
_plain: weakref.WeakKeyDictionary[nn.Module, set[Any]] = weakref.WeakKeyDictionary()
"""For each model, by what it was given: its ending, or that none was found behind an operation."""


def _read_logits(model: nn.Module, inputs: Inputs, forward: Callable[[], Tensor]) -> tuple[Tensor, str]:
    """The logits `[B, C]` of a forward, before a softmax or sigmoid at its end, and a key of `scores.ENDS`.

    A model with such an end runs three times when it is first met, and once from then on.
    """
    endings, images = _endings.setdefault(model, {}), len(inputs.images)
    if known := endings.pop(inputs.key, None):
        logits = known.logits(forward, images)
        if logits is not None:
            endings[inputs.key] = known
            return logits, known.kind
    scores = forward()
    tried, end = _plain.setdefault(model, set()), (inputs.key, scores.grad_fn and operation(scores.grad_fn))
    is_function = bool(ending_nodes(scores))
    if end in tried or not (is_function or may_be_probabilities(scores)):
        return without_probabilities(scores)
    ending = _ending_by_function(forward) if is_function else _ending_by_hand(forward, scores.numel())
    if ending is not None and (logits := ending.logits(forward, images)) is not None:
        endings[inputs.key] = ending
        return logits, ending.kind
    tried.add(end)
    return without_probabilities(forward())


def _ending_by_function(forward: Callable[[], Tensor]) -> _Ending | None:
    with LeavingOut() as counted:
        scores = forward()
    nodes = ending_nodes(scores)
    made_in = [call for call, (_, node) in enumerate(counted.made) if node in nodes]
    kinds = [kind for call in made_in if (kind := counted.made[call][0])]
    if not nodes or len(made_in) != len(nodes) or len(kinds) != 1:
        return None
    kind = "odds" if gives_some(scores, nodes[0]) else kinds[0]
    return _Ending(LeavingOut, tuple(made_in), len(counted.made), scores.shape[1], kind)


def _ending_by_hand(forward: Callable[[], Tensor], numel: int) -> _Ending | None:
    with Watching(numel) as watching:
        scores = forward()
    if found := logits_read(scores, watching.read):
        _, kind, call = found
        return _Ending(Watching, (call,), watching.calls, scores.shape[1], kind)
    return None


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward whose autograd graph reaches back to the target layer.

    model: what ran. logits: `[B, C]`, attached to the graph. activation: the target layer's output as it was.
    gradient_edge: where in the graph that output stands; gradients are taken for it.
    ends_in: what made probabilities of the logits within the model, a key of `scores.ENDS`.
    """

    model: nn.Module
    logits: Tensor
    activation: Tensor
    gradient_edge: Tensor | GradientEdge
    ends_in: str = ""


def record(
    model: nn.Module, batch: Batch | Inputs, layer: TargetLayer, modules: Modules | None = None
) -> Recording:
    """Run one forward and record autograd from the target layer on; the model is left exactly as found.

    batch: `[B, C, H, W]`, preprocessed, on the model's device, or all `Inputs`.
    modules: as `unwrapped` gives them with its model, where the caller has both.
    Costs what a bare forward costs: everything before the layer runs without autograd, and no parameter is asked
    for a gradient. Only where a module keeps a view of the layer's output, the layer runs without autograd, or the
    forward itself works with gradients, all of the forward is recorded.

    Raises: LayerError where the layer never ran, or its output holds no floating-point tensor for each image.
    """
    if modules is None:
        model, modules = unwrapped(model)
    inputs = Inputs.of(batch, model)
    enough = _enough.setdefault(model, {})
    number = enough.get(layer.name, 0)
    while True:
        begin = _BEGINS[number]
        try:
            recording = _borrow(
                model, modules, lambda running, begin=begin: _record(model, running, inputs, layer, begin)
            )
        except _GraphTooShort:
            number += 1
            if number == len(_BEGINS):
                raise
        else:
            enough[layer.name] = number
            return recording


def _record(model: nn.Module, running: nn.Module, inputs: Inputs, layer: TargetLayer, begin: _Begin) -> Recording:
    """running: `model` or its clone. begin: what is done with the layer's output, one of `_BEGINS`."""
    try:
        module = running.get_submodule(layer.name)
    except AttributeError as error:
        raise LayerError(
            f"expected one layer of the model, got {quoted(layer.name)}; name a module of it"
        ) from error
    thread = threading.get_ident()
    whole = begin is not _begin_graph
    calls = 0
    found: tuple[Tensor, Tensor | GradientEdge, Tensor, int] | None = None

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        nonlocal calls, found
        if threading.get_ident() != thread:
            return
        calls += 1
        if calls != layer.call + 1:
            return
        tensor = first_tensor(output)
        if tensor is None:
            raise LayerError(
                f"expected a tensor from layer {quoted(layer.name)}, got {type(output).__name__}; "
                "name a layer inside it"
            )
        if not whole:
            torch.set_grad_enabled(True)  # until the surrounding no_grad() ends
        if tensor.is_inference():
            raise LayerError(
                f"layer {quoted(layer.name)} runs under torch.inference_mode, where no gradient can be had; "
                "take that out of the model's forward"
            )
        found = *begin(tensor), tensor, tensor._version

    def forward() -> Tensor:
        nonlocal calls, found
        calls, found = 0, None
        with torch.enable_grad() if whole else torch.no_grad():
            copies = inputs.copied()
            return _run(running, copies.with_images(copies.images.requires_grad_().clone()) if whole else copies)

    handle = module.register_forward_hook(keep)
    try:
        logits, ends_in = _read_logits(model, inputs, forward)
    finally:
        handle.remove()
    if found is None:
        raise LayerError(
            f"layer {quoted(layer.name)} did not run {layer.call + 1} time(s) in the forward; name another layer"
        )
    values, place, tensor, version = found
    if len(values) != len(inputs.images):
        raise LayerError(
            f"expected maps for {len(inputs.images)} image(s) from layer {quoted(layer.name)}, got {len(values)}; "
            "pass one image at a time, or name another layer"
        )
    if begin is not _begin_in_place and tensor._is_view() and tensor._version != version:  # autograd loses its edge
        raise _GraphTooShort(f"the output of layer {quoted(layer.name)} is a view that is changed in place")
    if not logits.requires_grad:
        failure = LayerError if whole else _GraphTooShort
        raise failure(
            f"the class scores do not depend on layer {quoted(layer.name)} as autograd sees it; name another "
            "layer, or take detach, no_grad and re-entrant checkpoints out of the model's forward"
        )
    return Recording(model, logits, values, place, ends_in)


_Begin: TypeAlias = Callable[[Tensor], tuple[Tensor, "Tensor | GradientEdge"]]
"""What is done with a layer's output: gives its values, and the place in the graph that gradients are taken for."""


def _begin_graph(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Of a tensor that was computed without autograd: the graph begins here.

    The tensor itself becomes a copy of a leaf, so that whoever keeps it reads what is on the graph, and a later
    operation in place overwrites the copy, never the leaf. A view cannot; it is made the leaf itself.
    """
    if tensor._is_view():
        return tensor.detach().clone(), tensor.requires_grad_()
    return _begin_in_place(tensor)


def _note_edge(tensor: Tensor) -> tuple[Tensor, Tensor | GradientEdge]:
    """Of a tensor that is on the graph: where it stands."""
    return tensor.detach().clone(), _edge(tensor) or tensor.requires_grad_()


def _begin_in_place(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor's memory is overwritten with a leaf's copy: all that share it read what is on the graph then."""
    leaf = tensor.detach().clone().requires_grad_()
    tensor.copy_(leaf)
    return leaf, leaf


_BEGINS: tuple[_Begin, ...] = (_begin_graph, _note_edge, _begin_in_place)
"""In the order of their cost."""

_enough: weakref.WeakKeyDictionary[nn.Module, dict[str, int]] = weakref.WeakKeyDictionary()
"""For each layer of a model, by name: which of `_BEGINS` was enough."""


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of one module in a traced forward, where it took and gave a tensor, alone or first among others.

    name, call: the module's dotted name and which of its calls this is, from 0. shape: of the output.
    entered, left: the edges of the autograd graph at which its first argument and its output stood at that time.
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
    passages: every module call that the pixels flow through, in the order in which they returned.
    ends_in: as in `Recording`.
    """

    logits: Tensor
    pixels: Tensor
    module_calls: tuple[ModuleCall, ...]
    ends_in: str = ""


def _has_several(output: Any) -> bool:
    """Whether an output names several tensors: a pooled one was made of the first, which nobody may read again."""
    return isinstance(output, Mapping) and sum(isinstance(value, Tensor) for value in output.values()) > 1


def trace(model: nn.Module, batch: Batch | Inputs) -> Trace:
    """Run one forward and note where every module's output stands in the autograd graph; no tensor is kept.

    batch: `[B, C, H, W]`, on the model's device, or all `Inputs`; may be meta tensors for a meta model. The model
    is left as found.
    """
    inputs = Inputs.of(batch, model)
    return _borrow(model, tuple(model.modules()), lambda running: _trace(model, running, inputs))


def _trace(model: nn.Module, running: nn.Module, inputs: Inputs) -> Trace:
    thread = threading.get_ident()
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
        copies = inputs.copied()
        pixels = copies.images.requires_grad_()
        return _run(running, copies.with_images(pixels.clone()))  # the model may change its input in place

    with torch.enable_grad(), ExitStack() as hooks:
        for name, module in running.named_modules():
            if module is not running:
                hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(leave(name)).remove)
        logits, ends_in = _read_logits(model, inputs, forward)
    return Trace(logits, pixels, tuple(module_calls), ends_in)


def _edge(tensor: Tensor | None) -> GradientEdge | None:
    """Where a tensor stands in the autograd graph now; None where it is not on the graph."""
    return get_gradient_edge(tensor) if tensor is not None and tensor.requires_grad else None
