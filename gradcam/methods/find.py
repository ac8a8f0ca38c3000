"""A method by what somebody typed, bare or in wrappers, and whether it takes too many forwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from gradcam.errors import OptionError, nearest, quoted
from gradcam.methods.method import USUAL, Method
from gradcam.methods.table import GRADCAM, METHODS
from gradcam.methods.wrappers import WRAPPERS, Wrapper
from gradcam.text import listed

Row = TypeVar("Row", Method, Wrapper)


def find_method(name: str) -> Method:
    """A row of `METHODS` by its name, without regard to case and hyphens, or a row that `WRAPPERS` make of one:
    `SmoothGrad(LayerCAM)`.

    Raises: OptionError naming the nearest methods or wrappers, also for a wrapper that does not fit.
    """
    name = str(name)
    if row := _find(name, METHODS):
        return row
    outer, bracket, inner = name.strip().partition("(")
    if not bracket:
        raise OptionError(f"expected a method, got {quoted(name)}; use {nearest(name, METHODS)}")
    wrapper = _find(outer, WRAPPERS)
    if wrapper is None:
        known = ", ".join(f"{known}(…)" for known in WRAPPERS)
        raise OptionError(f"expected a wrapper before the bracket, got {quoted(outer)}; use {known}")
    if not inner.endswith(")") or inner.count("(") > len(WRAPPERS):
        raise OptionError(
            f"expected a method in brackets, got {quoted(name)}; write {wrapper.name}({GRADCAM.name})"
        )
    row = wrapper.of(find_method(inner[:-1]))
    return METHODS.get(row.name.removesuffix(f"({GRADCAM.name})"), row)


def known_method(name: str) -> Method | None:
    """The row that has exactly this name, which may come from a file; None if no row has."""
    try:
        row = find_method(name)
    except OptionError:
        return None
    return row if row.name == name else None


def find_methods(names: str | Sequence[str]) -> tuple[Method, ...]:
    """One row, or several in their order, each once. Raises: OptionError, also if there is none."""
    if not isinstance(names, list | tuple):
        return (find_method(str(names)),)
    found = [find_method(name) for name in names]
    if not found:
        raise OptionError(f"expected at least one method, got none; use {GRADCAM.name}")
    return tuple({method.name: method for method in found}.values())


def check_forwards(
    methods: Iterable[Method],
    most: int,
    classes: int = 1,
    layers: int = 1,
    instead: str = "",
) -> None:
    """Raises: OptionError if the methods take more than about `most` forwards of each photo and model together.

    The forward that all methods share is counted once a layer.
    classes, layers: how many are asked for. instead: what to do then; empty to name what takes so many.
    """
    total, counts = layers, dict(USUAL)
    counts["class"] = classes
    causes = {"methods": True, "layers": False, "classes": False}
    for method in methods:
        times = layers if method.reads_layer else 1
        total += times * (method.forwards_for(counts) - 1)
        causes["layers"] |= times > 1
        causes["classes"] |= classes > 1 and method.more > 0 and method.part == "class"
        if total > most:
            fewer = listed([name for name, is_one in causes.items() if is_one], "or")
            raise OptionError(
                f"expected methods of at most {most:,} forwards of each photo and model, got about {total:,} with "
                f"{method.name}; {instead or f'take fewer {fewer}, or no wrapper'}"
            )


def _find(name: str, rows: Mapping[str, Row]) -> Row | None:
    return rows.get(name) or {_plain(known): row for known, row in rows.items()}.get(_plain(name))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "")
