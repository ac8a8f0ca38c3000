"""Which of a model's outputs are its class scores, and what is said of scores that are probabilities already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any, TypeAlias

from torch import Tensor

from gradcam.errors import ModelError, quoted
from gradcam.types import Activation

Output: TypeAlias = int | str | Callable[[Any], Any] | None
"""Which output of a model are its class scores: an index, a key or attribute, or a function of all that the model
returns. None takes the only one that can be, or the one that is named like scores."""

NAMES = frozenset({"scores", "score", "prediction", "predictions", "pred", "preds", "output", "outputs", "out"})
"""Names of outputs with class scores; `logits` goes before all of them."""

LISTED = 12
"""Most outputs that a sentence lists."""


def class_scores(output: Any, images: int, which: Output = None) -> Tensor:
    """The class scores `[B, C]` in whatever a classifier returns for `images` images.

    A head may give `[B]` for a single logit, `[B, C, 1, 1]`, or `[C]` where it has squeezed a batch of one.
    Raises: ModelError where there are none, or several and none is named like scores.
    """
    if which is not None:
        chosen = _chosen(output, which)
        scores = as_rows(chosen, images)
        if scores is None:
            raise ModelError(
                f"expected class scores [batch, classes] as output {quoted(which)}, got {_description(chosen)}; "
                f"choose another of {_listed(output)}"
            )
        return scores
    if isinstance(output, Tensor):
        scores = as_rows(output, images)
        if scores is None:
            raise ModelError(
                f"expected class scores [batch, classes] from the model, got {_description(output)}; "
                "pass a classifier"
            )
        return scores
    values = dict(_within(output))
    found = {path: rows for path, value in values.items() if (rows := as_rows(value, images)) is not None}
    whole = {path: rows for path, rows in found.items() if rows.shape[1] > 1} or found  # else one logit each
    for named in ({"logits"}, NAMES):
        several = [rows for path, rows in whole.items() if not named.isdisjoint(path.lower().split("."))]
        if len(several) == 1:
            return several[0]
        if several:
            break
    alone = list({id(values[path]): rows for path, rows in whole.items()}.values())
    if len(alone) == 1:
        return alone[0]
    many = "several outputs that can be" if alone else "none"
    raise ModelError(
        f"expected class scores [batch, classes] from the model, got {many} among {_listed(output)}; "
        "say which with output= (an index, a key or a function of them)"
    )


def as_rows(value: Any, images: int) -> Tensor | None:
    """A tensor as class scores `[B, C]` of `images` images; None where it cannot be read so."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or 0 in value.shape:
        return None
    if images == 1 and value.ndim <= 1:
        return value.reshape(1, -1)
    if value.ndim == 0 or value.shape[0] != images:
        return None
    if value.ndim == 2:
        return value
    per_image = value.shape[1:]
    return value.reshape(images, -1) if per_image.numel() == max(per_image, default=1) else None


def output_text(which: Output) -> str:
    """The output that was chosen, in words: `1`, `'logits'` or `by 'pick'`; empty where none was."""
    if which is None:
        return ""
    return f"by {quoted(getattr(which, '__name__', type(which).__name__))}" if callable(which) else quoted(which)


def output_statement(which: Output) -> str:
    """What a layer's rule says of the output that was chosen; empty where none was."""
    text = output_text(which)
    return f"; the scores are the model's output {text}" if text else ""


def _chosen(output: Any, which: Output) -> Any:
    if isinstance(which, bool):
        raise ModelError(
            f"expected an index, a key or a function as output, got {which}; choose one of {_listed(output)}"
        )
    if isinstance(which, str) and "." in which and which in (values := dict(_within(output))):
        return values[which]
    try:
        if callable(which):
            return which(output)
        if isinstance(which, str) and not isinstance(output, Mapping):
            return getattr(output, which)
        return output[which]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ModelError(
            f"expected the model to have an output {quoted(which)}, got {_listed(output)}; choose one of these"
        ) from error


def _entries(output: Any) -> Iterator[tuple[Any, Any]]:
    """What a model returns, by key, by attribute or by position."""
    if isinstance(output, Mapping):
        yield from output.items()
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        yield from zip(output._fields, output, strict=True)  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(output, (tuple, list)):
        yield from enumerate(output)
    elif is_dataclass(output):
        yield from ((field.name, getattr(output, field.name)) for field in fields(output))
    elif not isinstance(output, (Tensor, type)):
        yield from getattr(output, "__dict__", {}).items()


def _within(output: Any, path: str = "", depth: int = 3) -> Iterator[tuple[str, Any]]:
    """All that a model returns, by the keys that lead to it, such as `head.logits`; collections within collections
    are opened."""
    for key, value in _entries(output):
        inner = f"{path}{key}"
        if depth > 1 and (isinstance(value, (Mapping, tuple, list)) or is_dataclass(value)):
            yield from _within(value, f"{inner}.", depth - 1)
        else:
            yield inner, value


def first_tensor(output: Any, depth: int = 3) -> Tensor | None:
    """The tensor that a module's output is or begins with: the first floating-point one, looked for in collections
    within collections; None where there is none."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if depth == 0 or not (isinstance(output, (Mapping, tuple, list)) or is_dataclass(output)):
        return None
    found = (first_tensor(value, depth - 1) for _, value in _entries(output))
    return next((tensor for tensor in found if tensor is not None), None)


def _listed(output: Any) -> str:
    """All outputs of a model with their shapes, for a sentence."""
    if isinstance(output, Tensor):
        return _description(output)
    entries = [f"{_key(path)}: {_description(value)}" for path, value in islice(_within(output), LISTED)]
    return ", ".join(entries) or _description(output)


def _key(path: str) -> str:
    """The path as `output=` takes it: a position as a number."""
    return path if path.isdecimal() else quoted(path, 40)


def _description(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    kind = "" if value.is_floating_point() else f" of {str(value.dtype).removeprefix('torch.')}"
    return f"a tensor {list(value.shape)}{kind}"


ENDS = {
    "": "",
    "softmax": "; the model ends in a softmax, so the logits before it are explained",
    "log_softmax": "; the model ends in a log-softmax, so the logits before it are explained",
    "sigmoid": "; the model ends in a sigmoid, so the logits before it are explained",
    "odds": "; the model gives probabilities that need not add up to one, so their log-odds are explained",
    "probabilities": "; the model gives probabilities, so their logarithms are explained",
    "log-probabilities": "; the model gives logarithms of probabilities, which are explained as they are",
}
"""What is said of a model whose scores are probabilities already, by what it ends in."""

ACTIVATION_OF: Mapping[str, Activation] = {
    "sigmoid": "sigmoid",
    "odds": "sigmoid",
    "softmax": "softmax",
    "log_softmax": "softmax",
    "probabilities": "softmax",
    "log-probabilities": "softmax",
}
"""What gives a model's own probabilities back, by what it ends in."""
