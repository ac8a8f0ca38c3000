"""What is asked of every model: which classes, and how the photo meets the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import streamlit as st

from dashboard import cache, state
from dashboard.components.messages import say_error
from dashboard.state import Key
from gradcam import GradcamError, Target, Top, parse_target
from gradcam.types import Fit

DEFAULT = (Top(1),)
MOST = 5

FIT_WORDS: dict[Fit, str] = {
    "crop": "the model's own evaluation crop",
    "squash": "the whole photo, its aspect lost",
    "pad": "the whole photo, with bars",
}


@dataclass(frozen=True)
class Question:
    """The targets, and the fit of a photo to the model's input."""

    targets: tuple[Target, ...]
    fit: Fit


def pick_question(models: Sequence[str]) -> Question:
    """The classes that are asked for, by name from the models' own labels, and the fit."""
    return Question(pick_classes(models), pick_fit())


def pick_classes(models: Sequence[str]) -> tuple[Target, ...]:
    """The targets; each model's own top prediction where none is chosen."""
    names = dict.fromkeys(name for model in models for name in cache.class_names(model))
    typed = st.multiselect(
        "Classes",
        [*(str(Top(rank)) for rank in (1, 2, 3)), *names],
        default=[str(target) for target in DEFAULT],
        max_selections=MOST,
        select_all=False,
        accept_new_options=True,
        placeholder="Type a part of a name",
        help="*Top prediction* is each model's own. A class can be named, or given by its index; "
        "*tabby rather than tiger cat* asks for the difference.",
        **state.linked(Key.CLASSES),
    )
    return tuple(dict.fromkeys(target for text in typed if (target := _read(text)) is not None)) or DEFAULT


def _read(text: str) -> Target | None:
    try:
        return parse_target(text)
    except GradcamError as error:
        say_error(str(error))
        return None


def pick_fit() -> Fit:
    """How a photo is fitted to the model's input."""
    fit = st.segmented_control(
        "Fit",
        get_args(Fit),
        default="crop",
        required=True,
        width="stretch",
        help="How the photo meets the model's square input. "
        + "; ".join(f"*{fit}*: {words}" for fit, words in FIT_WORDS.items())
        + ".",
        **state.linked(Key.FIT),
    )
    return fit or "crop"
