"""`report.json`, spoiled; what still opens must be written in every light format and come back the same."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

from gradcam.report import Report, diff, read_report, render_report
from tests import fakes, report_fakes
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import spoil_json, to_json


@cache
def honest() -> Report:
    return report_fakes.report(fakes.photo(), fakes.photo(30, 20, "dog.png"))


@cache
def _content() -> Any:
    return json.loads(render_report(honest(), "json"))


def make(random: Random) -> bytes:
    return to_json(spoil_json(_content(), random), random)


def meet(data: bytes) -> None:
    report = read_report(data)
    for format in ("json", "html", "markdown", "csv", "junit"):
        render_report(report, format)
    assert read_report(render_report(report, "json")) == report
    diff(report, honest())


KIND = Kind("report_json", make, meet, seconds=8, megabytes=600)
