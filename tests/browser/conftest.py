"""What the tests in a browser share: Chromium, and visits of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.conftest import chromium
from tests.visiting import DESKTOP, PLOT, Visit, arrive, listen

NOTHING_BLINKS = """
    const style = new CSSStyleSheet();  // which a page with a strict policy takes, too
    style.replaceSync("*, *::before, *::after { animation-iteration-count: 1 !important }");
    document.adoptedStyleSheets.push(style);
"""
"""What would blink until the server answers blinks once: without a graphics card it costs a third of a visit."""


@pytest.fixture(scope="package")
def browser(profile: Path) -> Iterator[Browser]:
    """One Chromium for the files of this folder that run one after the other."""
    with chromium(profile) as browser:
        yield browser


@pytest.fixture(scope="package")
def context(browser: Browser) -> BrowserContext:
    """What visitors share, who are a tab each: Streamlit and plotly.js, fetched and compiled once.

    It is the context of the profile on disk: only that one keeps compiled scripts, and a visit costs half.
    """
    context = browser.contexts[0]  # tests may have begun others
    context.add_init_script(NOTHING_BLINKS)
    return context


@pytest.fixture(scope="package")
def _open_throughout(context: BrowserContext, address: str) -> None:
    """A page of the dashboard's site: as long as it is there, so is the process that has compiled the scripts."""
    context.new_page().goto(f"{address}/_stcore/health")


@pytest.fixture
def visit(context: BrowserContext, address: str, _open_throughout: None) -> Iterator[Visit]:
    """Open the dashboard as a new visitor; at the end, no error was logged and no other host was asked."""
    pages, complaints, strangers = [], [], []

    def open_page(
        place: str = "",
        *,
        wait_for: str | None = PLOT,
        viewport: ViewportSize = DESKTOP,
        color_scheme: Literal["light", "dark"] = "light",
        rest: bool = True,
    ) -> Page:
        page = context.new_page()
        pages.append(page)
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        listen(page, complaints, strangers)
        page.goto(f"{address}/{place}")
        arrive(page, wait_for, rest=rest)
        return page

    expect.set_options(timeout=20_000)
    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert strangers == []
