"""What the autograd graph of one forward says about the paths from the pixels to the class scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gradcam.errors import ModelError, is_out_of_memory, quoted
from gradcam.nodes import MOVES, RESHAPES, operation
from gradcam.types import ClassTable


@dataclass(frozen=True, eq=False)
class Dominator:
    """A node of the graph that every path from the pixels to the class scores passes through.

    edge: of the tensor that leaves this node. after: share of the graph between the node and the scores.
    """

    edge: GradientEdge
    after: float


def find_dominators(logits: Tensor, pixels: Tensor) -> list[Dominator]:
    """All dominators from the class scores back to the pixels; none if the scores do not depend on the pixels.

    The graph is walked from the scores in topological order while the edges to nodes not yet walked are counted.
    A node that is reached when no other edge is open is a dominator. Nodes of residual branches, gates and
    attention never are.
    """
    if logits.grad_fn is None:
        return []
    edges = _edges_between(logits.grad_fn, get_gradient_edge(pixels).node)
    waiting = Counter(child for targets in edges.values() for child, _ in targets)
    outputs: dict[Node, set[int]] = {logits.grad_fn: {logits.output_nr}}
    ready, opened, walked, dominators = [logits.grad_fn], 0, 0, []
    arriving = dict(waiting)
    while ready:
        node = ready.pop()
        opened -= arriving.get(node, 0)
        if opened == 0 and len(outputs[node]) == 1 and edges:
            dominators.append(Dominator(GradientEdge(node, min(outputs[node])), walked / len(edges)))
        walked += 1
        for child, output in edges.get(node, ()):
            opened += 1
            outputs.setdefault(child, set()).add(output)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return dominators


def computing(node: Node) -> Node:
    """The node that computed the values at `node`, behind those that only moved them (a view, a copy)."""
    while operation(node) in MOVES:
        node = next(child for child, _ in node.next_functions if child is not None)
    return node


def _readers(scores: Node) -> dict[Node, list[Node]]:
    """For every node that the `scores` were computed from: the nodes that read it, once for each reading."""
    readers: dict[Node, list[Node]] = {}
    stack = [scores]
    while stack:
        node = stack.pop()
        for child, _ in node.next_functions:
            if child in readers:
                readers[child].append(node)
            elif child is not None:
                readers[child] = [node]
                stack.append(child)
    return readers


def edge_after_pooling(leaf: Tensor, dims: tuple[int, ...], logits: Tensor) -> GradientEdge | None:
    """The edge after all pooling of `leaf` over `dims`, if the `logits` depend on `leaf` only through this edge.

    A pooling distributes each gradient over the places that it pooled, so the gradients' sum over `dims` is the
    same at this edge and at `leaf`.
    """
    readers = _readers(logits.grad_fn) if dims and logits.grad_fn is not None else {}
    node = next((node for node in readers if getattr(node, "variable", None) is leaf), None)
    edge: GradientEdge | None = None
    has_places = True
    while node is not None and has_places:
        reading = readers.get(node, [])
        node = reading[0] if len(reading) == 1 and _keeps_sums(reading[0], leaf.ndim, dims) else None
        edge = GradientEdge(node, 0) if node is not None else edge
        has_places = getattr(node, "_saved_keepdim", True)  # not behind a mean that drops its dimensions
    return edge


def before_linear(logits: Tensor, wanted: Tensor | ClassTable) -> tuple[GradientEdge, Tensor] | None:
    """The edge of the input of the linear layer that computes the logits, and the cotangents there, `[K, B, …]`.

    logits: `[B, C]`. wanted: cotangents of the logits, `[K, B, C]`, most of them zero; or the classes whose logits
        the scores are: their weights are the cotangents.
    Only the weights of these classes are read, while a backward would read those of all. None if no linear layer
    computes the logits.
    """
    node: Any = logits.grad_fn
    position = None if node is None else {"Addmm": 1, "Mm": 0}.get(operation(node))
    if node is None or position is None or logits._backward_hooks or getattr(node, "_saved_alpha", 1) != 1:
        return None
    source, output = node.next_functions[position]
    weight = getattr(node, "_saved_mat2", None)
    if source is None or weight is None or type(weight) is not Tensor:
        return None
    edge, rows = GradientEdge(source, output), weight.detach().t()
    if not isinstance(wanted, Tensor):
        classes = [index for column in zip(*wanted, strict=True) for index in column]
        read = torch.tensor(classes, device=rows.device)
        return edge, rows.index_select(0, read).view(-1, len(wanted), rows.shape[1])
    read = wanted.any((0, 1)).nonzero().squeeze(1)
    # indexing by brackets takes longer
    return edge, wanted.index_select(2, read) @ rows.index_select(0, read)


def holds_the_same(start: Tensor | GradientEdge, edge: GradientEdge) -> bool:
    """Whether the tensor at `start` is the one at `edge` in another shape: the same numbers in the same order."""
    if isinstance(start, Tensor):
        return False
    node = start.node
    while node is not edge.node and (operation(node) in RESHAPES or _only_marks_layout(node)):
        source = node.next_functions[0][0]
        if source is None:
            return False
        node = source
    return node is edge.node


def _only_marks_layout(node: Node) -> bool:
    """Whether a node is how a pooling to 1×1 ends for channels last: the same `[B, C, 1, 1]` with other strides."""
    if operation(node) != "AsStrided":
        return False
    saved: Any = node
    source, output = node.next_functions[0]
    size, stride = tuple(saved._saved_size), tuple(saved._saved_stride)
    same_shape = source is not None and shape_at(GradientEdge(source, output)) == size
    return same_shape and len(size) == 4 and size[2:] == (1, 1) and stride[:2] == (size[1], 1)


def shape_at(edge: GradientEdge) -> tuple[int, ...]:
    """The shape of the tensor that stands at an edge."""
    metadata: Any = edge.node._input_metadata  # of what enters the backward: the output of the forward
    return tuple(metadata[edge.output_nr].shape)


def _keeps_sums(node: Node, dimensions: int, dims: tuple[int, ...]) -> bool:
    """Whether the sum of a node's gradients over `dims` is the same on both of its sides."""
    name = operation(node)
    if name in {"MaxPool2DWithIndices", "AdaptiveAvgPool2D"}:
        return (dimensions, dims) == (4, (2, 3))
    return name in ("Clone", "Copy") or _averaged(node, dimensions) == dims


def _averaged(node: Node, dimensions: int) -> tuple[int, ...] | None:
    """The dimensions over which a node takes the mean; None where it does anything else."""
    if node.name() != "MeanBackward1":
        return None
    saved: Any = getattr(node, "_saved_dim", ())  # −1 is saved as 2⁶⁴ − 1
    return tuple(sorted((dim - 2**64 if dim >= 2**63 else dim) % dimensions for dim in saved))


def gradient_at(start: GradientEdge, weights: Tensor, edge: GradientEdge) -> Tensor | None:
    """Gradient of the tensor at `start`, summed with `weights`, with respect to that at `edge`; None if none flows.

    On the meta device its values mean nothing, but they are zero where the gradient is always zero.
    Raises: ModelError if autograd cannot differentiate what lies between.
    """
    with _Numbers() if weights.is_meta else nullcontext() as numbers:
        try:
            (gradient,) = torch.autograd.grad([start], [edge], [weights], retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"expected a model that autograd can differentiate, got {quoted(str(error))}; "
                "take what autograd cannot follow out of the model's forward"
            ) from error
    return numbers.of(gradient) if numbers is not None and gradient is not None else gradient


@contextmanager
def blocked(nodes: Iterable[Node]) -> Iterator[None]:
    """Let no gradient pass these nodes."""
    with ExitStack() as hooks:
        for node in nodes:
            hooks.callback(node.register_hook(_nothing).remove)
        yield


def _nothing(leaving: Sequence[Tensor | None], _entering: Any) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else torch.zeros_like(gradient) for gradient in leaving)


def nodes_between(
    scores: Node | None, node: Node, avoid: Callable[[Node], bool] = lambda node: False
) -> Collection[Node]:
    """Every node on a path from `node` to the `scores` that does not lead through nodes to `avoid`."""
    if scores is None:
        return ()
    return _edges_between(scores, node, avoid).keys()


def _edges_between(
    scores: Node, pixels: Node, avoid: Callable[[Node], bool] = lambda node: False
) -> dict[Node, list[tuple[Node, int]]]:
    """For every node on a path from `scores` to `pixels`: the edges from it that stay on such a path."""
    readers = _readers(scores)
    on_path, stack = {pixels}, [pixels]
    while stack:
        for node in readers.get(stack.pop(), ()):
            if node not in on_path and not avoid(node):
                on_path.add(node)
                stack.append(node)
    if scores not in on_path:
        return {}
    return {node: [(child, nr) for child, nr in node.next_functions if child in on_path] for node in on_path}


class _Numbers(TorchDispatchMode):
    """Runs a backward pass over meta tensors with numbers beside them.

    When a saved tensor of the forward is first read and has no numbers yet, it is given positive ones.
    So the backward pass shows which places a gradient reaches, at the cost of the layers that it runs through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[int, tuple[Tensor, Tensor]] = {}
        self.some = torch.rand(9973, generator=torch.Generator().manual_seed(0)) + 0.5

    def of(self, tensor: Tensor, indices: int = 1) -> Tensor:
        """The numbers of a meta tensor; those of an index tensor are below `indices`."""
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = tensor, self._invent(tensor, indices)
        return self.numbers[id(tensor)][1]

    def _invent(self, tensor: Tensor, indices: int) -> Tensor:
        if tensor.is_floating_point():
            some = self.some.to(tensor.dtype)
            return some.repeat(tensor.numel() // len(some) + 1)[: tensor.numel()].reshape(tensor.shape)
        return torch.arange(tensor.numel()).remainder(indices).reshape(tensor.shape).to(tensor.dtype)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        given = [item for item in tree_leaves((args, kwargs)) if isinstance(item, Tensor) and item.is_meta]
        wide = max((item.shape for item in given), key=lambda shape: shape.numel(), default=torch.Size([1]))
        indices = prod(wide[-2:]) if "pool" in str(func) else min(wide, default=1)

        def number(item: Any) -> Any:
            if isinstance(item, Tensor):
                return self.of(item, indices) if item.is_meta else item
            return torch.device("cpu") if item == torch.device("meta") else item

        numbered = func(*tree_map(number, args), **tree_map(number, kwargs))
        for empty, full in zip(tree_leaves(output), tree_leaves(numbered), strict=True):
            if isinstance(empty, Tensor) and empty.is_meta:
                self.numbers[id(empty)] = empty, full
        return output
