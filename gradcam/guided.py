"""Guided backpropagation over a traced forward, by hooks on autograd's graph: no module is touched.

Source: Springenberg et al. 2015, *Striving for Simplicity: The All Convolutional Net*, section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from torch import Tensor

from gradcam.capture import Trace
from gradcam.errors import MethodError
from gradcam.gradients import differentiate
from gradcam.nodes import operation, upstream

RECTIFIERS = frozenset({"Relu", "Hardtanh", "Threshold"})
"""Operations of ReLU and ReLU6."""

OTHERS = frozenset({"Celu", "Elu", "Gelu", "Hardswish", "LeakyRelu", "Mish", "Prelu", "Silu", "Softplus"})
"""Operations of activation functions for which guided backpropagation is not defined."""


def guided_gradients(traced: Trace, cotangents: Tensor) -> Tensor:
    """∂y/∂pixels, `[K, B, channels, H, W]`, where every ReLU passes only what is above zero back.

    Raises: MethodError if the model has other activation functions, or no ReLU.
    """
    nodes = upstream(traced.logits.grad_fn) if traced.logits.grad_fn is not None else set()
    rectifiers = [node for node in nodes if operation(node) in RECTIFIERS]
    other = min((operation(node) for node in nodes if operation(node) in OTHERS), default="")
    if other or not rectifiers:
        raise MethodError(
            f"expected a model whose activation functions are ReLUs, got {other or 'one without any'}; use "
            "FullGrad or LayerCAM"
        )
    with ExitStack() as hooks:
        for node in rectifiers:
            hooks.callback(node.register_prehook(_above_zero).remove)
        (gradients,) = differentiate(traced.logits, cotangents, [traced.pixels])
    return gradients


def _above_zero(entering: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient.clamp(min=0) for gradient in entering)
