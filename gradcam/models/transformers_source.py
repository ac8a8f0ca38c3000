"""Any repository of the Hugging Face hub, or folder, that holds an image classifier of transformers."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from gradcam.model_spec import folder_of
from gradcam.models import huggingface
from gradcam.models.source import Source
from gradcam.models.timm_config import read_text
from gradcam.models.weight_files import read_tensors
from gradcam.models.weights import Location, fetch
from gradcam.types import ModelSpec


def _hf_location(spec: ModelSpec) -> Location:
    return _hf_file(spec.name, huggingface.WEIGHTS)


def _hf_file(name: str, file: str) -> Location:
    """Where a file of a repository or a folder lies."""
    if folder := folder_of(name):
        return Location(str(folder), local=folder / file)
    return Location(f"hf/{name}/{file}", hub=name, hub_files=(file,), file=True)


def _hf_model(spec: ModelSpec) -> huggingface.HuggingFaceModel:
    """What a repository or a folder says about its model. Raises: WeightsError, ModelError."""
    where = str(ModelSpec("hf", spec.name))
    return huggingface.described(*(read_text(fetch(file), where) for file in _hf_description(spec)), where)


def _hf_description(spec: ModelSpec) -> list[Location]:
    return [_hf_file(spec.name, file) for file in (huggingface.CONFIG, huggingface.PROCESSOR)]


def _hf_build(spec: ModelSpec, file: Path | None) -> nn.Module:
    return huggingface.build(_hf_model(spec), None if file is None else read_tensors(file), str(spec))


ROWS: dict[str, Source] = {
    "hf": Source(
        names=lambda: (),
        weights=lambda name: (None,),
        build=_hf_build,
        build_with_classes=lambda name, classes: _hf_build(ModelSpec("hf", name), None),
        preprocessing=lambda spec: _hf_model(spec).preprocessing,
        labels=lambda spec: _hf_model(spec).labels,
        classes=lambda spec: len(_hf_model(spec).labels),
        parameters=lambda spec: None,
        location=_hf_location,
        configuration=lambda spec: _hf_model(spec).configuration,
        activation=lambda spec: _hf_model(spec).activation,
        described_in=_hf_description,
        listed=False,
    ),
}
