"""Convolutions by oneDNN whose weights are arranged in advance, together with the activation after them.

PyTorch's own convolution has its weights arranged at every call, and an activation after it goes through the output
once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcam.models.devices import PointwiseConv2d

ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "torch.nn.modules.activation.ReLU": ("relu", ()),
    "torch.nn.modules.activation.ReLU6": ("hardtanh", (0.0, 6.0)),
    "torch.nn.modules.activation.Hardswish": ("hardswish", ()),
    "torch.nn.modules.activation.SiLU": ("swish", ()),
}
"""Exact types that oneDNN computes together with a convolution, and what it calls them, with their numbers."""

NOTHING: tuple[str, tuple[float, ...]] = ("none", ())
"""What oneDNN calls no activation."""

SAME = "timm.layers.conv2d_same.Conv2dSame"
"""The exact type that pads as TensorFlow does, by as much as the size of its input needs."""

PLAIN = frozenset({"torch.nn.modules.conv.Conv2d", f"{PointwiseConv2d.__module__}.{PointwiseConv2d.__qualname__}"})
"""Exact types that compute what their settings say."""


def kind_of(module: nn.Module) -> str:
    """The exact type of a module, with its package."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def can_pack() -> bool:
    """Whether this PyTorch has the two operators, which are its own and may change."""
    operators = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(operators, name) for name in ("_reorder_convolution_weight", "_convolution_pointwise")
    )


def is_packable(conv: nn.Conv2d) -> bool:
    """Whether `packed` and `convolution` compute what this module computes."""
    settled = conv.padding_mode == "zeros" and isinstance(conv.padding, tuple)
    return settled and kind_of(conv) in PLAIN | {SAME}


def packed(conv: nn.Conv2d, weight: Tensor, size: Sequence[int]) -> Tensor:
    """`weight` arranged for the convolution of inputs of `size`, `[B, C, H, W]`."""
    padded = _padded(size, _padding(conv, size))
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *_settings(conv), padded)


def convolution(
    conv: nn.Conv2d, weight: Tensor, bias: Tensor, size: Sequence[int], activation: tuple[str, tuple[float, ...]]
) -> Callable[..., Tensor]:
    """What `conv` computes of inputs of `size`, with other weights, which `packed` arranged, then `activation`."""
    compute = torch.ops.mkldnn._convolution_pointwise.default  # looked up once, not at every call
    name, numbers = activation
    settings = (weight, bias, *_settings(conv), name, list(numbers), "")
    padding = _padding(conv, size)
    if any(padding):
        return lambda input: compute(functional.pad(input, padding), *settings)
    return lambda input: compute(input, *settings)


def _settings(conv: nn.Conv2d) -> tuple[Any, ...]:
    return conv.padding, conv.stride, conv.dilation, conv.groups


def _padding(conv: nn.Conv2d, size: Sequence[int]) -> list[int]:
    """Zeros to put on the left, the right, the top and the bottom of an input beforehand."""
    if kind_of(conv) != SAME:
        return [0, 0, 0, 0]
    padding: list[int] = []
    for axis in (1, 0):
        stride, reach = conv.stride[axis], (conv.kernel_size[axis] - 1) * conv.dilation[axis] + 1
        missing = max(0, (math.ceil(size[2 + axis] / stride) - 1) * stride + reach - size[2 + axis])
        padding += [missing // 2, missing - missing // 2]
    return padding


def _padded(size: Sequence[int], padding: Sequence[int]) -> list[int]:
    left, right, top, bottom = padding
    return [*size[:2], size[2] + top + bottom, size[3] + left + right]
