"""The device that a model computes on, and the order of its weights in memory that is fast there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcam.errors import ModelError, nearest, quoted

DEVICES: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}
"""Every kind of device, the fastest first, and whether this machine has one."""


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """A device of this machine; `"auto"` is the fastest one.

    Raises: ModelError where this machine has no such device.
    """
    here = [name for name, there in DEVICES.items() if there()]
    if device == "auto":
        return torch.device(here[0])
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"expected a device, got {quoted(device)}; use 'auto' or {nearest(str(device), here)}"
        ) from error
    if wanted.type not in here:
        raise ModelError(
            f"expected a device of this machine, got {quoted(device)}; use {nearest(str(device), here)}"
        )
    return wanted


def to_device_layout(module: nn.Module, device: torch.device, fast: bool = True) -> nn.Module:
    """A model of our own on its device with its weights channels last, which most convolutions are faster with.

    fast: on a processor, compute wide 1×1 convolutions as products, see `replace_pointwise_convolutions`.
    """
    module = module.to(device).to(memory_format=torch.channels_last)
    return replace_pointwise_convolutions(module) if fast and device.type == "cpu" else module


def replace_pointwise_convolutions(module: nn.Module) -> nn.Module:
    """Put a `PointwiseConv2d` over the same weights in the place of every 1×1 convolution with very many weights.

    The module is changed and returned; if it is such a convolution itself, its replacement is returned. Names,
    parameters and `state_dict()` stay the same, and a convolution used in two places stays shared.
    """
    wide = (part for part in module.modules() if type(part) is nn.Conv2d and is_wide_pointwise(part))
    made = {conv: PointwiseConv2d.over(conv) for conv in wide}
    for parent in [*module.modules()] if made else ():
        for name, child in parent._modules.items():
            if isinstance(child, nn.Conv2d) and child in made:
                setattr(parent, name, made[child])
    return made.get(module, module) if isinstance(module, nn.Conv2d) else module


class PointwiseConv2d(nn.Conv2d):
    """A 1×1 convolution as what it is: the product of all places, `[B·H·W, C]`, and the weights.

    oneDNN, which computes convolutions on a processor, rearranges the weights at every call. Where they are many
    and the places few, as in the last blocks of a ResNet, that takes longer than the product.
    """

    @classmethod
    def over(cls, conv: nn.Conv2d) -> PointwiseConv2d:
        """The same convolution over the same weights."""
        stride = (conv.stride[0], conv.stride[1])
        product = cls(conv.in_channels, conv.out_channels, 1, stride, bias=conv.bias is not None, device="meta")
        product.weight, product.bias = conv.weight, conv.bias
        return product.train(conv.training)

    def forward(self, input: Tensor) -> Tensor:
        down, right = self.stride
        places = input[..., ::down, ::right].movedim(-3, -1)
        output = functional.linear(places, self.weight.flatten(1), self.bias).movedim(-1, -3)
        # A view whose values the next module changes in place would lose its own gradient.
        return output.clone() if output.requires_grad else output


def is_wide_pointwise(module: nn.Module) -> bool:
    """Whether a module is a 1×1 convolution with very many weights, as its library built it or as a product."""
    if not isinstance(module, nn.Conv2d) or type(module) not in (nn.Conv2d, PointwiseConv2d):
        return False
    pointwise = module.kernel_size == (1, 1) and module.padding == (0, 0) and module.groups == 1
    return pointwise and module.weight.numel() >= _MANY


_MANY = 2**20
"""From so many weights on the product is faster: with it ResNet, Wide ResNet, ResNeXt and RegNet took less time for
one photo and about the same for eight. With a quarter of them the convolution was faster.
"""
