"""What every page shares in shape: its opening words, its groups of controls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def headline(title: str, lead: str) -> DeltaGenerator:
    """The page's title and the question that it answers; returns the place beside it for the page's actions."""
    st.title(title, anchor=False)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(lead, width="content")
        return st.container(horizontal=True, width="content")


@contextmanager
def section(title: str) -> Iterator[None]:
    """A titled group of controls in the sidebar."""
    with st.container(gap="xsmall"):
        st.header(title, anchor=False)
        yield
