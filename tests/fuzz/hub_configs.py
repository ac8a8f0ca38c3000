"""What repositories of a hub say about their models: `config.json` of timm, and both files of transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import timm
from timm.models import PretrainedCfg
from torch import nn

from gradcam.models import huggingface
from gradcam.models.classifier import _build
from gradcam.models.labels import labels_of_timm
from gradcam.models.meta import built_on_meta
from gradcam.models.sources import SOURCES
from gradcam.models.timm_config import ARGUMENTS, table_of, timm_config
from gradcam.preprocess import preprocessing_of_timm, view_of
from gradcam.types import ModelSpec
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import odd_value, spoil_bytes, spoil_json, to_json

MOST = 2_000_000
"""Numbers of the largest model that is built."""

_TIMM: dict[str, Any] = {
    "architecture": "test_resnet",
    "num_classes": 2,
    "label_names": ["healthy", "sick"],
    "model_args": {"stem_width": 16, "drop_rate": 0.1, "act_layer": "relu", "layers": [1, 1, 1, 1]},
    "pretrained_cfg": {
        "input_size": [3, 96, 96],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "file": "/etc/hostname",
        "url": "file:///etc/hostname",
    },
}
_ARGUMENTS = (
    *ARGUMENTS,
    "checkpoint_path",
    "pretrained",
    "features_only",
    "scriptable",
    "cache_dir",
    "block",
    "\0",
)
_CONFIG: dict[str, Any] = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu",
    "qkv_bias": True,
    "id2label": {"0": "healthy", "1": "sick"},
    "problem_type": "single_label_classification",
    "auto_map": {"AutoConfig": "evil.Config"},
}
_PROCESSOR: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "resample": 2,
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def make(random: Random) -> tuple[str, ...]:
    """The texts of one file, timm's, or of two, those of transformers."""
    if random.random() < 0.85:
        config = dict(_TIMM)
        if random.random() < 0.5:
            config["model_args"] = config["model_args"] | {random.choice(_ARGUMENTS): odd_value(random)}
        return (_text(config, random),)
    return (_text(_CONFIG, random), _text(_PROCESSOR, random))


def _text(settings: dict[str, Any], random: Random) -> str:
    try:
        data = to_json(settings if random.random() < 0.3 else spoil_json(settings, random), random)
    except (RecursionError, ValueError):  # nested deeper than Python writes, or without end
        return "[" * 100_000
    return (spoil_bytes(data, random) if random.random() < 0.1 else data).decode("utf-8", "replace")


def meet(given: tuple[str, ...]) -> None:
    where = "hf:acme/leaves"
    if len(given) == 2:
        model = huggingface.described(*given, where)
        assert len(model.labels) >= 1
        view_of((300, 451), model.preprocessing)
        return
    found = timm_config(table_of(*given, "config.json", where), where)
    options = {"pretrained_cfg": PretrainedCfg(**found.pretrained), **found.arguments}

    def build(spec: ModelSpec, file: Path | None) -> nn.Module:
        return built_on_meta(lambda: timm.create_model(found.architecture, **options), MOST)

    _build(replace(SOURCES["hf-hub"], build=build), ModelSpec("hf-hub", "acme/leaves"), None)
    assert len(labels_of_timm(found.pretrained)) == max(2, found.pretrained["num_classes"])  # one logit: no and yes
    view_of((300, 451), preprocessing_of_timm(found.pretrained))


KIND = Kind("hub_configs", make, meet, seconds=8, megabytes=1500)
