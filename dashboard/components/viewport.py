"""How wide the visitor's window is: a Plotly figure cannot stack its own columns on a phone."""

from __future__ import annotations

import streamlit as st
from streamlit.components import v2

_PHONE = "(max-width: 640px)"  # where Streamlit stacks its columns

_watch = v2.component(
    "viewport",
    js="""export default function ({ data, setStateValue }) {
        const phone = window.matchMedia(data.phone);
        const tell = () => { if (phone.matches !== data.narrow) setStateValue("narrow", phone.matches); };
        phone.addEventListener("change", tell);
        tell();
        return () => phone.removeEventListener("change", tell);
    }""",
)

_KEY = "_viewport"


def is_narrow() -> bool:
    """Whether the window is as narrow as a phone; False until the browser has said so."""
    return bool(st.session_state.get(_KEY, {}).get("narrow", False))


def watch() -> None:
    """Have the browser tell; the page runs again when the answer changes. Call it once, at the end of a page."""
    _watch(key=_KEY, data={"phone": _PHONE, "narrow": is_narrow()}, on_narrow_change=lambda: None)
