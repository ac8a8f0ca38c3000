"""Targets that are functions of a photo's logits: their values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gradcam.errors import QUOTED, ClassError, quoted
from gradcam.text import clean, shorten
from gradcam.types import PythonTarget


def value_and_gradient(target: PythonTarget, logits: Tensor) -> tuple[float, Tensor]:
    """A target's value at the logits `[C]` of one photo, and its gradient there, `[C]`.

    Raises: ClassError if the function is not known, fails, or makes no finite number that can be differentiated.
    """
    if target.function is None:
        raise ClassError(f"expected a function to differentiate, got the name {quoted(target.name)}; pass both")
    expected = f"expected {quoted(target.name)} to make one number of logits {list(logits.shape)}"
    better = "return a scalar of PyTorch that depends on them"
    with torch.enable_grad():
        precision = torch.promote_types(logits.dtype, torch.float32)
        leaf = logits.detach().to(precision).requires_grad_()
        try:
            value, gradient = _differentiated(target.function, leaf)
        except Exception as error:
            raise ClassError(f"{expected}, got {type(error).__name__} {quoted(str(error))}; {better}") from error
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ClassError(f"{expected}, got {got}; {better}")
        if gradient is None:
            raise ClassError(f"{expected}, got one that does not depend on them; {better}")
        if not value.isfinite():
            raise ClassError(
                f"expected {quoted(target.name)} to make a finite number of the logits, got {value.item()}; "
                "return one that is defined for all logits"
            )
    return value.item(), gradient.to(logits.dtype)


def _differentiated(function: Callable[[Any], Any], leaf: Tensor) -> tuple[Any, Tensor | None]:
    """What the function makes of the leaf, and its gradient, if it is one number that depends on the leaf."""
    value = function(leaf.clone())  # which may be changed in place
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        return value, None
    return value, torch.autograd.grad(value.sum(), leaf, allow_unused=True)[0]


def gradients_of(targets: Sequence[PythonTarget], logits: Tensor) -> Tensor:
    """Cotangents `[K, B, C]`: the gradients of K targets at the logits `[B, C]`."""
    return torch.stack([torch.stack([value_and_gradient(target, row)[1] for row in logits]) for target in targets])


def python_target(function: Callable[[Any], Any]) -> PythonTarget:
    """A function as a target, under its own name."""
    name = getattr(function, "__name__", type(function).__name__)
    return PythonTarget(shorten(clean(str(name)), QUOTED), function)
