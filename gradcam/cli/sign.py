"""The command `sign`: a signature added to a report."""

from __future__ import annotations

import argparse

from gradcam.cli import terminal
from gradcam.keys import fingerprint, secret_key
from gradcam.report import sign_report


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=terminal.path, metavar="REPORT", help="a ZIP with a verdict")
    parser.add_argument(
        "--key", type=terminal.path, metavar="FILE", help="a .key file [the only one of your own folder]"
    )


def run(options: argparse.Namespace) -> int:
    """Print who signed what."""
    said = sign_report(options.report, secret_key(options.key, "name one with --key")).statement
    terminal.tell(f"{options.report}: {said.status}, signed by {said.name} ({fingerprint(said.key)}), {said.at}")
    return 0
