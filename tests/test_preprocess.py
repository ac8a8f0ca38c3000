from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from timm.models import get_pretrained_cfg
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from gradcam.errors import ModelError, OptionError, PhotoError
from gradcam.preprocess import (
    input_pixels,
    preprocessing_of_timm,
    preprocessing_of_torchvision,
    to_input,
    view_of,
)
from gradcam.types import Fit, Photo, Preprocessing

SIZES = [(300, 451), (451, 300), (3, 5), (37, 641), (224, 224), (501, 333)]

# One configuration of each crop mode, interpolation and odd case that timm's catalogue holds.
TIMM = {
    "center bicubic": "resnet50.a1_in1k",
    "center bilinear": "resnet18.tv_in1k",
    "center, crop larger than its canvas": "volo_d4_448.sail_in1k",
    "center, not square": "vit_base_patch16_sapiens2.fb",
    "squash bicubic": "vit_base_patch16_siglip_224.webli",
    "squash bilinear": "vit_base_patch16_lingbot.robbyant",
    "border bicubic": "deepseek_vit_412m.deepseek_v4_flash_vision_exp",
    "bundled": "tf_efficientnet_lite0.in1k",
}


def noise(height: int, width: int) -> Photo:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Photo(pixels, "noise", "")


def timm_config(name: str) -> dict[str, Any]:
    config = get_pretrained_cfg(name)
    assert config is not None
    return config.to_dict()


def timms_own(config: dict[str, Any], photo: Photo) -> torch.Tensor:
    transform: Any = create_transform(**resolve_data_config(pretrained_cfg=config), is_training=False)
    return transform(Image.fromarray(photo.pixels))


def grey_levels_apart(ours: torch.Tensor, theirs: torch.Tensor, preprocessing: Preprocessing) -> float:
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    return float(((ours - theirs).abs() * torch.tensor(preprocessing.std).view(3, 1, 1) * 255).max())


# -- equality with the libraries: measured 0.0 levels apart on every configuration; 1e-4 allows for float32 -----


@pytest.mark.parametrize("name", TIMM.values(), ids=TIMM)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_crop_is_what_timm_itself_does(name: str, size: tuple[int, int]) -> None:
    config = timm_config(name)
    preprocessing, photo = preprocessing_of_timm(config), noise(*size)
    ours = to_input(photo, view_of(size, preprocessing), preprocessing)
    assert grey_levels_apart(ours, timms_own(config, photo), preprocessing) < 1e-4


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_every_interpolation_is_timms(interpolation: str) -> None:
    config = timm_config("resnet50.a1_in1k") | {"interpolation": interpolation}
    preprocessing, photo = preprocessing_of_timm(config), noise(301, 450)
    ours = to_input(photo, view_of(photo.size, preprocessing), preprocessing)
    assert grey_levels_apart(ours, timms_own(config, photo), preprocessing) < 1e-4


@pytest.mark.parametrize("crop_pct", [0.8, 1.0, 1.15])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_every_crop_mode_and_share_is_timms(mode: str, crop_pct: float) -> None:
    config = timm_config("resnet50.a1_in1k") | {"crop_mode": mode, "crop_pct": crop_pct}
    preprocessing = preprocessing_of_timm(config)
    for size in SIZES:
        photo = noise(*size)
        ours = to_input(photo, view_of(size, preprocessing), preprocessing)
        assert grey_levels_apart(ours, timms_own(config, photo), preprocessing) < 1e-4


@pytest.mark.parametrize("name", models.list_models(module=models))
def test_crop_is_what_torchvision_itself_does(name: str) -> None:
    weights: Any = models.get_model_weights(name)
    preset = weights.DEFAULT.transforms()
    preprocessing = preprocessing_of_torchvision(preset)
    size = SIZES[len(name) % len(SIZES)]
    photo = noise(*size)
    ours = to_input(photo, view_of(size, preprocessing), preprocessing)
    assert grey_levels_apart(ours, preset(Image.fromarray(photo.pixels)), preprocessing) < 1e-4


def test_every_pretrained_configuration_of_timm_converts() -> None:
    for name in timm.list_models(pretrained=True):
        preprocessing = preprocessing_of_timm(timm_config(name))
        assert view_of((300, 451), preprocessing).input_size == preprocessing.size
        assert hasattr(Image.Resampling, preprocessing.interpolation.upper())


def test_a_timm_model_carries_its_own_configuration() -> None:
    model = timm.create_model("test_resnet.r160_in1k")
    assert preprocessing_of_timm(model) == preprocessing_of_timm(timm_config("test_resnet.r160_in1k"))


def test_a_model_that_says_nothing_about_its_photos_is_refused() -> None:
    with pytest.raises(ModelError, match=r"got a Linear without; give its preprocessing$"):
        preprocessing_of_timm(torch.nn.Linear(1, 1))


def test_the_metadata_is_read_as_written() -> None:
    preset = ImageClassification(crop_size=224, resize_size=232, interpolation=InterpolationMode.BICUBIC)
    assert preprocessing_of_torchvision(preset) == Preprocessing((224, 224), (232, 232), "center", "bicubic")
    lite0 = preprocessing_of_timm(timm_config("tf_efficientnet_lite0.in1k"))
    assert lite0 == Preprocessing((224, 224), (256, 256), "center", "bicubic", (0.5,) * 3, (0.5,) * 3)


# -- where the input lies, in numbers to check by hand ----------------------------------------------------------

HALF = Preprocessing(size=(200, 200), resize=(250, 250))


def test_crop_cuts_the_middle_of_the_scaled_photo() -> None:
    # 500 × 1000 is scaled to 250 × 500; the 200 × 200 in its middle start at (25, 150): twice that on the photo.
    assert view_of((500, 1000), HALF).box == (300, 50, 700, 450)
    assert view_of((1000, 500), HALF).box == (50, 300, 450, 700)


def test_crop_keeps_the_librarys_whole_pixels() -> None:
    # 300 × 451 is scaled to 256 × 384 (384.85 cut off), the crop starts at 16 and 80: not the ideal centre.
    left, top, right, bottom = view_of((300, 451), Preprocessing((224, 224), (256, 256))).box
    assert (left, right) == pytest.approx((80 * 451 / 384, 304 * 451 / 384))
    assert (top, bottom) == pytest.approx((16 * 300 / 256, 240 * 300 / 256))


def test_squash_shows_the_whole_photo_whatever_its_aspect() -> None:
    view = view_of((500, 1000), HALF, "squash")
    assert view.box == view.seen == (0, 0, 1000, 500)
    assert view.coverage == 1


def test_pad_shows_the_whole_photo_between_bars() -> None:
    # 500 × 1000 is scaled to 100 × 200: bars of 50 input pixels, 250 photo pixels, above and below.
    view = view_of((500, 1000), HALF, "pad")
    assert view.box == (0, -250, 1000, 750)
    assert view.seen == (0, 0, 1000, 500)
    assert view.coverage == 1


def test_coverage_is_the_share_of_the_photo_in_the_crop() -> None:
    assert view_of((500, 1000), HALF).coverage == pytest.approx(400 * 400 / (500 * 1000))


def test_bars_have_the_mean_colour_and_the_photo_lies_between_them() -> None:
    preprocessing = Preprocessing((8, 8), (8, 8), mean=(0.2, 0.4, 0.6))
    photo = Photo(np.full((4, 8, 3), 255, dtype=np.uint8), "white", "")
    pixels = input_pixels(photo, view_of(photo.size, preprocessing, "pad"), preprocessing)
    assert pixels[:, 0].tolist() == [[51, 102, 153]] * 2 + [[255] * 3] * 4 + [[51, 102, 153]] * 2


def test_the_input_is_normalised_by_mean_and_deviation() -> None:
    preprocessing = Preprocessing((4, 4), (4, 4), mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    photo = Photo(np.full((4, 4, 3), 255, dtype=np.uint8), "white", "")
    tensor = to_input(photo, view_of(photo.size, preprocessing), preprocessing)
    assert tensor.shape == (3, 4, 4)
    assert tensor[:, 0, 0].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (97, 480)], ids=str)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_a_red_dot_lands_where_the_view_says(fit: Fit, size: tuple[int, int], mode: Any) -> None:
    preprocessing = Preprocessing((224, 160), (256, 180), mode, mean=(0.5, 0.5, 0.5))
    view = view_of(size, preprocessing, fit)
    left, top, right, bottom = view.box
    x, y = size[1] // 2 + 20, size[0] // 2 - 25
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    pixels[y - 3 : y + 4, x - 3 : x + 4, 0] = 255
    red = input_pixels(Photo(pixels, "dot", ""), view, preprocessing).astype(float)
    red = np.maximum(red[..., 0] - red[..., 1:].max(axis=2), 0)
    # The dot's centre of mass, in input pixels from the corner, against the view's own arithmetic.
    rows, columns = np.indices(red.shape) + 0.5
    found = (red * columns).sum() / red.sum(), (red * rows).sum() / red.sum()
    expected = (x + 0.5 - left) * 160 / (right - left), (y + 0.5 - top) * 224 / (bottom - top)
    assert found == pytest.approx(expected, abs=0.1)


# -- refusals and extremes --------------------------------------------------------------------------------------


def test_an_unknown_fit_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"^expected a fit, got 'sqash'; use 'squash'$"):
        view_of((3, 3), HALF, "sqash")  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_a_strip_one_pixel_high_can_be_squashed_and_padded(fit: Fit) -> None:
    view = view_of((1, 4000), HALF, fit)
    assert view.coverage == 1
    assert input_pixels(noise(1, 4000), view, HALF).shape == (200, 200, 3)


def test_a_strip_too_narrow_to_crop_is_refused_before_memory_runs_out() -> None:
    with pytest.raises(PhotoError, match=r"got a strip of 4000 × 1; choose fit 'squash' or 'pad'$"):
        view_of((1, 4000), HALF, "crop")
