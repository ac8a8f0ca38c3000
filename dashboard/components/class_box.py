"""Reads what a visitor types into a box of classes: an index becomes its class, a typing error the nearest."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import library
from dashboard.components.messages import escape_markdown
from dashboard.session import Key
from gradcam import GradcamError, parse_target
from gradcam.models import Labels
from gradcam.targets import known_names, write_target

_TAKEN = "_taken-{}"


def replace_typed(key: Key, models: Sequence[str]) -> None:
    """Replace what was typed by real classes; call it when a box of one class or of several changes."""
    value: str | list[str] | None = st.session_state[key]
    typed = [value] if isinstance(value, str) else value or []
    labels = [found for model in models if (found := library.labels(model))]
    known = known_names(name for one in labels for name in one.names)
    meant = {text: _class_of(text, labels, known) for text in typed}
    nearest = {text: labels[0].nearest(text) for text in typed if labels and meant[text] is None}
    taken = {text: write_target(name, known) for text, name in nearest.items() if name}
    st.session_state[_TAKEN.format(key)] = taken
    classes = list(dict.fromkeys(taken.get(text) or meant[text] or text for text in typed))
    st.session_state[key] = classes[0] if isinstance(value, str) else classes


def say_replaced(key: Key) -> None:
    """Say which class took the place of a typing error, until the box changes."""
    value: str | list[str] | None = st.session_state[key]
    chosen = [value] if isinstance(value, str) else value or []
    for text, name in st.session_state.get(_TAKEN.format(key), {}).items():
        if name in chosen:
            st.caption(
                f":material/spellcheck: *{escape_markdown(text)}* is no class; the nearest, "
                f"**{escape_markdown(name)}**, was taken."
            )


def _class_of(text: str, labels: Sequence[Labels], known: frozenset[str]) -> str | None:
    """Return the class that a text means; the text itself if it asks for something else, None for no class."""
    try:
        target = parse_target(text, known)
    except GradcamError:
        return text
    if not isinstance(target, int | str) or any(target in one.names for one in labels):
        return text
    found = {name for one in labels if (name := _name_of(target, one))}
    if len(found) == 1:
        return write_target(found.pop(), known)
    return text if found or isinstance(target, int) or target.isdigit() else None


def _name_of(target: int | str, labels: Labels) -> str | None:
    """Return the name of the class that a text or an index means, if the model has it."""
    try:
        return labels.names[labels.index(target)]
    except GradcamError:
        return None
