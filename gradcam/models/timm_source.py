"""The models of timm: those that timm lists, and any repository of the hub that holds one."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import timm
from timm.data.imagenet_info import infer_imagenet_subset
from timm.models import PretrainedCfg, filter_pretrained_cfg, get_arch_pretrained_cfgs
from torch import Tensor, nn

from gradcam.models.labels import labels_of_timm
from gradcam.models.meta import MAX_UNTRAINED, built_on_meta
from gradcam.models.source import Source
from gradcam.models.timm_config import TimmConfig, read_text, table_of, timm_config
from gradcam.models.weight_files import read_tensors
from gradcam.models.weights import Location, fetch
from gradcam.preprocess import preprocessing_of_timm
from gradcam.types import ModelSpec

# timm ---------------------------------------------------------------------------------------------------------


@lru_cache
def _timm_names() -> tuple[str, ...]:
    return tuple(timm.list_models())


def _timm_weights(name: str) -> tuple[str, ...]:
    configurations = _timm_configurations(name).values()
    tags = [
        configuration.tag for configuration in configurations if configuration.has_weights and configuration.tag
    ]
    if len(tags) < 2:  # most have one, and timm copies the default for whoever asks for it
        return tuple(tags)
    default = _timm_configuration(ModelSpec("timm", name)).tag
    return tuple(sorted(tags, key=lambda tag: tag != default))


@cache
def _timm_configurations(name: str) -> dict[str, PretrainedCfg]:
    """The configurations of an architecture's weights; timm copies them deeply each time."""
    return get_arch_pretrained_cfgs(name)


@cache
def _timm_configuration(spec: ModelSpec) -> PretrainedCfg:
    name = spec.name if spec.untrained or not spec.weights else f"{spec.name}.{spec.weights}"
    known = _timm_configurations(spec.name).get(name)
    return known or timm.get_pretrained_cfg(name) or PretrainedCfg(architecture=spec.name)


def _timm_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    configuration = _timm_configuration(spec)
    if file is not None and file.suffix == ".npz":
        overlay = {"file": str(file), "custom_load": True}
        return timm.create_model(
            spec.name, pretrained=True, pretrained_cfg=configuration.tag, pretrained_cfg_overlay=overlay
        )
    return _timm_module(spec.name, configuration, None if file is None else read_tensors(file, mapped=True))


@dataclass
class _WithTensors(PretrainedCfg):
    """A configuration with the tensors to load: timm then opens no file, and copies none of them on the way."""

    def to_dict(self, remove_source: bool = False, remove_null: bool = True) -> dict[str, Any]:
        rest = PretrainedCfg.to_dict(replace(self, state_dict=None), remove_source, remove_null)
        return rest | {"state_dict": self.state_dict}


def _timm_module(
    name: str, configuration: PretrainedCfg, tensors: dict[str, Tensor] | None, **arguments: Any
) -> nn.Module:
    """A model of timm, in its initial state or with these tensors, which timm renames where needed."""
    given = {field.name: getattr(configuration, field.name) for field in fields(PretrainedCfg)}
    given |= {"file": None, "source": None, "custom_load": False, "state_dict": tensors}
    module = timm.create_model(
        name, pretrained=tensors is not None, pretrained_cfg=_WithTensors(**given), **arguments
    )
    cast(Any, module).pretrained_cfg.pop("state_dict", None)
    return module


def _timm_classes(spec: ModelSpec) -> int:
    """How many classes; 0 for a backbone and for an image–text embedding, whose numbers are no class scores.

    timm states the width of an embedding as a class count; every label set is named or has more classes.
    """
    configuration = _timm_configuration(spec)
    named = configuration.label_names or infer_imagenet_subset({"num_classes": configuration.num_classes})
    return configuration.num_classes if named or configuration.num_classes > 2048 else 0


def _timm_location(spec: ModelSpec) -> Location:
    configuration = _timm_configuration(spec)
    parameters = _timm_parameters(spec)
    return Location(
        f"timm/{spec.name}" + (f".{configuration.tag}" if configuration.tag else ""),
        hub=configuration.hf_hub_id,
        hub_files=(configuration.hf_hub_filename,) if configuration.hf_hub_filename else Location.hub_files,
        url=configuration.url if isinstance(configuration.url, str) else None,
        size=parameters * 4 if parameters else None,
    )


def _timm_parameters(spec: ModelSpec) -> int | None:
    table = _measured()
    return table.get(str(spec)) or table.get(str(ModelSpec("timm", spec.name))) or table.get(spec.name)


@lru_cache
def _measured() -> dict[str, int]:
    """Parameter counts by model, from the table that was measured by building every model."""
    file = resources.files("gradcam").joinpath("data/layers.csv")
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8-sig") as lines:
        return {row["model"]: int(row["parameters"]) for row in csv.DictReader(lines) if row["parameters"]}


# Hugging Face: any repository that holds a model of timm --------------------------------------------------------


def _hub_location(spec: ModelSpec) -> Location:
    return Location(f"hf-hub/{spec.name}", hub=spec.name)


def _hub_description_file(name: str) -> Location:
    return Location(f"hf-hub/{name}/config.json", hub=name, hub_files=("config.json",), file=True)


def _hub_configuration(name: str) -> TimmConfig:
    """What a repository says about its model now: the file is read at every call, for somebody may replace it.

    Raises: WeightsError where the repository cannot be read, ModelError where it holds no classifier of timm.
    """
    where = str(ModelSpec("hf-hub", name))
    file = fetch(_hub_description_file(name))
    return _hub_description(read_text(file, where), file.name, where)


@lru_cache(maxsize=100)
def _hub_description(config: str, name: str, where: str) -> TimmConfig:
    return timm_config(table_of(config, name, where), where)


def _hub_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    """The module, once the meta device has shown that it is no larger than its weights allow."""
    found = _hub_configuration(spec.name)
    configuration = PretrainedCfg(**found.pretrained)
    tensors = None if file is None else read_tensors(file, mapped=True)
    most = MAX_UNTRAINED if tensors is None else 2 * sum(tensor.numel() for tensor in tensors.values())

    def build() -> nn.Module:
        return _timm_module(found.architecture, configuration, None, **found.arguments)

    built_on_meta(build, most)
    return _timm_module(found.architecture, configuration, tensors, **found.arguments)


# --------------------------------------------------------------------------------------------------------------

_TIMM = Source(
    names=_timm_names,
    weights=_timm_weights,
    build=_timm_build,
    build_with_classes=lambda name, classes: timm.create_model(name, num_classes=classes),
    preprocessing=lambda spec: preprocessing_of_timm(filter_pretrained_cfg(vars(_timm_configuration(spec)))),
    labels=lambda spec: labels_of_timm(_timm_configuration(spec).to_dict()),
    classes=_timm_classes,
    parameters=_timm_parameters,
    location=_timm_location,
    configuration=lambda spec: _timm_configuration(spec).to_dict(),
)

ROWS: dict[str, Source] = {
    "timm": _TIMM,
    "hf-hub": replace(
        _TIMM,
        names=lambda: (),
        weights=lambda name: (None,),
        build=_hub_build,
        preprocessing=lambda spec: preprocessing_of_timm(_hub_configuration(spec.name).pretrained),
        labels=lambda spec: labels_of_timm(_hub_configuration(spec.name).pretrained),
        classes=lambda spec: _hub_configuration(spec.name).pretrained["num_classes"],
        parameters=lambda spec: None,
        location=_hub_location,
        configuration=lambda spec: _hub_configuration(spec.name).pretrained,
        described_in=lambda spec: [_hub_description_file(spec.name)],
        listed=False,
    ),
}
