"""Backwards that skip the rows of a gradient that are zero.

The scores of most transformers read the class token alone behind the last attention. There the gradient has a row
for every token, and all but the class token's are zero; autograd multiplies them by every matrix all the same,
which is most of what a backward through the last block costs. Here the gradients of the class token alone, for all
classes at once, go back as `FewRows` to the attention. What leaves it towards the keys and the values are outer
products: numbers of the tokens times vectors of the heads. As `Outer` they go back through the matrices that made
keys and values, which multiply a vector a head in place of one a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

LEAST = 2**14
"""Numbers in a gradient from which on its rows are looked at; of a smaller one, all are multiplied sooner."""

FEW = 8
"""Rows are skipped if at most one of so many is not zero."""

LOOKED_AT = 16
"""Nodes of the graph behind the scores that are looked at: a linear layer, a normalisation, and no block."""

PRECISE = (torch.float32, torch.float64)
"""In which attention is computed here as in PyTorch, which computes that of fewer bits in more."""

READ_A_PART = ("Select", "Slice", "Index", "Gather")
"""What operations are called that read a part of a tensor, such as its class token."""


def may_skip(start: Tensor | GradientEdge, cotangents: Tensor) -> bool:
    """Whether a backward from `start` may have rows to skip: on a CPU, where the scores read a part of a tensor.

    A context that sees every operation costs small networks a fifth of their backward; this look costs little.
    """
    return cotangents.device.type == "cpu" and any(node.name().startswith(READ_A_PART) for node in _behind(start))


def reads_a_token(start: Tensor | GradientEdge) -> bool:
    """Whether the scores read a single token of many, so that its gradient goes back as `FewRows`.

    `torch.vmap` would spread such a gradient over all tokens again.
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


class MixedError(RuntimeError):
    """An operation needs every number of a gradient, where several gradients are only implied."""


class Implied(Tensor):
    """Stands for K gradients of one shape, which autograd takes for one: all of them go back in one walk.

    An operation of `_IMPLIED` makes another one of it. Any other is given the gradient itself if K is 1.
    Raises: MixedError from any other if K is more.
    """

    def each(self) -> Tensor:
        """The gradients themselves, `[K, *shape]`."""
        raise NotImplementedError

    def whole(self) -> Tensor:
        """The gradient, if it is one."""
        gradients = self.each()
        if len(gradients) > 1:
            raise MixedError(f"expected one gradient, got {len(gradients)}; take them back one by one")
        return gradients[0]

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class FewRows(Implied):
    """Gradients that are zero but for a few rows.

    rows: the indices of these, counted through all rows of as many columns as `kept` has. kept: `[K, n, columns]`.
    """

    rows: Tensor
    kept: Tensor

    def __new__(cls, rows: Tensor, kept: Tensor, shape: Sequence[int]) -> Self:
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=kept.dtype, device=kept.device)
        made.rows, made.kept = rows, kept
        return made

    def each(self) -> Tensor:
        count, _, columns = self.kept.shape
        if self.kept[0].numel() == self.numel():
            return self.kept.view(count, *self.shape)
        rows = self.kept.new_zeros(count, self.numel() // columns, columns)
        return rows.index_copy_(1, self.rows, self.kept).view(count, *self.shape)


class Outer(Implied):
    """Gradients that are products: left ⊙ right, where the two broadcast to `[K, …]`, in another shape."""

    left: Tensor
    right: Tensor

    def __new__(cls, left: Tensor, right: Tensor, shape: Sequence[int]) -> Self:
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=right.dtype, device=right.device)
        made.left, made.right = left, right
        return made

    def each(self) -> Tensor:
        return (self.left * self.right).reshape(-1, *self.shape)


class OneToken(Outer):
    """Gradients `[B, heads, tokens, dim]` of one token of each image.

    left: 1 for this token and 0 for all others, `[1, B, 1, tokens, 1]`. right: `[K, B, heads, 1, dim]`.
    """


def together(cotangents: Tensor) -> FewRows:
    """Cotangents `[K, …, columns]` as what goes back in one walk."""
    kept = cotangents.reshape(len(cotangents), -1, cotangents.shape[-1])
    return FewRows(torch.arange(kept.shape[1]), kept, cotangents.shape[1:])


def each_of(gradient: Tensor, count: int) -> Tensor:
    """The K gradients that came back, `[K, …]`. Raises: MixedError if it is one for several."""
    each = gradient.each() if isinstance(gradient, Implied) else gradient[None]
    if len(each) != count:
        raise MixedError(f"expected {count} gradients, got {len(each)}; take them back one by one")
    return each


def whole(gradient: Tensor) -> Tensor:
    """What came back of a single gradient, as a plain tensor."""
    return gradient.whole() if isinstance(gradient, Implied) else gradient


def _reshaped(func: Any, gradient: FewRows | Outer, shape: Sequence[int]) -> FewRows | Outer | None:
    if -1 in shape:
        return None
    if isinstance(gradient, FewRows):
        return FewRows(gradient.rows, gradient.kept, shape)
    return Outer(gradient.left, gradient.right, shape)


def _token(func: Any, gradient: Tensor, shape: Sequence[int], dim: int, index: int) -> FewRows | None:
    """The gradients of all tokens, from those of one; None if there is little to skip."""
    if not _is_of_tokens(shape, dim) or gradient.device.type != "cpu":
        return None
    if type(gradient) is Tensor:
        gradient = together(gradient[None])
    if type(gradient) is not FewRows or len(gradient.rows) != shape[0] or not _has_its_columns(gradient):
        return None
    return FewRows(gradient.rows * shape[1] + index % shape[1], gradient.kept, shape)


def _multiplied(func: Any, gradient: FewRows, matrix: Tensor) -> FewRows | None:
    if matrix.layout is not torch.strided or not _has_its_columns(gradient):
        return None
    products = func(gradient.kept.flatten(0, 1), matrix).unflatten(0, gradient.kept.shape[:2])
    return FewRows(gradient.rows, products, (len(gradient), matrix.shape[1]))


def _has_its_columns(gradient: FewRows) -> bool:
    return gradient.shape[-1] == gradient.kept.shape[-1]


def _added(func: Any, gradient: FewRows, other: Any, **options: Any) -> FewRows | None:
    if type(other) is not FewRows or gradient.kept.shape != other.kept.shape:
        return None
    if not torch.equal(gradient.rows, other.rows):
        return None
    return FewRows(gradient.rows, func(gradient.kept, other.kept, **options), gradient.shape)


def _through_function(func: Any, gradient: FewRows, values: Any, *others: Any, **options: Any) -> FewRows | None:
    """An operation of the gradient and of what the forward had at the same places."""
    if isinstance(values, Implied) or not isinstance(values, Tensor) or values.shape != gradient.shape:
        return None
    if not _has_its_columns(gradient):
        return None
    kept = func(gradient.kept, _at(gradient, values), *others, **options)
    return FewRows(gradient.rows, kept, gradient.shape)


def _scaled(func: Any, gradient: FewRows, scale: Any) -> FewRows | None:
    """Multiplied by one number for each column."""
    if not isinstance(scale, Tensor) or scale.shape != gradient.shape[-1:] or not _has_its_columns(gradient):
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
    if list(output_mask) != [True, False, False] or list(shape) != [gradient.kept.shape[-1]]:
        return None
    forward = (_at(gradient, values), shape, _at(gradient, mean), _at(gradient, scale))
    kept = func(gradient.kept, *forward, weight, bias, output_mask)[0]
    return FewRows(gradient.rows, kept, gradient.shape), None, None


def _at(gradient: FewRows, values: Tensor) -> Tensor:
    """The rows of a tensor `[…, columns]` of the forward at which gradients are not zero, `[K, n, columns]`."""
    rows = values.detach().flatten(0, -2)[gradient.rows]
    return rows.repeat(len(gradient.kept), 1, 1)  # a normalisation reads memory of equal strides


def _by_heads(func: Any, gradient: FewRows, *dims: int) -> OneToken | None:
    """A token's gradient `[B, tokens, heads, dim]` as `[B, heads, tokens, dim]`."""
    shape = gradient.shape
    if len(shape) != 4 or sorted(dims) != [1, 2] or gradient.kept.shape[1:] != (shape[0], shape[2] * shape[3]):
        return None
    images, tokens = gradient.rows // shape[1], gradient.rows % shape[1]
    if not torch.equal(images, torch.arange(shape[0])):
        return None
    left = functional.one_hot(tokens, shape[1]).to(gradient.kept)[None, :, None, :, None]
    right = gradient.kept.unflatten(2, shape[2:])[:, :, :, None]
    return OneToken(left, right, (shape[0], shape[2], shape[1], shape[3]))


def _through_attention(
    func: Any,
    gradient: OneToken,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    logsumexp: Tensor,
    dropout: float,
    is_causal: bool,
    **options: Any,
) -> tuple[Outer, Outer, Outer] | None:
    """The gradients of query, key and value `[B, heads, tokens, dim]`, from those of a single token.

    The token attends by p, and s is the gradient of its products of query and key: the gradient of the values is
    p ⊗ its own, that of the keys s ⊗ its query. Each is an outer product, of which little is computed.
    """
    if is_causal or dropout or options.get("attn_mask") is not None or query.dtype not in PRECISE:
        return None
    scale = options.get("scale")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    own = scale * (gradient.left[0] * query).sum(2, keepdim=True)  # [B, heads, 1, dim]
    attended = (own @ key.mT).softmax(-1)
    change = gradient.right @ value.mT  # [K, B, heads, 1, tokens]
    change = attended * (change - (attended * change).sum(-1, keepdim=True))
    return (
        Outer(gradient.left, scale * change @ key, query.shape),
        Outer(change.mT, own[None], key.shape),
        Outer(attended.mT[None], gradient.right, value.shape),
    )


def _rearranged(func: Any, gradient: Outer, *dims: Any) -> Outer | None:
    """Transposed or permuted."""
    if torch.broadcast_shapes(gradient.left.shape, gradient.right.shape)[1:] != gradient.shape:
        return None  # it has been reshaped
    order = list(range(gradient.ndim))
    if func is aten.permute.default:
        order = [order[dim] for dim in dims[0]]
    else:
        first, second = (order[dim] for dim in dims)
        order[first], order[second] = second, first
    left, right = (side.permute(0, *(dim + 1 for dim in order)) for side in (gradient.left, gradient.right))
    return Outer(left, right, [gradient.shape[dim] for dim in order])


def _stacked(func: Any, gradients: Sequence[Any], dim: int = 0) -> Outer | None:
    if dim != 0 or not all(isinstance(one, Outer) for one in gradients):
        return None
    sides = [[one.left for one in gradients], [one.right for one in gradients]]
    left, right = (torch.stack(_as_large(side), 1) for side in sides)
    return Outer(left, right, (len(gradients), *gradients[0].shape))


def _as_large(tensors: Sequence[Tensor]) -> list[Tensor]:
    shape = torch.broadcast_shapes(*(one.shape for one in tensors))
    return [one.expand(shape) for one in tensors]


def _summed(func: Any, gradient: Outer, matrix: Tensor) -> FewRows | None:
    """Outer products of `[K, B, tokens, …, 1]` and `[K, B, 1, …, dim]`, times a matrix.

    The short sides are multiplied by it, and then what that gives is spread over the tokens.
    """
    left, right = gradient.left, gradient.right
    if matrix.layout is not torch.strided or left.shape[-1] != 1 or right.shape[2] != 1:
        return None
    count, images, tokens, *groups, dim = torch.broadcast_shapes(left.shape, right.shape)
    if len(gradient) != images * tokens:
        return None
    left = left.expand(count, images, tokens, *groups, 1).flatten(3)  # [K, B, tokens, groups]
    right = right.expand(count, images, 1, *groups, dim).reshape(count * images, -1, dim)
    matrices = matrix.reshape(-1, dim, matrix.shape[1])  # [groups, dim, columns]
    found = left.flatten(0, 1) @ (right.transpose(0, 1) @ matrices).transpose(0, 1)
    return together(found.view(count, len(gradient), -1))


aten = torch.ops.aten

_IMPLIED: dict[tuple[type, Any], Callable[..., Any]] = {
    (FewRows, aten.view.default): _reshaped,
    (FewRows, aten._unsafe_view.default): _reshaped,
    (FewRows, aten.mm.default): _multiplied,
    (FewRows, aten.add.Tensor): _added,
    (FewRows, aten.mul.Tensor): _scaled,
    (FewRows, aten.gelu_backward.default): _through_function,
    (FewRows, aten.silu_backward.default): _through_function,
    (FewRows, aten.tanh_backward.default): _through_function,
    (FewRows, aten.threshold_backward.default): _through_function,
    (FewRows, aten.native_layer_norm_backward.default): _through_norm,
    (FewRows, aten.select_backward.default): _token,
    (FewRows, aten.transpose.int): _by_heads,
    (OneToken, aten._scaled_dot_product_flash_attention_for_cpu_backward.default): _through_attention,
    (Outer, aten.transpose.int): _rearranged,
    (Outer, aten.permute.default): _rearranged,
    (Outer, aten.stack.default): _stacked,
    (Outer, aten.view.default): _reshaped,
    (Outer, aten._unsafe_view.default): _reshaped,
    (Outer, aten.mm.default): _summed,
}


class SkippingZeroRows(TorchDispatchMode):
    """A context in which the gradient of a token stays `Implied`, and in which products of any other gradient with
    a matrix, and fused attention, skip rows of zeros.

    The results are those of autograd but for rounding. On an accelerator nothing is skipped: looking for the rows
    would wait for it. Nor is anything in products with sparse matrices.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """An operation of the backward, on what its gradient stands for, or without the rows that are zero."""
    gradient = args[0] if args else None
    gradient = gradient[0] if isinstance(gradient, list) and gradient else gradient
    implied = _IMPLIED.get((type(gradient), func))
    if implied and (found := implied(func, *args, **options)) is not None:
        return found
    if any(map(_is_implied, (*args, *options.values()))):  # rarely, and the walk costs more than most operations
        args, options = tree_map_only(Implied, Implied.whole, (args, options))
    if (skipping := _SKIPPING.get(func)) and (found := skipping(func, *args, **options)) is not None:
        return found
    return func(*args, **options)


def _is_implied(given: Any) -> bool:
    """Whether an argument of an operation is an implied gradient, or a list with one."""
    return isinstance(given, Implied) or (
        isinstance(given, (list, tuple)) and any(isinstance(one, Implied) for one in given)
    )


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
