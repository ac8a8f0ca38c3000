"""The commands `report`, `replay` and `diff`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

from gradcam._compare import compare
from gradcam.cli import terminal
from gradcam.cli.options import (
    add_activation_option,
    add_checkpoint_options,
    custom_models,
    requested_activations,
    requested_models,
)
from gradcam.draw.render import SEQUENTIAL, check_style
from gradcam.errors import OptionError, ReportError, nearest, quoted
from gradcam.files import refuse_existing, write_whole
from gradcam.models.classifier import Classifier
from gradcam.models.pool import shared_pool
from gradcam.photo import SAMPLES, sample_photo
from gradcam.photo_file import open_photos, photo_file, refuse_none_readable
from gradcam.preprocess import FITS
from gradcam.report._diff import diff
from gradcam.report._replay import TOLERANCE, replay
from gradcam.report._write import format_of, render_report
from gradcam.report.build import build_report
from gradcam.report.checks import Thresholds, check, read_thresholds
from gradcam.report.formats import FORMATS
from gradcam.report.limits import YEARS
from gradcam.report.model import CARRIED, STATUSES, TITLE, Note, Report, Verdict
from gradcam.report.read import read_report
from gradcam.report.reproduce import read_layer
from gradcam.targets import read_targets
from gradcam.types import Photo, Style, UnreadablePhoto

AddCommand = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_report_commands(command: AddCommand) -> None:
    """Add the three commands through `command(name, run, text)`, which returns the new parser.

    They return 0; 1 where a panel failed, a threshold did not hold, or something differs.
    """
    _add_report(command("report", _report, "Compare models on photos and write a report that can be checked."))

    sub = command("replay", _replay, "Compute the maps of a report again and say whether they are the same.")
    sub.add_argument("report", metavar="REPORT", help="a ZIP or JSON written by `gradcam report`")
    sub.add_argument("photos", nargs="*", metavar="PHOTO", help="originals that the report does not carry in full")
    sub.add_argument(
        "--tolerance", type=float, default=TOLERANCE, metavar="SHARE", help=f"of each map's peak [{TOLERANCE:g}]"
    )
    add_checkpoint_options(sub)

    sub = command("diff", _diff, "Say what changed between two reports.")
    sub.add_argument("reports", nargs=2, metavar="REPORT", help="a ZIP or JSON written by `gradcam report`")


def _add_report(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help=f"a picture, or a sample: {', '.join(SAMPLES)}")
    sub.add_argument("--model", action="append", default=[], metavar="ID", help="see `gradcam models`; repeatable")
    sub.add_argument(
        "--class",
        action="append",
        dest="classes",
        metavar="CLASS",
        help="a class by name, index (`#281`), `top`, `top-2` or `A rather than B`; repeatable [top]",
    )
    sub.add_argument("--out", required=True, type=terminal.path, metavar="FILE", help="such as review.zip")
    sub.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        help="repeatable: FILE then gets each format's suffix [by FILE]",
    )
    sub.add_argument("--force", action="store_true", help="replace files that exist")
    sub.add_argument("--fit", default="crop", choices=FITS, help="how a photo meets the input [crop]")
    sub.add_argument("--stretch", action="store_true", help="show each photo's brightest level as white")
    sub.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="[ID=]LAYER",
        help="a module's name or its place among the candidates, of every model or of one; repeatable [auto]",
    )
    look = sub.add_argument_group("how maps are shown")
    look.add_argument(
        "--colormap", default=Style.colormap, metavar="|".join(SEQUENTIAL), help="of the heat [viridis]"
    )
    look.add_argument("--opacity", default=Style.opacity, type=float, help="of the heat, 0 to 1 [0.5]")
    look.add_argument(
        "--scale", default=Style.scale, choices=("each", "model", "shared"), help="whose peak is hot [each]"
    )
    look.add_argument("--interpolation", default=Style.interpolation, choices=("bilinear", "nearest"))
    look.add_argument("--threshold", default=Style.threshold, type=float, help="heat below is left out, 0 to 1 [0]")
    add_checkpoint_options(sub)
    add_activation_option(sub)
    review = sub.add_argument_group("what the reviewer says")
    review.add_argument("--title", default=TITLE)
    review.add_argument("--status", default=Verdict.status, choices=STATUSES, help="[needs review]")
    review.add_argument("--reviewer", default="")
    review.add_argument("--date", default="")
    review.add_argument("--summary", default="", metavar="MARKDOWN")
    review.add_argument("--open-question", action="append", default=[], metavar="TEXT", help="repeatable")
    review.add_argument("--note", action="append", default=[], metavar="N=MARKDOWN", help="on the N-th photo")
    review.add_argument("--photo-status", action="append", default=[], metavar="N=STATUS", help="of the N-th photo")
    review.add_argument(
        "--photos", dest="carried", default="full", choices=CARRIED, help="how photos travel along, never with EXIF"
    )
    review.add_argument(
        "--now", metavar="TIME", help="the report's time, such as 2026-11-22T12:00:00Z [the present]"
    )
    limits = sub.add_argument_group("thresholds: exit code 1 where one does not hold")
    limits.add_argument("--min-agreement", type=float, metavar="R", help="least rank correlation of any two models")
    limits.add_argument(
        "--expect-class",
        action="append",
        default=[],
        metavar="[PHOTO=]CLASS",
        help="that every model predicts first",
    )
    limits.add_argument("--max-outside-box", type=float, metavar="SHARE", help="most heat outside a photo's box")
    limits.add_argument(
        "--box", action="append", default=[], metavar="PHOTO=LEFT,TOP,RIGHT,BOTTOM", help="in pixels"
    )


# ------------------------------------------------------------------------------------------- report


def _report(options: argparse.Namespace) -> int:
    style = Style(options.colormap, options.opacity, options.scale, options.interpolation, options.threshold)
    check_style(style)
    files = _files(options.out, options.format)
    for path in files.values():
        refuse_existing(path, options.force, error=ReportError)
    photos = open_photos(options.photos, partial(_photo, stretch=options.stretch))
    refuse_none_readable(photos)
    terminal.say_notes(photos)
    thresholds = read_thresholds(
        [photo.name for photo in photos],
        min_agreement=options.min_agreement,
        expect_classes=options.expect_class,
        max_outside_box=options.max_outside_box,
        boxes=options.box,
    )
    notes, now = _notes(options, len(photos)), _time(options.now)
    models = requested_models(options)
    targets = read_targets(options.classes, models)
    activation = requested_activations(options, models)
    layer = _layers(options.layer, [model if isinstance(model, str) else str(model.spec) for model in models])
    with terminal.comparing(len(models), len(photos)) as show:
        compared = compare(
            models, photos, targets, fit=options.fit, layer=layer, activation=activation, on_progress=show
        )
    said = Verdict(options.status, options.reviewer, options.date, options.summary, tuple(options.open_question))
    report = build_report(
        compared,
        style=style,
        verdict=said,
        notes=notes,
        title=options.title,
        layer=layer,
        fit=options.fit,
        carried=options.carried,
        now=now,
    )
    failed = [one for one in check(report, thresholds) if one.failure is not None]
    _write(report, files, thresholds, force=options.force)
    for one in failed:
        terminal.tell(f"{one.photo} · {one.name}: {one.failure}", sys.stderr)
    return terminal.DIFFERENT if failed else 0


def _write(report: Report, files: dict[str, Path], thresholds: Thresholds, *, force: bool) -> None:
    for name, path in files.items():
        data = render_report(report, name, thresholds)
        with write_whole(path, force=force, error=ReportError) as file:
            file.write(data)
        terminal.tell(f"Wrote {path} ({len(data) / 1e3:,.0f} kB)")


def _files(out: Path, formats: list[str] | None) -> dict[str, Path]:
    """The path of each wanted format: `out` itself for one, `out` with each format's own suffix for several."""
    wanted = list(dict.fromkeys(formats or [format_of(out)]))
    if len(wanted) == 1:
        return {wanted[0]: out}
    return {name: out.with_suffix(FORMATS[name].suffix) for name in wanted}


def _photo(name: str | Path, *, stretch: bool) -> Photo:
    is_sample = name in SAMPLES and not os.path.lexists(name)
    return sample_photo(str(name)) if is_sample else photo_file(name, stretch=stretch)


def _notes(options: argparse.Namespace, photos: int) -> list[Note]:
    texts, statuses = _numbered(options.note, photos), _numbered(options.photo_status, photos)
    for status in statuses.values():
        if status not in STATUSES:
            raise OptionError(f"expected a status, got {quoted(status)}; use {nearest(status, STATUSES)}")
    return [
        Note(statuses.get(place, Note.status), texts.get(place, ""))  # pyright: ignore[reportArgumentType]
        for place in range(1, photos + 1)
    ]


def _numbered(values: list[str], photos: int) -> dict[int, str]:
    """`N=TEXT` options by N."""
    found: dict[int, str] = {}
    for value in values:
        place, equals, text = value.partition("=")
        if not equals or not re.fullmatch("[0-9]{1,9}", place) or not 1 <= int(place) <= photos:
            raise OptionError(
                f"expected a photo's number from 1 to {photos} and a text, such as 1=good, got {quoted(value)}"
            )
        found[int(place)] = text
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


def _layers(values: list[str], models: list[str]) -> dict[str, str | int]:
    """`LAYER` and `ID=LAYER` options by model; what is said of one model goes before what is said of all."""
    split = [value.rpartition("=") for value in values]
    unknown = [model for model, _, _ in split if model and model not in models]
    if unknown:
        raise OptionError(
            f"expected one of the models before =, got {quoted(unknown[0])}; use {nearest(unknown[0], models)}"
        )
    of_all = {model: read_layer(layer) for one, _, layer in split if not one for model in models}
    return of_all | {model: read_layer(layer) for model, _, layer in split if model}


# ---------------------------------------------------------------------------------- replay and diff


def _replay(options: argparse.Namespace) -> int:
    report = read_report(Path(options.report))
    ways = sorted({photo.stretched for photo in report.photos})
    photos = [photo for way in ways for photo in open_photos(options.photos, partial(photo_file, stretch=way))]
    for photo in photos:
        if isinstance(photo, UnreadablePhoto):
            terminal.tell(f"{photo.name}: {photo.reason}", sys.stderr)
    own = {str(classifier.spec): classifier for classifier in custom_models(options)}

    def use(model: str) -> AbstractContextManager[Classifier]:
        return nullcontext(own[model]) if model in own else shared_pool().use(model)

    with terminal.comparing(len(report.models), len(report.photos)) as show:
        done = replay(report, photos=photos, use=use, tolerance=options.tolerance, on_progress=show)
    for one in (*done.checks, *(f"this machine: {change}" for change in done.environment), done):
        terminal.tell(str(one))
    return terminal.DIFFERENT if done.count("differs") or done.count("cannot be checked") else 0


def _diff(options: argparse.Namespace) -> int:
    changes = diff(*(read_report(Path(path)) for path in options.reports))
    for change in changes:
        terminal.tell(str(change))
    if not changes:
        terminal.tell("Both reports say the same.")
    return terminal.DIFFERENT if changes else 0
