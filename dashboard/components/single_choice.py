"""Lets the visitor pick one of several things, for pages that show one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import session
from dashboard.session import DataKey, Key
from gradcam.model_spec import display_name

MOST_BESIDE = 4
"""Names that stand beside each other; more would break into ragged rows, and stand in a list that opens."""
LIST_WIDTH = 420
"""Pixels."""


def pick_model(models: Sequence[str]) -> str:
    """Let the visitor pick one of the models; at first it is what they added last, on whatever page."""
    came_with = [display_name(model) for model in session.came_with(Key.MODELS)]
    return models[pick_one("Model", [display_name(model) for model in models], Key.SHOWN_MODEL, came_with)]


def pick_one(label: str, names: Sequence[str], key: Key | DataKey, at_first: Sequence[str] | None = None) -> int:
    """Let the visitor pick a name; return its index, 0 at first. Nothing is shown if there is only one name.

    A name that has just been added is picked by itself.

    at_first: the names that were there before this choice was ever shown; all of them if None.
    """
    unique = [name if name not in names[:index] else f"{name} ({index + 1})" for index, name in enumerate(names)]
    added = session.just_added(key, unique, at_first)
    if len(unique) == 1:
        return 0
    if added:
        st.session_state[key] = added
    elif st.session_state.get(key) not in (None, *unique):
        del st.session_state[key]
    if len(unique) > MOST_BESIDE:
        name = st.selectbox(label, unique, width=LIST_WIDTH, **session.linked(key))
    else:
        name = st.segmented_control(
            label, unique, default=unique[0], required=True, wrap=True, **session.linked(key)
        )
    return unique.index(name or unique[0])
