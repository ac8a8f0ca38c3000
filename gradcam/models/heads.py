"""The head of a checkpoint: how many classes it has, and what stands where somebody has replaced it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from gradcam.errors import ModelError, quoted
from gradcam.models.architectures import FEW_AND_MORE, Heads, Shape
from gradcam.models.networks import Network
from gradcam.models.weight_files import StoredTensor

MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Head:
    """The last layer that a checkpoint has.

    classes: how many numbers it gives. module: the architecture's module that a single Linear of `features` inputs
        replaces; empty if the head is the architecture's own. norm: the kind of normalisation before the Linear, if
        any, a row of `_NORMS`.
    names: the file's name for each of its tensors. outside: its tensors, if they lie beside the network's.
    note: what was recognised, in words.
    """

    classes: int
    module: str = ""
    features: int = 0
    norm: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, StoredTensor] = field(default_factory=dict)
    note: str = ""

    @property
    def has_bias(self) -> bool:
        return f"{self.module}{'.1' * bool(self.norm)}.bias" in self.names


def trunk_of(heads: Heads) -> dict[str, Shape]:
    """An architecture's shapes without the head and its surroundings, because these may have been replaced."""
    tops = {name.partition(".")[0] for name in head_modules(heads)}
    body = {
        key: few for key, (few, more) in heads.items() if few == more and not key.endswith("num_batches_tracked")
    }
    return {key: shape for key, shape in body.items() if key.partition(".")[0] not in tops} or body


def head_modules(heads: Heads) -> list[str]:
    """The modules whose shapes depend on the number of classes."""
    return list(dict.fromkeys(key.rpartition(".")[0] for key, (few, more) in heads.items() if few != more))


def head_of(network: Network, heads: Heads, requested: int | None, file: str) -> Head:
    """The head in a file: the architecture's own, or one Linear in its place or beside the rest of the network.

    A normalisation may stand right before the Linear. If the file has no head, the result has `requested` classes,
    and the check of the tensors says what is missing.
    Raises: ModelError for a head with another number of classes than requested; for one of several layers, because
        layers without tensors between them, such as a ReLU, are not in the file; and for a layer beside the network
        that may follow its head.
    """
    found = network.tensors
    own = {key: axis for key, shapes in heads.items() if (axis := _axis_of_classes(shapes)) is not None}
    if own and all(key in found and len(found[key].shape) == len(heads[key][0]) for key in own):
        key, axis = next(iter(own.items()))
        head = Head(_checked(found[key].shape[axis], requested, file), features=found[key].shape[-1])
        _check_last(network, key.rpartition(".")[0], head, file)
        return head
    for module in head_modules(heads)[:1]:
        parents = (module[:at] for at in range(len(module) - 1, 0, -1) if module[at] == ".")
        for name in (module, *parents):
            inside = {key: tensor for key, tensor in found.items() if key.startswith(f"{name}.")}
            if head := _replaced(inside, name, requested, file):
                _check_last(network, name, head, file)
                return head
        own_module = {key: tensor for key, tensor in found.items() if key.startswith(f"{module}.")}
        for part in (own_module, *network.beside.values()):
            _refuse_convolution(part, file)
        outside = _outside(network)
        if head := _replaced(outside, module, requested, file):
            note = f"{head.note}, which lies beside the network and is taken to follow its pooling"
            return replace(head, outside=outside, note=note)
    return Head(requested or FEW_AND_MORE[0])


def _refuse_convolution(tensors: Mapping[str, StoredTensor], file: str) -> None:
    """Raises: ModelError where a 1×1 convolution stands in the place of a head, or beside the network."""
    weights = [(key, tensor.shape) for key, tensor in tensors.items() if key.rpartition(".")[2] != "bias"]
    if len(weights) == 1 and len(weights[0][1]) == 4 and weights[0][1][2:] == (1, 1):
        ((key, shape),) = weights
        raise ModelError(
            f"expected a Linear as the head in {quoted(file)}, got {quoted(key.rpartition('.')[0], 60)}, a 1×1 "
            f"convolution {_times(shape)}: whether it stands before the pooling or after it is not in the file; "
            "put the module together in Python and give it to Classifier"
        )


def _outside(network: Network) -> dict[str, StoredTensor]:
    """The tensors beside a network that may be a head: whatever contains a Linear and no convolution."""
    kept = [
        part
        for part in network.beside.values()
        if "Linear" in _kinds(part).values() and all(len(tensor.shape) < 3 for tensor in part.values())
    ]
    return {key: tensor for part in kept for key, tensor in part.items()}


def _check_last(network: Network, name: str, head: Head, file: str) -> None:
    """Raises: ModelError for a Linear beside a network whose inputs may be the head's scores or features."""
    outside = _outside(network)
    for layer in _kinds(outside):
        weight = outside[f"{layer}.weight"].shape
        if len(weight) == 2 and weight[1] in (head.classes, head.features):
            raise ModelError(
                f"expected one head in {quoted(file)}, got {quoted(name, 60)} of {head.classes} classes in the "
                f"network, and {quoted(layer, 60)} {_times(weight)} beside it, which may follow; put the module "
                "together in Python and give it to Classifier"
            )


def _axis_of_classes(shapes: tuple[Shape, Shape]) -> int | None:
    return next((axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if sizes == FEW_AND_MORE), None)


def _replaced(inside: Mapping[str, StoredTensor], module: str, requested: int | None, file: str) -> Head | None:
    """The head whose Linear is among these tensors, in place of `module`; None if they are of another kind."""
    kinds = _kinds(inside)
    if "Linear" not in kinds.values() or "" in kinds.values():
        return None
    *before, layer = kinds
    if kinds[layer] != "Linear" or not (before == [] or _is_norm_right_before(kinds, before, layer)):
        found = ", ".join(
            f"{quoted(name, 60)} {kind} {_times(inside[name + '.weight'].shape)}"
            for name, kind in list(kinds.items())[:4]
        )
        raise ModelError(
            f"expected a head of one layer in {quoted(file)}, got {found}: what connects them, such as a ReLU, is "
            "not in the file; put the module together in Python and give it to Classifier"
        )
    norm = kinds[before[0]] if before else ""
    classes, features = inside[f"{layer}.weight"].shape
    new = {before[0]: f"{module}.0", layer: f"{module}.1"} if before else {layer: module}
    names = {f"{new[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": key for key in inside}
    first = before[0] if before else layer
    note = f"its head is {layer}, a Linear from {features} to {classes}"
    if f"{layer}.bias" not in inside:
        note += " without bias"
    if before:
        note += f" after {before[0]}, a {norm} with PyTorch's own eps"
    if _number_in_row(first) not in (None, 0):
        note += "; what stands before it without weights is taken for Dropout"
    return Head(_checked(classes, requested, file), module, features, norm, names, note=note)


_NORMS: dict[str, tuple[frozenset[str], Callable[[int], nn.Module]]] = {
    "BatchNorm1d": (frozenset(("weight", "bias", "running_mean", "running_var")), nn.BatchNorm1d),
    "LayerNorm": (frozenset(("weight", "bias")), nn.LayerNorm),
}
"""Layers that may stand before the Linear of a head: the names of their tensors, and how one is made."""


def _kinds(tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """Each layer's kind, `Linear` or a row of `_NORMS`, in the order of the file; empty where it is another."""
    layers: dict[str, dict[str, Shape]] = {}
    for key, tensor in tensors.items():
        layer, _, part = key.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor.shape
    return {layer: _kind(parts) for layer, parts in layers.items()}


def _kind(parts: Mapping[str, Shape]) -> str:
    parts = {name: shape for name, shape in parts.items() if name != "num_batches_tracked"}
    weight = parts.get("weight", ())
    if len(weight) == 2 and parts.keys() <= {"weight", "bias"} and parts.get("bias") in (None, weight[:1]):
        return "Linear"
    is_norm = len(weight) == 1 and set(parts.values()) == {weight}
    return next((kind for kind, (names, _) in _NORMS.items() if is_norm and names == parts.keys()), "")


def _is_norm_right_before(kinds: Mapping[str, str], before: list[str], layer: str) -> bool:
    """Whether a normalisation and a Linear follow one another in a Sequential, with nothing between them."""
    if (
        len(before) != 1
        or kinds[before[0]] not in _NORMS
        or layer.rpartition(".")[0] != before[0].rpartition(".")[0]
    ):
        return False
    first, second = map(_number_in_row, (before[0], layer))
    return first is not None and second == first + 1


def _number_in_row(layer: str) -> int | None:
    """The number of a layer in a Sequential; None for one with a name."""
    last = layer.rpartition(".")[2]
    return int(last) if last.isdecimal() else None


def _checked(classes: int, requested: int | None, file: str) -> int:
    if requested not in (None, classes):
        raise ModelError(
            f"expected a head of {requested} classes in {quoted(file)}, got one of {classes}; ask for {classes}"
        )
    if not 0 < classes <= MAX_CLASSES:
        raise ModelError(
            f"expected a head of 1 to {MAX_CLASSES:,} classes in {quoted(file)}, got one of {classes:,}; "
            "choose another checkpoint"
        )
    return classes


def put_head(module: nn.Module, head: Head) -> bool:
    """Put the layers of a replaced head into a module; return whether its own layer was of another form."""
    if not head.module:
        return False
    owner, _, name = head.module.rpartition(".")
    own = module.get_submodule(head.module)
    same = type(own) is nn.Linear and own.in_features == head.features and (own.bias is not None) == head.has_bias
    if same and not head.norm:
        return False
    new: nn.Module = nn.Linear(head.features, head.classes, head.has_bias)
    if head.norm:
        new = nn.Sequential(_NORMS[head.norm][1](head.features), new)
    setattr(module.get_submodule(owner), name, new)
    return True


def gives_classes(module: nn.Module, size: tuple[int, int], classes: int) -> bool:
    """Whether a module on the meta device makes `[1, classes]` of a photo of this size."""
    try:
        with torch.no_grad(), torch.device("meta"):
            return tuple(module.eval()(torch.empty(1, 3, *size)).shape) == (1, classes)
    except (RuntimeError, TypeError, AttributeError, ValueError, NotImplementedError):
        return False


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape))
