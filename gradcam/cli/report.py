"""The command `report`: a comparison with what a reviewer says of it, in any format."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gradcam.cli import terminal
from gradcam.cli.options import add_comparison_options, read_request
from gradcam.errors import OptionError, quoted
from gradcam.files import refuse_existing
from gradcam.kinds import expect_one_of
from gradcam.photo import photo_name
from gradcam.regions import read_region
from gradcam.report import (
    EMBEDDED,
    FORMATS,
    STATUSES,
    TITLE,
    YEARS,
    Note,
    Report,
    Thresholds,
    Verdict,
    build_report,
    check,
    format_of,
    read_thresholds,
    write_report,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=terminal.path, metavar="FILE", help="such as review.zip")
    parser.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        help="repeatable: FILE then gets each format's suffix [by FILE]",
    )
    add_comparison_options(parser)
    _add_review_options(parser)
    _add_threshold_options(parser)


def _add_review_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what the reviewer says").add_argument
    add("--title", default=TITLE)
    add("--status", default=Verdict.status, choices=STATUSES, help="[needs review]")
    add("--reviewer", default="")
    add("--date", default="")
    add("--summary", default="", metavar="MARKDOWN")
    add("--open-question", action="append", default=[], metavar="TEXT", help="repeatable")
    add("--note", action="append", default=[], metavar="N=MARKDOWN", help="on the N-th photo")
    add(
        "--region",
        action="append",
        default=[],
        metavar="N=X,Y,X,Y[,…]",
        help="where the object is on the N-th photo, in its pixels: two corners of a box, or more of an outline",
    )
    add("--photo-status", action="append", default=[], metavar="N=STATUS", help="of the N-th photo")
    add(
        "--photos",
        dest="embedded",
        default="full",
        choices=EMBEDDED,
        help="how photos travel along, never with EXIF",
    )
    add("--now", metavar="TIME", help="the report's time, such as 2026-11-22T12:00:00Z [the present]")


def _add_threshold_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("thresholds: exit code 1 where one does not hold").add_argument
    add("--min-agreement", type=float, metavar="R", help="least rank correlation of any two models")
    add(
        "--expect-class",
        action="append",
        default=[],
        metavar="[PHOTO=]CLASS",
        help="that every model predicts first",
    )
    add("--max-outside-box", type=float, metavar="SHARE", help="most heat outside a photo's box, else its region")
    add("--box", action="append", default=[], metavar="PHOTO=LEFT,TOP,RIGHT,BOTTOM", help="in pixels")


def run(options: argparse.Namespace) -> int:
    """Write a report in each format; 1 where a panel failed or a threshold does not hold."""
    files = _files(options.out, options.format)
    for path in files.values():
        refuse_existing(path, options.force)
    notes, now, thresholds = _notes(options, len(options.photos)), _time(options.now), _thresholds(options)
    regions = {number: read_region(text) for number, text in _numbered(options.region, len(options.photos)).items()}
    request = read_request(options)
    photos = tuple(
        replace(photo, region=regions.get(number)) for number, photo in enumerate(request.photos, start=1)
    )
    request = replace(request, photos=photos)
    report = build_report(
        request.compare(),
        style=request.style,
        verdict=_verdict(options),
        notes=notes,
        title=options.title,
        layer=request.layer,
        fit=request.fit,
        embedded=options.embedded,
        now=now,
    )
    failed = [one for one in check(report, thresholds) if one.failure is not None]
    _write(report, files, thresholds, force=options.force)
    for one in failed:
        terminal.tell(f"{one.photo} · {one.name}: {one.failure}", sys.stderr)
    return terminal.DIFFERENT if failed else 0


def _write(report: Report, files: dict[str, Path], thresholds: Thresholds, *, force: bool) -> None:
    for name, path in files.items():
        write_report(report, path, name, thresholds=thresholds, force=force)
        terminal.tell(f"Wrote {path} ({path.stat().st_size / 1e3:,.0f} kB)")


def _files(out: Path, formats: list[str] | None) -> dict[str, Path]:
    """The path of each wanted format: `out` itself for one, `out` with each format's own suffix for several."""
    wanted = list(dict.fromkeys(formats or [format_of(out)]))
    if not out.name:
        raise OptionError(f"expected a file to write, got the folder {quoted(out)}; name a file in it")
    if len(wanted) == 1:
        return {wanted[0]: out}
    return {name: out.with_suffix(FORMATS[name].suffix) for name in wanted}


def _verdict(options: argparse.Namespace) -> Verdict:
    return Verdict(options.status, options.reviewer, options.date, options.summary, tuple(options.open_question))


def _thresholds(options: argparse.Namespace) -> Thresholds:
    return read_thresholds(
        [photo_name(photo) for photo in options.photos],
        min_agreement=options.min_agreement,
        expect_classes=options.expect_class,
        max_outside_box=options.max_outside_box,
        boxes=options.box,
        marked=bool(options.region),
    )


def _notes(options: argparse.Namespace, photos: int) -> list[Note]:
    texts, statuses = _numbered(options.note, photos), _numbered(options.photo_status, photos)
    for status in statuses.values():
        expect_one_of(STATUSES, status, "a status")
    return [
        Note(statuses.get(number, Note.status), texts.get(number, ""))  # pyright: ignore[reportArgumentType]
        for number in range(1, photos + 1)
    ]


def _numbered(values: list[str], photos: int) -> dict[int, str]:
    """`N=TEXT` options by N."""
    found: dict[int, str] = {}
    for value in values:
        number, equals, text = value.partition("=")
        if not equals or not re.fullmatch("[0-9]{1,9}", number) or not 1 <= int(number) <= photos:
            raise OptionError(
                f"expected a photo's number from 1 to {photos} and a text, such as 1=good, got {quoted(value)}"
            )
        found[int(number)] = text
    return found


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        made = datetime.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"expected a time such as 2026-11-22T12:00:00Z, got {quoted(text)}") from error
    if made.year not in YEARS[1:-1]:
        raise OptionError(f"expected a year from {YEARS[1]} to {YEARS[-2]}, got {quoted(text)}")
    if made.tzinfo is None:
        raise OptionError(
            f"expected a time with its zone, such as 2026-11-22T12:00:00Z, got {quoted(text)}; add Z for UTC"
        )
    return made
