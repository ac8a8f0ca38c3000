"""Whether a checkpoint's tensors fit an architecture, and which of them go where; no numbers are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

import torch

from gradcam.errors import ModelError, quoted
from gradcam.models.architectures import Shape, shapes_with_heads, without_numbers
from gradcam.models.heads import Head, gives_classes, head_of, put_head, trunk_of
from gradcam.models.networks import Network, States, choose_network, networks_in
from gradcam.models.sources import SOURCES
from gradcam.models.weight_files import StoredTensor, check_size
from gradcam.text import first_few
from gradcam.types import ModelSpec

AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Tensors of heads that only training uses."""


_IN_PARTS = re.compile(r"\.weight_[gv]$|(^|\.)parametrizations\.\w+\.original[01]$")
"""Names of the length and the direction of a weight, as `weight_norm` keeps it."""


@dataclass(frozen=True)
class Fit:
    """The tensors of a file by the names of an architecture.

    network: the one that was chosen. others: the prefixes of the networks that fit as well. head: how the module
    ends.
    """

    network: Network
    others: tuple[Network, ...]
    head: Head
    tensors: dict[str, StoredTensor]

    @property
    def note(self) -> str:
        """What should be known about the choice, in words; empty where there was none."""
        averaged = [other.name for other in self.others if other.is_averaged]
        rest = [other.name for other in self.others if not other.is_averaged]
        notes = [f"weights of {self.network.name or 'the file itself'}"] if self.others else []
        notes += [f"averaged (EMA) weights are under {', '.join(averaged[:3])}"] if averaged else []
        notes += [f"other weights of this architecture are under {', '.join(rest[:3])}"] if rest else []
        notes += [self.head.note] if self.head.note else []
        return "; ".join(notes)


def fit(states: States, spec: ModelSpec, file: str, prefix: str | None = None, classes: int | None = None) -> Fit:
    """Find the architecture's tensors in a file.

    prefix: of the network to take. classes: how many the head must have.
    Raises: ModelError that names the tensors that do not fit, or the networks if several may be meant.
    """
    heads = shapes_with_heads(spec.source, spec.name)
    networks = networks_in(states, trunk_of(heads))
    if not networks and prefix is None:
        networks = [Network("", next(iter(states.values())))]
    network = choose_network(networks, prefix, file)
    others = tuple(other for other in networks if other is not network)
    found = {key: tensor for key, tensor in network.tensors.items() if not key.startswith(AUXILIARY)}
    check_size(found.values(), file)
    head = head_of(replace(network, tensors=found), heads, classes, file)
    stored = {name: own for own, name in head.names.items()}
    tensors = {stored.get(key, key): tensor for key, tensor in (found | dict(head.outside)).items()}
    module = without_numbers(spec.source, spec.name, head.classes)
    with torch.device("meta"):
        is_changed = put_head(module, head)
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    _check_fit(shapes, tensors, f"{spec.architecture} in {quoted(file)}")
    if is_changed and not gives_classes(module, SOURCES[spec.source].preprocessing(spec).size, head.classes):
        raise ModelError(
            f"expected a head that {spec.architecture} can have, got {head.note} in {quoted(file)}; "
            "put the module together in Python and give it to Classifier"
        )
    return Fit(network, others, head, tensors)


def _check_fit(shapes: Mapping[str, Shape], found: Mapping[str, StoredTensor], architecture: str) -> None:
    """Raises: ModelError that lists the tensors that do not fit."""
    found = {key: tensor for key, tensor in found.items() if not tensor.dtype.is_complex}  # these are no weights
    normed = [key for key in found if _IN_PARTS.search(key) and key not in shapes]
    if normed:
        raise ModelError(
            f"expected the tensors of {architecture}, got weights in two parts, as weight_norm keeps them "
            f"({', '.join(map(_shown, normed[:2]))}); save the model after remove_weight_norm or "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    missing = [key for key in shapes if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in shapes]
    other = [
        f"{key} {_times(found[key].shape)} instead of {_times(shape)}"
        for key, shape in shapes.items()
        if key in found and found[key].shape != shape
    ]
    misfits = [
        f"{len(keys)} {what} ({first_few([*map(_shown, keys)])})"
        for what, keys in (
            ("missing", missing),
            ("unknown to it", extra),
            ("of another shape", other),
        )
        if keys
    ]
    if misfits:
        raise ModelError(
            f"expected the tensors of {architecture}, got {', '.join(misfits)}; "
            "name the architecture that was trained"
        )


def _shown(name: str) -> str:
    """A tensor's name in a sentence: all of it, unless nobody would read so much."""
    return name if len(name) <= 120 else f"{name[:60]}…{name[-59:]}"


def _times(shape: Iterable[int]) -> str:
    sizes = list(shape)
    if len(sizes) > 8 or prod(sizes) > 10**15:
        return f"{len(sizes)} axes"
    return "×".join(map(str, sizes)) or "a single number"
