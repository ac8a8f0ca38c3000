"""The command `gradcam`: a table of its commands, one file each, of which the one that is asked for is imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from gradcam import starting
from gradcam.cli import terminal


class Command(Protocol):
    """The functions of a command's file: one adds its options, one runs it and returns the exit code."""

    def add_options(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, options: argparse.Namespace, /) -> int: ...


COMMANDS = {
    "explain": "Compute heatmaps of photos with one or more models, side by side.",
    "models": "List the models that can be compared.",
    "methods": "List the methods that make heatmaps: what each shows, needs and costs.",
    "run": "Run models over a data set, into a folder that is gone on with after any end.",
    "layers": "Find the target layer of models from their shapes alone, without weights.",
    "report": "Compare models on photos and write a report that can be checked.",
    "replay": "Compute the maps of a report again and say whether they are the same.",
    "diff": "Say what changed between two reports.",
    "review": "Review models as a team: verdicts, comments and signatures that are kept.",
    "key": "Make, list and revoke keys that reports are signed with.",
    "sign": "Sign a report: its evidence and its verdict.",
    "verify": "Say who has signed a report, and whether everything in it fits.",
}
"""What each command does in a sentence; its file has its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 if a panel failed, a check did not hold or something differs; 2 for bad input or a machine that does not do
    its part; 130 for Ctrl-C, 143 for SIGTERM, and 141 if nobody reads the output any more.
    """

    def command() -> int:
        words = sys.argv[1:] if arguments is None else arguments
        options = _parser(next(iter(words), "")).parse_args(words)
        starting.done()
        return options.run(options)

    return terminal.run(command)


def _parser(requested: str) -> argparse.ArgumentParser:
    """requested: the only command whose options are read."""
    parser = terminal.Parser(
        prog="gradcam", description="What do these image classifiers look at, and do they agree?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if name == requested:
            command = cast(Command, import_module(f"gradcam.cli.{name}"))
            command.add_options(sub)
            sub.set_defaults(run=command.run)
    return parser
