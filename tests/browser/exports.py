"""Every page that leaves the dashboard as a file, written from one small comparison for tests in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gradcam.comparison import Comparison
from gradcam.draw import comparison_html
from gradcam.report import Note, Verdict, build_report, render_report
from gradcam.types import Photo, Top
from tests import fakes
from tests.report_fakes import NOON, comparison

EXPORTS = ("report", "interactive", "comparison")

REASON = f"expected weights, found none; put the file {'https://example.org/' + 20 * 'models/'} there"


def write_export(name: str, folder: Path, models: int, photos: int) -> Path:
    """One of `EXPORTS` as a file; a verdict and a note.

    models: how many have maps; of more than one, the last fails on a second question, and two others on all.
    photos: one or two.
    """
    compared = _compared(models, [fakes.photo(120, 180, "one.jpg"), fakes.photo(150, 150, "two.jpg")][:photos])
    verdict = Verdict(
        "in review", "Ada", "2026-11-22", "See [the guideline](https://example.org) **first**", ("Why?",)
    )
    notes = [Note("approved", "The *eyes*"), Note()]
    report = build_report(compared, now=NOON, verdict=verdict, notes=notes[:photos])
    path = folder / f"{name}.html"
    if name == "comparison":
        path.write_text(comparison_html(compared), "utf-8")
    else:
        path.write_bytes(render_report(report, {"report": "html"}.get(name, name)))
    return path


def _compared(models: int, photos: list[Photo]) -> Comparison:
    if models == 1:
        return comparison(photos, ["x/a"])
    names = [f"x/{letter}" for letter in "abcdefgh"[:models]]
    made = comparison(photos, [*names, "y/lost", "y/gone"], [Top(), "tabby"])
    fails = {(names[-1], "tabby")} | {(model, target) for model in made.models[models:] for target in made.targets}
    panels = (
        fakes.failure(panel.photo, REASON, model=panel.model, target=panel.target)
        if (panel.model, panel.target) in fails
        else panel
        for panel in made.panels
    )
    return replace(made, panels=tuple(panels))
