"""The classification builders of torchvision, and the weights that it lists for them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torchvision.models import WeightsEnum

from gradcam.models.labels import labels_of_torchvision
from gradcam.models.source import Source
from gradcam.models.weight_files import read_tensors
from gradcam.models.weights import Location
from gradcam.preprocess import preprocessing_of_torchvision
from gradcam.types import ModelSpec

_UNTRAINED: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
    "vit_h_14": {"image_size": 518},
}
"""Arguments that make a builder without weights give the module it gives with them, and give it silently."""


@lru_cache
def _torchvision_names() -> tuple[str, ...]:
    return tuple(torchvision.models.list_models(module=torchvision.models))


@lru_cache
def _torchvision_entries(name: str) -> dict[str, WeightsEnum]:
    """The weights entries that classify, the default first; some hold a backbone only and name no classes."""
    table = torchvision.models.get_model_weights(name)
    entries = sorted(table, key=lambda entry: entry is not table["DEFAULT"])
    return {entry.name: entry for entry in entries if entry.meta["categories"]}


def _torchvision_entry(spec: ModelSpec) -> WeightsEnum:
    entries = _torchvision_entries(spec.name)
    return entries.get(spec.weights or "") or next(iter(entries.values()))


def _torchvision_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    if file is None:
        return torchvision.models.get_model(spec.name, weights=None, **_UNTRAINED.get(spec.name, {}))
    return torchvision.models.get_model(spec.name, weights=_reading_from(file, _torchvision_entry(spec)))


def _torchvision_build_with_classes(name: str, classes: int) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **_UNTRAINED.get(name, {}))


def _reading_from(file: Path, entry: WeightsEnum) -> WeightsEnum:
    """A stand-in for a weights entry that reads `file`: the builder then does all it does for its own weights."""
    stand_in = object.__new__(type(entry))
    stand_in._name_, stand_in._value_ = entry.name, entry.value
    stand_in.get_state_dict = lambda *_args, **_options: read_tensors(file, mapped=True)
    return stand_in


def _torchvision_location(spec: ModelSpec) -> Location:
    entry = _torchvision_entry(spec)
    size = round(entry.meta["_file_size"] * 2**20)
    return Location(f"torchvision/{spec.name}@{entry.name}", url=entry.url, size=size)


def _torchvision_configuration(spec: ModelSpec) -> dict[str, Any]:
    entry = _torchvision_entry(spec)
    meta = {name.lstrip("_"): value for name, value in entry.meta.items()}
    transforms = {name: value for name, value in vars(entry.transforms()).items() if name[0] != "_"}
    return {"weights": str(entry), "url": entry.url, **meta, "transforms": transforms}


ROWS: dict[str, Source] = {
    "torchvision": Source(
        names=_torchvision_names,
        weights=lambda name: tuple(_torchvision_entries(name)),
        build=_torchvision_build,
        build_with_classes=_torchvision_build_with_classes,
        preprocessing=lambda spec: preprocessing_of_torchvision(_torchvision_entry(spec).transforms()),
        labels=lambda spec: labels_of_torchvision(_torchvision_entry(spec).meta["categories"]),
        classes=lambda spec: len(_torchvision_entry(spec).meta["categories"]),
        parameters=lambda spec: _torchvision_entry(spec).meta["num_params"],
        location=_torchvision_location,
        configuration=_torchvision_configuration,
    ),
}
