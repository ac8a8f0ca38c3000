"""Gradients of one tensor of an autograd graph with respect to others, for many cotangents at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradcam.errors import LayerError, ModelError, quoted
from gradcam.nodes import operation, upstream
from gradcam.zero_rows import MixedError, SkippingZeroRows, each_of, may_skip, reads_a_token, together, whole

LEAST_CHUNK = 2 << 20
"""Bytes of gradients that are always computed at once: little beside the memory of the forward itself."""

CHUNKS = 24
"""For large models the limit grows to 1/24 of the weights' bytes, so that a large head is read once or a few times
for all targets, and little memory is added."""


def chunk_size(model: nn.Module, nbytes: int, count: int) -> int:
    """How many of `count` gradients, each of `nbytes`, may be in memory together."""
    if count * nbytes <= LEAST_CHUNK:
        return count
    weights = sum(weight.nbytes for weight in model.parameters())
    return max(1, max(LEAST_CHUNK, weights // CHUNKS) // nbytes)


def differentiate(
    start: Tensor | GradientEdge, cotangents: Tensor, ends: Sequence[Tensor | GradientEdge]
) -> list[Tensor]:
    """∂(cotangent · start)/∂end for each end and every cotangent, `[K, *shape of the end]`.

    cotangents: `[K, *shape of start]`.
    Raises: LayerError if an end is not on the way to `start`, ModelError if autograd cannot differentiate it.
    """

    inputs: Any = list(ends)  # tensors beside edges
    skips = may_skip(start, cotangents)
    of_token = skips and reads_a_token(start)

    def walk(cotangent: Tensor, *, batched: bool = False, skips: bool) -> tuple[Tensor, ...]:
        with SkippingZeroRows() if skips else nullcontext(), in_plain_order(start):
            found = torch.autograd.grad(
                start, inputs, cotangent, retain_graph=True, is_grads_batched=batched, allow_unused=True
            )
        if any(gradient is None for gradient in found):
            raise LayerError(
                "the class scores do not depend on the target layer as autograd sees it; name another layer, "
                "or take detach, no_grad and re-entrant checkpoints out of the model's forward"
            )
        return found

    def backward(cotangents: Tensor, *, skips: bool) -> list[Tensor]:
        """The gradients of all these from one walk."""
        if skips and of_token:
            return [each_of(gradient, len(cotangents)) for gradient in walk(together(cotangents), skips=True)]
        if len(cotangents) == 1:
            return [each_of(gradient, 1) for gradient in walk(cotangents[0], skips=skips)]
        return [whole(gradient) for gradient in walk(cotangents, batched=True, skips=skips)]

    def one_by_one(*, skips: bool) -> list[Tensor]:
        each = [backward(cotangent, skips=skips) for cotangent in cotangents.split(1)]
        return [torch.cat(found) for found in zip(*each, strict=True)]

    try:
        try:
            return backward(cotangents, skips=skips)
        except MixedError:
            return one_by_one(skips=skips)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        pass  # an operation without a batching rule, or one that reads memory that implied gradients do not have
    try:
        return one_by_one(skips=False)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ModelError(
            f"expected a model that autograd can differentiate, got {quoted(str(error))}; "
            "name a later layer, or remove what autograd cannot follow"
        ) from error


@contextmanager
def in_plain_order(start: Tensor | GradientEdge) -> Iterator[None]:
    """Give batch normalisations behind `start` the gradient of a single image with its channels first in memory.

    Where places became tokens, channels lie last, and the stride of the only image is an odd one. PyTorch 2.15 then
    takes numbers for those of other places and channels on a processor, without a word.
    """
    first = start.grad_fn if isinstance(start, Tensor) else start.node
    with ExitStack() as hooks:
        for node in upstream(first) if first is not None else ():
            if operation(node) == "NativeBatchNorm":
                hooks.callback(node.register_prehook(_channels_first).remove)
        yield


def _channels_first(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(
        gradient.contiguous() if type(gradient) is Tensor and _has_odd_stride(gradient) else gradient
        for gradient in gradients
    )


def _has_odd_stride(gradient: Tensor) -> bool:
    return gradient.ndim > 1 and len(gradient) == 1 and gradient.stride(0) != gradient.numel()
