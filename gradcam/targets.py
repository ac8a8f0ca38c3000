"""What is explained: from a word typed by a user to a scalar that can be differentiated."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import ClassError
from gradcam.models.labels import Labels
from gradcam.types import Contrast, ScoredTarget, Target, Top

_TOP = re.compile(r"top(?:[- ]?(\d+)| prediction)?|prediction (\d+)", re.IGNORECASE)
_CONTRAST = " rather than "


def parse_target(text: str) -> Target:
    """Read a target as people write it: `281`, `tabby`, `top`, `top-3` or `tabby rather than 282`.

    `parse_target(str(target)) == target` for every target.
    """
    of, contrast, rather_than = text.partition(_CONTRAST)
    if contrast:
        return Contrast(_parse_choice(of), _parse_choice(rather_than))
    return _parse_choice(text)


def _parse_choice(text: str) -> int | str | Top:
    text = text.strip()
    if not text:
        raise ClassError("expected a class name, an index or 'top', got nothing; name a class")
    if match := _TOP.fullmatch(text):
        return Top(int(match[1] or match[2] or 1))
    return int(text) if text.isascii() and text.isdigit() else text


def score_target(target: Target, logits: NDArray[np.float32], labels: Labels) -> ScoredTarget:
    """Resolve a target for one photo.

    logits: `[C]`. Raises: ClassError where the model has no such class or fewer classes than the rank asks for.
    """
    order = np.argsort(-logits, kind="stable")

    def index_of(choice: int | str | Top) -> int:
        if not isinstance(choice, Top):
            return labels.index(choice)
        if not 1 <= choice.rank <= len(order):
            raise ClassError(f"expected a prediction from 1 to {len(order)}, got {choice.rank}")
        return int(order[choice.rank - 1])

    if isinstance(target, Contrast):
        index, against = index_of(target.of), index_of(target.rather_than)
        if index == against:
            raise ClassError(
                f"expected two different classes to contrast, got {labels.names[index]!r} twice; name another class"
            )
    else:
        index, against = index_of(target), None
    return ScoredTarget(
        index=index,
        label=labels.names[index],
        score=float(logits[index] - (0 if against is None else logits[against])),
        probability=float(probabilities(logits)[index]),
        rank=int(np.flatnonzero(order == index)[0]) + 1,
        against=against,
        against_label=None if against is None else labels.names[against],
    )


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the classes `[C]`; the sigmoid where the head has a single logit."""
    if len(logits) == 1:
        return (1 / (1 + np.exp(-logits))).astype(np.float32)
    shifted = np.exp(logits - logits.max())
    return (shifted / shifted.sum()).astype(np.float32)
