"""How much a report may hold: one table, which its writer keeps to and its reader holds everybody to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gradcam import strict_json
from gradcam.errors import ReportError, quoted
from gradcam.headers import MAX_PIXELS, MAX_SIDE
from gradcam.report.data_set import DataSetEntry
from gradcam.report.model import UNREADABLE, Content
from gradcam.types import View

MAX_BYTES = 1_000_000_000
MAX_JSON = 100_000_000
MAX_ENTRIES = 60_000
MAX_RATIO = 100
"""Limits of a ZIP: its bytes, those of its `report.json`, its files, and bytes that one packed byte may give."""

MAX_EMBEDDED_PIXELS = 1_000_000_000
"""Pixels of all photos that travel along; more would take the memory of a server."""

MAX_LENGTHS = {
    "photos": 10_000,
    "models": 1_000,
    "methods": 1_000,
    "targets": 1_000,
    "findings": 10_000,
    "answers": 10_000,
}
"""The longest lists; `findings` are the panels. A ZIP has up to five files for each of them."""

MAX_OF_DATA_SET = {
    "labels": 1_000,
    "confusions": 10_000,
    "measures": 10_000,
    "differences": 10_000,
    "candidates": 1_000,
}
"""The longest lists of what a data set came to."""

MAX_CELLS = 2_048
MAX_INPUT = 4_096
"""Cells of a map, and pixels of a model's input, along a side."""

MAX_BOX = 4
"""How many times a photo's longer side the box of a model's input may reach, to each direction."""
MIN_BOX = 0.01
"""Pixels of a box along a side."""

MAX_TEXT = 100_000
MAX_DEPTH = 16
MAX_ITEMS, MAX_LISTS = 10_000_000, 2_000_000
MAX_INTEGER = 2**53
MAX_NUMBER = 3.5e38
"""Limits of the JSON: letters of a text, depth, commas, brackets, and the size of numbers."""

YEARS = range(1980, 2108)
"""Years that a ZIP can write."""


def read_json(data: bytes) -> Any:
    """Plain data from a `report.json`, within the bounds above. Raises: ReportError."""
    if len(data) > MAX_JSON:
        raise ReportError(f"expected a report.json of at most {MAX_JSON / 1e6:g} MB, got more; it was not opened")
    if data.count(b",") > MAX_ITEMS or data.count(b"[") + data.count(b"{") > MAX_LISTS:
        raise ReportError(f"expected at most {MAX_ITEMS:,} values in a report.json, got more; it was not opened")
    try:
        found = strict_json.loads(data, parse_constant=_refuse_constant, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"expected a report in JSON, got something else ({quoted(str(error))}); export it again"
        ) from error
    _check_values(found)
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _check_values(found: Any) -> None:
    """Bounds on depth, numbers and texts, the names of fields among them."""
    level, depth = [found], 0
    while level:
        if depth > MAX_DEPTH:
            raise ReportError(
                f"expected a report at most {MAX_DEPTH} levels deep, got a deeper one; export it again"
            )
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            else:
                _check_value(value)
        level, depth = below, depth + 1


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ReportError(
                f"expected texts of at most {MAX_TEXT:,} letters in a report, got {quoted(value, 80)}; shorten it"
            )
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ReportError(
                f"expected texts of whole letters in a report, got {quoted(value, 80)}, which no file can hold; "
                "export it again"
            )
    elif isinstance(value, float):
        if not (math.isfinite(value) and abs(value) <= MAX_NUMBER):
            raise ReportError(f"expected numbers up to {MAX_NUMBER:g} in a report, got {value:g}; export it again")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ReportError(f"expected whole numbers up to 2⁵³ in a report, got {quoted(value, 80)}; export it again")


def check_time(created: str) -> None:
    """Raises: ReportError for a time that cannot be read, or that no ZIP can write."""
    try:
        made = datetime.fromisoformat(created)
    except ValueError as error:
        raise ReportError(f"expected the time of a report, got {quoted(created)}; give one that exists") from error
    if made.year not in YEARS:
        raise ReportError(
            f"expected a report of the years {YEARS[0]} to {YEARS[-1]}, got {quoted(created)}; give another time"
        )


def check_extent(content: Content) -> None:
    """Bounds on lists, sizes, grids and boxes, for the writer as for the reader. Raises: ReportError."""
    check_time(content.created)
    for name, most in MAX_LENGTHS.items():
        if len(getattr(content, name)) > most:
            raise ReportError(
                f"expected at most {most:,} {name} in a report, got {len(getattr(content, name)):,}; "
                "make several reports"
            )
    if content.data_set:
        _check_data_set(content.data_set)
    for photo in content.photos:
        if tuple(photo.size) != UNREADABLE:
            _check_sides(photo.size, MAX_SIDE, f"a size of the photo {quoted(photo.name, 80)}")
            if photo.size[0] * photo.size[1] > MAX_PIXELS:
                raise ReportError(
                    f"expected photos of at most {MAX_PIXELS / 1e6:g} megapixels, got {quoted(photo.name, 80)} "
                    "with more; export the report again"
                )
    for answer in content.answers:
        if answer.layer is not None:
            _check_sides(answer.layer.grid, MAX_CELLS, "a grid")
        _check_sides(answer.view.input_size, MAX_INPUT, "a model's input")
        _check_box(answer.view)
    for panel in content.heatmaps:
        _check_sides((len(panel.map), max(map(len, panel.map), default=0)), MAX_CELLS, "a map")
    for model in content.models:
        if model.preprocessing is not None:
            for sides in (model.preprocessing.size, model.preprocessing.resize):
                _check_sides(sides, MAX_INPUT, "a model's input")


def _check_data_set(found: DataSetEntry) -> None:
    for name, most in MAX_OF_DATA_SET.items():
        if len(getattr(found, name)) > most:
            raise ReportError(
                f"expected at most {most:,} {name} of a data set in a report, got {len(getattr(found, name)):,}; "
                "export it again"
            )
    for heat in (heat for one in found.candidates for heat in (one.member_heat, one.other_heat)):
        if heat is not None:
            _check_sides((len(heat), max(map(len, heat), default=0)), MAX_CELLS, "a mean map")


def _check_sides(sides: tuple[int, int], most: int, what: str) -> None:
    if not all(1 <= side <= most for side in sides):
        told = "×".join(quoted(side, 40) for side in sides)
        raise ReportError(f"expected sides from 1 to {most:,} for {what}, got {told}; export the report again")


def _check_box(view: View) -> None:
    left, top, right, bottom = view.box
    reach = MAX_BOX * max(*view.photo_size, 100)
    if not (max(map(abs, view.box)) <= reach and right - left >= MIN_BOX and bottom - top >= MIN_BOX):
        raise ReportError(
            f"expected views that lie on their photos, got the box {quoted(list(view.box), 120)}; "
            "export the report again"
        )


def check_embedded(sizes: Iterator[tuple[int, int]]) -> None:
    """Raises: ReportError where the photos that travel along have too many pixels together."""
    total = sum(height * width for height, width in sizes)
    if total > MAX_EMBEDDED_PIXELS:
        raise ReportError(
            f"expected photos of at most {MAX_EMBEDDED_PIXELS / 1e6:,.0f} megapixels together, got "
            f"{total / 1e6:,.0f}; it was not opened"
        )
