"""What the functions of one forward read: which tensors, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_ASKS = frozenset(
    {"__len__", "device", "dim", "dtype", "element_size", "get_device", "grad_fn", "is_contiguous", "is_cuda"}
    | {"is_floating_point", "is_meta", "is_sparse", "layout", "ndim", "nelement", "numel", "output_nr"}
    | {"requires_grad", "shape", "size", "stride"}
)
"""Functions and attributes that ask what a tensor is, and read none of its numbers."""


class Reads(TorchFunctionMode):
    """Counts, while it is entered, how often functions are given each tensor; asking for a shape does not count.

    as_numbers: whether a function made Python numbers of a tensor, on which the way through a model may depend.
    """

    def __init__(self) -> None:
        super().__init__()
        self.as_numbers = False
        self._counts: Counter[object] = Counter()

    def clear(self) -> None:
        """Forget what was read, because the forward begins anew."""
        self.as_numbers = False
        self._counts.clear()

    def of_edge(self, edge: GradientEdge) -> int:
        """How often functions were given the tensor that stood at this edge of the autograd graph."""
        return self._counts[edge.node, edge.output_nr]

    def of_weight(self, weight: Tensor) -> int:
        """How often functions were given this parameter or buffer."""
        return self._counts[id(weight)]

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _name(func) in _ASKS:
            return func(*args, **kwargs)
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        # An operation in place moves a tensor to another edge: it is counted where it stands before.
        self._counts.update(
            id(tensor) if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr) for tensor in given
        )
        result = func(*args, **kwargs)
        if given and result is not None and not any(isinstance(value, Tensor) for value in tree_leaves(result)):
            self.as_numbers = True
        return result


def _name(func: Any) -> str:
    """A function's name, or that of the attribute which it reads."""
    name = getattr(func, "__name__", "")
    return getattr(func.__self__, "__name__", "") if name == "__get__" else name
