"""A number that tells whether a model has changed since its layers were searched."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from gradcam.modules import Modules, own_names

_PLAIN = frozenset(
    {bool, int, float, str, type(None), type, partial, FunctionType, MethodType, BuiltinFunctionType, torch.Size}
)
"""Types of attributes that may switch what a forward does, such as timm's `global_pool`."""

_SETTLED = tuple(
    f"torch.nn.modules.{name}" for name in ("activation", "batchnorm", "dropout", "linear", "normalization")
)
"""Packages of modules that treat each place by itself, whatever their settings."""

_convolution = itemgetter("stride", "padding", "dilation", "groups")


def fingerprint(modules: Modules, counters: frozenset[str]) -> int:
    """A number that changes with the modules of a model, their settings and its head.

    counters: attributes that a forward changes, such as a number of calls; they are no settings.
    This is computed at every call and takes about a tenth of a millisecond.
    """
    weights = (module._parameters for module in reversed(modules) if module._parameters)
    head = tuple(weight.shape for weight in next(weights, {}).values() if weight is not None)
    settings: list[Any] = []
    for position, read in _readers(modules.kinds):
        values = modules.attributes[position]
        if read is None:
            names = own_names(tuple(values))
            settings += [v for name in names if type(v := values[name]) in _PLAIN and name not in counters]
        else:
            settings.append(read(values))
    return hash((head, modules.kinds, tuple(map(len, modules.attributes)), tuple(settings)))


_Reader: TypeAlias = Callable[[dict[str, Any]], Any] | None
"""Reads a module's settings from its attributes; None if all plain ones count."""


@lru_cache(256)
def _readers(kinds: tuple[type[nn.Module], ...]) -> tuple[tuple[int, _Reader], ...]:
    """The position and the reader of each module of these kinds that has settings which matter here."""
    return tuple((position, _reader(kind)) for position, kind in enumerate(kinds) if not _is_settled(kind))


def _is_settled(kind: type[nn.Module]) -> bool:
    return (
        kind is nn.Identity
        or issubclass(kind, _NormBase)
        or (kind.__module__ in _SETTLED and kind is not nn.MultiheadAttention)
    )


def _reader(kind: type[nn.Module]) -> _Reader:
    return (
        _convolution if kind.__module__.startswith("torch.nn.modules.conv") and issubclass(kind, _ConvNd) else None
    )
