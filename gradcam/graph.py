"""What the autograd graph of one forward says about the paths from the pixels to the class scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge


@dataclass(frozen=True, eq=False)
class Cut:
    """A node of the graph that every path from the pixels to the class scores passes through.

    edge: where the tensor that leaves this node stands. after: share of the graph between it and the scores.
    """

    edge: GradientEdge
    after: float


def find_cuts(logits: Tensor, pixels: Tensor) -> list[Cut]:
    """All cuts from the class scores back to the pixels; none where the scores do not depend on the pixels.

    The graph is walked from the scores in topological order while the edges to nodes not yet walked are counted.
    A node reached when no other edge is open is a cut: residual branches, gates and attention internals never are.
    """
    if logits.grad_fn is None:
        return []
    edges = _edges_between(logits.grad_fn, get_gradient_edge(pixels).node)
    waiting = Counter(child for targets in edges.values() for child, _ in targets)
    outputs: dict[Node, set[int]] = {logits.grad_fn: {logits.output_nr}}
    ready, opened, walked, cuts = [logits.grad_fn], 0, 0, []
    arriving = dict(waiting)
    while ready:
        node = ready.pop()
        opened -= arriving.get(node, 0)
        if opened == 0 and len(outputs[node]) == 1 and edges:
            cuts.append(Cut(GradientEdge(node, min(outputs[node])), walked / len(edges)))
        walked += 1
        for child, output in edges.get(node, ()):
            opened += 1
            outputs.setdefault(child, set()).add(output)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return cuts


def computing(node: Node) -> Node:
    """The node that computed the values at `node`: what only moved them since (a view, a permutation, a copy) is
    looked through."""
    while operation(node) in MOVES:
        node = next(child for child, _ in node.next_functions if child is not None)
    return node


def operation(node: Node) -> str:
    """A node's operation without autograd's suffix: `Relu` for `ReluBackward0`."""
    return node.name().rsplit(".", 1)[-1].split("Backward")[0]


MOVES = frozenset(
    {"Alias", "AsStrided", "Clone", "Expand", "Flatten", "Movedim", "Permute", "Reshape", "ReshapeAlias", "Squeeze"}
    | {"T", "ToCopy", "Transpose", "Unflatten", "UnsafeView", "Unsqueeze", "View"}
)
"""Operations that only rearrange or copy values."""


def _edges_between(scores: Node, pixels: Node) -> dict[Node, list[tuple[Node, int]]]:
    """For every node on a path from `scores` to `pixels`: the edges from it that stay on such a path."""
    feeds: dict[Node, list[Node]] = {}
    seen, stack = {scores}, [scores]
    while stack:
        node = stack.pop()
        for child, _ in node.next_functions:
            if child is not None:
                feeds.setdefault(child, []).append(node)
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
    if pixels not in seen:
        return {}
    on_path, stack = {pixels}, [pixels]
    while stack:
        for node in feeds.get(stack.pop(), ()):
            if node not in on_path:
                on_path.add(node)
                stack.append(node)
    return {node: [(child, nr) for child, nr in node.next_functions if child in on_path] for node in on_path}
