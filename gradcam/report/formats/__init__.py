"""The formats of a report: one table, one file a format. Each writes the same sections and adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, TypeAlias

from gradcam.extras import packages_of
from gradcam.report.formats import csv, interactive, json, junit, markdown
from gradcam.report.model import Report

Write: TypeAlias = Callable[[Report, BinaryIO], None]


def _with_extra(module: str) -> Write:
    """The writer of a format whose packages come with `gradcam[report]` and are imported when it first writes."""

    def write(report: Report, file: BinaryIO) -> None:
        with packages_of("report"):
            import_module(f"{__name__}.{module}").write(report, file)

    return write


@dataclass(frozen=True)
class Format:
    """One way to write a report.

    description: what it is, in a line.
    write: appends the report to an open file; where it raises, only a part was written.
    """

    suffix: str
    media_type: str
    description: str
    write: Write


FORMATS: dict[str, Format] = {
    "zip": Format(
        ".zip", "application/zip", "everything below, with maps, pictures and checksums", _with_extra("zip")
    ),
    "html": Format(".html", "text/html", "one page with pictures that opens offline", _with_extra("html")),
    "pdf": Format(
        ".pdf", "application/pdf", "for paper: contents, page numbers, selectable text", _with_extra("pdf")
    ),
    "markdown": Format(".md", "text/markdown", "one text file, its pictures at the end", markdown.write),
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
