"""What the server answers before Streamlit does: every page's outline, and Plotly's script.

The outline is in sight before Streamlit's own scripts have arrived. Plotly's 4.8 MB, and the scripts of the parts
that pages are made of, are fetched and read while the server still imports, so that the first heatmap need not wait
for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, HTMLResponse, Response
from streamlit import config, file_util

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PLOTLY = "plotly.min.js"
PLOTLY_ADDRESS = f"{PLOTLY}?v={version('plotly')}"
"""Of Plotly's script, from the first page's address. A browser keeps it until there is another version."""

_TEMPLATE = Path(__file__).with_name("outline.html")
PARTS = (
    *("BidiComponent", "Html", "FileUploader", "Multiselect", "Radio", "Selectbox", "Checkbox", "Button"),
    *("DownloadButton", "Progress", "Toast"),
)
"""Streamlit's scripts that a browser would fetch only once a page asks for such a part: the files begin so."""
_LOAD_EARLY = """
  addEventListener("load", () => setTimeout(() => {
    const script = document.createElement("script");
    script.src = "./{plotly}";
    document.head.append(script);
    for (const part of {parts}) import(part);
  }));
"""
"""What the browser does once Streamlit's own scripts are there."""
_ROOT = '<div id="root"></div>'
"""Where Streamlit's scripts put the page; the outline lies over it."""


class FirstAnswers:
    """Answers for every page with Streamlit's own document, the page's outline in it, and for Plotly's script.

    pages: title and question of each page, by its name in the address; the first page has none.
    """

    def __init__(self, app: ASGIApp, pages: Mapping[str, tuple[str, str]]) -> None:
        self._app = app
        base = f"/{config.get_option('server.baseUrlPath')}".rstrip("/")
        static = Path(file_util.get_static_dir())
        document = (static / "index.html").read_text("utf-8")
        document = document.replace("</head>", f"<script>{_early_script(static)}</script></head>")
        self._answers: dict[str, Callable[[], Response]] = {
            f"{base}/{name}": partial(
                HTMLResponse,
                document.replace(_ROOT, _ROOT + outline(title, question)),
                headers={"Cache-Control": "no-cache"},
            )
            for name, (title, question) in pages.items()
        }
        kept = {"Cache-Control": "public, immutable, max-age=31536000"}
        self._answers[f"{base}/{PLOTLY}"] = partial(FileResponse, _plotly_file(), headers=kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        answer = self._answers.get(scope["path"]) if is_get else None
        await (answer() if answer else self._app)(scope, receive, send)


def outline(title: str, question: str) -> str:
    """HTML of a page that has nothing yet but its title and its question."""
    template = _TEMPLATE.read_text("utf-8")
    return template.replace("{title}", escape(title)).replace("{question}", escape(question))


def _early_script(static: Path) -> str:
    """`_LOAD_EARLY` with the addresses of the files in Streamlit's folder `static`."""
    parts = [file for part in PARTS for file in sorted((static / "static" / "js").glob(f"{part}.*.js"))]
    addresses = json.dumps([f"./{file.relative_to(static).as_posix()}" for file in parts])
    return _LOAD_EARLY.replace("{plotly}", PLOTLY_ADDRESS).replace("{parts}", addresses)


def _plotly_file() -> Path:
    """Where Plotly's script lies; Plotly itself is not imported yet."""
    found = find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("package_data") / PLOTLY
