"""Lets the visitor pick one of several things, for pages that show one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import session
from dashboard.session import DataKey, Key

MOST_BESIDE = 4
"""Names that stand beside each other; more would break into ragged rows, and stand in a list that opens."""
LIST_WIDTH = 420
"""Pixels."""


def pick_one(label: str, names: Sequence[str], key: Key | DataKey) -> int:
    """Let the visitor pick a name; return its index, 0 at first. Nothing is shown if there is only one name.

    A name that has just been added is picked by itself.
    """
    unique = [name if name not in names[:index] else f"{name} ({index + 1})" for index, name in enumerate(names)]
    added = session.just_added(key, unique)
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
