"""The only place that hooks a model.

A model may be shared by many threads. Each forward made here holds that model's lock for as long as its hooks
are in place, and a hook acts only in the thread that set it, so nobody ever sees another's activations.
"""

from __future__ import annotations

import copy
import logging
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradcam.errors import GradcamError, LayerError, ModelError, is_out_of_memory
from gradcam.types import TargetLayer

log = logging.getLogger(__name__)

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock_of(model: nn.Module) -> threading.RLock:
    """The lock that every hooked forward of `model` holds."""
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def twin(model: nn.Module) -> nn.Module:
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


def modules_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """What `model.modules()` gives, in a quarter of its time: every call looks at all of them."""
    found: dict[nn.Module, None] = {}
    stack: list[nn.Module | None] = [model]
    while stack:
        module = stack.pop()
        if module is not None and module not in found:
            found[module] = None
            stack.extend(reversed(module._modules.values()))
    return tuple(found)


def unwrap(model: nn.Module) -> nn.Module:
    """The plain module inside a wrapper, whose own forward can be hooked rightly.

    Taken off: `torch.compile(model)`, DataParallel and DistributedDataParallel, which share the weights inside.
    Raises: ModelError for TorchScript and quantised modules, whose insides cannot be hooked or have no gradient.
    """
    while (inner := getattr(model, _WRAPPERS.get(type(model).__name__, ""), None)) is not None:
        model = inner
    for module in modules_of(model):
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"expected Python modules, but {_called(module, model)} is TorchScript, which cannot be hooked "
                "inside; pass the module it was made from"
            )
        if ".quantized" in type(module).__module__ and _is_quantised(module):
            raise ModelError(
                f"expected floating-point modules, but {_called(module, model)} is quantised and has no gradient; "
                "pass the model before quantisation"
            )
    return model


def _is_quantised(module: nn.Module) -> bool:
    """Whether a module computes in integers. A network that is only ready for it (`FloatFunctional`) does not."""
    held = vars(module).values()
    return hasattr(module, "zero_point") or any(isinstance(value, torch.ScriptObject) for value in held)


@contextmanager
def _eager(model: nn.Module) -> Iterator[None]:
    """Let what `torch.compile` or `.compile()` made within `model` run as plain Python, where hooks act."""
    if not any(_is_compiled(module) for module in modules_of(model)):
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
    return f"module {name!r}" if name else "the model"


_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode and every module back into its own mode afterwards."""
    trained = [module for module in modules_of(model) if module.training]
    for module in trained:
        module.training = False
    try:
        yield
    finally:
        for module in trained:
            module.training = True


def class_scores(output: Any) -> Tensor:
    """The class scores `[B, C]` in whatever a classifier returns.

    Takes a tensor, the first tensor of a tuple or list, or `logits` of a mapping or object. A head with a single
    logit may give `[B]`.

    Raises: ModelError where there is no such tensor.
    """
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values()), None))
    elif hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, (tuple, list)):
        output = next((item for item in output if isinstance(item, Tensor)), None)
    if isinstance(output, Tensor) and output.ndim == 1:
        output = output[:, None]
    if not isinstance(output, Tensor) or output.ndim != 2:
        got = f"a tensor {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(f"expected class scores [batch, classes] from the model, got {got}; pass a classifier")
    return output


def _forward(model: nn.Module, batch: Tensor) -> Tensor:
    """The class scores `[B, C]`; whatever the model's own code raises is told as the model's failure."""
    try:
        return class_scores(model(batch))
    except GradcamError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = str(error) or f"{type(error).__name__} without a reason"
        raise ModelError(f"the model failed on a batch {list(batch.shape)}: {reason}") from error


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward whose autograd graph begins at the target layer.

    model: what ran. logits: `[B, C]`, attached to the graph. activation: the target layer's output as it was, the
    graph's leaf.
    """

    model: nn.Module
    logits: Tensor
    activation: Tensor


def record(model: nn.Module, batch: Tensor, layer: TargetLayer) -> Recording:
    """Run one forward and record autograd from the target layer on; the model is left exactly as found.

    batch: `[B, 3, H, W]`, preprocessed, on the model's device. Costs what a bare forward costs: everything before
    the layer runs without autograd, and no parameter is asked for a gradient.

    Raises: LayerError where the layer never ran or its output is no floating tensor.
    """
    model = unwrap(model)
    try:
        module = model.get_submodule(layer.name)
    except AttributeError as error:
        raise LayerError(f"expected one layer of the model, got {layer.name!r}; name a module of it") from error
    thread = threading.get_ident()
    calls = 0
    leaf: Tensor | None = None

    def keep(_module: nn.Module, _args: Any, output: Any) -> Any:
        nonlocal calls, leaf
        if threading.get_ident() != thread:
            return None
        calls += 1
        if calls != layer.call + 1:
            return None
        tensor = spatial_tensor(output)
        if tensor is None:
            raise LayerError(
                f"expected a tensor from layer {layer.name!r}, got {type(output).__name__}; name a layer inside it"
            )
        leaf = tensor.detach().requires_grad_()
        torch.set_grad_enabled(True)  # until the surrounding no_grad() ends
        # an in-place operation further on may overwrite this copy, never what was kept
        return _with_tensor(output, tensor, leaf.clone())

    with lock_of(model), evaluating(model), _eager(model), torch.inference_mode(False), torch.no_grad():
        if batch.is_inference():
            batch = batch.clone()
        handle = module.register_forward_hook(keep)
        try:
            logits = _forward(model, batch)
        finally:
            handle.remove()
    if leaf is None:
        raise LayerError(
            f"layer {layer.name!r} did not run {layer.call + 1} time(s) in the forward; name another layer"
        )
    if not logits.requires_grad:
        raise LayerError(f"the class scores do not depend on layer {layer.name!r}; name another layer")
    return Recording(model, logits, leaf)


def spatial_tensor(output: Any) -> Tensor | None:
    """The tensor of a module's output that may have a layout in space: the output itself, or the first floating
    tensor of a tuple or list; None where there is none."""
    items = output if isinstance(output, (tuple, list)) else (output,)
    return next((item for item in items if isinstance(item, Tensor) and item.is_floating_point()), None)


def _with_tensor(output: Any, tensor: Tensor, copy: Tensor) -> Any:
    """A module's output once more, with `copy` in the place of `tensor`."""
    if output is tensor:
        return copy
    items = [copy if item is tensor else item for item in output]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)


@dataclass(frozen=True, eq=False)
class Passage:
    """One call of one module in a traced forward, where it took and gave a tensor, alone or first among others.

    name, call: the module's dotted name and which of its calls this is, from 0. shape: of the output.
    entered, left: the edges of the autograd graph at which its first argument and its output stood at that time.
    """

    name: str
    call: int
    module: nn.Module
    shape: tuple[int, ...]
    entered: GradientEdge | None
    left: GradientEdge


@dataclass(frozen=True, eq=False)
class Trace:
    """One forward with autograd on from the pixels to the scores.

    logits: `[B, C]`, attached to the graph. pixels: the leaf at the graph's other end.
    passages: every module call that the pixels flow through, in the order in which they returned.
    """

    logits: Tensor
    pixels: Tensor
    passages: tuple[Passage, ...]


def trace(model: nn.Module, batch: Tensor) -> Trace:
    """Run one forward and note where every module's output stands in the autograd graph; no tensor is kept.

    batch: `[B, 3, H, W]`, on the model's device; may be a meta tensor for a meta model. The model is left as found.
    """
    thread = threading.get_ident()
    entered: dict[nn.Module, list[GradientEdge | None]] = {}
    calls: dict[nn.Module, int] = {}
    passages: list[Passage] = []

    def enter(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if threading.get_ident() == thread:
            # taken now, because an operation in place inside the module gives the tensor another edge
            entered.setdefault(module, []).append(_edge(spatial_tensor([*args, *named.values()])))

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, _args: Any, output: Any) -> None:
            if threading.get_ident() != thread:
                return
            call = calls[module] = calls.get(module, -1) + 1
            before, tensor = entered[module].pop(), spatial_tensor(output)
            after = _edge(tensor)
            if tensor is not None and after is not None:
                passages.append(Passage(name, call, module, tuple(tensor.shape), before, after))

        return note

    with (
        lock_of(model),
        evaluating(model),
        _eager(model),
        torch.inference_mode(False),
        torch.enable_grad(),
        ExitStack() as hooks,
    ):
        pixels = batch.detach().clone().requires_grad_()
        for name, module in model.named_modules():
            if module is not model:
                hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(leave(name)).remove)
        logits = _forward(model, pixels.clone())  # a clone, because the model may change its input in place
    return Trace(logits, pixels, tuple(passages))


def _edge(tensor: Tensor | None) -> GradientEdge | None:
    """Where a tensor stands in the autograd graph now; None where it is not on the graph."""
    return get_gradient_edge(tensor) if tensor is not None and tensor.requires_grad else None
