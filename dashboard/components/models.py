"""Which models: found by typing, over the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import library, session
from dashboard.session import Key
from gradcam.model_spec import checkpoint_name, is_checkpoint

DEFAULT = ("bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite1", "bundled/tf_efficientnet_lite2")
MOST = 8


def pick_models(default: Sequence[str] = DEFAULT) -> tuple[str, ...]:
    """The ids of the chosen models; an id that the catalogue does not list can be typed in full."""
    session.open_link(Key.MODELS, default, MOST)
    known = library.catalogue()

    def label(model: str) -> str:
        if is_checkpoint(model):
            return f"{checkpoint_name(model)} · yours"
        weights = known[model].weights if model in known else ""
        return f"{model} · {weights}" if weights not in ("", "bundled") else model

    chosen = st.multiselect(
        "Models",
        list(dict.fromkeys([*session.custom_models(), *known, *st.session_state[Key.MODELS]])),
        format_func=label,
        key=Key.MODELS,
        persist_state="session",
        max_selections=MOST,
        select_all=False,
        accept_new_options=True,
        placeholder="Type a part of a name",
        label_visibility="collapsed",
    )
    st.caption(f"Type to search {len(known):,} models; *download* is done once.")
    session.write_link(Key.MODELS, default)
    return tuple(chosen)
