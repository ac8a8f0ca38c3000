"""Every family of classifiers in torchvision and timm gets a map that can be right, with seeded random weights.

Each family's smallest model is built for 10 classes, with fewer blocks where it has many. Its target layer must
have a finite gradient that reaches at least half of the grid and differs between classes, and each corner of the
grid must answer to the same corner of the image.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import resources
from typing import Any

import pytest
import timm
import torch
import torchvision
from captum.attr import LayerGradCam
from timm.layers import GatedMlp
from timm.models import byoanet, byobnet, convmixer, focalnet, gcvit, mlp_mixer, mvitv2, nest, volo
from torch import Tensor, nn

from gradcam._heatmaps import heatmaps
from gradcam.capture import Recording, record
from gradcam.layer_tables.measured import awaken
from gradcam.layers import find_layer, resolve_target_layer
from gradcam.layers.layouts import to_grid
from gradcam.types import TargetLayer

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 128
"""Input side of most models in pixels: less work than at their own size, on a grid of 4×4 or more."""

SIDES = {
    "timm/pnasnet5large": 96,
    **dict.fromkeys(["timm/convmixer_768_32", "timm/deepseek_vit_412m"], 112),
    **dict.fromkeys(
        [
            "timm/ese_vovnet19b_slim_dw",
            "timm/hardcorenas_b",
            "timm/inception_resnet_v2",
            "timm/inception_v3",
            "timm/inception_v4",
            "timm/mobilevit_xxs",
            "timm/selecsls42",
            "timm/test_byobnet",
            "timm/test_coatnet",
            "timm/test_convnext",
            "timm/test_efficientnet_ln",
            "timm/test_mambaout",
            "timm/test_nfnet",
            "timm/test_resnet",
            "timm/test_vit",
            "timm/test_vit_relpos",
            "torchvision/inception_v3",
        ],
        160,
    ),
    **dict.fromkeys(["timm/csatv2", "timm/swinv2_cr_tiny_384"], 192),
    **dict.fromkeys(
        [
            "timm/cspnext_tiny",
            "timm/efficientformer_l1",
            "timm/efficientvim_m1",
            "timm/efficientvit_b0",
            "timm/efficientvit_m0",
            "timm/iformer_t",
            "timm/levit_conv_128s",
            "timm/mobilenetv3_small_050",
            "timm/rexnet_100",
            "timm/shvit_s1",
            "timm/visformer_tiny",
            "torchvision/alexnet",
            "torchvision/efficientnet_b0",
            "torchvision/mnasnet0_5",
            "torchvision/mobilenet_v2",
            "torchvision/mobilenet_v3_small",
        ],
        224,
    ),
    "timm/sam2_hiera_tiny": 256,
}
"""Input side of models that need another: theirs is fixed, the grid would be too small, or they mix too much."""

FIXED = {
    "timm/beitv2_base_patch16_224",
    "timm/cait_xxs24_224",
    "timm/coat_tiny",
    "timm/convit_tiny",
    "timm/deit_tiny_patch16_224",
    "timm/efficientformerv2_s0",
    "timm/eva02_tiny_patch14_336",
    "timm/gcvit_xxtiny",
    "timm/gmlp_ti16_224",
    "timm/hiera_tiny_224",
    "timm/mvitv2_tiny",
    "timm/nest_tiny_jx",
    "timm/pit_ti_224",
    "timm/swin_tiny_patch4_window7_224",
    "timm/swinv2_cr_tiny_384",
    "timm/swinv2_tiny_window16_256",
    "timm/tnt_s_legacy_patch16_224",
    "timm/vit_tiny_r_s16_p8_224",
    "timm/vitamin_small_224",
    "timm/volo_d1_224",
}
"""Models that are built for one input side."""

SHALLOWER: dict[str, dict[str, object]] = {
    "timm/beitv2_base_patch16_224": {"depth": 2, "embed_dim": 192, "num_heads": 3},
    "timm/cait_xxs24_224": {"depth": 3},
    "timm/coat_tiny": {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1},
    "timm/crossvit_tiny_240": {"depth": [[1, 1, 0]] * 3},
    "timm/davit_tiny": {"depths": (1, 1, 1, 1)},
    "timm/deepseek_vit_412m": {"depth": 2},
    "timm/deit_tiny_patch16_224": {"depth": 2},
    "timm/densenet121": {"block_config": (2, 2, 4, 2)},
    "timm/dpn48b": {"k_sec": (1, 1, 2, 1)},
    "timm/eva02_tiny_patch14_336": {"depth": 2},
    "timm/gemma4_vit_167m": {"depth": 2},
    "timm/hiera_tiny_224": {"stages": (1, 1, 2, 1)},
    "timm/hieradet_small": {"stages": (1, 1, 2, 1)},
    "timm/mobilenetv5_base": {"channel_multiplier": 0.25},
    "timm/naflexvit_base_patch16_parfac_gap": {"depth": 2},
    "timm/nasnetalarge": {"stem_size": 24, "num_features": 1056},
    "timm/nextvit_small": {"depths": (2, 2, 5, 2)},
    "timm/qwen3_vit_88m": {"depth": 2},
    "timm/res2next50": {"layers": (1, 1, 1, 1)},
    "timm/samvit_base_patch16_224": {"depth": 2, "global_attn_indexes": (1,)},
    "timm/sequencer2d_s": {"layers": (1, 1, 2, 1)},
    "timm/swin_tiny_patch4_window7_224": {"depths": (1, 1, 2, 1)},
    "timm/swinv2_cr_tiny_384": {"depths": (1, 1, 2, 1)},
    "timm/swinv2_tiny_window16_256": {"depths": (1, 1, 2, 1), "window_size": 4},
    "timm/tnt_s_legacy_patch16_224": {"depth": 2},
    "timm/tresnet_m": {"layers": (1, 1, 2, 1)},
    "timm/twins_svt_small": {"depths": (1, 1, 2, 1)},
    "timm/vgg11": {"mlp_ratio": 1 / 16},
    "timm/vitamin_small_224": {"depth": 2},
    "timm/xcit_nano_12_p8_384": {"depth": 2},
    "torchvision/maxvit_t": {
        "input_size": (SIDE, SIDE),
        "stem_channels": 64,
        "partition_size": 4,
        "block_channels": [64, 128, 256, 512],
        "block_layers": [1, 1, 1, 1],
        "head_dim": 32,
        "stochastic_depth_prob": 0.2,
    },
    "torchvision/swin_t": {
        "patch_size": [4, 4],
        "embed_dim": 96,
        "depths": [1, 1, 2, 1],
        "num_heads": [3, 6, 12, 24],
        "window_size": [7, 7],
    },
    "torchvision/vit_b_16": {
        "image_size": SIDE,
        "patch_size": 16,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 192,
        "mlp_dim": 768,
    },
}
"""Fewer or narrower blocks of the same kind, or a narrower head, in models that would take long otherwise."""

MIXING = {
    "timm.cspnext": 3,
    "timm.efficientvim": 2,
    "timm.efficientvit_mit": 5,
    "timm.iformer": 2,
    "timm.levit": 2,
    "timm.mobilenetv3": 2,
    "timm.nasnet": 2,
    "timm.rexnet": 5,
    "torchvision.efficientnet": 3,
    "torchvision.mnasnet": 2,
    "torchvision.mobilenetv2": 2,
    "torchvision.mobilenetv3": 2,
}
"""Families whose random weights mix so much of the image that a corner's change is largest more than one cell away,
and how many cells away it was measured to be at most."""

CORNERS = [(bottom, right) for bottom in (False, True) for right in (False, True)]


def smaller_cfg(cfg: Any) -> Any:
    """A configuration of timm's `ByobNet` with one block a stage and half of the channels."""
    return replace(cfg, blocks=tuple(replace(stage, d=1, c=stage.c // 2) for stage in cfg.blocks))


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "timm/convmixer_768_32": partial(
        convmixer.ConvMixer, dim=256, depth=4, kernel_size=7, patch_size=7, act_layer=nn.ReLU
    ),
    "timm/focalnet_tiny_srf": partial(focalnet.FocalNet, depths=(1, 1, 2, 1)),
    "timm/gcvit_xxtiny": partial(gcvit.GlobalContextVit, depths=(1, 1, 2, 1), num_heads=(2, 4, 8, 16)),
    "timm/gmlp_ti16_224": partial(
        mlp_mixer.MlpMixer,
        num_blocks=4,
        embed_dim=128,
        mlp_ratio=6,
        block_layer=mlp_mixer.SpatialGatingBlock,
        mlp_layer=GatedMlp,
    ),
    "timm/halonet_h1": partial(byobnet.ByobNet, smaller_cfg(byoanet.model_cfgs["halonet_h1"])),
    "timm/mvitv2_tiny": partial(
        mvitv2.MultiScaleVit, replace(mvitv2.model_cfgs["mvitv2_tiny"], depths=(1, 1, 2, 1))
    ),
    "timm/nest_tiny_jx": partial(
        nest.Nest, embed_dims=(96, 192, 384), num_heads=(3, 6, 12), depths=(1, 1, 2), pad_type="same"
    ),
    "timm/volo_d1_224": partial(
        volo.VOLO, layers=(1, 1, 1, 1), embed_dims=(192, 384, 384, 384), num_heads=(6, 12, 12, 12)
    ),
    "torchvision/maxvit_t": torchvision.models.MaxVit,
    "torchvision/swin_t": torchvision.models.SwinTransformer,
    "torchvision/vit_b_16": torchvision.models.VisionTransformer,
}
"""Of models whose functions set the number of blocks themselves."""

ARGUMENTS: dict[str, dict[str, bool]] = {
    **{name: {"init_weights": True, "aux_logits": False} for name in ("googlenet", "inception_v3")},
    "vgg11": {"init_weights": False},  # a hundred million weights are drawn once, not twice
}


def smallest_of_each_family() -> dict[str, dict[str, str]]:
    """Family -> the row of the committed layer table with the fewest parameters, with a head if it can have one."""
    text = resources.files("gradcam").joinpath("data/layers.csv").read_text("utf-8-sig")
    rows = [row for row in csv.DictReader(text.splitlines()) if "Encoder without a head" not in row["refused"]]
    rows.sort(key=lambda row: (row["refused"] == "", -int(row["parameters"])))
    return {row["family"]: row for row in rows}  # of each family the last row stays


SMALLEST = smallest_of_each_family()


def build(model: str, **options: Any) -> nn.Module:
    source, _, name = model.partition("/")
    if model in CLASSES:
        return CLASSES[model](num_classes=10, **options).eval()
    if source == "timm":
        return timm.create_model(name, num_classes=10, **options).eval()
    return torchvision.models.get_model(name, weights=None, num_classes=10, **ARGUMENTS.get(name, {})).eval()


def with_changed_corners(image: Tensor, layer: TargetLayer) -> Tensor:
    """The image `[1, 3, H, W]`, then the same with one patch changed, for each of its corners: `[5, 3, H, W]`."""
    (height, width), (rows, columns) = layer.grid, image.shape[-2:]
    patch = -(-rows // height), -(-columns // width)
    images = image.repeat(1 + len(CORNERS), 1, 1, 1)
    for changed, (bottom, right) in zip(images[1:], CORNERS, strict=True):
        down = slice(-patch[0], None) if bottom else slice(patch[0])
        across = slice(-patch[1], None) if right else slice(patch[1])
        changed[:, down, across] *= -3
    return images


def corner_errors(recording: Recording, layer: TargetLayer) -> list[int]:
    """For each corner, how many cells from it the activation changes most when the image's patch there changes.

    recording: of `with_changed_corners`.
    """
    height, width = layer.grid
    before, *after = to_grid(recording.activation, layer).float()
    errors = []
    for changed, (bottom, right) in zip(after, CORNERS, strict=True):
        row, column = divmod(int((changed - before).abs().sum(dim=0).argmax()), width)
        errors.append(max(abs(row - bottom * (height - 1)), abs(column - right * (width - 1))))
    return errors


def check_gradient(recording: Recording, layer: TargetLayer) -> None:
    one, other = (
        to_grid(torch.autograd.grad(score, recording.gradient_edge, retain_graph=True)[0], layer)[:1]
        for score in recording.logits[0].topk(2).values
    )
    for gradient in (one, other):
        assert gradient.isfinite().all()
        assert (gradient != 0).any(dim=1).float().mean() >= 0.5
    assert (one - other).abs().max() > 0.1 * one.abs().max()


def check_against_captum(model: nn.Module, image: Tensor, layer: TargetLayer) -> None:
    found: Any = LayerGradCam(model, model.get_submodule(layer.name)).attribute(
        image, 1
    )  # one layer, so one tensor
    theirs = found[:, 0].detach()
    ours = heatmaps(model, image, 1, layer)[:, 0]
    assert (theirs.relu() - ours).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("family", SMALLEST)
def test_the_gradient_answers_to_the_class_and_the_corners_to_the_image_and_captum_agrees(family: str) -> None:
    name = SMALLEST[family]["model"]
    side = SIDES.get(name, SIDE)
    torch.manual_seed(0)
    model = build(name, **SHALLOWER.get(name, {}), **({"img_size": side} if name in FIXED else {}))
    model = model.to(memory_format=torch.channels_last)  # convolutions compute sooner, and give the same
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    awaken(model, image.shape[-2:])
    layer = find_layer(model, image)
    assert min(layer.grid) >= 3  # on fewer places no corner could be far from where it belongs

    recording = record(model, with_changed_corners(image, layer), layer)
    check_gradient(recording, layer)
    errors = corner_errors(recording, layer)
    assert max(errors) <= MIXING.get(family, 1), errors
    if layer.layout == "NCHW":  # captum reads no other layout
        check_against_captum(model, image, layer)


def test_captum_is_asked_about_more_than_twenty_families() -> None:
    assert sum(row["layout"] == "NCHW" for row in SMALLEST.values()) > 20


@pytest.mark.parametrize(
    ("name", "options", "layout"),
    [
        ("timm/test_resnet", {}, "NCHW"),
        ("timm/test_mambaout", {}, "NHWC"),
        ("timm/test_vit", {"dynamic_img_size": True}, "tokens"),
        ("timm/pvt_v2_b0", {}, "NCHW"),
    ],
)
def test_a_wide_image_gives_a_wide_grid_with_the_same_corners(
    name: str, options: dict[str, object], layout: str
) -> None:
    torch.manual_seed(0)
    model = build(name, **options)
    image = torch.randn(1, 3, 96, 192)
    awaken(model, image.shape[-2:])
    layer = resolve_target_layer(model, image)
    assert layer.layout == layout
    assert layer.grid[1] == 2 * layer.grid[0]
    recording = record(model, with_changed_corners(image, layer), layer)
    assert max(corner_errors(recording, layer)) <= 1
