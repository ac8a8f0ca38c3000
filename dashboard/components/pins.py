"""Layers that the visitor has pinned on the page *Layers*: shown on every page that draws on them."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.state import Key


def pick_layers() -> dict[str, str]:
    """The pinned layers by model, listed so that one can be let go of; nothing is shown where there are none."""
    if pins := state.pins():
        st.multiselect(
            "Pinned layers",
            pins,
            format_func=_words,
            key=Key.LAYERS,
            persist_state="session",
            select_all=False,
            help="These models are drawn on a layer that was pinned on the page *Layers*. "
            "Take one out to go back to the model's own target layer.",
        )
    state.write_link(Key.LAYERS, ())
    return state.pinned()


def _words(pin: str) -> str:
    ((model, layer),) = state.read_pins([pin]).items()
    return f"{layer} of {model}"
