"""The command `methods`: the table of methods, in words or as Markdown."""

from __future__ import annotations

import argparse

from gradcam.cli import terminal
from gradcam.methods import METHODS, WRAPPERS, Method, Wrapper, markdown_table


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the table that README has")


def run(options: argparse.Namespace) -> int:
    if options.markdown:
        lines = markdown_table().splitlines()
    else:
        lines = [*map(_sentence, METHODS.values()), *map(_sentence_of_wrapper, WRAPPERS.values())]
    for line in lines:
        terminal.tell(line)
    return 0


def _sentence(method: Method) -> str:
    return " · ".join([method.name, method.says, method.cost, f"{method.citation}, {method.link}"])


def _sentence_of_wrapper(wrapper: Wrapper) -> str:
    published = [f"{wrapper.paper}, {wrapper.link}"] if wrapper.paper else []
    several = f"{wrapper.times} times the method's cost and a forward"
    cost = several if wrapper.times > 1 else "the method's cost"
    return " · ".join([f"{wrapper.name}(METHOD)", wrapper.says.format(base="the method"), cost, *published])
