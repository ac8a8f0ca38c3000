"""Every page that leaves the dashboard as a file, written from one small comparison for tests in a browser."""

from __future__ import annotations

from pathlib import Path

from gradcam.draw import comparison_html
from gradcam.report import Note, Verdict, build_report, render_report
from tests import fakes
from tests.report_fakes import NOON, comparison

EXPORTS = ("report", "interactive", "comparison")


def write_export(name: str, folder: Path) -> Path:
    """One of `EXPORTS` as a file; two photos, two models, a verdict and a note."""
    compared = comparison([fakes.photo(120, 180, "one.jpg"), fakes.photo(150, 150, "two.jpg")])
    verdict = Verdict(
        "in review", "Ada", "2026-11-22", "See [the guideline](https://example.org) **first**", ("Why?",)
    )
    report = build_report(compared, now=NOON, verdict=verdict, notes=[Note("approved", "The *eyes*"), Note()])
    path = folder / f"{name}.html"
    if name == "comparison":
        path.write_text(comparison_html(compared), "utf-8")
    else:
        path.write_bytes(render_report(report, {"report": "html"}.get(name, name)))
    return path
