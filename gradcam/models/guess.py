"""Which architecture a checkpoint was trained as, by its tensors' names and shapes and by what it says itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcam.errors import ModelError, check_kind, quoted
from gradcam.model_spec import read_spec
from gradcam.models.architectures import Signature, signatures
from gradcam.models.fitting import fit
from gradcam.models.networks import States, prefixes_of, states_in
from gradcam.models.sources import SOURCES
from gradcam.models.weight_files import open_weights

MAX_TRIED = 12
"""Architectures that are built, without numbers, to see whether a checkpoint fits; each takes some 0.1 s."""


@dataclass(frozen=True)
class Guess:
    """fitting: the architectures that all tensors fit, the likeliest first. near: others that have tensors of these
    names and shapes, the nearest first. is_named: whether the file itself names the first that fits.
    """

    fitting: tuple[str, ...]
    near: tuple[str, ...] = ()
    is_named: bool = False

    @property
    def only(self) -> str | None:
        """The architecture, if only one fits or the file names one that fits."""
        return self.fitting[0] if len(self.fitting) == 1 or self.is_named else None


def guess_architecture(file: str | Path | bytes, name: str = "", prefix: str | None = None) -> Guess:
    """The architectures that a checkpoint may be for. Takes a second or two; nothing is read but names and shapes.

    Raises: ModelError for a file that cannot be used.
    """
    check_kind(file, (str, Path, bytes), "a file of weights", "pass its path or its bytes", ModelError)
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    content = open_weights(file, name)
    return guess(states_in(content, name), content, name, prefix)


def guess(states: States, content: Any, name: str, prefix: str | None = None) -> Guess:
    """`guess_architecture` of what was opened already."""
    ranked = _ranked(states)
    best = ranked[0][0] if ranked else 0
    mentioned = {text.lower().replace("-", "_").partition(".")[0] for text in _names_in(content)}
    library = "timm" if "version" in content and "arch" in content else "torchvision"  # what timm's script notes

    def likeliest(architecture: str) -> tuple[bool, bool, int]:
        """First what the file names, then the library whose script wrote it, then what has most weights online."""
        spec = read_spec(architecture)
        known = SOURCES[spec.source].weights(spec.name)
        return spec.name.lower() not in mentioned, spec.source != library, -len(known)

    tried = sorted((one for distance, one in ranked if distance == best), key=likeliest)[:MAX_TRIED]
    fitting = [architecture for architecture in tried if _fits(states, architecture, name, prefix)]
    near = tuple(architecture for _, architecture in ranked if architecture not in fitting)[:MAX_TRIED]
    return Guess(tuple(fitting), near, any(not likeliest(architecture)[0] for architecture in fitting))


def the_architecture(states: States, content: Any, name: str, prefix: str | None = None) -> str:
    """The architecture that a checkpoint must be for.

    Raises: ModelError naming the architectures that it may be for, where there is more than one or none.
    """
    found = guess(states, content, name, prefix)
    if found.only:
        return found.only
    listed = [quoted(one, 60) for one in (found.fitting or found.near)[:6]]
    if found.fitting:
        raise ModelError(
            f"expected the architecture of {quoted(name)}, got none, and its tensors fit {len(found.fitting)}: "
            f"{', '.join(listed)}; name one"
        )
    hint = f"the nearest: {', '.join(listed)}" if listed else "none of timm's and torchvision's is near"
    raise ModelError(f"expected a checkpoint of a known architecture, got {quoted(name)}; {hint}; name one")


def _fits(states: States, architecture: str, name: str, prefix: str | None) -> bool:
    try:
        fit(states, read_spec(architecture), name, prefix)
    except ModelError as error:
        return "one network" in str(error)
    return True


def _ranked(states: States) -> list[tuple[int, str]]:
    """The architectures with most anchors in the file, those with nearly as many tensors as the file first."""
    table = signatures()
    firsts = frozenset(signature.anchors[0][0] for signature in table)
    prefixed = [(state, prefix) for state in states.values() for prefix in prefixes_of(state, firsts)]
    sizes = [
        sum(key.startswith(prefix) and not key.endswith("num_batches_tracked") for key in state)
        for state, prefix in prefixed[:100]
    ]
    distances: dict[str, int] = {}
    for (state, prefix), size in zip(prefixed, sizes, strict=False):
        for signature in table:
            if _has(state, prefix, signature):
                distance = abs(size - 2 - signature.tensors)
                distances[signature.architecture] = min(distance, distances.get(signature.architecture, distance))
    order = {signature.architecture: position for position, signature in enumerate(table)}
    return sorted(((distance, name) for name, distance in distances.items()), key=lambda it: (it[0], order[it[1]]))


def _has(state: Any, prefix: str, signature: Signature) -> bool:
    first, *others = (
        (tensor := state.get(prefix + name)) is not None and tensor.shape == shape
        for name, shape in signature.anchors
    )
    return first and sum(others) >= len(others) - 1


_ARCHITECTURE_KEYS = ("arch", "architecture", "model", "model_name", "backbone", "net", "encoder", "name")
_CONFIGURATION_KEYS = ("args", "config", "cfg", "hyper_parameters", "hparams", "opt", "meta")


def _names_in(content: Any) -> Iterator[str]:
    """What a training script may have noted as its architecture."""
    inside = [content.get(key) for key in _CONFIGURATION_KEYS] if isinstance(content, dict) else []
    for noted in (content, *inside, *(getattr(value, "attributes", None) for value in inside)):
        if isinstance(noted, dict):
            yield from (noted[key] for key in _ARCHITECTURE_KEYS if isinstance(noted.get(key), str))
