"""Models built without numbers, to learn how large they would be before any memory is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradcam.errors import ModelError

MAX_UNTRAINED = 2**29
"""Numbers that a model from a hub may have without its weights; with them, the weight file sets the limit."""

_MAX_CALLS = 100_000
"""Operations that building a model may take; the deepest models of timm take some 13,000."""


def built_on_meta(build: Callable[[], nn.Module], most: int) -> nn.Module:
    """The module that `build` makes, its tensors on the meta device: of the right shapes and without memory.

    most: numbers that its parameters and buffers may hold together.
    Raises: ModelError once it takes more, or more steps to build than any known model; and what `build` raises.
    """
    with torch.device("meta"), _Ceiling(most):
        module = build()
    count = sum(tensor.numel() for tensor in module.state_dict().values())
    if count > most:
        raise _too_large(count, most)
    return module


class _Ceiling(TorchFunctionMode):
    """Ends the building of a model that grows beyond bounds, in the thread that builds it and nowhere else."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.numbers, self.calls = most, 0, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        if isinstance(result, Tensor) and not any(isinstance(argument, Tensor) for argument in args):
            self.numbers += result.numel()
        # Builders also make tensors that they replace: up to six times the final numbers, if timm prunes a model.
        if self.numbers > 8 * self.most:
            raise _too_large(self.numbers, self.most)
        if self.calls > _MAX_CALLS:
            raise ModelError(f"expected a model that is built in {_MAX_CALLS:,} steps, got a larger one")
        return result


def _too_large(count: int, most: int) -> ModelError:
    return ModelError(f"expected a model of at most {most:,} numbers, got one of {count:,}")
