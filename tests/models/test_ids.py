"""Ids of models: read, written back, and the nearest named for an unknown one."""

from __future__ import annotations

import pytest

from gradcam.errors import ModelError
from gradcam.models.ids import parse_model_id
from gradcam.types import ModelSpec

pytestmark = pytest.mark.usefixtures("empty_caches")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("bundled/tf_efficientnet_lite0", ModelSpec("bundled", "tf_efficientnet_lite0")),
        ("torchvision/vgg16", ModelSpec("torchvision", "vgg16")),
        ("torchvision/vgg16@IMAGENET1K_V1", ModelSpec("torchvision", "vgg16", "IMAGENET1K_V1")),
        ("timm/resnet50.a1_in1k", ModelSpec("timm", "resnet50", "a1_in1k")),
        ("timm/resnet50", ModelSpec("timm", "resnet50")),
        ("torchvision/vgg16 (untrained, seed 3)", ModelSpec("torchvision", "vgg16", "random", 3)),
    ],
)
def test_an_id_is_read_and_written_back(text: str, spec: ModelSpec) -> None:
    assert parse_model_id(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vgg16", "try 'timm/vgg16' or 'torchvision/vgg16'"),
        ("", "expected a model id"),
        ("torchvision/", "expected a model id"),
        ("tim/resnet50", "expected a model source, got 'tim'.*try 'timm'"),
        ("torchvision/vg16", "expected a model of torchvision, got 'vg16'; try 'vgg16'"),
        ("torchvision/vgg16@IMAGENET1K_V2", "got 'IMAGENET1K_V2'; try 'IMAGENET1K_V1'"),
        ("torchvision/vgg16@IMAGENET1K_FEATURES", "got 'IMAGENET1K_FEATURES'; try 'IMAGENET1K_V1'"),
        ("torchvision/fcn_resnet50", "expected a model of torchvision"),
        ("timm/resnet50.a1_in1", "got 'a1_in1'; try 'a1_in1k'"),
        ("bundled/tf_efficientnet_lite3", "try 'tf_efficientnet_lite2'"),
        ("bundled/tf_efficientnet_lite0.in1k", "leave them out"),
    ],
)
def test_an_unknown_id_names_the_nearest(text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        parse_model_id(text)


@pytest.mark.parametrize("text", ["timm/vit_small_patch14_dinov2.lvd142m", "timm/resnet50_clip.openai"])
def test_a_backbone_without_classes_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ModelError, match=r"expected a classifier, got .*features without class scores; try 'timm/"):
        parse_model_id(text)
