"""The command `methods`: the table of methods, in words or as Markdown."""

from __future__ import annotations

import argparse

from gradcam.cli import terminal
from gradcam.methods import METHODS, WRAPPERS, Method, Wrapper


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the table that README has")


def run(options: argparse.Namespace) -> int:
    if options.markdown:
        lines = _markdown().splitlines()
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


def _markdown() -> str:
    """All methods and what they need and cost, then the wrappers, as tables of Markdown."""
    head = ("method", "what it shows", "reads", "class", "signs", "forwards", "backwards a class")
    rows = [
        (
            f"[{method.name}]({method.link})<br>{method.citation}",
            " ".join(filter(None, (method.says, method.caveats))),
            ", ".join(method.needs),
            "yes" if method.class_specific else "no",
            "±" if method.signed else "+",
            method.forwards_text,
            method.backwards_text,
        )
        for method in METHODS.values()
    ]
    wrappers = [
        (
            f"[{name}(…)]({wrapper.link})<br>{wrapper.paper}" if wrapper.link else f"{name}(…)",
            " ".join((wrapper.says.format(base="the method"), wrapper.caveats)),
            f"× {wrapper.times}" + ", + 1 forward" * (wrapper.times > 1),
        )
        for name, wrapper in WRAPPERS.items()
    ]
    by_columns = _table(head, ("---",) * 5 + ("--:",) * 2, *rows)
    return f"{by_columns}\n\n{_table(('wrapper', 'what it shows', 'cost'), ('---', '---', '--:'), *wrappers)}"


def _table(*rows: tuple[str, ...]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
