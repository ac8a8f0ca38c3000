"""The report as one HTML page: no network, no inline code that its own security policy does not name by hash."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import BinaryIO

import jinja2
from markupsafe import Markup

from gradcam.draw.even_rows import even_columns
from gradcam.draw.render import png
from gradcam.geometry import hides_part_of_photo
from gradcam.regions import outline_of
from gradcam.report import data_set_tables, model_tables, reproduce, sections, statements
from gradcam.report.model import HeatmapEntry, PhotoEntry, Report
from gradcam.report.notes import note_html
from gradcam.report.pictures import Pictures, jpeg, webp
from gradcam.text import breakable, clean, paragraphs, unbroken

SIDE = 720
"""The longest side of a photo on the page, in pixels: enough for a full screen, light enough for an e-mail."""

PIECES = 1000
"""How many pieces of the page, a few letters to a whole picture, are written at once."""


def write(report: Report, file: BinaryIO) -> None:
    """Write UTF-8 HTML. The page asks for nothing beyond itself and can be read without JavaScript."""
    pictures = Pictures(report, SIDE)
    style = _file("report.css").replace("--opacity: 0.5", f"--opacity: {report.style.opacity:g}")
    script = _file("report.js")
    page = _environment().get_template("report.html.j2")
    parts = page.stream(
        report=report,
        pictures=pictures,
        model_tables=model_tables,
        sections=sections,
        data_set=data_set_tables,
        statements=statements,
        reproduce=reproduce,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )
    parts.enable_buffering(PIECES)
    parts.dump(file, "utf-8")


def _policy(style: str, script: str) -> str:
    """What the page may load: nothing but its own pictures, and this one style sheet and script."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file(name: str) -> str:
    return resources.files("gradcam.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        paragraphs=lambda text: Markup.escape(paragraphs(text)),
        note=lambda text: Markup(note_html(text)),
        drawn=Markup,
        breakable=_breakable,
        photo_uri=lambda pixels: _uri("image/jpeg", jpeg(pixels)),
        heat_uri=lambda pixels: _uri("image/webp", webp(pixels)),
        bar_uri=lambda pixels: _uri("image/png", png(pixels)),
    )
    environment.globals.update(even_columns=even_columns, frame=_frame, outline=_outline, mark_lines=_MARK_LINES)
    return environment


def _finalize(value: object) -> object:
    """Whatever the template shows: text is cleaned here and escaped by Jinja."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else unbroken(clean(value))


def _breakable(text: str) -> Markup:
    """Text whose long names may go on in the next line after a `/`, `_` or `.`; copied, they are as before."""
    return Markup(breakable(str(Markup.escape(_finalize(text)))))


def _uri(kind: str, data: bytes) -> Markup:
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


_MARK_LINES = (
    Markup('stroke="#141414" stroke-width="4"'),
    Markup('stroke="#f5f5f5" stroke-width="2" stroke-dasharray="6 4"'),
)
"""Light dashes on a dark line, as attributes of SVG."""


def _outline(photo: PhotoEntry) -> list[tuple[float, float]]:
    """The corners of what was marked on a photo, as shares of its width and height; none without a mark."""
    height, width = photo.size
    return [(x / width, y / height) for x, y in outline_of(photo.region or ())]


def _frame(report: Report, panel: HeatmapEntry) -> tuple[float, float, float, float] | None:
    """Left, top, width and height of what the model saw, as shares of the photo; None where that is all of it."""
    view = report.answer(panel).view
    if not hides_part_of_photo(view):
        return None
    left, top, right, bottom = view.seen
    height, width = view.photo_size
    return left / width, top / height, (right - left) / width, (bottom - top) / height
