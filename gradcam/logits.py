"""The logits of a forward: its class scores, or the input of the softmax or sigmoid at the model's end."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gradcam.errors import GradcamError, ModelError, is_out_of_memory, quoted
from gradcam.inputs import Inputs, advice_on
from gradcam.nodes import operation
from gradcam.probabilities import (
    LeavingOut,
    Watching,
    are_logits,
    ending_nodes,
    gives_some,
    logits_read,
    may_be_probabilities,
    probability_node,
    without_probabilities,
)
from gradcam.running import ReachesOriginal
from gradcam.scores import class_scores


class GraphTooShort(ModelError):  # noqa: N818 — a signal, too
    """The forward needs autograd before the layer, or reads the layer's output in a way that the recorded graph
    cannot follow."""


_WANTS_GRAPH = re.compile("no_grad|requires?[ _]grad|grad_fn|NoneType")
"""Matches errors of model code that only works while autograd records, such as `register_hook` on a tensor."""


def run_model(model: nn.Module, inputs: Inputs, times: int = 1) -> Tensor:
    """The class scores `[times · B, C]`; an exception of the model's own code becomes a ModelError.

    times: how many images leave the model for each that enters it, where a hook makes several of one.
    """
    try:
        output = model(*inputs.args, **inputs.kwargs)
    except (GradcamError, ReachesOriginal):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = quoted(str(error)) if str(error) else f"{type(error).__name__} without a reason"
        kind = GraphTooShort if _WANTS_GRAPH.search(str(error)) else ModelError
        shape, advice = list(inputs.images.shape), advice_on(inputs.images, model)
        raise kind(f"the model failed on a batch {shape}: {reason}{advice}") from error
    return class_scores(output, inputs.count * times, inputs.output)


@dataclass(frozen=True)
class _Ending:
    """Where a model makes probabilities of its logits: which calls of functions, counted from 0 in one forward.

    by: the counter, of softmax, sigmoid and steps after them, or of all functions.
    made_in: the numbers of those calls. calls: how many calls were counted. heads: the number of classes.
    kind: a key of `scores.ENDS`.
    """

    by: type[LeavingOut] | type[Watching]
    made_in: tuple[int, ...]
    calls: int
    heads: int
    kind: str

    def logits(self, forward: Callable[[], Tensor], images: int) -> Tensor | None:
        """The logits `[B, C]` of a forward; None if the model now ends otherwise."""
        if self.by is LeavingOut:
            with LeavingOut(self.made_in, odds=self.kind == "odds") as counted:
                logits = forward()
            as_met = len(counted.made) == self.calls and logits.shape[1] == self.heads
            return logits if as_met and probability_node(logits) is None else None
        with Watching(images * self.heads, *self.made_in) as watching:
            scores = forward()
        found = logits_read(scores, watching.read) if watching.calls == self.calls else None
        return found[0] if found else None


_endings: weakref.WeakKeyDictionary[nn.Module, dict[Any, _Ending]] = weakref.WeakKeyDictionary()
_plain: weakref.WeakKeyDictionary[nn.Module, set[Any]] = weakref.WeakKeyDictionary()
"""For each model, by its inputs: `_endings` how it ends, `_plain` the last operations behind which no ending was
found."""


def read_logits(
    model: nn.Module, inputs: Inputs, forward: Callable[[], Tensor], times: int = 1
) -> tuple[Tensor, str]:
    """The logits `[times · B, C]` of a forward, before a softmax or sigmoid at its end, and a key of `scores.ENDS`.

    times: as for `run_model`, which `forward` calls.
    A model with such an end runs three times in its first forward here, and once in every later one.
    """
    endings, images = _endings.setdefault(model, {}), inputs.count * times
    if endings and (known := endings.pop(inputs.key, None)):
        logits = known.logits(forward, images)
        if logits is not None:
            endings[inputs.key] = known
            return logits, known.kind
    scores = forward()
    if are_logits(scores):
        return scores, ""
    tried, end = _plain.setdefault(model, set()), (inputs.key, scores.grad_fn and operation(scores.grad_fn))
    is_function = bool(ending_nodes(scores))
    if end in tried or not (is_function or may_be_probabilities(scores)):
        return without_probabilities(scores)
    ending = _ending_by_function(forward) if is_function else _ending_by_hand(forward, scores.numel())
    if ending is not None and (logits := ending.logits(forward, images)) is not None:
        endings[inputs.key] = ending
        return logits, ending.kind
    tried.add(end)
    return without_probabilities(forward())


def _ending_by_function(forward: Callable[[], Tensor]) -> _Ending | None:
    with LeavingOut() as counted:
        scores = forward()
    nodes = ending_nodes(scores)
    made_in = [call for call, (_, node) in enumerate(counted.made) if node in nodes]
    kinds = [kind for call in made_in if (kind := counted.made[call][0])]
    if not nodes or len(made_in) != len(nodes) or len(kinds) != 1:
        return None
    kind = "odds" if gives_some(scores, nodes[0]) else kinds[0]
    return _Ending(LeavingOut, tuple(made_in), len(counted.made), scores.shape[1], kind)


def _ending_by_hand(forward: Callable[[], Tensor], numel: int) -> _Ending | None:
    with Watching(numel) as watching:
        scores = forward()
    if found := logits_read(scores, watching.read):
        _, kind, call = found
        return _Ending(Watching, (call,), watching.calls, scores.shape[1], kind)
    return None
