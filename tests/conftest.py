"""What several test files share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.server import dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize as Size

    from tests.visiting import Visit

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NOTHING_BLINKS = """
    const style = new CSSStyleSheet();  // which a page with a strict policy takes, too
    style.replaceSync("*, *::before, *::after { animation-iteration-count: 1 !important }");
    document.adoptedStyleSheets.push(style);
"""
"""What would blink until the server answers blinks once: without a graphics card it costs a third of a visit."""


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each process that shares the machine, and those that it starts; a cache of the tests' own."""
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports PyTorch
    elif "GRADCAM_WEIGHTS" not in os.environ:  # layers found in an earlier run are beside the weights
        home = tempfile.TemporaryDirectory(prefix="gradcam-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(home.cleanup)
        os.environ["GRADCAM_WEIGHTS"] = str(Path(home.name) / "weights")
        os.environ["GRADCAM_RUNS"] = str(Path(home.name) / "runs")
        os.environ["GRADCAM_STORE"] = str(Path(home.name) / "reviews.sqlite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a busy machine a browser can be too late once: such a test runs a second time, and the summary says so."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def _components_are_looked_for_once() -> Iterator[None]:
    """Without a server, Streamlit reads what every installed package says of components at every run of a page."""
    from streamlit.components.v2 import manifest_scanner

    scan = cache(manifest_scanner.scan_component_manifests)
    with mock.patch.object(manifest_scanner, "scan_component_manifests", scan):
        yield


@pytest.fixture(autouse=True)
def _same_random_weights() -> None:
    """A layer made without a seed has the same weights in every run: no test fails one time in a thousand."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small nets on a shared machine: threads that wait for one another cost more than they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; a machine that has none skips the browser tests, unless it is the one that must run them."""
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail(f"expected Chromium at {CHROMIUM}; install Debian's chromium, or set CHROMIUM")
        pytest.skip(f"no Chromium at {CHROMIUM}; install it, or set CHROMIUM, to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """One dashboard for all tests that visit it, as it has many visitors in use."""
    with dashboard() as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What visitors share, who are a tab each: Streamlit and plotly.js, fetched and compiled once."""
    context = browser.new_context()
    context.add_init_script(NOTHING_BLINKS)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, address: str) -> Iterator[Visit]:
    """Open the dashboard as a new visitor; at the end, no error was logged and no other host was asked."""
    from playwright.sync_api import expect

    from tests.visiting import DESKTOP, PLOT, arrive, listen

    pages, complaints, strangers = [], [], []

    def open_page(
        place: str = "", *, wait_for: str | None = PLOT, viewport: Size = DESKTOP, color_scheme: str = "light"
    ) -> Page:
        page = context.new_page()
        pages.append(page)
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        listen(page, complaints, strangers)
        page.goto(f"{address}/{place}")
        arrive(page, wait_for)
        return page

    expect.set_options(timeout=20_000)
    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert strangers == []
