"""The formats of a report: one table, one file a format. Each writes the same sections and adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradcam.report.formats import csv, html, interactive, json, junit, markdown, pdf, zip
from gradcam.report.model import Report


@dataclass(frozen=True)
class Format:
    """One way to write a report: its file suffix, media type, what it is in a line, and the writer."""

    suffix: str
    media_type: str
    words: str
    render: Callable[[Report], bytes]


FORMATS: dict[str, Format] = {
    "zip": Format(".zip", "application/zip", "everything below, with maps, pictures and checksums", zip.render),
    "html": Format(".html", "text/html", "one page with pictures that opens offline", html.render),
    "pdf": Format(".pdf", "application/pdf", "for paper: contents, page numbers, selectable text", pdf.render),
    "markdown": Format(".md", "text/markdown", "for a pull request, without pictures", markdown.render),
    "csv": Format(".csv", "text/csv", "the numbers, a row a photo × model × class", csv.render),
    "json": Format(".json", "application/json", "the canonical content, without pictures", json.render),
    "junit": Format(".xml", "application/xml", "for a build server, a test a check", junit.render),
    "interactive": Format(
        ".interactive.html",
        "text/html",
        "one page with values under the pointer, 5 MB and more",
        interactive.render,
    ),
}
