"""What is explained: from a word typed by a user to a scalar that can be differentiated."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcam import models
from gradcam.errors import ClassError, OptionError, check_kind, quoted
from gradcam.types import Activation, Contrast, PythonTarget, ScoredTarget, Target, Top

if TYPE_CHECKING:
    from gradcam.models import Classifier, Labels

Choice = int | str | Top
"""One class: all targets but a contrast."""

_RANK = re.compile(r"top(?:[- ]?(\d+)| prediction)?|prediction (\d+)", re.IGNORECASE | re.ASCII)
_EXPLICIT = re.compile(r"#(?:(\d+)|top(?:-(\d+))?)", re.ASCII)
_CONTRAST = " rather than "
_NEEDS_QUOTES = re.compile(r'^$|^\s|\s$|^["#]|rather than', re.IGNORECASE)
_MOST_DIGITS = 9
_MOST_SPLITS = 20


# Text --------------------------------------------------------------------------------------------------------


def parse_target(text: str, names: Container[str] = ()) -> Target:
    """Read a target as people type it: `tabby`, `281`, `top`, `top-3` or `tabby rather than tiger cat`.

    A text that is in `names` (see `known_names`) is the name of that class, whatever else it could mean. `#281` is
    always an index and `#top-3` always a rank; a name in quotes, as JSON writes it, is always a name. Digits stay
    text, because a class may have them as its name: `Labels.index` decides.
    `parse_target(write_target(target)) == target` for every target but a `PythonTarget`, which is only described.
    Raises: ClassError for what is no text, an empty one, a number of many digits, or invalid Unicode.
    """
    check_kind(text, str, "a target as text", "an index is a target as it is", ClassError)
    check_kind(names, Container, "class names", "pass a list of them", ClassError)
    _check_unicode(text)
    _, start = _unquote(text)
    is_explicit = start > 0 or _EXPLICIT.fullmatch(text.partition(_CONTRAST)[0].strip()) is not None
    if not is_explicit and _is_name(text, names):
        return _parse_choice(text, names)
    splits = [match.span() for match in re.finditer(_CONTRAST, text) if match.start() >= start]
    if not splits:
        return _parse_choice(text, names)
    both = (split for split in splits[:_MOST_SPLITS] if _is_name(text[: split[0]], names))
    left, right = next((split for split in both if _is_name(text[split[1] :], names)), splits[0])
    return Contrast(_parse_choice(text[:left], names), _parse_choice(text[right:], names))


def write_target(target: Target, names: Container[str] = ()) -> str:
    """A target as text that `parse_target` reads as the same target, for links, commands and people.

    names: the names that `parse_target` will be given.
    """
    if isinstance(target, PythonTarget):
        return str(target)
    if not isinstance(target, Contrast):
        return _write_choice(target, names)
    of, rather_than = (_write_choice(choice, names) for choice in (target.of, target.rather_than))
    if _is_name(f"{of}{_CONTRAST}{rather_than}", names):
        of = json.dumps(target.of) if isinstance(target.of, str) else of
        of = f"#top-{target.of.rank}" if isinstance(target.of, Top) else of
    return f"{of}{_CONTRAST}{rather_than}"


def known_names(names: Iterable[str]) -> frozenset[str]:
    """Names of classes as `parse_target` takes them: case does not matter."""
    return frozenset(name.strip().lower() for name in names)


def names_in(classifiers: Iterable[str | Classifier]) -> frozenset[str]:
    """`known_names` of the classes of ids and classifiers, as far as they are known without loading."""
    return known_names(
        name
        for one in classifiers
        for name in (models.class_names(one) if isinstance(one, str) else one.labels.names)
    )


def read_targets(texts: Sequence[str] | None, classifiers: Sequence[str | Classifier]) -> list[Target]:
    """The targets that were typed for these models; the models' top predictions if none was typed."""
    names = names_in(classifiers) if texts else frozenset()
    return [parse_target(text, names) for text in texts or ()] or [Top(1)]


def _is_name(text: str, names: Container[str]) -> bool:
    return text.strip().lower() in names


def _parse_choice(text: str, names: Container[str]) -> Choice:
    text = text.strip()
    if not text:
        raise ClassError("expected a class name, an index or 'top', got nothing; name a class")
    if match := _EXPLICIT.fullmatch(text):
        return _number(match[1]) if match[1] else Top(_number(match[2] or "1"))
    name, end = _unquote(text)
    if name is not None and end == len(text) and (_is_name(name, names) or not _is_name(text, names)):
        _check_unicode(name)
        return name
    if _is_name(text, names):
        return text
    if match := _RANK.fullmatch(text):
        return Top(_number(match[1] or match[2] or "1"))
    return text


def _write_choice(choice: Choice, names: Container[str]) -> str:
    if isinstance(choice, Top):
        text = str(choice)
        return f"#top-{choice.rank}" if _is_name(text, names) else text
    if isinstance(choice, int):
        return f"#{choice}"
    if _NEEDS_QUOTES.search(choice) or _RANK.fullmatch(choice) or not choice.isprintable():
        return json.dumps(choice, ensure_ascii=not choice.isprintable())
    return choice


def _unquote(text: str) -> tuple[str | None, int]:
    """The quoted name at a text's start, and where it ends; None and 0 if the text does not start with one."""
    if not text.startswith('"'):
        return None, 0
    try:
        return json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None, 0


def _number(digits: str) -> int:
    if len(digits.lstrip("0")) > _MOST_DIGITS:
        raise ClassError(
            f"expected the number of a class, got one of {len(digits):,} digits; count the classes from 0 and the "
            "predictions from 1"
        )
    return int(digits)


def _check_unicode(text: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ClassError(
            f"expected a class in Unicode, got {quoted(text)}; write its name anew, or its index as #0"
        )


# Values ------------------------------------------------------------------------------------------------------


def as_targets(targets: Any) -> list[Target]:
    """One target or several as a list; NumPy's and PyTorch's integers become indices, functions `PythonTarget`s,
    each with a name of its own: `<lambda>`, `<lambda> 2`.

    Raises: OptionError if there is none, ClassError for a value that is no class, such as 0.9, True or −1.
    """
    if isinstance(targets, (str, bytes, Top, Contrast)) or callable(targets) or not _is_iterable(targets):
        targets = (targets,)
    found = [_as_target(target) for target in targets]
    if not found:
        raise OptionError("expected at least one target to explain, got none; name a class or use Top(1)")
    return _named_apart(found)


def _named_apart(targets: Sequence[Target]) -> list[Target]:
    """The targets, with a number after the name of a function if another function before it has the same."""
    functions: dict[str, Any] = {}
    found: list[Target] = []
    for target in targets:
        renamed = target
        if isinstance(target, PythonTarget):
            names = chain([target.name], (f"{target.name} {number}" for number in count(2)))
            free = (name for name in names if functions.setdefault(name, target.function) is target.function)
            renamed = replace(target, name=next(free))
        found.append(renamed)
    return found


def _is_iterable(value: Any) -> bool:
    """Whether a loop takes the value: NumPy's and PyTorch's single numbers have `__iter__`, but refuse."""
    try:
        iter(value)
    except TypeError:
        return False
    return True


def _as_target(target: Any) -> Target:
    if isinstance(target, Contrast):
        return Contrast(_as_choice(target.of), _as_choice(target.rather_than))
    if isinstance(target, PythonTarget):
        return target
    if callable(target) and not isinstance(target, type):
        from gradcam.python_target import python_target  # with PyTorch, which text needs not

        return python_target(target)
    return _as_choice(target)


def _as_choice(choice: Any) -> Choice:
    if isinstance(choice, str):
        _check_unicode(choice)
        return str(choice)
    if isinstance(choice, Top):
        return Top(_as_whole(choice.rank, "a prediction by its rank, a whole number from 1"))
    return _as_whole(choice, "a class by its name, or by its index as a whole number from 0")


def _as_whole(value: Any, expected: str) -> int:
    """The value as an int, if it is a whole number that is not negative and has at most nine digits."""
    is_flag = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    try:
        number = -1 if is_flag else operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 10**_MOST_DIGITS:
        raise ClassError(f"expected {expected}, got {quoted(value)}; name another")
    return number


# Scores ------------------------------------------------------------------------------------------------------


def score_target(
    target: int | str | Top | Contrast,
    logits: NDArray[np.float32],
    labels: Labels,
    activation: Activation = "softmax",
) -> ScoredTarget:
    """Resolve a target for one photo.

    logits: `[C]`, as `with_negative` gives them.
    Raises: ClassError where the model has no such class or fewer classes than the rank asks for.
    """
    order = np.argsort(-logits, kind="stable")

    def index_of(choice: Choice) -> int:
        if not isinstance(choice, Top):
            return _index(choice, labels)
        if not 1 <= choice.rank <= len(order):
            raise ClassError(
                f"expected a prediction from 1 to {len(order)}, got {quoted(choice.rank)}; ask for another"
            )
        return int(order[choice.rank - 1])

    if isinstance(target, Contrast):
        index, against = index_of(target.of), index_of(target.rather_than)
        if index == against:
            raise ClassError(
                f"expected two different classes to contrast, got {quoted(labels.names[index])} twice; "
                "name another class"
            )
    else:
        index, against = index_of(target), None
    return ScoredTarget(
        index=index,
        label=labels.names[index],
        score=float(logits[index] - (0 if against is None else logits[against])),
        probability=float(probabilities(logits, activation)[index]),
        rank=int(np.flatnonzero(order == index)[0]) + 1,
        against=against,
        against_label=None if against is None else labels.names[against],
    )


def _index(choice: int | str, labels: Labels) -> int:
    """`Labels.index`, which takes a text as a name and never as `top`. Raises: ClassError."""
    try:
        return labels.index(choice)
    except ClassError as error:
        if isinstance(choice, str) and isinstance(meant := parse_target(choice), Top | Contrast):
            raise ClassError(
                f"expected the name of a class, got {quoted(choice)}; pass {quoted(meant)}, "
                "as parse_target() reads it"
            ) from error
        raise


def scored_by_function(target: PythonTarget, value: float) -> ScoredTarget:
    """A target that is no class, with its value for one photo."""
    return ScoredTarget(index=-1, label=str(target), score=value, probability=0.0, rank=0)


def with_negative(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of all classes `[C]` from a head's logits; a single logit y gives two classes, −y and y."""
    return np.concatenate([0 - logits, logits]) if len(logits) == 1 else logits


def probabilities(logits: NDArray[np.float32], activation: Activation = "softmax") -> NDArray[np.float32]:
    """The probabilities of the classes `[C]`: their softmax, which sums to 1, or each one's own sigmoid."""
    if activation == "sigmoid":
        small = np.exp(-np.abs(logits))  # never overflows
        return (np.where(logits >= 0, 1, small) / (1 + small)).astype(np.float32)
    shifted = np.exp(logits - logits.max())
    return (shifted / shifted.sum()).astype(np.float32)
