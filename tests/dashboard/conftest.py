"""What tests of the dashboard share: caches that are empty at first, and the first page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest


@pytest.fixture(scope="module", autouse=True)
def _clean_caches() -> Iterator[None]:
    st.cache_data.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def page() -> AppTest:
    """The first page, as it is before its first run."""
    return AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
