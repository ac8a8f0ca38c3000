"""Lets a visitor in, or asks who they are, where the server asks that."""

from __future__ import annotations

import streamlit as st

from dashboard import identity
from dashboard.components.layout import headline
from dashboard.components.messages import escape_markdown, show_errors


def let_in() -> bool:
    """Return whether the visitor may see the page; if not, show what they can do about it."""
    if not identity.requires_sign_in():
        return True
    with show_errors():
        who = identity.actor()
        if who is not None and who.role is not None:
            with st.sidebar:
                _say_who(f"{escape_markdown(who.name)} · {who.role}")
            return True
        headline("Sign in", "This server shows its pages to people it knows.")
        if who is not None:
            st.warning(
                f"Nobody has given {escape_markdown(who.name)} a role here; ask who keeps the server.",
                icon=":material/person_off:",
            )
            _say_who(escape_markdown(who.name))
        elif identity.has_login():
            st.button("Sign in", icon=":material/login:", on_click=st.login)
        else:
            st.warning("Come through the proxy that knows you; this address does not.", icon=":material/vpn_lock:")
    return False


def _say_who(words: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(words)
        if identity.has_login():
            st.button("Sign out", icon=":material/logout:", type="tertiary", on_click=st.logout)
