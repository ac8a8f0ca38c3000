"""The networks in a checkpoint: which of its tensors belong together, and which network of several is meant."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcam.errors import ModelError, quoted
from gradcam.models.weight_files import MAX_NAME, StoredTensor, tensors_of
from gradcam.text import first_few

Shape = tuple[int, ...]

_AVERAGED = re.compile(r"(?:^|[._])(?:ema|avg|averaged?|swa|polyak|shadow)(?:[._\d]|$)", re.IGNORECASE)
"""Matches names of weights that were averaged during training: `state_dict_ema`, `averaged_model` …"""

MAX_DEPTH = 6
"""How deep dictionaries in dictionaries are searched, and how many parts a prefix may have."""


@dataclass(frozen=True)
class Network:
    """Tensors by the architecture's names; in the file `prefix` stands before each name.

    beside: other tensors around the network, such as a head outside of the backbone: by the first part of their
        name, then by their name in the file.
    """

    prefix: str
    tensors: dict[str, StoredTensor]
    beside: Mapping[str, Mapping[str, StoredTensor]] = field(default_factory=dict)

    @property
    def is_averaged(self) -> bool:
        return bool(_AVERAGED.search(self.prefix))

    @property
    def name(self) -> str:
        """The prefix as people name it: without a dot at its end."""
        return self.prefix.removesuffix(".")


States = dict[str, dict[str, StoredTensor]]
"""The dictionaries of a file that hold tensors, by where they lie: `""`, `state_dict.` or `callbacks.ema.`"""


def states_in(content: Any, name: str) -> States:
    """The tensors of a file, by the dictionary that they lie in; each dictionary is looked into once.

    Raises: ModelError for no tensors, too many, or a name that cannot be shown.
    """
    states: States = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, Any, int]] = deque(
        [("", content, 0)] if isinstance(content, dict | list | tuple) else []
    )
    while waiting:
        prefix, value, depth = waiting.popleft()
        if id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            if isinstance(part, StoredTensor) and isinstance(value, dict):
                states.setdefault(prefix, {})[str(key)] = part
            elif isinstance(part, dict | list | tuple) and len(prefix) < MAX_NAME:
                waiting.append((f"{prefix}{key}.", part, depth + 1))
    tensors_of(
        {prefix + key: tensor for prefix, state in states.items() for key, tensor in state.items()} or content, name
    )
    return states


def prefixes_of(names: Iterable[str], own: frozenset[str]) -> Counter[str]:
    """Each prefix of an architecture's own names, and how many names have it."""
    counted: Counter[str] = Counter()
    for name in names:
        start = 0
        for _ in range(MAX_DEPTH + 2):
            if name[start:] in own:
                counted[name[:start]] += 1
            start = name.find(".", start) + 1
            if start == 0:
                break
    return counted


def networks_in(states: States, trunk: Mapping[str, Shape]) -> list[Network]:
    """The networks whose tensors all fit an architecture; if none do, the one whose names fit best, if any.

    trunk: the architecture's own shapes without its head, which may have been replaced.
    """
    names = frozenset(trunk)
    counted = [
        (count, where, prefix)
        for where, state in states.items()
        for prefix, count in prefixes_of(state, names).items()
    ]
    fitting = [
        (where, prefix)
        for count, where, prefix in counted
        if count == len(trunk) and all(states[where][prefix + key].shape == shape for key, shape in trunk.items())
    ]
    if not fitting:
        best = sorted(counted, key=lambda found: (-found[0], len(found[1] + found[2]), found[1:]))[:1]
        return [_network(states[where], where, prefix, [prefix]) for _, where, prefix in best]
    alone: dict[tuple[int, ...], tuple[str, str]] = {}
    for where, prefix in fitting:  # one network under two names is one
        alone.setdefault(tuple(states[where][prefix + key].first_byte for key in trunk), (where, prefix))
    inner = {where: [prefix for other, prefix in fitting if other == where] for where, _ in fitting}
    return [_network(states[where], where, prefix, inner[where]) for where, prefix in alone.values()]


def _network(state: Mapping[str, StoredTensor], where: str, prefix: str, prefixes: list[str]) -> Network:
    """The tensors under a prefix, without those of a network under a longer one, and what lies beside them."""
    inner = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
    tensors = {
        key[len(prefix) :]: tensor
        for key, tensor in state.items()
        if key.startswith(prefix) and not key.startswith(inner)
    }
    taken, around, beside = tuple(filter(None, prefixes)), prefix, dict[str, dict[str, StoredTensor]]()
    while around and not beside:
        around = around[: around.rstrip(".").rfind(".") + 1]
        if around in prefixes:  # what lies there belongs to another whole network
            break
        for key, tensor in state.items():
            if key.startswith(around) and not key.startswith(taken):
                beside.setdefault(key[len(around) :].partition(".")[0], {})[key] = tensor
    return Network(where + prefix, tensors, beside)


def choose_network(networks: list[Network], prefix: str | None, file: str) -> Network:
    """The network with this prefix, or the trained one if there is none; never one by chance.

    Raises: ModelError that lists the networks if several may be meant, or none has the prefix.
    """
    listed = first_few([quoted(network.name or ".", 60) for network in networks], 6)
    if prefix is not None:
        wanted = prefix.strip(".")
        named = [network for network in networks if network.name == wanted] or [
            network for network in networks if f".{wanted}." in f".{network.prefix}"
        ]
        if len(named) == 1:
            return named[0]
        raise ModelError(
            f"expected one network under the prefix {quoted(prefix)} in {quoted(file)}, got {len(named) or 'none'} "
            f"of {listed or 'no networks of this architecture'}; give the prefix of one of them"
        )
    meant = [network for network in networks if not network.is_averaged] or networks
    if len(meant) > 1:
        raise ModelError(
            f"expected one network in {quoted(file)}, got {len(networks)} of this architecture: {listed}; "
            "choose one by its prefix"
        )
    return meant[0]
