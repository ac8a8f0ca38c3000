"""The logits behind class scores that are probabilities already."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from gradcam.nodes import MOVES, operation

_ENDINGS = {
    "softmax": ("softmax", "Softmax"),
    "log_softmax": ("log_softmax", "LogSoftmax"),
    "sigmoid": ("sigmoid", "Sigmoid"),
    "sigmoid_": ("sigmoid", "Sigmoid"),
    "expit": ("sigmoid", "Sigmoid"),
    "special_expit": ("sigmoid", "Sigmoid"),
    "logsigmoid": ("sigmoid", "LogSigmoid"),
    "log_sigmoid": ("sigmoid", "LogSigmoid"),
}
"""By a function's name: what its results are, and the name of its node in the autograd graph."""

_NODES = frozenset(node for _, node in _ENDINGS.values())

_STEPS = frozenset(
    {"add", "clamp", "clamp_max", "clamp_min", "clip", "div", "divide", "exp", "exp2", "expm1", "log", "log10"}
    | {"log1p", "log2", "logit", "mul", "multiply", "pow", "special_logit", "sqrt", "square", "sub", "subtract"}
    | {"true_divide"}
)
"""Functions that may follow a softmax or sigmoid and keep the order of its values, such as percentages."""

_RISE = frozenset(
    {"Add", "Clamp", "ClampMax", "ClampMin", "Exp", "Exp2", "Expm1", "Log", "Log10", "Log1P", "Log2", "Logit"}
    | {"Sqrt"}
)
"""Nodes of such functions whose results rise with their first argument, whatever constant the second one is."""

_CHOOSES = frozenset({"Select", "Slice", "Index", "IndexSelect", "Gather", "Unbind", "Split", "SplitWithSizes"})
"""Operations that take some of the values."""

_LOGITS = frozenset({"Addmm", "Mm", "Addmv", "Mv", "Addbmm", "Bmm", "Baddbmm", "Convolution", "AdaptiveAvgPool2D"})
"""Operations that give logits."""

_MIXES = frozenset(
    {"Add", "Sub", "Rsub", "Mul", "Div", "Mean", "Sum", "Stack", "Cat", "Amax", "Max", "Maximum", "Pow"}
)
"""Operations that make probabilities of probabilities."""

_TAIL = 48
"""Most tensors that may lie between the logits and scores made of them without `softmax` or `sigmoid`."""

_TRIED = (("softmax", 1), ("sigmoid", 1), ("sigmoid", -1), ("sigmoid", 2))
"""Scores may be such a function of a multiple of a tensor: `1 - sigmoid(y)` is the sigmoid of -y, and
`(tanh(y) + 1) / 2` that of 2y."""


# By a function -----------------------------------------------------------------------------------------------


def probability_node(scores: Tensor) -> Node | None:
    """The softmax or sigmoid that made the scores, behind operations that only move or choose values; None if there
    is none."""
    node, steps = _ending(scores)
    return None if steps else node


def ending_nodes(scores: Tensor) -> list[Node]:
    """The softmax or sigmoid that made the scores, then all later steps that keep the order of its values, such as
    `* 100`, `sqrt` or `log2`; empty if the scores are made otherwise."""
    node, steps = _ending(scores)
    return [] if node is None else [node, *steps]


def _ending(scores: Tensor) -> tuple[Node | None, list[Node]]:
    node, steps = scores.grad_fn, list[Node]()
    while node is not None and operation(node) not in _NODES:
        if operation(node) in MOVES | _CHOOSES:
            node = next((child for child, _ in node.next_functions if child is not None), None)
        else:
            steps.append(node)
            node = _rises_with(node)
    return node, steps


def _rises_with(node: Node) -> Node | None:
    """The input with whose values a node's results rise, element by element; None if there is none.

    Every other input must be a constant (number, buffer or parameter), and a factor a single number above 0.
    """
    saved: Any = node
    read = [
        (position, child)
        for position, (child, _) in enumerate(node.next_functions)
        if child is not None and not isinstance(getattr(child, "variable", None), nn.Parameter)
    ]
    if len(read) != 1:
        return None
    ((position, child),) = read
    name = operation(node)
    if name == "Mul":
        rises = _is_positive(saved._saved_self if position else saved._saved_other)
    elif name == "Div":
        rises = position == 0 and _is_positive(saved._saved_other)
    elif name == "Pow":
        rises = node.name() == "PowBackward0" and saved._saved_exponent > 0
    else:
        rises = name in _RISE or (name == "Sub" and position == 0)
    return child if rises else None


def _is_positive(factor: Tensor | None) -> bool:
    return factor is not None and factor.numel() == 1 and not factor.is_meta and float(factor.detach()) > 0


def gives_some(scores: Tensor, node: Node) -> bool:
    """Whether the scores are some of the probabilities that a softmax at `node` makes, as `softmax(y)[:, 1]` is."""
    if operation(node) not in ("Softmax", "LogSoftmax"):
        return False
    details: Any = node
    shape = tuple(details._input_metadata[0].shape)
    dim = details._saved_dim
    return scores.shape[1] < shape[dim - 2**64 if dim >= 2**63 else dim]


class LeavingOut(TorchFunctionMode):
    """Counts the calls that make probabilities or may be steps after them, and skips some of them: a skipped call
    returns its argument.

    made: for each call the kind of probabilities that it made, or "", and its node. calls: the calls to skip. odds:
        instead of probabilities return the log-odds of their logits, `y_c - logsumexp(all other y)`: the sigmoid of
        these is the softmax's probability.
    """

    def __init__(self, calls: Collection[int] = (), *, odds: bool = False) -> None:
        super().__init__()
        self.calls, self.odds = calls, odds
        self.made: list[tuple[str, Node | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        kind, _ = _ENDINGS.get(name, ("", ""))
        if not kind and name.removesuffix("_") not in _STEPS:
            return func(*args, **kwargs)
        if len(self.made) in self.calls:
            self.made.append((kind, None))
            given = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            values = next(value for value in given if value.grad_fn is not None)
            if kind and self.odds:
                values = log_odds(values, kwargs["dim"] if "dim" in kwargs else args[1])
            return values if kwargs.get("dtype") is None else values.to(kwargs["dtype"])
        result = func(*args, **kwargs)
        self.made.append((kind, result.grad_fn if isinstance(result, Tensor) else None))
        return result


def log_odds(logits: Tensor, dim: int) -> Tensor:
    """`y_c - logsumexp(all other y)` of each entry along `dim`."""
    along = logits.movedim(dim, -1)
    itself = torch.eye(along.shape[-1], dtype=torch.bool, device=logits.device)
    others = along.unsqueeze(-2).masked_fill(itself, -torch.inf).logsumexp(-1)
    return (along - others).movedim(-1, dim)


# By hand -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reading:
    """A tensor that a function of a forward was given. call: the number of the call, of all calls of functions."""

    call: int
    tensor: Tensor
    version: int


class Watching(TorchFunctionMode):
    """Counts all calls of functions, and keeps the last tensors with `numel` entries that they were given.

    only: the one call that is of interest.
    """

    def __init__(self, numel: int, only: int | None = None) -> None:
        super().__init__()
        self.numel, self.only, self.calls = numel, only, 0
        self.read: deque[Reading] = deque(maxlen=_TAIL)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.only in (None, self.calls):
            for value in (*args[:2], *kwargs.values()):
                if isinstance(value, Tensor) and value.numel() == self.numel and value.is_floating_point():
                    self.read.append(Reading(self.calls, value, value._version))
        self.calls += 1
        return func(*args, **kwargs)


def are_logits(scores: Tensor) -> bool:
    """Whether a linear layer computed the scores, so that nobody needs to look at their numbers."""
    return scores.grad_fn is not None and operation(scores.grad_fn) in _LOGITS


def may_be_probabilities(scores: Tensor) -> bool:
    """Whether all scores, or their exponentials, lie in [0, 1], and more than a linear layer computed them."""
    if scores.is_meta or scores.grad_fn is None or are_logits(scores):
        return False
    least, most = scores.detach().aminmax()
    return bool((((least >= 0) & (most <= 1)) | (most <= 0)).item())


def logits_read(scores: Tensor, read: Iterable[Reading]) -> tuple[Tensor, str, int] | None:
    """The first tensor read, `[B, C]`, whose softmax or sigmoid, or the logarithm of one of these, is `scores`.

    Returns: that tensor, which of the two it was, and the call that read it. All that the scores depend on must
        pass through the tensor.
    """
    seen, clamp = scores.detach().double(), _clamp(scores)
    seen = seen.exp() if (seen < 0).any() else seen
    near = 1e-4 if scores.element_size() >= 4 else 2e-2
    makes = {"softmax": torch.softmax, "sigmoid": lambda rows, _: rows.sigmoid()}
    for reading in read:
        if reading.tensor._version != reading.version or not _separates(reading.tensor, scores):
            continue
        logits = reading.tensor.reshape(scores.shape)
        if torch.allclose(logits.detach().double(), scores.detach().double(), near, 1e-2 * near):
            continue  # the scores themselves: far below 0 they are their own log-sigmoid
        for kind, times in _TRIED:
            made = makes[kind](times * logits.detach().double(), 1).clamp(*clamp)
            if (kind == "sigmoid" or logits.shape[1] > 1) and torch.allclose(made, seen, near, 1e-2 * near):
                return times * logits, kind, reading.call
    return None


def _clamp(scores: Tensor) -> tuple[float, float]:
    """The bounds that the scores were clamped to, as by `sigmoid(y).clamp(1e-4, 1 - 1e-4)`; else 0 and 1."""
    node = scores.grad_fn
    while node is not None and operation(node) in MOVES | {"Log"}:
        node = node.next_functions[0][0]
    if node is None or not operation(node).startswith("Clamp"):
        return 0.0, 1.0
    least, most = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
    return 0.0 if least is None else float(least), 1.0 if most is None else float(most)


def _separates(tensor: Tensor, scores: Tensor) -> bool:
    """Whether the scores depend on everything but weights only through the tensor."""
    if tensor.grad_fn is None or scores.grad_fn is None:
        return False
    seen, stack = {scores.grad_fn}, [scores.grad_fn]
    while stack:
        node = stack.pop()
        if node is tensor.grad_fn:
            continue
        if hasattr(node, "variable") and not isinstance(getattr(node, "variable", None), nn.Parameter):
            return False
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                stack.append(child)
    return tensor.grad_fn in seen


# By their numbers --------------------------------------------------------------------------------------------


def without_probabilities(scores: Tensor) -> tuple[Tensor, str]:
    """The logarithms of scores whose numbers are probabilities; other scores unchanged. Also what was found.

    Each row of C ≥ 2 must lie in [0, 1] and add up to one within 1e-5 (1e-2 in half precision), or its exponentials
    must. Scores that are sums, means and products of sigmoids alone become log-odds.
    """
    if not may_be_probabilities(scores):
        return scores, ""
    seen = scores.detach().double()
    near = 1e-5 if scores.element_size() >= 4 else 1e-2

    def add_up(rows: Tensor) -> bool:
        return bool(((rows.sum(1) - 1).abs() <= near).all().item())

    tiny = torch.finfo(scores.dtype).tiny
    if (seen >= 0).all():
        if scores.shape[1] > 1 and add_up(seen):
            return scores.clamp_min(tiny).log(), "probabilities"
        if _made_of_sigmoids(scores):
            return scores.clamp_min(tiny).log() - (1 - scores).clamp_min(tiny).log(), "odds"
        return scores, ""
    return scores, "log-probabilities" if scores.shape[1] > 1 and add_up(seen.exp()) else ""


def _made_of_sigmoids(scores: Tensor) -> bool:
    """Whether sigmoids were only averaged, multiplied and moved to make the scores."""
    seen, stack, found = set[Node](), [scores.grad_fn], False
    while stack:
        node = stack.pop()
        if node is None or node in seen or isinstance(getattr(node, "variable", None), nn.Parameter):
            continue
        seen.add(node)
        if operation(node) == "Sigmoid":
            found = True
        elif operation(node) in MOVES | _CHOOSES | _MIXES:
            stack.extend(child for child, _ in node.next_functions)
        else:
            return False
    return found
