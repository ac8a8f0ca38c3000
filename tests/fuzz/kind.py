"""What a kind of hostile input is, and which outcomes are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from gradcam.errors import GradcamError

LONGEST_SENTENCE = 1000
"""Characters of an error: a few quotations of 200, and the words around them."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    make: an input from a generator of random numbers; the same numbers give the same input.
    meet: hands it to the package. Right is to return, or to raise a GradcamError with one short sentence.
    seconds, megabytes: CPU time and memory that one input may take; more is wrong.
    """

    name: str
    make: Callable[[Random], Any]
    meet: Callable[[Any], object]
    seconds: float = 5
    megabytes: int = 500


def wrong(kind: Kind, given: Any) -> str | None:
    """What is wrong with how the package meets an input; None where nothing is."""
    try:
        kind.meet(given)
    except GradcamError as error:
        return wrong_sentence(str(error))
    except Exception as error:  # noqa: BLE001 (whatever else is raised is what this looks for)
        return f"{type(error).__name__}: {str(error)[:200]!r}"
    return None


def wrong_sentence(text: str) -> str | None:
    """What makes a text no sentence to show: none, more than one line, invisible characters, or its length."""
    if not text.strip():
        return "an empty sentence"
    if len(text) > LONGEST_SENTENCE:
        return f"a sentence of {len(text)} characters: {text[:100]!r}…"
    if not text.isprintable():
        return f"characters that cannot be shown: {text[:300]!r}"
    return None
