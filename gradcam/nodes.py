"""Autograd's graph: the names of its operations, and what a node was computed from."""

from __future__ import annotations

from functools import lru_cache

from torch.autograd.graph import Node

RESHAPES = frozenset(
    {"Alias", "Clone", "Flatten", "Reshape", "ReshapeAlias", "Squeeze", "Unflatten", "UnsafeView", "Unsqueeze"}
    | {"View"}
)
"""Operations that keep values and their order."""

MOVES = RESHAPES | {"AsStrided", "Copy", "Expand", "Movedim", "Permute", "T", "ToCopy", "Transpose"}
"""Operations that only rearrange or copy values."""


def operation(node: Node) -> str:
    """A node's operation without autograd's suffix: `Relu` for `ReluBackward0`."""
    return _without_suffix(node.name())


@lru_cache(1024)
def _without_suffix(name: str) -> str:
    return name.replace("::", ".").rsplit(".", 1)[-1].split("Backward")[0]


def upstream(node: Node) -> set[Node]:
    """`node` and every node that it was computed from."""
    seen, stack = {node}, [node]
    while stack:
        for source, _ in stack.pop().next_functions:
            if source is not None and source not in seen:
                seen.add(source)
                stack.append(source)
    return seen
