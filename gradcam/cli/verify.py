"""The command `verify`: who has signed a report, and whether everything in it fits."""

from __future__ import annotations

import argparse

from gradcam.cli import terminal
from gradcam.errors import ReportError
from gradcam.files import read_file
from gradcam.keys import keys_in
from gradcam.report import verify_report
from gradcam.text import first_few


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=terminal.path, metavar="REPORT", help="a ZIP or JSON")
    parser.add_argument(
        "--trust",
        type=terminal.path,
        metavar="FOLDER",
        help="of .pub files whose signatures count, beside your own",
    )


def run(options: argparse.Namespace) -> int:
    """Print each signature and what is known; 1 if anything does not fit or nobody trusted has signed."""
    trusted = keys_in(options.trust).values() if options.trust else ()
    read_file(options.report, 0, "a report", error=ReportError)  # a file that is not there is another mistake
    try:
        found = verify_report(options.report, trusted)
    except ReportError as error:
        terminal.tell(str(error))
        return terminal.DIFFERENT
    for signature in found.signatures:
        terminal.tell(str(signature))
    if found.unknown:
        made_by = found.report.environment.gradcam
        terminal.tell(f"made by gradcam {made_by}; cannot be compared here: {first_few(list(found.unknown))}")
    terminal.tell(found.statement)
    return 0 if found.holds else terminal.DIFFERENT
