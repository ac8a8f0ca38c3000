"""What a report says of a whole data set, as tables of words with a small plot beside each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from msgspec import UNSET

from gradcam.draw import render
from gradcam.report.data_set import (
    CandidateEntry,
    CandidateNote,
    ConfusionEntry,
    DataSetEntry,
    Interval,
    MeasureEntry,
)
from gradcam.report.fields import Map
from gradcam.report.model import Content, Pixels
from gradcam.report.sections import UNKNOWN, Plot, Table, figure
from gradcam.text import count, minus_sign, percent

MOST_ROWS = 20
"""Labels, and pairs of label and prediction of a model, that are shown; the JSON holds more."""
HEAT_SIDE = 160
"""Pixels of a mean map."""

ABOUT = (
    "Of all photos of the run, not of the chosen ones alone. Agreement is the mean, over the photos, of the rank "
    "correlation of the two models that agree least. Intervals hold 95 % of the means of photos drawn anew "
    "(bootstrap)."
)
ABOUT_CANDIDATES = (
    "A candidate for a shortcut is a group of photos of one class that share something which the model uses and "
    "the class's other photos lack. A shortcut and a true kind of the class look the same here: it is something to "
    "look at, never a verdict."
)


def overview_table(report: Content) -> Table:
    """What was run, how much of it, and how the photos of the report were chosen."""
    found = _data_set(report)
    rows = (
        ("Data set", found.name),
        ("Photos", f"{found.photos:,}"),
        ("Maps", _maps(found)),
        ("Labels", f"{found.label_count:,}" if found.label_count else UNKNOWN),
        ("Photos of this report", found.chosen),
        ("Maps below", f"{found.method}, {found.target}"),
        ("Evidence", found.evidence or "the run has not finished"),
    )
    return Table(("", ""), rows)


def _maps(found: DataSetEntry) -> str:
    planned = f" of {found.planned:,} planned" if found.maps < found.planned else ""
    return f"{found.maps:,}{planned}" + (f", {found.failed:,} missing" if found.failed else "")


def labels_table(report: Content) -> Table:
    """A row for each of the largest labels: its photos, and how often each model is right."""
    labels = _data_set(report).labels
    shown = sorted(labels, key=lambda one: -one.photos)[:MOST_ROWS]
    most = max((one.photos for one in shown), default=1)
    rows = tuple((one.label, f"{one.photos:,}", *map(_share, one.right)) for one in shown)
    head = ("Label", "Photos", *(f"{name} is right on" for name in report.model_names))
    plots = tuple(_bar(one.photos / max(most, 1), f"{count(one.photos, 'photo')} of {one.label}") for one in shown)
    return Table(head, rows, numbers=tuple(range(1, len(head))), plots=plots)


def confusion_tables(report: Content) -> tuple[tuple[str, Table], ...]:
    """Of each model, by its name: what it predicts first of which label, the most photos first."""
    by_model = groupby(sorted(_data_set(report).confusions, key=lambda one: one.model), key=lambda one: one.model)
    return tuple((report.model_names[model], _confusion_table(list(found))) for model, found in by_model)


def _confusion_table(found: Sequence[ConfusionEntry]) -> Table:
    shown = sorted(found, key=lambda one: (-one.photos, one.label, one.predicted))[:MOST_ROWS]
    most = max(one.photos for one in shown)
    rows = tuple((one.label, one.predicted, f"{one.photos:,}", figure(one.agreement)) for one in shown)
    plots = tuple(_bar(one.photos / max(most, 1), f"{count(one.photos, 'photo')}") for one in shown)
    return Table(("Label", "Predicted first", "Photos", "Agreement"), rows, numbers=(2, 3), plots=plots)


def measures_table(report: Content) -> Table:
    """A row for each measure and model: the mean with its interval, and how it is spread over the photos."""
    found = _data_set(report).measures
    rows = tuple(
        (
            one.measure,
            report.model_names[one.model],
            f"{one.photos:,}",
            _number(one.mean),
            _interval(one.interval),
            _number(one.spread[2]),
        )
        for one in found
    )
    head = ("Measure", "Model", "Photos", "Mean", "95 % interval", "Median")
    return Table(head, rows, numbers=(2, 3, 4, 5), plots=tuple(_boxes(found)))


def differences_table(report: Content) -> Table:
    """A row for each measure and two models: the mean difference photo by photo, marked where 0 is outside of its
    interval.
    """
    found = _data_set(report).differences
    rows = tuple(
        (
            one.measure,
            " − ".join(report.model_names[model] for model in one.models),
            f"{one.photos:,}",
            _number(one.mean, "+"),
            _interval(one.interval, "+"),
        )
        for one in found
    )
    marked = tuple(index for index, one in enumerate(found) if not one.interval[0] <= 0 <= one.interval[1])
    return Table(("Measure", "Models", "Photos", "Mean difference", "95 % interval"), rows, marked, (2, 3, 4))


def candidates_table(report: Content) -> Table:
    """A row for each candidate for a shortcut: what people call it and think of it, its size, how often right."""
    rows = tuple(
        (
            str(number),
            one.label,
            report.model_names[one.model],
            _name(one) or UNKNOWN,
            UNKNOWN if one.status == "draft" else one.status,
            f"{one.members:,} of {one.members + one.others:,}",
            _number(one.score),
            " / ".join(map(_share, one.right[one.model])),
        )
        for number, one in enumerate(_data_set(report).candidates, start=1)
    )
    head = ("No.", "Class", "Model", "Name", "Noted", "Photos", "Score", "Right inside / outside")
    return Table(head, rows, numbers=(0, 5, 6, 7))


def candidate_title(report: Content, number: int) -> str:
    """A candidate as a heading; number: from 1."""
    one = _data_set(report).candidates[number - 1]
    name = _name(one)
    return f"Candidate {number}{f': {name}' if name else ''} · {one.label} · {report.model_names[one.model]}"


def _name(one: CandidateEntry) -> str:
    """What people call a candidate: the name that was given last; empty where nobody named it."""
    return next((note.title for note in reversed(one.notes) if note.title), "")


def note_parts(note: CandidateNote) -> tuple[str, ...]:
    """Who note something of a candidate, what, its name if they gave one, and when: parts of one line."""
    at = note.at.replace("T", " ").replace("Z", " UTC")
    return note.reviewer, note.status, *([note.title] if note.title else []), at


def candidate_facts(report: Content, one: CandidateEntry) -> tuple[str, ...]:
    """What is known of a candidate beside the table, a phrase each."""
    right = [
        f"{name} is right on {_share(inside)} of these photos and on {_share(outside)} of the class's others"
        for name, (inside, outside) in zip(report.model_names, one.right, strict=True)
    ]
    channels = ", ".join(map(str, one.channels))
    return (
        *right,
        *([f"Made by channels {channels} of the target layer"] if channels else []),
        *([f"Strongest on {', '.join(one.strongest)}"] if one.strongest else []),
    )


def candidate_pictures(report: Content, one: CandidateEntry) -> list[tuple[str, Pixels]]:
    """The mean map of the group and of the class's other photos, each with what it is."""
    pairs = (("Mean heat of these photos", one.member_heat), ("Mean heat of the others", one.other_heat))
    return [(words, _drawn(heat, report.style.colormap)) for words, heat in pairs if heat]


def _drawn(heat: Map, colormap: str) -> Pixels:
    values = np.array(heat, np.float32)
    return render.draw_map((values / max(float(values.max()), 1e-12)).clip(0, 1), colormap, HEAT_SIDE)


def _data_set(report: Content) -> DataSetEntry:
    """The report's data set; called only for a report that has one."""
    assert report.data_set is not UNSET
    return report.data_set


# ------------------------------------------------------------------------------- words


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value)


def _number(value: float, sign: str = "") -> str:
    return minus_sign(f"{value:{sign}.3f}")


def _interval(ends: Interval, sign: str = "") -> str:
    return f"{_number(ends[0], sign)} to {_number(ends[1], sign)}"


# ------------------------------------------------------------------------------- plots


WIDE, HIGH = 200, 16
_SVG = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}">{{}}</svg>'
)
_BLUE, _GREY, _DARK = "#3a7bf0", "#8a929e", "#c2410c"


def _bar(share: float, alt: str) -> Plot:
    """share: of the width, in [0, 1]."""
    return Plot(_SVG.format(_rect(0, 4, max(1.0, share * WIDE), 8, _BLUE)), alt)


def _boxes(found: Sequence[MeasureEntry]) -> Iterable[Plot]:
    """A box for each row, those of one measure on one scale."""
    for measure, group in groupby(found, key=lambda one: one.measure):
        rows = list(group)
        low = min(min(one.spread[0], one.interval[0]) for one in rows)
        high = max(max(one.spread[-1], one.interval[1]) for one in rows)
        for one in rows:
            yield _box(one, low, high, f"{measure} from {_number(low)} to {_number(high)}")


def _box(one: MeasureEntry, low: float, high: float, scale: str) -> Plot:
    """From 5 to 95 % as a line, from 25 to 75 % as a box, the median a dash, the mean's interval below them."""

    def at(value: float) -> float:
        return (value - low) / max(high - low, 1e-12) * (WIDE - 4) + 2

    first, quarter, median, three, last = map(at, one.spread)
    parts = (
        _rect(first, 5.5, last - first, 1, _GREY),
        _rect(quarter, 2, three - quarter, 8, _BLUE),
        _rect(median - 1, 2, 2, 8, "#ffffff"),
        _rect(at(one.interval[0]), 12, at(one.interval[1]) - at(one.interval[0]), 2, _DARK),
        _rect(at(one.mean) - 1, 10.5, 2, 5, _DARK),
    )
    words = ", ".join(f"{name} {_number(value)}" for name, value in zip(_QUANTILES, one.spread, strict=True))
    return Plot(_SVG.format("".join(parts)), f"{scale}: {words}, mean {_number(one.mean)}")


_QUANTILES = ("5 %", "25 %", "median", "75 %", "95 %")


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:g}" width="{max(width, 0.5):.1f}" height="{height:g}" fill="{fill}"/>'
