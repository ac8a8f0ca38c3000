"""What every page shares in shape: its width, its opening words, its groups of controls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

PAGE_WIDTH = 1116
"""The most pixels that a page's content is wide; figures are made for it."""

# Streamlit's own chips and captions do not reach WCAG AA in both themes, and chips cut off what tells models apart.
_CSS = f"""<style>
.stMainBlockContainer {{ max-width: {PAGE_WIDTH + 64}px; padding-left: 2rem; padding-right: 2rem; }}
[data-testid="stMultiSelectTagsContainer"] [data-tag] {{
  max-width: 100%; color: inherit; background: rgba(125, 140, 160, 0.22);
}}
[data-testid="stMultiSelectTagsContainer"] [data-tag] span {{ max-width: none; font-size: 0.8125rem; }}
[data-testid="stCaptionContainer"] {{ opacity: 0.85; }}
@media (max-width: 640px) {{ .stMainBlockContainer {{ padding-left: 1rem; padding-right: 1rem; }} }}
</style>"""


def headline(title: str, lead: str) -> DeltaGenerator:
    """The page's title and the question that it answers; returns the place beside it for the page's actions."""
    st.html(_CSS)
    st.title(title, anchor=False)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(lead, width="content")
        return st.container(horizontal=True, width="content")


@contextmanager
def section(title: str) -> Iterator[None]:
    """A titled group of controls in the sidebar."""
    with st.container(gap="xsmall"):
        st.subheader(title, anchor=False)
        yield
