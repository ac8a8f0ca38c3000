"""A model is run by one thread at a time, in eval mode and as plain Python, and is left as it was found."""

from __future__ import annotations

import copy
import logging
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import nn

from gradcam.as_found import LeftAsFound, clone_in_eval_mode
from gradcam.errors import ModelError, check_kind, quoted
from gradcam.modules import Modules

log = logging.getLogger(__name__)

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock_of(model: nn.Module) -> threading.RLock:
    """The lock that every hooked forward of `model` holds."""
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def clone_sharing_weights(model: nn.Module) -> nn.Module:
    """A copy of the modules over the same weights, with its own lock, for a second thread that computes at the same
    time. If the modules cannot be copied, the model itself, so that threads take turns.
    """
    weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    try:
        with lock_of(model):
            return copy.deepcopy(model, weights)
    except (AttributeError, RuntimeError, TypeError, ValueError, copy.Error, pickle.PicklingError) as error:
        log.info("%s cannot be copied, its threads take turns: %s", type(model).__name__, error)
        return model


def unwrap(model: nn.Module) -> nn.Module:
    """The plain module inside a wrapper, whose own forward can be hooked.

    Wrappers are `torch.compile(model)`, DataParallel and DistributedDataParallel, which share the weights inside.
    Raises: ModelError for what is no module, and for TorchScript and quantised modules, whose insides cannot be
    hooked or have no gradient.
    """
    return unwrapped(model)[0]


def unwrapped(model: nn.Module) -> tuple[nn.Module, Modules]:
    """The result of `unwrap` and all of its modules, so that a caller lists them only once."""
    check_kind(model, nn.Module, "a PyTorch module", "pass one, such as `module` of a Classifier", ModelError)
    while (name := _WRAPPERS.get(type(model).__name__)) and (inner := getattr(model, name, None)) is not None:
        model = inner
    modules = Modules.of(model)
    if not _any_needs_a_look(modules.kinds):
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


@lru_cache(256)
def _any_needs_a_look(kinds: tuple[type[nn.Module], ...]) -> bool:
    return any(map(_needs_a_look, kinds))


@lru_cache(4096)
def _needs_a_look(kind: type) -> bool:
    return issubclass(kind, torch.jit.ScriptModule) or ".quantized" in kind.__module__


def _is_quantised(module: nn.Module) -> bool:
    """Whether a module computes in integers. A network that is only ready for it (`FloatFunctional`) does not."""
    values = vars(module).values()
    return hasattr(module, "zero_point") or any(isinstance(value, torch.ScriptObject) for value in values)


def _eager(marked: Sequence[nn.Module]) -> AbstractContextManager[None]:
    """Run modules made by `torch.compile` or `.compile()` as plain Python, so that hooks act."""
    is_compiled = any(one._compiled_call_impl or type(one).__name__ == "OptimizedModule" for one in marked)
    return _forced_eager() if is_compiled else nullcontext()


@contextmanager
def _forced_eager() -> Iterator[None]:
    with _stance.guard:
        _stance.users += 1
        if _stance.users == 1:  # PyTorch keeps one stance for the whole process
            _stance.context = torch.compiler.set_stance("force_eager")
    try:
        yield
    finally:
        with _stance.guard:
            _stance.users -= 1
            if _stance.users == 0:
                _stance.context.__exit__(None, None, None)


class _Stance:
    """Who needs compiled modules to run eagerly at the moment."""

    def __init__(self) -> None:
        self.guard, self.users = threading.Lock(), 0
        self.context: Any = None


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


def borrow(model: nn.Module, modules: Modules, use: Callable[[nn.Module], _T]) -> _T:
    """Call `use` with `model`, which has these `modules`, in eval mode, and leave the model as it was.

    A model in training mode, perhaps trained by another thread right now, keeps its mode: `use` gets a clone with
    copied weights. The model's own mode is switched only if the forward reaches modules that no clone can have.
    """
    with lock_of(model), torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        marked = modules.marked()
        trained = [module for module in marked if module.training]
        if not trained:
            with LeftAsFound(model, modules, marked), _eager(marked):
                return use(model)
        try:
            return _use_clone(model, modules, use)
        except ReachesOriginal:
            log.info("%s holds modules that no clone can have, its mode is switched", type(model).__name__)
        with LeftAsFound(model, modules, marked), _eager(marked):
            try:
                for module in trained:
                    module.training = False
                return use(model)
            finally:
                for module in trained:
                    module.training = True


def _use_clone(model: nn.Module, modules: Modules, use: Callable[[nn.Module], _T]) -> _T:
    """Raises: ReachesOriginal if the clone's forward calls a module of the model itself, as from a closure."""
    if any(hasattr(type(module), "__del__") for module in modules):
        raise ReachesOriginal  # deleting the clone would run `__del__` as if the model itself were deleted
    thread = threading.get_ident()

    def refuse(_module: nn.Module, _args: Any) -> None:
        if threading.get_ident() == thread:
            raise ReachesOriginal

    clone = clone_in_eval_mode(model)
    cloned = Modules.of(clone)
    with ExitStack() as guards:
        for module in modules:
            guards.callback(module.register_forward_pre_hook(refuse).remove)
        marked = cloned.marked()
        with LeftAsFound(model, cloned, marked), _eager(marked):
            return use(clone)


class ReachesOriginal(Exception):  # noqa: N818 — no error, a signal
    """A clone called a module of the model that it was copied from."""
