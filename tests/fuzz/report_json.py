"""`report.json` of today and of 0.1.0, spoiled; what still opens must be written in light formats and come back."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from gradcam.report import Report, diff, read_report, render_report
from tests import fakes, report_fakes
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import spoil_json, to_json

OLD = Path(__file__).parents[1] / "data" / "reports-0.1.0"


@cache
def honest() -> Report:
    return report_fakes.report(fakes.photo(), fakes.photo(30, 20, "dog.png"))


@cache
def _contents() -> list[Any]:
    old = [json.loads(path.read_bytes()) for path in sorted(OLD.glob("*.json"))]
    return [json.loads(render_report(honest(), "json")), *old]


def make(random: Random) -> bytes:
    today, *old = _contents()
    return to_json(spoil_json(today if random.random() < 0.5 else random.choice(old), random), random)


def meet(data: bytes) -> None:
    report = read_report(data)
    for format in ("json", "html", "markdown", "csv", "junit"):
        render_report(report, format)
    assert read_report(render_report(report, "json")) == report
    diff(report, honest())


KIND = Kind("report_json", make, meet, seconds=8, megabytes=600)
