"""Where models come from: a row of `SOURCES` for each family of ids, and what it says without building anything.

Each library's rows live in a module of their own. A library takes seconds to import, so it waits until one of its
rows is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from math import isfinite
from typing import Any

from gradcam.models.source import Source
from gradcam.starting import uncollected
from gradcam.types import ModelSpec


class _Sources(Mapping[str, Source]):
    """The rows by name. Names are known at once; reading a row imports the module that it lives in."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, name: str) -> Source:
        with uncollected():
            return import_module(self._modules[name]).ROWS[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


SOURCES = _Sources(
    {
        "bundled": "gradcam.models.bundled_source",
        "torchvision": "gradcam.models.torchvision_source",
        "timm": "gradcam.models.timm_source",
        "hf-hub": "gradcam.models.timm_source",
        "hf": "gradcam.models.transformers_source",
    }
)


Plain = str | int | float | bool | None

_LEFT_OUT = ("file", "state_dict", "categories", "label_names", "label_descriptions", "training")
"""Places on this machine, class names, which a classifier's labels hold, and a module's own mode."""


def configuration_of(spec: ModelSpec) -> dict[str, Plain | list[Plain]]:
    """What the library itself says about a model's weights; empty for random weights and those of a file.

    All of timm's pretrained configuration, or torchvision's weights entry with its transforms: plain values and
    lists of them, parts of parts under names such as `metrics.ImageNet-1K.acc@1`.
    """
    source = SOURCES.get(spec.source)
    if source is None or (source.listed and spec.name not in source.names()):
        return {}
    if spec.weights is not None and spec.weights not in source.weights(spec.name):
        return {}
    return dict(_flat(source.configuration(spec)))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Plain | list[Plain]]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key not in _LEFT_OUT:
                yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, [_plain(part) for part in value] if isinstance(value, list | tuple) else _plain(value)


def _plain(value: Any) -> Plain:
    value = value.value if isinstance(value, Enum) else value
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return " ".join(str(value).split())
