"""Every id is read as the spec that prints it; what is no id, is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcam import ModelError, ModelSpec
from gradcam.model_spec import (
    HUBS,
    WeightsFile,
    architecture_of,
    checkpoint_name,
    checkpoint_spec,
    find_spec,
    is_checkpoint,
    read_spec,
    short_name,
    spec_of_folder,
    with_source,
)
from gradcam.models import SOURCES

MINE = "checkpoint/timm/resnet18@mine~0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("torchvision/vgg16@IMAGENET1K_V1", ModelSpec("torchvision", "vgg16", "IMAGENET1K_V1")),
        ("timm/resnet50.a1_in1k", ModelSpec("timm", "resnet50", "a1_in1k")),
        ("timm/resnet50 (untrained, seed 3)", ModelSpec("timm", "resnet50", "random", 3)),
        ("hf-hub:timm/resnet18.a1_in1k", ModelSpec("hf-hub", "timm/resnet18.a1_in1k")),
        (
            "hf-hub:timm/resnet18.a1_in1k (untrained, seed 0)",
            ModelSpec("hf-hub", "timm/resnet18.a1_in1k", "random"),
        ),
        ("hf:./a model", ModelSpec("hf", "./a model")),
        ("hf:acme/leaves@2 (untrained, seed 7)", ModelSpec("hf", "acme/leaves@2", "random", 7)),
        (MINE, ModelSpec("checkpoint", "timm/resnet18", "mine~0123456789abcdef")),
        ("own/colours", ModelSpec("own", "colours")),
    ],
)
def test_an_id_is_read_as_the_spec_that_prints_it(text: str, spec: ModelSpec) -> None:
    assert find_spec(text) == read_spec(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize("source", [*SOURCES])
def test_every_source_has_ids_that_are_read_back(source: str) -> None:
    for weights in (None, "random"):
        spec = ModelSpec(source, "acme/leaves" if source in HUBS else "leaves", weights)
        assert read_spec(str(spec)) == spec
    assert SOURCES[source].listed == (source not in HUBS)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("hf-hub/acme/leaves", ModelSpec("hf-hub", "acme/leaves")),
        ("hf-hub/acme/leaves (untrained, seed 1)", ModelSpec("hf-hub", "acme/leaves", "random", 1)),
        ("./mine", ModelSpec("hf", "./mine")),
        (r"C:\models\mine", ModelSpec("hf", r"C:\models\mine")),
    ],
)
def test_other_ways_to_write_an_id_are_read_too(text: str, spec: ModelSpec) -> None:
    assert read_spec(text) == spec


@pytest.mark.parametrize("text", ["", "vgg16", "timm/", "timm/a b", "timm/x (untrained, seed x)", "no:leaves"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert find_spec(text) is None
    with pytest.raises(ModelError, match="expected a model id such as 'torchvision/vgg16', got"):
        read_spec(text)


def test_the_parts_of_an_id() -> None:
    assert read_spec("timm/resnet18.a1_in1k").architecture == "timm/resnet18"
    assert read_spec(MINE).architecture == architecture_of(MINE) == "timm/resnet18"
    assert architecture_of("no id") == ""
    assert short_name("hf-hub:timm/resnet18.a1_in1k") == "resnet18.a1_in1k"
    assert with_source("hf-hub:acme/leaves", "hf") == "hf:acme/leaves"
    assert str(spec_of_folder(Path("./mine"))) == "hf:./mine"
    assert str(spec_of_folder(Path("/models/mine"))) == "hf:/models/mine"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("best.pth.tar", "best"),
        ("mine.pt", "mine"),
        ("a b@c~d.safetensors", "a-b-c-d"),
        ("é" * 60 + ".pt", "é" * 40),
    ],
)
def test_a_checkpoint_is_called_by_its_file_and_its_hash(file: str, name: str) -> None:
    spec = checkpoint_spec("timm/resnet18", WeightsFile(file, "a" * 64), "0123456789abcdef" * 4)
    assert str(spec) == f"checkpoint/timm/resnet18@{name}~0123456789abcdef"
    assert is_checkpoint(str(spec))
    assert checkpoint_name(str(spec)) == name


@pytest.mark.parametrize("text", ["checkpoint/", "checkpoint/x", "checkpoint/x@y", "timm/resnet18", "", "@~"])
def test_an_id_without_a_file_has_no_files_name(text: str) -> None:
    assert checkpoint_name(text) == ""
