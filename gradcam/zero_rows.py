"""Backwards that skip the rows of a gradient that are zero.

The scores of most transformers read the class token alone behind the last attention. There the gradient has a row
for every token, and all but the class token's are zero; autograd multiplies them by every matrix all the same,
which is most of what a backward through the last block costs. Here a gradient of the class token alone goes back as
`FewRows`, until an operation mixes the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

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
    return cotangents.device.type == "cpu" and any(node.name().startswith(READ_A_PART) for node in _behind(start))


def reads_a_token(start: Tensor | GradientEdge) -> bool:
    """Whether the scores read a single token of many, so that its gradient goes back as `FewRows`.

    `torch.vmap` would spread such a gradient over all tokens again: each has to go back by itself.
    """
    nodes: Iterator[Any] = (node for node in _behind(start) if node.name().startswith("SelectBackward"))
    return any(_is_of_tokens(node._saved_self_sym_sizes, node._saved_dim) for node in nodes)


def _is_of_tokens(shape: Sequence[int], dim: int) -> bool:
    """Whether an item of this dimension is a token of `[B, tokens, columns]`, and worth a look."""
    return len(shape) == 3 and dim == 1 and shape[1] >= FEW and prod(shape) >= LEAST


def _behind(start: Tensor | GradientEdge) -> Iterator[Any]:
    """The first nodes of the graph behind the scores."""
    first = start.grad_fn if isinstance(start, Tensor) else start.node
    nodes = [] if first is None else [first]
    for node in nodes:  # the list grows
        yield node
        if len(nodes) < LOOKED_AT:
            nodes += [source for source, _ in node.next_functions if source is not None]


class FewRows(Tensor):
    """Stands for a gradient `[…, columns]`, most of whose rows are zero.

    rows: the indices of the others, counted through all dimensions but the last. kept: these rows, `[n, columns]`.
    An operation that treats each row by itself makes another one of it; any other is given the gradient itself.
    """

    rows: Tensor
    kept: Tensor

    @staticmethod
    def __new__(cls, rows: Tensor, kept: Tensor, shape: Sequence[int]) -> FewRows:
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=kept.dtype, device=kept.device)
        made.rows, made.kept = rows, kept
        return made

    def whole(self) -> Tensor:
        rows = self.kept.new_zeros(prod(self.shape[:-1]), self.shape[-1])
        return rows.index_copy_(0, self.rows, self.kept).view(self.shape)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        by_row = _BY_ROW.get(func)
        if by_row and type(args[0]) is FewRows and (found := by_row(func, *args, **options)) is not None:
            return found
        args, options = tree_map_only(FewRows, FewRows.whole, (args, options))
        return func(*args, **options)


def _reshaped(func: Any, gradient: FewRows, shape: Sequence[int]) -> FewRows | None:
    same = shape[-1] == gradient.shape[-1] and -1 not in shape
    return FewRows(gradient.rows, gradient.kept, shape) if same else None


def _multiplied(func: Any, gradient: FewRows, matrix: Tensor) -> FewRows | None:
    if matrix.layout is not torch.strided:
        return None
    return FewRows(gradient.rows, func(gradient.kept, matrix), (len(gradient), matrix.shape[1]))


def _added(func: Any, gradient: FewRows, other: Any, **options: Any) -> FewRows | None:
    if type(other) is not FewRows or not torch.equal(gradient.rows, other.rows):
        return None
    return FewRows(gradient.rows, func(gradient.kept, other.kept, **options), gradient.shape)


def _through_function(func: Any, gradient: FewRows, values: Any, *others: Any, **options: Any) -> FewRows | None:
    """An operation of the gradient and of what the forward had at the same places."""
    if type(values) is FewRows or not isinstance(values, Tensor) or values.shape != gradient.shape:
        return None
    kept = func(gradient.kept, _at(gradient, values), *others, **options)
    return FewRows(gradient.rows, kept, gradient.shape)


def _scaled(func: Any, gradient: FewRows, scale: Any) -> FewRows | None:
    """Multiplied by one number for each column."""
    if not isinstance(scale, Tensor) or scale.shape != gradient.shape[-1:]:
        return None
    return FewRows(gradient.rows, func(gradient.kept, scale), gradient.shape)


def _through_norm(
    func: Any,
    gradient: FewRows,
    values: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[FewRows, None, None] | None:
    if list(output_mask) != [True, False, False] or list(shape) != [gradient.shape[-1]]:
        return None
    forward = (_at(gradient, values), shape, _at(gradient, mean), _at(gradient, scale))
    kept = func(gradient.kept, *forward, weight, bias, output_mask)[0]
    return FewRows(gradient.rows, kept, gradient.shape), None, None


def _at(gradient: FewRows, values: Tensor) -> Tensor:
    """The rows of a tensor `[…, columns]` of the forward at which the gradient is not zero."""
    return values.detach().flatten(0, -2)[gradient.rows]


aten = torch.ops.aten

_BY_ROW: dict[Any, Callable[..., Any]] = {
    aten.view.default: _reshaped,
    aten._unsafe_view.default: _reshaped,
    aten.mm.default: _multiplied,
    aten.add.Tensor: _added,
    aten.mul.Tensor: _scaled,
    aten.gelu_backward.default: _through_function,
    aten.silu_backward.default: _through_function,
    aten.threshold_backward.default: _through_function,
    aten.native_layer_norm_backward.default: _through_norm,
}


class SkippingZeroRows(TorchDispatchMode):
    """A context in which the gradient of a token is `FewRows`, and in which products of any other gradient with a
    matrix, and fused attention, skip rows of zeros.

    The results are those of autograd but for rounding. On an accelerator nothing is skipped: looking for the rows
    would wait for it. Nor is anything in products with sparse matrices.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if FewRows in types:
            return FewRows.__torch_dispatch__(func, types, args, kwargs)
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


def _token(func: Any, gradient: Tensor, shape: Sequence[int], dim: int, index: int) -> FewRows | None:
    """The gradient of all tokens, from that of one; None if there is little to skip."""
    if not _is_of_tokens(shape, dim) or type(gradient) is not Tensor or gradient.device.type != "cpu":
        return None
    return FewRows(torch.arange(shape[0]) * shape[1] + index % shape[1], gradient, shape)


_SKIPPING: dict[Any, Callable[..., Any]] = {
    aten.select_backward.default: _token,
    aten.mm.default: _product,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention,
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
