"""The command `replay`: the maps of a report, computed again and compared."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from gradcam.cli import terminal
from gradcam.cli.model_options import add_checkpoint_options, add_exact_option, load_checkpoints, models_in_memory
from gradcam.models import Classifier
from gradcam.photo_file import open_photos, photo_file
from gradcam.report import TOLERANCE, read_report, replay
from gradcam.types import UnreadablePhoto


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("report", metavar="REPORT", help="a ZIP or JSON written by `gradcam report`")
    add("photos", nargs="*", metavar="PHOTO", help="originals that the report does not carry in full")
    add("--tolerance", type=float, default=TOLERANCE, metavar="SHARE", help=f"of each map's peak [{TOLERANCE:g}]")
    add_exact_option(parser)
    add_checkpoint_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the outcome of each map; 1 if one differs or cannot be checked."""
    report = read_report(Path(options.report))
    # A file does not say whether the report stretched its photo: each is opened in every way that the report used.
    ways = sorted({photo.stretched for photo in report.photos})
    photos = [photo for way in ways for photo in open_photos(options.photos, partial(photo_file, stretch=way))]
    for photo in photos:
        if isinstance(photo, UnreadablePhoto):
            terminal.tell(f"{photo.name}: {photo.reason}", sys.stderr)
    checkpoints = {str(classifier.spec): classifier for classifier in load_checkpoints(options)}

    by_id = models_in_memory(exact=options.exact)

    def use(model: str) -> AbstractContextManager[Classifier]:
        return nullcontext(checkpoints[model]) if model in checkpoints else by_id.use(model)

    with terminal.comparing(len(report.models), len(report.photos)) as show:
        done = replay(report, photos=photos, use=use, tolerance=options.tolerance, on_progress=show)
    for line in (*done.checks, *(f"this machine: {change}" for change in done.environment), done):
        terminal.tell(str(line))
    return terminal.DIFFERENT if done.count("differs") or done.count("cannot be checked") else 0
