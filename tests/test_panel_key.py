"""A key is everything that a panel was computed from, and its digest is the same in every process."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from torch import nn

from gradcam import Contrast, ModelKey, OptionError, PanelKey, Preprocessing, TargetLayer, Top
from gradcam.panel_key import VERSION
from tests.another_process import said_elsewhere

PREPROCESSING = Preprocessing((224, 224), (256, 256))
MODEL = ModelKey(
    id="timm/resnet18",
    weights_sha256="b" * 64,
    labels=("tench", "goldfish"),
    preprocessing=PREPROCESSING,
    activation="softmax",
    output=None,
    device="cpu",
    dtype="float32",
    numerics="eager",
)
LAYER = TargetLayer("layer4", (7, 7), 512, "the last layer with a grid")
KEY = PanelKey("a" * 64, MODEL, "Grad-CAM", Top(1), LAYER, "crop")
DIGEST = "abd232d69c03fbe3435b59791ac0658e19c49838132fc7bcb808796dce1ce72a"
"""Of `KEY`, worked out once and for all."""

CHANGED: dict[object, dict[str, Any]] = {
    KEY: {
        "photo_sha256": "c" * 64,
        "model": replace(MODEL, device="cuda"),
        "method": "Other-CAM",
        "target": Top(2),
        "layer": "auto",
        "fit": "pad",
        "precision": "bfloat16",
        "parameters": (("samples", 8),),
        "seed": 0,
        "version": VERSION + 1,
    },
    MODEL: {
        "id": "timm/resnet34",
        "weights_sha256": "c" * 64,
        "labels": ("goldfish", "tench"),
        "preprocessing": replace(PREPROCESSING, size=(288, 288)),
        "activation": "sigmoid",
        "output": "logits",
        "device": "cuda",
        "dtype": "float16",
        "numerics": "folded",
    },
    PREPROCESSING: {
        "size": (288, 288),
        "resize": (224, 224),
        "mode": "squash",
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    },
    LAYER: {
        "name": "layer3",
        "grid": (14, 14),
        "channels": 256,
        "rule": "named by hand",
        "layout": "NHWC",
        "prefix": 1,
        "call": 1,
    },
}
"""Another value for every field of the key and of what it holds."""


def key_with(part: object) -> PanelKey:
    """The key, with this in the place of what it holds of that kind."""
    if isinstance(part, Preprocessing):
        part = replace(MODEL, preprocessing=part)
    if isinstance(part, ModelKey):
        return replace(KEY, model=part)
    if isinstance(part, TargetLayer):
        return replace(KEY, layer=part)
    assert isinstance(part, PanelKey)
    return part


def test_a_key_is_printed_without_a_thousand_labels() -> None:
    assert "goldfish" not in repr(KEY)
    assert "timm/resnet18" in repr(KEY)


@pytest.mark.parametrize(
    ("part", "name"), [(part, field.name) for part in CHANGED for field in fields(part)], ids=str
)
def test_another_value_of_any_field_is_another_digest(part: Any, name: str) -> None:
    other = key_with(replace(part, **{name: CHANGED[part][name]}))
    assert other != KEY
    assert other.digest != KEY.digest


def test_the_digest_is_the_same_in_another_process_and_stays_it_from_version_to_version() -> None:
    # Where it must change, whoever changes it raises VERSION: stores of older versions then are not read.
    script = "from tests.test_panel_key import KEY; print(KEY.digest)"
    assert said_elsewhere(script).strip() == KEY.digest == DIGEST


def test_equal_keys_have_equal_digests() -> None:
    whole = key_with(replace(PREPROCESSING, mean=(0, 0, 1)))
    fractions = key_with(replace(PREPROCESSING, mean=(0.0, -0.0, 1.0)))
    assert whole == fractions
    assert whole.digest == fractions.digest


def test_targets_that_read_alike_have_digests_of_their_own() -> None:
    targets = [1, "1", Top(1), "Top(1)", "top prediction", Contrast(1, 2), Contrast("1", 2), Contrast(Top(1), 2)]
    assert len({replace(KEY, target=target).digest for target in targets}) == len(targets)


@pytest.mark.parametrize(
    "key", [replace(KEY, layer=nn.Identity()), replace(KEY, model=replace(MODEL, output=lambda output: output[0]))]
)
def test_what_cannot_be_written_down_has_no_digest(key: PanelKey) -> None:
    with pytest.raises(OptionError, match="expected a layer and an output that can be written down"):
        _ = key.digest
