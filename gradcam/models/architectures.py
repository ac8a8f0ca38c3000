"""Which architectures a checkpoint's tensors may belong to, by their names and shapes.

`data/architectures.csv` has a row for each architecture of timm and torchvision: how many tensors its state has
beside the head's, and the names and shapes of four of them. An architecture is built only if a file has these four.
`python -m gradcam.models.architectures FILE.csv` writes the table anew, which takes some minutes.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import torch
from torch import nn

from gradcam.model_spec import ModelSpec, read_spec
from gradcam.models.sources import SOURCES

Shape = tuple[int, ...]
Heads = dict[str, tuple[Shape, Shape]]

FEW_AND_MORE = (3, 5)
"""Classes of the two heads that are compared to find out which tensors depend on the number of classes."""

LIBRARIES = ("torchvision", "timm")
ANCHORS, UNMISTAKABLE = 4, 99_991
"""How many tensors identify an architecture, and a number of classes that no other size equals."""


@dataclass(frozen=True)
class Signature:
    """What identifies an architecture: its number of tensors without the head's, and the shapes of some by name."""

    architecture: str
    tensors: int
    anchors: tuple[tuple[str, Shape], ...]


def architectures() -> list[ModelSpec]:
    """The architectures that a checkpoint may be for."""
    return [ModelSpec(source, name) for source in LIBRARIES for name in SOURCES[source].names()]


def architecture_names() -> list[str]:
    """The ids of `architectures()`."""
    return [str(spec) for spec in architectures()]


@lru_cache(maxsize=100)
def shapes_with_heads(source: str, name: str) -> Heads:
    """The shapes of an architecture's state with few and with more classes, kept; they differ at the head."""
    few, more = (shapes_of(source, name, classes) for classes in FEW_AND_MORE)
    return {key: (few[key], more[key]) for key in few}


def shapes_of(source: str, name: str, classes: int) -> dict[str, Shape]:
    """The shapes of an architecture's state, found without numbers unless the builder computes with them."""
    return {key: tuple(value.shape) for key, value in without_numbers(source, name, classes).state_dict().items()}


def without_numbers(source: str, name: str, classes: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old names and initial weights, which nobody uses here
        try:
            with torch.device("meta"):
                return SOURCES[source].build_with_classes(name, classes)
        except (RuntimeError, NotImplementedError):
            return SOURCES[source].build_with_classes(name, classes)


@cache
def signatures() -> tuple[Signature, ...]:
    """The table, in the order of `architectures()`; without rows that the installed libraries lack."""
    file, known = resources.files("gradcam").joinpath("data/architectures.csv"), set(architecture_names())
    with file.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["architecture"] in known]
    return tuple(
        Signature(row["architecture"], int(row["tensors"]), tuple(map(_anchor, row["anchors"].split())))
        for row in rows
    )


def _anchor(text: str) -> tuple[str, Shape]:
    name, _, shape = text.partition(":")
    return name, tuple(int(size) for size in shape.split("x") if size)


def measured(architecture: str) -> Signature:
    """The row of an architecture, which is built without numbers."""
    spec = read_spec(architecture)
    shapes = shapes_of(spec.source, spec.name, UNMISTAKABLE)
    body = [
        (key, shape)
        for key, shape in shapes.items()
        if UNMISTAKABLE not in shape and not key.endswith("num_batches_tracked")
    ]
    indices = sorted({round(step * (len(body) - 1) / (ANCHORS - 1)) for step in range(ANCHORS)})
    return Signature(architecture, len(body), tuple(body[index] for index in indices))


def write_signatures(path: str, names: Iterable[str]) -> None:
    """Write the table of these architectures; one that cannot be built is named and left out."""
    with open(path, "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("architecture", "tensors", "anchors"))
        for name in names:
            try:
                found = measured(name)
            except Exception as error:  # noqa: BLE001 (a library may raise whatever it likes)
                print(f"{name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr, flush=True)
                continue
            anchors = (f"{key}:{'x'.join(map(str, shape))}" for key, shape in found.anchors)
            table.writerow((name, found.tensors, " ".join(anchors)))


if __name__ == "__main__":
    write_signatures(sys.argv[1], architecture_names())
