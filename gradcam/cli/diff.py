"""The command `diff`: what changed between two reports."""

from __future__ import annotations

import argparse
from pathlib import Path

from gradcam.cli import terminal
from gradcam.report import diff, read_report


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", nargs=2, metavar="REPORT", help="a ZIP or JSON written by `gradcam report`")


def run(options: argparse.Namespace) -> int:
    """Print every change; 1 where there is one."""
    changes = diff(*(read_report(Path(path)) for path in options.reports))
    for change in changes:
        terminal.tell(str(change))
    if not changes:
        terminal.tell("Both reports say the same.")
    return terminal.DIFFERENT if changes else 0
