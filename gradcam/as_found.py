"""Leaves a model as it was found: whatever a forward changes in its modules is restored."""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from operator import attrgetter, is_
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import _has_any_global_hook

from gradcam.modules import Modules, own_names

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""Larger tensors that a module keeps are not copied beforehand: if a forward overwrites one, that is logged."""

_KEPT = frozenset({dict, OrderedDict, defaultdict, list, set, deque, Tensor})
"""Types of values that can be changed in place."""

_LIBRARIES = ("torch.nn.", "torchvision.", "timm.", "gradcam.")
"""How the names of files begin whose classes keep nothing on a module but themselves."""

KEEP_NOTHING = frozenset(
    {
        "gradcam.models.devices.PointwiseConv2d",
        "timm.layers.activations.GELU",
        "timm.layers.adaptive_avgmax_pool",
        "timm.layers.classifier",
        "timm.layers.conv2d_same.Conv2dSame",
        "timm.layers.conv_bn_act",
        "timm.layers.drop",
        "timm.layers.linear",
        "timm.layers.mlp",
        "timm.layers.norm",
        "timm.layers.squeeze_excite",
        "timm.models._efficientnet_blocks",
        "timm.models.convnext",
        "timm.models.efficientnet.EfficientNet",
        "timm.models.mobilenetv3.MobileNetV3",
        "timm.models.regnet",
        "timm.models.resnet",
        "torchvision.models.convnext",
        "torchvision.models.densenet._DenseLayer",
        "torchvision.models.densenet._Transition",
        "torchvision.models.densenet.DenseNet",
        "torchvision.models.efficientnet",
        "torchvision.models.mobilenetv2",
        "torchvision.models.mobilenetv3",
        "torchvision.models.regnet",
        "torchvision.models.resnet",
        "torchvision.models.vgg",
        "torchvision.ops.misc",
        "torchvision.ops.stochastic_depth",
    }
)
"""Files and classes of these libraries in which no forward changes a module; a test reads their source."""

_changed: weakref.WeakKeyDictionary[nn.Module, set[str]] = weakref.WeakKeyDictionary()


def changed_by_forward(model: nn.Module) -> frozenset[str]:
    """Names of attributes that forwards of `model` were seen to change, such as a number of calls."""
    return frozenset(_changed.get(model, ()))


class LeftAsFound:
    """Restores every changed attribute, buffer and collection of modules, and random generators, after the block.

    marked: those of the modules that `marked()` told.
    PyTorch's own modules keep nothing in eval mode and are skipped. So are common modules of timm and torchvision
    in a model without hooks and without other libraries' modules. If another thread runs a forward without
    `lock_of(model)` meanwhile, its caches may be lost.
    """

    def __init__(self, model: nn.Module, modules: Modules, marked: Sequence[nn.Module]) -> None:
        self._model = model
        self._random = [(generator, generator.get_state()) for generator in _generators(modules)]
        self._attributes = _may_keep(modules, marked)
        self._collections: list[Any] = [*self._attributes]
        self._empty: list[Any] = []
        self._tensors: list[tuple[Tensor, int, Tensor | None]] = []
        for values in self._attributes:
            for name in own_names(tuple(values)):
                if type(value := values[name]) in _KEPT:
                    self._keep(value, depth=2)
        self._copies = [collection.copy() for collection in self._collections]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        if self._has_changed():
            _changed.setdefault(self._model, set()).update(self._restore_collections())
        self._restore_tensors()
        for generator, state in self._random:
            generator.set_state(state)  # sooner done than it is compared

    def _keep(self, value: Any, depth: int) -> None:
        if type(value) is not Tensor:
            if not value:  # as most are
                self._empty.append(value)
                return
            self._collections.append(value)
            for item in tuple(_contents(value)) if depth else ():
                if type(item) in _KEPT:
                    self._keep(item, depth - 1)
        elif not value.is_inference():
            copied = value.detach().clone() if value.nbytes <= MOST_BYTES and not value.is_meta else None
            self._tensors.append((value, value._version, copied))

    def _has_changed(self) -> bool:
        """Whether any collection has other contents: all are compared in one go, which takes half the time."""
        if any(self._empty) or [*map(len, self._collections)] != [*map(len, self._copies)]:
            return True
        found, before = (chain.from_iterable(map(_contents, each)) for each in (self._collections, self._copies))
        return not all(map(is_, found, before))

    def _restore_collections(self) -> set[Any]:
        """Restore the attributes and collections; return the names of the attributes that had changed."""
        for collection in filter(None, self._empty):
            collection.clear()
        changed = set[Any]()
        for number, (found, before) in enumerate(zip(self._collections, self._copies, strict=True)):
            if _differ(found, before):
                names = _restore(found, before)
                changed |= names if number < len(self._attributes) else set()
        return changed

    def _restore_tensors(self) -> None:
        for tensor, version, before in self._tensors:
            if tensor._version != version:
                if before is None:
                    log.warning("a forward overwrites a tensor %s that a module keeps", list(tensor.shape))
                else:
                    with torch.no_grad():
                        tensor.detach_().copy_(before) if tensor.grad_fn is not None else tensor.copy_(before)


def _may_keep(modules: Modules, marked: Sequence[nn.Module]) -> list[dict[str, Any]]:
    """The attributes of the modules that a forward, or a hook, may change."""
    touched = [one for one in marked if one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one)]
    is_untouched = not (touched or _has_any_global_hook() or _has_other_methods(modules))
    watched = _watched(modules.kinds, is_untouched=is_untouched)
    own = (vars(one) for one in touched if _keeps_nothing(type(one), is_known=False))
    return [*(modules.attributes[number] for number in watched), *own]


def _has_other_methods(modules: Modules) -> bool:
    """Whether a method of a class in `KEEP_NOTHING` was replaced, in one of the modules or in the class."""
    in_modules, in_classes = _methods(modules.kinds)
    for number, name in in_modules:
        if name in modules.attributes[number]:
            return True
    return not _are_of_libraries(tuple(read(kind) for kind, read in in_classes))


@lru_cache(256)
def _methods(
    kinds: tuple[type[nn.Module], ...],
) -> tuple[list[tuple[int, str]], list[tuple[type[nn.Module], Callable[[Any], Any]]]]:
    """The methods of the kinds in `KEEP_NOTHING`: position and name for each module, a reader of all for each kind.

    A module's own forward is seen by `Modules.marked`.
    """
    names: dict[type[nn.Module], list[str]] = {}
    for kind in {kind for kind in kinds if _is_in_table(kind)}:
        bases = kind.__mro__[: kind.__mro__.index(nn.Module)]
        found = {name for base in bases for name, value in vars(base).items() if callable(value)}
        names[kind] = sorted(name for name in found if not name.startswith("__"))
    in_modules = [(n, name) for n, kind in enumerate(kinds) for name in names.get(kind, ()) if name != "forward"]
    return in_modules, [(kind, attrgetter(*names[kind], "forward")) for kind in names]


@lru_cache(256)
def _are_of_libraries(methods: tuple[tuple[Any, ...], ...]) -> bool:
    """Whether the code of all of these is of `_LIBRARIES`, whatever name it bears."""
    files = [getattr(one, "__globals__", {}).get("__name__", "") for each in methods for one in each]
    return all(file.startswith(_LIBRARIES) for file in files)


def _is_in_table(kind: type) -> bool:
    return not KEEP_NOTHING.isdisjoint((kind.__module__, f"{kind.__module__}.{kind.__qualname__}"))


@lru_cache(256)
def _watched(kinds: tuple[type[nn.Module], ...], *, is_untouched: bool) -> tuple[int, ...]:
    """The positions of the kinds that a forward may change.

    is_untouched: whether no module has a hook or a forward of its own, no method of these kinds was replaced, and
        PyTorch has no hook on all modules. These may keep something on any module, as may other libraries' classes.
    """
    is_known = is_untouched and all(kind.__module__.startswith(_LIBRARIES) for kind in kinds)
    return tuple(number for number, kind in enumerate(kinds) if not _keeps_nothing(kind, is_known=is_known))


@lru_cache(4096)
def _keeps_nothing(kind: type, *, is_known: bool) -> bool:
    """Whether no forward changes such modules: PyTorch's own, and every library's norms, fixed in eval mode.

    is_known: whether all that runs is code of `_LIBRARIES`.
    """
    if kind.__module__.startswith("torch.nn.") or issubclass(kind, _NormBase):
        return True
    return is_known and _is_in_table(kind)


def _generators(modules: Sequence[nn.Module]) -> list[torch.Generator]:
    """The random generators that a forward may draw from."""
    weight = next((weight for one in modules for weight in one._parameters.values() if weight is not None), None)
    if weight is None or not weight.is_cuda:
        return [torch.default_generator]
    return [torch.default_generator, torch.cuda.default_generators[weight.get_device()]]


def _contents(collection: Any) -> Iterable[Any]:
    return collection.values() if isinstance(collection, dict) else collection


def _differ(found: Any, before: Any) -> bool:
    return len(found) != len(before) or not all(map(is_, _contents(found), _contents(before)))


def _restore(found: Any, before: Any) -> set[Any]:
    """Restore a collection; return the keys whose values had changed if it is a dictionary."""
    if isinstance(found, dict):
        return _restore_dict(found, before)
    found.clear()
    found.update(before) if isinstance(found, set) else found.extend(before)
    return set()


def _restore_dict(found: dict[Any, Any], before: Mapping[Any, Any]) -> set[Any]:
    """Restore the dictionary; return the keys whose values had changed."""
    added = {key for key in found if key not in before}
    for key in added:
        del found[key]
    changed = {key for key, value in before.items() if key not in found or found[key] is not value}
    found.update((key, before[key]) for key in changed)
    return added | changed


def clone_in_eval_mode(model: nn.Module) -> nn.Module:
    """A copy of the model in eval mode, with the same hooks and with copied parameters and buffers.

    Changes to the clone do not reach `model`, and a training step of `model` does not change the clone.

    References to modules and parameters in attributes, lists and bound methods point to the clone's own.
    """
    clones: dict[int, Any] = {id(tensor): _copied(tensor) for tensor in (*model.parameters(), *model.buffers())}
    modules = list(model.modules())
    for module in modules:
        clones[id(module)] = object.__new__(type(module))

    def cloned(value: Any, depth: int = 3) -> Any:
        if isinstance(value, (nn.Module, Tensor)):
            return clones.get(id(value), value)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, cloned(value.__self__, 0))
        if isinstance(value, partial):
            args, keywords = cloned(value.args), cloned(value.keywords)
            return partial(cloned(value.func), *args, **keywords)
        if depth == 0:
            return value
        if type(value) in (list, tuple, set, deque):
            return type(value)(cloned(item, depth - 1) for item in value)
        if type(value) in (dict, OrderedDict):
            return type(value)((key, cloned(item, depth - 1)) for key, item in value.items())
        return value

    for module in modules:
        attributes = {name: cloned(value) for name, value in vars(module).items()}
        if "training" in attributes:  # else its class computes it of modules inside
            attributes["training"] = False
        vars(clones[id(module)]).update(attributes)
    return clones[id(model)]


def _copied(tensor: Tensor) -> Tensor:
    copied = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copied, tensor.requires_grad)
    return copied
