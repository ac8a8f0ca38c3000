"""Shows the layers that the visitor has pinned on the page *Layers*, on every page that draws on them."""

from __future__ import annotations

import streamlit as st

from dashboard import session
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_markdown


def pick_layers() -> dict[str, str]:
    """Show the pinned layers, each with a button that unpins it; return them by model."""
    pins = session.pinned()
    if pins:
        st.caption("Pinned layers")
    for model, layer in pins.items():
        st.button(
            f"{escape_markdown(layer)} of {name_markdown(model)}",
            key=f"_unpin-{model}",
            on_click=session.unpin,
            args=(model,),
            icon=":material/keep_off:",
            width="stretch",
            help="Unpin: draw this model on its own target layer again",
        )
    session.write_pins()
    return pins
