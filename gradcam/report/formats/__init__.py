"""The formats of a report: one table, one file a format. Each writes the same sections and adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from gradcam.report.formats import csv, html, interactive, json, junit, markdown, pdf, zip
from gradcam.report.model import Report


@dataclass(frozen=True)
class Format:
    """One way to write a report.

    description: what it is, in a line.
    write: appends the report to an open file; where it raises, only a part was written.
    """

    suffix: str
    media_type: str
    description: str
    write: Callable[[Report, BinaryIO], None]


FORMATS: dict[str, Format] = {
    "zip": Format(".zip", "application/zip", "everything below, with maps, pictures and checksums", zip.write),
    "html": Format(".html", "text/html", "one page with pictures that opens offline", html.write),
    "pdf": Format(".pdf", "application/pdf", "for paper: contents, page numbers, selectable text", pdf.write),
    "markdown": Format(".md", "text/markdown", "for a pull request, without pictures", markdown.write),
    "csv": Format(".csv", "text/csv", "the numbers, a row a photo × model × class", csv.write),
    "json": Format(".json", "application/json", "the canonical content, without pictures", json.write),
    "junit": Format(".xml", "application/xml", "for a build server, a test a check", junit.write),
    "interactive": Format(
        ".interactive.html",
        "text/html",
        "one page with values under the pointer, 5 MB and more",
        interactive.write,
    ),
}
