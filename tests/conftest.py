"""What several test files share."""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.server import dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from xdist.scheduler import LoadFileScheduling

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


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each process that shares the machine, and those that it starts; a cache of the tests' own."""
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports PyTorch
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of some fifty processes compiles all files anew
    if "GRADCAM_WEIGHTS" not in os.environ:  # layers found in an earlier run are beside the weights
        home = tempfile.TemporaryDirectory(prefix="gradcam-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(home.cleanup)
        os.environ["GRADCAM_WEIGHTS"] = str(Path(home.name) / "weights")
        os.environ["GRADCAM_RUNS"] = str(Path(home.name) / "runs")
        os.environ["GRADCAM_STORE"] = str(Path(home.name) / "reviews.sqlite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays and is no garbage: to look for it takes a third of collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # else nanobind calls what the interpreter does not take away a leak


BROWSER = "tests/browser/"
OF_THEIR_OWN = tuple(
    f"{BROWSER}test_{name}.py" for name in ("notebook", "page_script", "report_page", "sign_in_page", "viewer_page")
)
"""Tests in a browser that visit files, or a dashboard of their own."""
LONGEST_FIRST = ("tests/layers/test_families", "tests/runs/", "tests/fuzz/", "tests/test_threads")
"""After the visits of the dashboard, so that workers end together: what starts last must be short."""

OVER_ONE_RUN = ("tests/dashboard/test_data_shortcuts.py", "tests/shortcuts/test_find.py")
"""Tests of the run with a planted patch, which takes ten seconds to make."""


def scope(nodeid: str) -> str:
    """What one worker runs together: a whole file, or all that visit the dashboard of all, or read one run."""
    file = nodeid.partition("::")[0]
    if file in OVER_ONE_RUN:
        return OVER_ONE_RUN[0]
    return BROWSER if file.startswith(BROWSER) and file not in OF_THEIR_OWN else file


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadFileScheduling:
    """A worker takes a whole file, and one of them all that visit the dashboard: with one server, one cache."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a busy machine a browser can be too late once: such a test runs a second time, and the summary says so."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))

    def place(item: pytest.Item) -> list[bool]:
        return [scope(item.nodeid) != BROWSER, *(not item.nodeid.startswith(files) for files in LONGEST_FIRST)]

    items.sort(key=place)


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
        sys.modules["torch"].default_generator.manual_seed(0)  # `torch.manual_seed` asks for every kind of device


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """No test meets the configuration of another: it is forgotten after each, once its environment is undone."""
    yield
    if "gradcam.config" in sys.modules:
        sys.modules["gradcam.config"].settings.cache_clear()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small nets on a shared machine: threads that wait for one another cost more than they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Chromium; a machine that has none skips the browser tests, unless it is the one that must run them.

    profile: where it keeps what it has fetched and compiled.
    """
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail(f"expected Chromium at {CHROMIUM}; install Debian's chromium, or set CHROMIUM")
        pytest.skip(f"no Chromium at {CHROMIUM}; install it, or set CHROMIUM, to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=[*ARGUMENTS, "--process-per-site"]
        )
        assert context.browser is not None
        yield context.browser
        context.close()


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Chromium keeps what it has fetched and compiled, from one file of tests to the next."""
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="module")
def browser(profile: Path) -> Iterator[Browser]:
    """Chromium for one file: while it runs, nothing else in this process may have an event loop."""
    with chromium(profile) as browser:
        yield browser


@pytest.fixture(scope="session")
def proxy_port() -> Iterator[int]:
    """Where the dashboard goes for downloads: nothing listens there, unless a test does.

    A socket that does not listen holds the number: nobody else is given it, and `create_server` may take it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the dashboard's reviews."""
    return tmp_path_factory.mktemp("reviews") / "reviews.sqlite"


@pytest.fixture(scope="session")
def address(proxy_port: int, store_path: Path) -> Iterator[str]:
    """One dashboard for all tests that visit it, as it has many visitors in use."""
    with dashboard(proxy=f"http://127.0.0.1:{proxy_port}", GRADCAM_STORE=str(store_path)) as address:
        yield address
