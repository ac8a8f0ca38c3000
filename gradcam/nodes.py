"""Names of the operations in autograd's graph."""

from __future__ import annotations

from torch.autograd.graph import Node

MOVES = frozenset(
    {"Alias", "AsStrided", "Clone", "Copy", "Expand", "Flatten", "Movedim", "Permute", "Reshape", "ReshapeAlias"}
    | {"Squeeze", "T", "ToCopy", "Transpose", "Unflatten", "UnsafeView", "Unsqueeze", "View"}
)
"""Operations that only rearrange or copy values."""


def operation(node: Node) -> str:
    """A node's operation without autograd's suffix: `Relu` for `ReluBackward0`."""
    return node.name().replace("::", ".").rsplit(".", 1)[-1].split("Backward")[0]
