"""What is known of a module apart from its code: the hash of its state, and whether `load_classifier` made it."""

from __future__ import annotations

import hashlib
import weakref

import torch
from torch import nn

_hashes: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()
_loaded: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def state_sha256(module: nn.Module) -> str:
    """Hexadecimal SHA-256 over names, types, shapes and bytes of a module's state, renewed when it changes."""
    state = module.state_dict()
    written = None
    if not any(tensor.is_inference() for tensor in state.values()):
        written = [(tensor.data_ptr(), tensor._version) for tensor in state.values()]
        if (known := _hashes.get(module)) and known[0] == written:
            return known[1]
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    if written is not None:
        _hashes[module] = written, digest.hexdigest()
    return digest.hexdigest()


def note_loaded(module: nn.Module) -> None:
    """Note that `load_classifier` made a module, so that another process can make the same one."""
    _loaded.add(module)


def is_loaded_by_id(module: nn.Module) -> bool:
    """Whether `load_classifier` made this module."""
    return module in _loaded
