"""A number that tells whether a model has changed since its layers were searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

_PLAIN = frozenset(
    {bool, int, float, str, type(None), type, partial, FunctionType, MethodType, BuiltinFunctionType, torch.Size}
)
"""Types of attributes that may switch what a forward does, such as timm's `global_pool`."""

_SETTLED = tuple(
    f"torch.nn.modules.{name}" for name in ("activation", "batchnorm", "dropout", "linear", "normalization")
)
"""Packages of modules that treat each place by itself, whatever their settings."""

_convolution = itemgetter("stride", "padding", "dilation", "groups")


def fingerprint(modules: Sequence[nn.Module], counters: frozenset[str]) -> int:
    """A number that changes with the modules of a model, their settings and its head.

    counters: attributes that a forward changes, such as a number of calls; they are no settings.
    This is computed at every call and takes about a tenth of a millisecond.
    """
    weights = (module._parameters for module in reversed(modules) if module._parameters)
    head = tuple(weight.shape for weight in next(weights, {}).values() if weight is not None)
    skipped = {"training", *counters}
    attributes = [module.__dict__ for module in modules]
    settings: list[Any] = []
    for module, values in zip(modules, attributes, strict=True):
        read = _reader(type(module))
        if read is None:
            settings += [v for name, v in values.items() if type(v) in _PLAIN and name not in skipped]
        elif read is not _nothing:
            settings.append(read(values))
    return hash((head, tuple(map(type, modules)), tuple(map(len, attributes)), tuple(settings)))


def _nothing(_attributes: dict[str, Any]) -> None:
    """For modules without settings that matter here."""


@lru_cache(4096)
def _reader(kind: type[nn.Module]) -> Callable[[dict[str, Any]], Any] | None:
    """The function that reads a kind of module's settings from its attributes; None if all plain ones count."""
    if kind.__module__.startswith("torch.nn.modules.conv") and issubclass(kind, _ConvNd):
        return _convolution
    settled = kind.__module__ in _SETTLED and kind is not nn.MultiheadAttention
    return _nothing if settled or kind is nn.Identity or issubclass(kind, _NormBase) else None
