"""Gives every page the same shape: its opening words and its groups of controls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

PRODUCT, WHAT_IT_IS = "Grad-CAM", "what image classifiers look at, and whether they agree"


def headline(title: str, lead: str) -> DeltaGenerator:
    """Show the product, the page's title and its question; return the place beside it for the page's actions."""
    st.caption(f"**{PRODUCT}** · {WHAT_IT_IS}")
    st.title(title, anchor=False)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(lead, width="content")
        return st.container(horizontal=True, width="content", gap="xsmall")


@contextmanager
def section(title: str) -> Iterator[None]:
    """Group controls under a title."""
    with st.container(gap="xsmall"):
        st.header(title, anchor=False)
        yield
