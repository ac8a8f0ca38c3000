"""Writing a report: one table of formats, whole files or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradcam.draw.page import comparison_html
from gradcam.errors import OptionError, ReportError, nearest, quoted
from gradcam.files import refuse_existing, write_whole
from gradcam.report.bundle import bundle
from gradcam.report.codec import encode
from gradcam.report.html import html
from gradcam.report.junit import Thresholds, junit
from gradcam.report.markdown import markdown
from gradcam.report.model import Report
from gradcam.report.pdf import pdf
from gradcam.report.pictures import comparison_of
from gradcam.report.table import metrics_csv


@dataclass(frozen=True)
class Format:
    """One way to write a report: its file suffix, media type, what it is in a line, and the writer."""

    suffix: str
    media_type: str
    words: str
    render: Callable[[Report], bytes]


def interactive(report: Report) -> bytes:
    """The panels alone as one page, with the values under the pointer."""
    return comparison_html(comparison_of(report), report.style).encode()


FORMATS: dict[str, Format] = {
    "zip": Format(".zip", "application/zip", "everything below, with maps, pictures and checksums", bundle),
    "html": Format(".html", "text/html", "one page with pictures that opens offline", html),
    "pdf": Format(".pdf", "application/pdf", "for paper: contents, page numbers, selectable text", pdf),
    "markdown": Format(".md", "text/markdown", "for a pull request, without pictures", markdown),
    "csv": Format(".csv", "text/csv", "the numbers, a row a photo × model × class", metrics_csv),
    "json": Format(".json", "application/json", "the canonical content, without pictures", encode),
    "junit": Format(".xml", "application/xml", "for a build server, a test a check", junit),
    "interactive": Format(
        ".interactive.html", "text/html", "one page with values under the pointer, 5 MB and more", interactive
    ),
}


def render_report(report: Report, format: str = "zip", thresholds: Thresholds | None = None) -> bytes:
    """The report's bytes in a row of `FORMATS`; the same report gives the same bytes.

    thresholds: what the checks of `junit` must keep; no other format asks for them.
    Raises: OptionError for another format, ReportError where it cannot be written whole.
    """
    return junit(report, thresholds) if format == "junit" else _format(format).render(report)


def write_report(report: Report, path: str | Path, format: str | None = None, *, force: bool = False) -> Path:
    """Write a report to `path`: whole or, whatever interrupts it, not at all.

    format: a row of `FORMATS`; by default the one whose suffix `path` has.
    force: replace a file that is there already.
    Raises: OptionError for a format that there is not, ReportError where the file exists or cannot be written.
    """
    path = Path(path)
    if format is None:
        format = format_of(path)
    refuse_existing(path, force, error=ReportError)
    data = render_report(report, format)
    with write_whole(path, force=force, error=ReportError) as file:
        file.write(data)
    return path


def format_of(path: Path) -> str:
    """The format whose suffix a path has. Raises: OptionError for another suffix."""
    fitting = [name for name, row in FORMATS.items() if path.name.lower().endswith(row.suffix)]
    if fitting:
        return max(fitting, key=lambda name: len(FORMATS[name].suffix))
    suffixes = ", ".join(row.suffix for row in FORMATS.values())
    raise OptionError(
        f"expected a file name that ends in one of {suffixes}, got {quoted(path.name)}; name the format"
    )


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise OptionError(f"expected a report format, got {quoted(name)}; use {nearest(name, FORMATS)}")
    return FORMATS[name]
