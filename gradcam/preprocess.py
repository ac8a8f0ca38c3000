"""From a photo to a model's input, and the record of where that input lies on the photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import floor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gradcam.errors import ModelError, PhotoError
from gradcam.kinds import expect_one_of
from gradcam.photo import MAX_PIXELS
from gradcam.types import FITS, Fit, Photo, Preprocessing, View

if TYPE_CHECKING:
    from torchvision.transforms import InterpolationMode

_FLOOR = "-floor"
"""The end of a mode's name under which half of an odd number of pixels is rounded down."""

Size = tuple[int, int]


class Preset(Protocol):
    """What `weights.transforms()` of a torchvision classification model carries."""

    crop_size: list[int]
    resize_size: list[int]
    mean: list[float]
    std: list[float]
    interpolation: InterpolationMode


def preprocessing_of_torchvision(preset: Preset) -> Preprocessing:
    """What a torchvision preset does to a photo."""
    (crop,), (resize,) = preset.crop_size, preset.resize_size
    return Preprocessing(
        size=(crop, crop),
        resize=(resize, resize),
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def preprocessing_of_timm(source: nn.Module | Mapping[str, Any]) -> Preprocessing:
    """What timm's evaluation transform does to a photo, from a timm model or its pretrained configuration.

    Missing entries take timm's defaults.
    Raises: ModelError for a model that carries no configuration.
    """
    from timm.data.config import resolve_data_config

    given: Any = getattr(source, "pretrained_cfg", None) if isinstance(source, nn.Module) else source
    if not given:
        raise ModelError(
            f"expected a timm model with its pretrained_cfg, got a {type(source).__name__} without; "
            "give its preprocessing"
        )
    config = resolve_data_config(pretrained_cfg=dict(given))
    height, width = config["input_size"][-2:]
    share = config["crop_pct"]
    return Preprocessing(
        size=(height, width),
        resize=(floor(height / share), floor(width / share)),
        mode=config["crop_mode"],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def view_of(photo_size: Size, preprocessing: Preprocessing, fit: Fit = "crop") -> View:
    """Where the input of a model lies on a photo of this height and width.

    fit: `crop` is the model's own evaluation transform, `squash` shows the whole photo with its aspect lost,
        `pad` the whole photo between bars.
    Raises: OptionError for another fit, or PhotoError for a strip so narrow that `crop` would blow it up beyond
        `MAX_PIXELS`.
    """
    expect_one_of(FITS, fit, "a fit")
    canvas, mode = {
        "crop": (preprocessing.resize, preprocessing.mode),
        "squash": (preprocessing.size, "squash"),
        "pad": (preprocessing.size, "border"),
    }[fit]
    scaled = _scaled_size(photo_size, canvas, mode.removesuffix(_FLOOR))
    if math.prod(scaled) > MAX_PIXELS:
        raise PhotoError(
            f"expected a photo that fit 'crop' can scale to {canvas[1]} × {canvas[0]} pixels, got a strip of "
            f"{photo_size[1]} × {photo_size[0]}; choose fit 'squash' or 'pad'"
        )
    (top, bottom), (left, right) = (
        _span(*sides, half=floor if mode.endswith(_FLOOR) else round)
        for sides in zip(photo_size, scaled, preprocessing.size, strict=True)
    )
    return View((left, top, right, bottom), photo_size, preprocessing.size, fit)


def input_pixels(photo: Photo, view: View, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The model's input before normalisation, RGB uint8 `[h, w, 3]`: bit for bit what the library itself makes.

    The whole photo is scaled and the view cut out, as torchvision and timm do it. Resizing only the view's box
    would differ by up to 8 levels, because Pillow then takes rows and columns in another order.
    """
    height, width = view.input_size
    left, top, right, bottom = view.box
    across, down = width / (right - left), height / (bottom - top)
    scaled = round(photo.size[1] * across), round(photo.size[0] * down)
    image = Image.fromarray(photo.pixels).resize(scaled, Image.Resampling[preprocessing.interpolation.upper()])
    canvas = Image.new("RGB", (width, height), _bar_colour(view, preprocessing))
    canvas.paste(image, (round(-left * across), round(-top * down)))
    return np.array(canvas)


def to_input(photo: Photo, view: View, preprocessing: Preprocessing) -> Tensor:
    """The model's input: float32 `[3, h, w]`, normalised."""
    pixels = torch.from_numpy(input_pixels(photo, view, preprocessing)).permute(2, 0, 1).contiguous().float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return pixels.div_(255).sub_(mean).div_(std)


def _scaled_size(photo_size: Size, canvas: Size, mode: str) -> Size:
    """Height and width in whole pixels that the libraries scale a photo to before they cut from its middle."""
    if mode == "squash":
        return canvas
    ratios = [side / target for side, target in zip(photo_size, canvas, strict=True)]
    if mode == "center" and canvas[0] == canvas[1]:
        # Both libraries keep the shorter side here and cut off the fraction of the longer; elsewhere timm rounds.
        height, width = (canvas[0] * side // min(photo_size) for side in photo_size)
    else:
        ratio = min(ratios) if mode == "center" else max(ratios)
        height, width = (max(1, round(side / ratio)) for side in photo_size)
    return height, width


def _span(photo: int, scaled: int, cut: int, half: Callable[[float], int]) -> tuple[float, float]:
    """Both ends, in photo pixels, of `cut` pixels from the middle of a side scaled from `photo` to `scaled`.

    half: rounds half of an odd number to whole pixels.
    """
    spare = scaled - cut
    start = half(spare / 2) if spare >= 0 else -(-spare // 2)
    return start * photo / scaled, (start + cut) * photo / scaled


def _bar_colour(view: View, preprocessing: Preprocessing) -> tuple[int, ...]:
    """The mean colour, as in timm's border mode; black where a library's own crop is larger than its canvas."""
    if view.fit == "crop" and preprocessing.mode != "border":
        return (0, 0, 0)
    return tuple(round(255 * mean) for mean in preprocessing.mean)
