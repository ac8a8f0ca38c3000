"""What a model is given when its target layer is searched: seeded noise of its own size and channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""Channels, height and width of an input."""

DEFAULT_SIZE = (224, 224)


def noise_like(batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Two seeded images of noise of the batch's shape and on its device: no layer depends on a picture.

    dtype: of the model's weights; used if the batch holds whole numbers, or is cast by autocast anyway.
    """
    numbers = torch.randn(2, *batch.shape[1:], generator=torch.Generator().manual_seed(0))
    return numbers.to(batch.device, batch.dtype if batch.is_floating_point() else dtype)


def input_shapes(model: nn.Module, size: tuple[int, int] | None = None) -> list[Shape]:
    """Shapes that the model may take, the most likely first.

    size: height and width, where they are known; else the sizes that the model's own configuration names.
    """
    modules = tuple(model.modules())
    sizes = [size] if size else [*dict.fromkeys((*_own_sizes(modules), DEFAULT_SIZE))]
    convolution = next((module for module in modules if isinstance(module, nn.Conv2d)), None)
    channels = [convolution.in_channels] if convolution is not None and convolution.in_channels else []
    channels = dict.fromkeys((*channels, *_own_channels(modules), 3))
    return [(count, height, width) for height, width in sizes for count in channels]


def weight_of(model: nn.Module) -> Tensor:
    """The first floating parameter; an empty tensor where there is none."""
    return next((weight for weight in model.parameters() if weight.is_floating_point()), torch.empty(0))


def _configurations(modules: tuple[nn.Module, ...]) -> Iterator[Mapping[str, Any]]:
    """What timm (`pretrained_cfg`, `default_cfg`) and Hugging Face (`config`) say about a model."""
    for module in modules:
        for name in ("pretrained_cfg", "default_cfg", "config"):
            found = getattr(module, name, None)
            if found is not None:
                yield found if isinstance(found, Mapping) else getattr(found, "__dict__", {})


def _own_sizes(modules: tuple[nn.Module, ...]) -> Iterator[tuple[int, int]]:
    for configuration in _configurations(modules):
        yield from _size(configuration.get("input_size"))
        yield from _size(configuration.get("image_size"))
    for module in modules:  # torchvision's ViT has an image_size, timm's patch embeddings have an img_size
        yield from _size(getattr(module, "image_size", None))
        yield from _size(getattr(module, "img_size", None))


def _own_channels(modules: tuple[nn.Module, ...]) -> Iterator[int]:
    for configuration in _configurations(modules):
        shape = configuration.get("input_size")
        found = configuration.get("num_channels", shape[0] if isinstance(shape, (tuple, list)) else None)
        if isinstance(found, int) and found > 0:
            yield found


def _size(value: object) -> Iterator[tuple[int, int]]:
    """Height and width in what a configuration calls a size: a side, a pair, or channels, height and width."""
    sides = (
        [value, value] if isinstance(value, int) else list(value)[-2:] if isinstance(value, (tuple, list)) else []
    )
    if len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides):
        yield sides[0], sides[1]
