"""The command `models`: the catalogue as a list."""

from __future__ import annotations

import argparse

from gradcam.errors import OptionError, quoted
from gradcam.models import search_models


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("search", nargs="?", default="", metavar="SEARCH", help="part of a name")


def run(options: argparse.Namespace) -> int:
    """Print the id of each model and where its weights come from. Raises: OptionError where no name fits."""
    entries = search_models(options.search)
    if not entries:
        raise OptionError(
            f"expected a part of a model's name, got {quoted(options.search)}, which none has; shorten it"
        )
    for entry in entries:
        print(f"{entry.id:<60} {entry.weights}")
    return 0
