"""The head of a checkpoint: how many classes it has, and what stands where somebody has replaced it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from gradcam.errors import ModelError, quoted
from gradcam.models.architectures import FEW_AND_MORE, Heads, Shape
from gradcam.models.weight_files import StoredTensor

MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Head:
    """The last layer that a checkpoint has.

    classes: how many numbers it gives. module: where a single Linear of `features` inputs takes the place of the
    architecture's own module; empty where the head is the architecture's. names: the file's name for each of its
    tensors. note: what was recognised, in words.
    """

    classes: int
    module: str = ""
    features: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def has_bias(self) -> bool:
        return f"{self.module}.bias" in self.names


def trunk_of(heads: Heads) -> dict[str, Shape]:
    """An architecture's shapes without the head and what surrounds it, for that may have been replaced."""
    tops = {name.partition(".")[0] for name in head_modules(heads)}
    body = {
        key: few for key, (few, more) in heads.items() if few == more and not key.endswith("num_batches_tracked")
    }
    return {key: shape for key, shape in body.items() if key.partition(".")[0] not in tops} or body


def head_modules(heads: Heads) -> list[str]:
    """The modules whose shapes depend on the number of classes."""
    return list(dict.fromkeys(key.rpartition(".")[0] for key, (few, more) in heads.items() if few != more))


def head_of(found: Mapping[str, StoredTensor], heads: Heads, asked: int | None, file: str) -> Head:
    """The head in a file: the architecture's own, or one Linear that was put in its place.

    Where there is none, it has as many classes as `asked`, and whoever checks the tensors says what is missing.
    Raises: ModelError for a head of another number of classes than asked for, or of several layers: what lies
        between them, such as a ReLU, has no tensors and is not in the file.
    """
    own = {key: axis for key, shapes in heads.items() if (axis := _axis_of_classes(shapes)) is not None}
    for key, axis in own.items():
        if own.keys() <= found.keys() and len(found[key].shape) == len(heads[key][0]):
            return Head(_checked(found[key].shape[axis], asked, file))
    for module in head_modules(heads)[:1]:
        places = [module, *(module[:at] for at in range(len(module) - 1, 0, -1) if module[at] == ".")]
        for place in places:
            if head := _replaced(found, place, asked, file):
                return head
    return Head(asked or FEW_AND_MORE[0])


def _axis_of_classes(shapes: tuple[Shape, Shape]) -> int | None:
    return next((axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if sizes == FEW_AND_MORE), None)


def _replaced(found: Mapping[str, StoredTensor], place: str, asked: int | None, file: str) -> Head | None:
    """The Linear at a module's place or within it; None where the tensors there are of another kind."""
    inside = {key: tensor for key, tensor in found.items() if key.startswith(f"{place}.")}
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in inside))
    if not layers or not all(_is_linear(inside, layer) for layer in layers):
        return None
    if len(layers) > 1:
        said = ", ".join(f"{quoted(layer, 60)} {_times(inside[layer + '.weight'].shape)}" for layer in layers[:4])
        raise ModelError(
            f"expected a head of one layer in {quoted(file)}, got {said}: what lies between them, such as a ReLU, "
            "is not in the file; put the module together in Python and give it to Classifier"
        )
    layer = layers[0]
    classes, features = inside[f"{layer}.weight"].shape
    classes = _checked(classes, asked, file)
    names = {f"{place}.{part}": f"{layer}.{part}" for part in ("weight", "bias") if f"{layer}.{part}" in inside}
    bare = " without bias" * (f"{place}.bias" not in names)
    before = "; what stands before it without weights is taken for Dropout" * (
        layer[-1:].isdigit() and layer[-1] != "0"
    )
    return Head(
        classes, place, features, names, f"its head is {layer}, a Linear from {features} to {classes}{bare}{before}"
    )


def _is_linear(tensors: Mapping[str, StoredTensor], layer: str) -> bool:
    parts = {
        key.rpartition(".")[2]: tensor.shape for key, tensor in tensors.items() if key.rpartition(".")[0] == layer
    }
    weight, bias = parts.pop("weight", ()), parts.pop("bias", None)
    return len(weight) == 2 and bias in (None, weight[:1]) and not parts


def _checked(classes: int, asked: int | None, file: str) -> int:
    if asked not in (None, classes):
        raise ModelError(
            f"expected a head of {asked} classes in {quoted(file)}, got one of {classes}; ask for {classes}"
        )
    if not 0 < classes <= MAX_CLASSES:
        raise ModelError(
            f"expected a head of 1 to {MAX_CLASSES:,} classes in {quoted(file)}, got one of {classes:,}; "
            "choose another checkpoint"
        )
    return classes


def put_head(module: nn.Module, head: Head) -> bool:
    """Put the Linear of a replaced head into a module; returns whether the module had none of that shape there."""
    if not head.module:
        return False
    owner, _, name = head.module.rpartition(".")
    own = module.get_submodule(head.module)
    if type(own) is nn.Linear and own.in_features == head.features and (own.bias is not None) == head.has_bias:
        return False
    setattr(module.get_submodule(owner), name, nn.Linear(head.features, head.classes, head.has_bias))
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
