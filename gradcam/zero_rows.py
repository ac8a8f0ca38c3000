"""Backwards that skip the rows of a gradient that are zero.

The scores of most transformers read the class token alone behind the last attention. There the gradient has a row
for every token, and all but the class token's are zero; autograd multiplies them by every matrix all the same,
which is most of what a backward through the last block costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.utils._python_dispatch import TorchDispatchMode

LEAST = 2**14
"""Numbers in a gradient from which on its rows are looked at; of a smaller one, all are multiplied sooner."""

FEW = 8
"""Rows are skipped if at most one of so many is not zero."""

LOOKED_AT = 16
"""Nodes of the graph behind the scores that are looked at: a linear layer, a normalisation, and no block."""

READ_A_PART = ("Select", "Slice", "Index", "Gather")
"""What operations are called that read a part of a tensor, such as its class token."""


def may_skip(start: Tensor | GradientEdge, cotangents: Tensor) -> bool:
    """Whether a backward from `start` may have rows to skip: on a CPU, where the scores read a part of a tensor.

    A context that sees every operation costs small networks a fifth of their backward; this look costs little.
    """
    first = start.grad_fn if isinstance(start, Tensor) else start.node
    nodes = [first] if first is not None and cotangents.device.type == "cpu" else []
    for node in nodes:  # the list grows
        if node.name().startswith(READ_A_PART):
            return True
        if len(nodes) < LOOKED_AT:
            nodes += [source for source, _ in node.next_functions if source is not None]
    return False


class SkippingZeroRows(TorchDispatchMode):
    """A context in which products of a gradient with a matrix, and fused attention, skip rows of zeros.

    The results are those of autograd but for rounding. On an accelerator nothing is skipped: looking for the rows
    would wait for it. Nor is anything in products with sparse matrices.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if (skipping := _SKIPPING.get(func)) and (found := skipping(func, *args, **options)) is not None:
            return found
        return func(*args, **options)


def _product(func: Any, gradient: Tensor, matrix: Tensor) -> Tensor | None:
    """gradient · matrix, `[rows, columns]`; None if there is little to skip."""
    if matrix.layout is not torch.strided or (rows := _few_rows(gradient)) is None:
        return None
    products = gradient.new_zeros(len(gradient), matrix.shape[1])
    return products.index_copy_(0, rows, func(gradient[rows], matrix))


def _attention(
    func: Any,
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    logsumexp: Tensor,
    dropout: float,
    is_causal: bool,
    **options: Any,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """The gradients of query, key and value `[B, heads, tokens, dim]`; None if there is little to skip."""
    if is_causal or options.get("attn_mask") is not None:
        return None
    rows = _few_rows(gradient.permute(2, 0, 1, 3).flatten(1))
    if rows is None:
        return None
    few = (gradient[:, :, rows], query[:, :, rows], key, value, output[:, :, rows], logsumexp[:, :, rows])
    of_query, of_key, of_value = func(*few, dropout, is_causal, **options)
    return torch.zeros_like(query).index_copy_(2, rows, of_query), of_key, of_value


_SKIPPING: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.mm.default: _product,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention,
}


def _few_rows(gradient: Tensor) -> Tensor | None:
    """The indices of the rows of `[rows, columns]` that are not zero; None if they are not few, or of a tensor that
    is sparse or stands for something else."""
    if gradient.layout is not torch.strided or type(gradient) is not Tensor or gradient.device.type != "cpu":
        return None
    if gradient.numel() < LEAST:
        return None
    most = len(gradient) // FEW
    some = gradient[:, :: max(1, gradient.shape[1] // 8)]
    for part in (some, gradient):  # a dense gradient is told by a few columns
        rows = (part != 0).any(1).nonzero()[:, 0]
        if len(rows) > most:
            return None
    return rows
