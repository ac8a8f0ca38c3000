"""Writing a report: one table of formats, whole files or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradcam.draw.page import comparison_html
from gradcam.errors import OptionError, ReportError, nearest
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
    claim(path, force)
    write_whole(path, render_report(report, format), force=force)
    return path


def format_of(path: Path) -> str:
    """The format whose suffix a path has. Raises: OptionError for another suffix."""
    fitting = [name for name, row in FORMATS.items() if path.name.lower().endswith(row.suffix)]
    if fitting:
        return max(fitting, key=lambda name: len(FORMATS[name].suffix))
    suffixes = ", ".join(row.suffix for row in FORMATS.values())
    raise OptionError(f"expected a file name that ends in one of {suffixes}, got {path.name!r}; name the format")


def claim(path: Path, force: bool) -> None:
    """Refuse a path that cannot or must not be written, before any work is done. Raises: ReportError."""
    if path.is_dir():
        raise ReportError(f"expected a file to write, got the folder {path}; name a file in it")
    if not path.parent.is_dir():
        raise ReportError(f"expected a folder for {path.name}, got {path.parent}, which is none; make it first")
    if path.exists() and not force:
        raise _exists(path)


def write_whole(path: Path, data: bytes, *, force: bool) -> None:
    """Put `data` at `path` in one step: a reader, a full disk or a kill sees the old file or the new one, whole.

    force: replace a file that is there; without, even one that appears at the last moment stays as it is.
    Raises: ReportError where the file exists or the folder cannot be written.
    """
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            part.replace(path)
        else:
            _put(part, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise ReportError(
            f"expected to write {path}, got: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _put(part: Path, path: Path) -> None:
    """Give a finished file a second name that nobody has. Raises: FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first, and kept by an empty file for a moment
        path.open("xb").close()
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise


def _exists(path: Path) -> ReportError:
    return ReportError(f"expected a new file, got {path}, which exists; choose another name or add --force")


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise OptionError(f"expected a report format, got {name!r}; use {nearest(name, FORMATS)}")
    return FORMATS[name]
