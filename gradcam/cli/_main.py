"""The command `gradcam`: a table of its commands, one file each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Protocol

from gradcam.cli import (
    diff,
    explain,
    key,
    layers,
    methods,
    models,
    replay,
    report,
    review,
    run,
    sign,
    terminal,
    verify,
)


class Command(Protocol):
    """The functions of a command's file: one adds its options, one runs it and returns the exit code."""

    def add_options(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, options: argparse.Namespace, /) -> int: ...


COMMANDS: dict[str, tuple[Command, str]] = {
    "explain": (explain, "Compute heatmaps of photos with one or more models, side by side."),
    "models": (models, "List the models that can be compared."),
    "methods": (methods, "List the methods that make heatmaps: what each shows, needs and costs."),
    "run": (run, "Run models over a data set, into a folder that is gone on with after any end."),
    "layers": (layers, "Find the target layer of models from their shapes alone, without weights."),
    "report": (report, "Compare models on photos and write a report that can be checked."),
    "replay": (replay, "Compute the maps of a report again and say whether they are the same."),
    "diff": (diff, "Say what changed between two reports."),
    "review": (review, "Review models as a team: verdicts, comments and signatures that are kept."),
    "key": (key, "Make, list and revoke keys that reports are signed with."),
    "sign": (sign, "Sign a report: its evidence and its verdict."),
    "verify": (verify, "Say who has signed a report, and whether everything in it fits."),
}
"""Each command's file, and what it does in a sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 if a panel failed, a check did not hold or something differs; 2 for bad input or a machine that does not do
    its part; 130 for Ctrl-C, 143 for SIGTERM, and 141 if nobody reads the output any more.
    """

    def command() -> int:
        options = _parser().parse_args(arguments)
        return options.run(options)

    return terminal.run(command)


def _parser() -> argparse.ArgumentParser:
    parser = terminal.Parser(
        prog="gradcam", description="What do these image classifiers look at, and do they agree?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (command, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        command.add_options(sub)
        sub.set_defaults(run=command.run)
    return parser
