"""Writing a report in one of its formats: whole files or none."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gradcam.errors import OptionError, ReportError, quoted
from gradcam.files import write_whole
from gradcam.kinds import expect, expect_one_of
from gradcam.report.checks import Thresholds
from gradcam.report.formats import FORMATS, junit
from gradcam.report.model import Report


def render_report(report: Report, format: str = "zip", thresholds: Thresholds | None = None) -> bytes:
    """The report's bytes in a row of `FORMATS`; the same report gives the same bytes.

    thresholds: what the checks of `junit` must keep; no other format asks for them.
    Raises: OptionError for another format, ReportError where it cannot be written whole.
    """
    expect(Report, report)
    file = io.BytesIO()
    _writer(format, thresholds)(report, file)
    return file.getvalue()


def write_report(
    report: Report,
    path: str | Path,
    format: str | None = None,
    *,
    thresholds: Thresholds | None = None,
    force: bool = False,
) -> Path:
    """Write a report to `path`: whole or, whatever interrupts it, not at all.

    format: a row of `FORMATS`; by default the one whose suffix `path` has. thresholds: as for `render_report`.
    force: replace a file that is there already.
    Raises: OptionError for an unknown format, ReportError for what is no Report, or if the file exists or cannot be
        written.
    """
    expect(Report, report)
    expect(str | Path, path)
    path = Path(path)
    write = _writer(format_of(path) if format is None else format, thresholds)
    with write_whole(path, force=force, error=ReportError) as file:
        write(report, file)
    return path


def format_of(path: Path, *, others: Iterable[str] = ()) -> str:
    """The format whose suffix a path has.

    others: suffixes that are no report's and could be written there as well.
    Raises: OptionError for any other suffix, which names all.
    """
    fitting = [name for name, row in FORMATS.items() if path.name.lower().endswith(row.suffix)]
    if fitting:
        return max(fitting, key=lambda name: len(FORMATS[name].suffix))
    suffixes = ", ".join(dict.fromkeys((*others, *(row.suffix for row in FORMATS.values()))))
    raise OptionError(
        f"expected a file name that ends in one of {suffixes}, got {quoted(path.name)}; name the format"
    )


def _writer(format: str, thresholds: Thresholds | None) -> Callable[[Report, BinaryIO], None]:
    expect_one_of(FORMATS, format, "a report format")
    return partial(junit.write, thresholds=thresholds) if format == "junit" else FORMATS[format].write
