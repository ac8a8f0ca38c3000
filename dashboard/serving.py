"""The server, before its first visitor: its address, its headers, what it has imported, and who may do what.

Streamlit's own options stand in `.streamlit/config.toml`, which is linked beside `Home.py`, so that Streamlit finds
them from whatever folder it is started; the command line and variables like `STREAMLIT_SERVER_ADDRESS` go before.
"""

from __future__ import annotations

import gc
import importlib
import ipaddress
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit import config

from gradcam.config import Settings, settings
from gradcam.errors import GradcamError, OptionError
from gradcam.extras import packages_of
from gradcam.starting import uncollected

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

IMPORTED_FIRST = (
    "numpy",
    "pandas",
    "pyarrow.pandas_compat",
    "PIL.Image",
    "torch",
    "torchvision",
    "timm",
    "cv2",
    "plotly.graph_objects",
    "plotly.io",
    "gradcam.models.bundled_source",
    "gradcam.models.timm_source",
    "gradcam.models.torchvision_source",
    "gradcam.models.transformers_source",
    "gradcam.draw.viewer",
    "dashboard.results",
)
"""What every page reads. Libraries look for each other in `sys.modules`, where a package that another thread is
still importing stands half made; so one thread imports all of it, and a visit waits for that before it imports
anything but Streamlit. `dashboard.components` is not there: Streamlit takes a component only from a visit."""

IMPORTED_LATER = (
    "gradcam.report",
    "gradcam.report.formats.zip",
    "pyarrow.parquet",
    "sqlalchemy",
    "alembic.command",
    "gradcam.runs.hosting",
    "gradcam.runs.thumbnails",
    "gradcam.reviews.store",
    "dashboard.data_runs",
    "gradcam.shortcuts.ranking",
)
"""What some pages read as well; their first visit waits for it. `gradcam.shortcuts.ranking` brings scikit-learn and
SciPy."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Streamlit's components and Plotly need these
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' data: blob:",
            "connect-src 'self' ws: wss: data: blob:",
            "frame-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        ]
    ),
}
"""Sent with every answer."""

CLOSED = "/_stcore/metrics"
"""Tells anybody what the server holds: closed unless `server.metrics` opens it."""


def check_settings() -> None:
    """Read the configuration before the server starts; what is wrong with it ends the process in one sentence."""
    try:
        found = settings()
    except GradcamError as error:
        print(f"gradcam: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    config.set_option("server.maxUploadSize", max(found.limits.upload_megabytes, found.runs.upload_megabytes))
    print(f"  {_where(found)}\n", flush=True)


_thread: threading.Thread | None = None
_first, _hurry = threading.Event(), threading.Event()
PAUSE = 20.0
"""Seconds before what few pages read is imported unasked: the first visitor's heatmaps go before."""


def prepared(begin: Callable[[], object]) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """The life of the server: it answers at once, and one thread imports everything meanwhile.

    begin: called by that thread as soon as it has imported what every page reads.
    """

    @asynccontextmanager
    async def live(app: object) -> AsyncIterator[None]:
        global _thread
        _thread = threading.Thread(target=_prepare, args=(begin,), name="prepare", daemon=True)
        _thread.start()
        yield

    return live


def _prepare(begin: Callable[[], object]) -> None:
    # PyTorch's threads burn their processor while they wait for each other, which slows every other one down: on a
    # machine with two processors and three models to load at once, all of them four times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.setswitchinterval(0.001)  # seconds: visitors are answered in between, five times as soon as by default
    # What is imported stays: later searches for garbage, which stop every visitor's page, pass over what is frozen.
    try:
        with uncollected():
            for module in IMPORTED_FIRST:
                importlib.import_module(module)
            gc.freeze()  # with it what little the sessions of visitors hold that wait
            begin()
    finally:
        _first.set()
    _hurry.wait(PAUSE)
    _import_later()


def _import_later() -> None:
    with uncollected():
        for module in IMPORTED_LATER:
            with suppress(OptionError), packages_of("shortcuts"):  # the page that lacks a package says so itself
                importlib.import_module(module)
    gc.collect()  # what visitors have left behind meanwhile, or it would stay, too
    gc.freeze()


def is_prepared(*, everything: bool) -> bool:
    """Whether what a page reads is imported; no visit may import any of it before."""
    return _thread is None or (not _thread.is_alive() if everything else _first.is_set())


def wait_until_prepared(*, everything: bool) -> None:
    """Wait for the thread that imports what a page reads."""
    if _thread and everything:
        _hurry.set()
        _thread.join()
    elif _thread:
        _first.wait()


def _where(found: Settings) -> str:
    """Who can reach the server, and what it was configured by, in a line."""
    listens = "this machine only" if is_on_loopback() else f"every machine that reaches {address() or 'this one'}"
    return f"Open to {listens}. Configuration: {found.file or 'none, every key has its default'}."


def address() -> str | None:
    """The address that the server listens on; None is every one of the machine's."""
    return config.get_option("server.address")


def is_on_loopback() -> bool:
    """Whether the server listens to this machine only."""
    return _is_loopback(address() or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_local() -> bool:
    """Whether the visitor of this session sits at the server's machine, with no proxy between."""
    headers = st.context.headers
    host = headers.get("Host", "").rpartition(":")[0] or headers.get("Host", "")
    between = any(
        name.lower() in ("forwarded", "via") or name.lower().startswith("x-forwarded-") for name in headers
    )
    return is_on_loopback() and _is_loopback(host) and not between


def network() -> str:
    """The network that the visitor of this session comes from: the address, of IPv6 its first 64 bits.

    Empty at the server's own machine. A proxy there says the address, see `_believed`; any other proxy is taken for
    the visitor.
    """
    try:
        found = ipaddress.ip_address(st.context.ip_address or "")
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found  # as a server that listens to both says an IPv4 address
    return str(ipaddress.ip_network((found, 64 if found.version == 6 else 32), strict=False))


def may_use_hubs() -> bool:
    """Whether this visitor may load models from a hub by id, as the operator has set it."""
    setting = settings().server.hub_models
    return is_local() if setting == "auto" else setting


class Guard:
    """Adds `HEADERS` to every answer, answers for what is `CLOSED`, and lets no stranger say who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ENCODED]
            await send(message)

        if scope["type"] == "http" and scope["path"].endswith(CLOSED) and not settings().server.metrics:
            await guarded({"type": "http.response.start", "status": 404, "headers": []})
            await guarded({"type": "http.response.body", "body": b""})
        elif scope["type"] in ("http", "websocket"):
            await self._app({**scope, "headers": _believed(scope)}, receive, guarded)
        else:
            await self._app(scope, receive, send)


def _believed(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of a request. Those that name the visitor are kept only if a trusted proxy sent them, each once.

    A proxy that adds a header, where it should set it, leaves the visitor's own before it.
    """
    auth = settings().auth
    # uvicorn puts the address in X-Forwarded-For in place of a proxy on this machine; to a server on loopback, this
    # machine alone can speak
    peer = "127.0.0.1" if is_on_loopback() else (scope.get("client") or ("",))[0]
    names = {name.lower().encode() for name in (auth.email_header, auth.groups_header)}
    named = [name.lower() for name, _ in scope["headers"] if name.lower() in names]
    if _is_in(peer, auth.proxies) and len(named) == len(set(named)):
        return scope["headers"]
    return [(name, value) for name, value in scope["headers"] if name.lower() not in names]


def _is_in(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)


_ENCODED: list[tuple[bytes, Any]] = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
