"""The self-attention of a traced forward, read from autograd's graph: no module is touched or switched.

PyTorch's fused attention keeps q, k and v for its backward. A = softmax(q kᵀ · scale + mask) is computed again from
them, and ∂y/∂A = (∂y/∂O) vᵀ from the gradient of its output O = A v. Attention that a model writes out keeps A, the
result of its softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradcam.capture import Ends, ModuleCall, Trace
from gradcam.errors import LayerError, MethodError, ModelError, quoted
from gradcam.gradients import chunk_size, differentiate
from gradcam.layers.graph import before_linear, find_dominators
from gradcam.layers.layouts import MOST_PREFIX
from gradcam.methods import Attention
from gradcam.nodes import operation, upstream
from gradcam.text import dimensions
from gradcam.types import TargetLayer

FUSED = "ScaledDotProduct"
"""How the names of PyTorch's fused attentions begin in the graph: there is one for each kind of device."""

SOFTMAXES = ("Softmax", "SafeSoftmax")
"""What a model calls, and what PyTorch's attention calls where it is not fused, as for a mask with a gradient."""

Ended: TypeAlias = Callable[[Ends], Trace]
"""Traces the forward again, with other ends."""

CLOSE = 1e-5
"""A share of the largest value: what is computed of more images at once differs by rounding, which is less."""


@dataclass(frozen=True, eq=False)
class TracedAttention(Attention):
    """The `Attention` of a forward; see there what each part is.

    model: whose weights tell how much may be in memory. traced: the forward. cotangents: `[K, B, C]`, of the
        scores, at given logits `[B, C]`. layer: on whose grid the maps lie. tokens: of that layer's output, None if
        it has another layout. ended: runs the forward again.
    """

    model: nn.Module
    traced: Trace
    cotangents: Callable[[Tensor], Tensor]
    layer: TargetLayer
    tokens: int | None
    ended: Ended

    def values(self) -> Iterator[Tensor]:
        return (attention.values() for attention in self._found)

    def gradients(self) -> Iterator[Iterator[Tensor]]:
        cotangents = self.cotangents(self.traced.logits)
        for few in cotangents.split(self._together(len(cotangents))):
            yield _gradients(self.traced, few, self._found)

    def own_gradients(self, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        if len(self._found) == 1:
            return self._of_last(1, self.traced, reduce)
        blocks = self._blocks
        if (together := self._ends_together()) is not None:
            return self._of_last(len(blocks), together, reduce)
        # no trace has a name here: each is dropped before the next, which is as large
        return torch.cat([self._of_last(1, self.ended(Ends((block,), blocks[-1])), reduce) for block in blocks])

    def on_grid(self, tokens: Tensor) -> Tensor:
        height, width = self.layer.grid
        return tokens[..., self._prefix : self._prefix + height * width].unflatten(-1, (height, width))

    @cached_property
    def read(self) -> Tensor:
        logits, last = self.traced.logits, self._found[-1]
        some = torch.linspace(1, 2, logits.shape[1]).to(logits).expand(1, *logits.shape)  # no two classes cancel
        (gradient,) = differentiate(logits, some, [last.edge])
        is_read = (gradient != 0).movedim(-2, 0).flatten(1).any(1)
        return _precise(is_read.to(logits)) / is_read.sum().clamp(min=1)

    def _together(self, count: int) -> int:
        """For how many of `count` scores the gradients of all blocks may be in memory."""
        nbytes = sum(prod(_shape(one.node) or ()) for one in self._found) * self.traced.logits.element_size()
        return chunk_size(self.model, nbytes, count)

    def _of_last(self, blocks: int, traced: Trace, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        """What `reduce` makes of the gradients of the last `blocks` blocks of a forward whose logits
        `[blocks · B, C]` the model's end makes of their outputs: `[blocks, K, …]`."""
        images = len(self.traced.logits)
        found = _attention_in(traced, images)[-blocks:]
        cotangents = torch.cat([*map(self.cotangents, traced.logits.split(images))], 1)
        few = cotangents.split(self._together(len(cotangents)))
        return torch.cat([torch.stack([*map(reduce, _gradients(traced, part, found))]) for part in few], 1)

    # ------------------------------------------------------------------------------------------ what is found

    @cached_property
    def _found(self) -> list[_SelfAttention]:
        """The self-attention of every block, first to last.

        Raises: MethodError if there is none, one that is not between the same tokens as the others, or no layer.
        """
        found = _attention_in(self.traced, len(self.traced.logits))
        shapes = [_shape(one.node) or () for one in found]
        if not found:
            raise MethodError(
                "expected a model with self-attention, got one that has none, or none that autograd's graph shows; "
                "use Grad-CAM"
            )
        if not self.layer.name:
            raise MethodError(
                "expected a model with a target layer, on whose grid attention is laid, got one that has none; "
                "use RISE"
            )
        images, places = len(self.traced.logits), prod(self.layer.grid)
        tokens = {shape[-2:] for shape in shapes}
        odd = next((shape for shape in shapes if not _is_global(shape, images, places)), None)
        if odd is not None or len(tokens) > 1:
            raise MethodError(
                f"expected self-attention between all places of layer {quoted(self.layer.name)}, "
                f"{dimensions(*self.layer.grid)}, got attention of the shape {list(odd or (images, *tokens))}, "
                "such as within windows or between fewer tokens; use Grad-CAM"
            )
        return found

    @cached_property
    def _prefix(self) -> int:
        """Number of leading tokens, such as the class token, before the places."""
        tokens = self._found[0].tokens
        return self.layer.prefix if tokens == self.tokens else tokens - prod(self.layer.grid)

    def _ends_together(self) -> Trace | None:
        """A forward whose logits `[blocks · B, C]` the model's end makes of what leaves each block; None if it does
        not take them as further images."""
        try:
            together = self.ended(Ends(self._blocks, self._blocks[-1]))
        except (LayerError, ModelError):
            return None
        logits = self.traced.logits
        return together if is_close(together.logits[-len(logits) :], logits) else None

    @cached_property
    def _blocks(self) -> tuple[str, ...]:
        """The names of the innermost modules that hold one self-attention each, and whose outputs every path to the
        scores passes through."""
        dominators = find_dominators(self.traced.logits, self.traced.pixels)
        ends = {(dominator.edge.node, dominator.edge.output_nr) for dominator in dominators}
        calls = [call for call in self.traced.module_calls if tuple(call.output_edge)[:2] in ends]
        names = [next((call.name for call in calls if one.is_within(call)), None) for one in self._found]
        if None in names or len({*names}) < len(names):
            raise MethodError(
                "expected a model with a module for each block, got one whose blocks cannot be told apart; use "
                "Generic attention"
            )
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True, eq=False)
class _SelfAttention:
    """One self-attention of B images.

    node: in the graph, of the attention A itself or, if fused, of the output O = A v.
    """

    node: Any
    images: int

    @property
    def edge(self) -> GradientEdge:
        return GradientEdge(self.node, 0)

    @property
    def tokens(self) -> int:
        return (_shape(self.node) or (0,))[-1]

    def values(self) -> Tensor:
        """A, `[B, heads, N, N]`; each row adds up to 1."""
        if not _is_fused(self.node):
            return self._by_head(_precise(self.node._saved_result))
        query, key = _precise(self.node._saved_query), _precise(self.node._saved_key)
        scores = query @ key.mT * (self.node._saved_scale or query.shape[-1] ** -0.5)
        if self.node._saved_is_causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        mask = next((mask for name in _MASKS if (mask := getattr(self.node, name, None)) is not None), None)
        return (scores if mask is None else scores + _precise(mask)).softmax(-1)

    def gradient(self, at_edge: Tensor) -> Tensor:
        """∂y/∂A, `[K, B, heads, N, N]`, from the gradient of y at the edge."""
        if _is_fused(self.node):
            return _precise(at_edge) @ _precise(self.node._saved_value).mT
        return torch.stack([self._by_head(_precise(one)) for one in at_edge])

    def _by_head(self, weights: Tensor) -> Tensor:
        """`[B, heads, N, N]`, of which a model may have made one dimension of the first two."""
        return weights if weights.ndim == 4 else weights.unflatten(0, (self.images, -1))

    def is_within(self, call: ModuleCall) -> bool:
        """Whether it was computed during a call of a module."""
        begin = -1 if call.input_edge is None else _order(call.input_edge.node)
        return begin < _order(self.node) <= _order(call.output_edge.node)


def _attention_in(traced: Trace, images: int) -> list[_SelfAttention]:
    """All attention that the logits of a forward of B images depend on, first to last."""
    nodes = upstream(traced.logits.grad_fn) if traced.logits.grad_fn is not None else ()
    found = (node for node in nodes if _shape(node) is not None)
    return [_SelfAttention(node, images) for node in sorted(found, key=_order)]


def _gradients(traced: Trace, cotangents: Tensor, found: list[_SelfAttention]) -> Iterator[Tensor]:
    """The gradient with respect to each attention of a forward, for a few scores, by one backward."""
    start = before_linear(traced.logits, cotangents) or (traced.logits, cotangents)
    at_edges = differentiate(*start, [one.edge for one in found])
    return (one.gradient(at_edge) for one, at_edge in zip(found, at_edges, strict=True))


def _shape(node: Any) -> tuple[int, ...] | None:
    """The shape `[…, rows, columns]` of the attention that a node computes; None if it computes anything else."""
    if _is_fused(node):
        return (*node._saved_query.shape[:-1], node._saved_key.shape[-2])
    if operation(node) not in SOFTMAXES:
        return None
    shape = tuple(node._saved_result.shape)
    over_last = node._saved_dim in (-1, 2**64 - 1, len(shape) - 1)  # autograd saves −1 as 2⁶⁴ − 1
    return shape if over_last and len(shape) >= 3 and shape[-1] > 1 else None


_MASKS = ("_saved_attn_mask", "_saved_attn_bias")
"""What is added to q kᵀ, under the name that it has on a processor or on an accelerator."""


def _is_global(shape: tuple[int, ...], images: int, places: int) -> bool:
    """Whether attention is between the tokens of an image: all places, and at most a few leading ones."""
    of_images = shape[0] == images if len(shape) == 4 else len(shape) == 3 and shape[0] % images == 0
    return of_images and shape[-1] == shape[-2] and places <= shape[-1] <= places + MOST_PREFIX


def _is_fused(node: Any) -> bool:
    return operation(node).startswith(FUSED)


def is_close(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors of logits are the same but for rounding."""
    return bool((found - expected).abs().max() <= CLOSE * expected.abs().max())


def _order(node: Any) -> int:
    """The order in which the nodes of a forward were made."""
    return node._sequence_nr()


def _precise(tensor: Tensor) -> Tensor:
    """Detached, in float32, or float64 for a float64 model."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
