"""What is known of a module apart from its code: the hash of its state, and whether `load_classifier` made it."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from operator import is_
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

_Versions: TypeAlias = list[tuple[int, int]] | None
"""Where each tensor lies and how often it was written to; None where PyTorch does not count that."""


class _Hash(NamedTuple):
    """A hash, the tensors that it was computed from, and what `_versions` told of them then."""

    tensors: tuple[Tensor, ...]
    versions: _Versions
    sha256: str


_hashes: weakref.WeakKeyDictionary[nn.Module, _Hash] = weakref.WeakKeyDictionary()
_loaded: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def state_sha256(module: nn.Module) -> str:
    """Hexadecimal SHA-256 over names, types, shapes and bytes of a module's state, renewed when it changes."""
    state = module.state_dict(keep_vars=True)
    tensors = tuple(state.values())
    versions, known = _versions(tensors), _hashes.get(module)
    is_known = known and len(known.tensors) == len(tensors) and all(map(is_, known.tensors, tensors))
    if known and is_known and versions is not None and known.versions == versions:
        return known.sha256
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    _hashes[module] = _Hash(tensors, versions, digest.hexdigest())
    return digest.hexdigest()


def weights_sha256(module: nn.Module) -> str:
    """`state_sha256`, quick enough for every explanation: renewed when a tensor was written to or moved.

    The module is not asked again which tensors it has, which takes several times as long.
    """
    known = _hashes.get(module)
    return known.sha256 if known and known.versions == _versions(known.tensors) else state_sha256(module)


def _versions(tensors: Sequence[Tensor]) -> _Versions:
    try:
        return [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    except RuntimeError:  # an inference tensor
        return None


def note_loaded(module: nn.Module) -> None:
    """Note that `load_classifier` made a module, so that another process can make the same one."""
    _loaded.add(module)


def is_loaded_by_id(module: nn.Module) -> bool:
    """Whether `load_classifier` made this module."""
    return module in _loaded
