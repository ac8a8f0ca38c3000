"""A report on a photo whose object was marked: every format says where, and how much heat is inside."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from gradcam.errors import OptionError, ReportError
from gradcam.report import Report, build_report, diff, read_report, render_report
from gradcam.report.codec import decode, encode
from gradcam.report.reproduce import command, python_lines
from gradcam.report.statements import extent
from tests import fakes
from tests.report_fakes import NOON, comparison, pdf_text, report

BOX = ((0.0, 0.0), (30.0, 40.0))
"""The left half of a photo of 60 × 40 pixels."""

SAID = "of the heat inside the mark, which is 50 % of the photo"


@pytest.fixture(scope="module")
def marked() -> Report:
    """One photo with a mark and one without, seen by two models."""
    return report(replace(fakes.photo(name="one.jpg"), region=BOX), fakes.photo(name="two.jpg"))


def test_the_share_of_heat_inside_is_kept_with_each_map_of_a_marked_photo(marked):
    one, other, *unmarked = marked.heatmaps
    # columns of 1 and 2.5 on average; the left half has 7/8 of its own column and 1/8 of the other
    assert one.numbers.inside == pytest.approx(19 / 56, abs=1e-4)
    assert other.numbers.inside == one.numbers.inside  # turned upside down
    assert [panel.numbers.inside or None for panel in unmarked] == [None, None]
    assert [photo.region or None for photo in marked.photos] == [BOX, None]


def test_a_report_without_a_mark_says_nothing_of_marks():
    plain = report(fakes.photo())
    for name in ("json", "csv", "markdown"):
        assert not {"region", "inside", "Object marked"} & set(render_report(plain, name).decode().split('"')), name
    assert not any(words in render_report(plain, "html").decode() for words in ("stroke-dasharray", "Heat inside"))


def test_every_format_says_where_the_object_is_and_how_much_heat_is_inside(marked):
    page, interactive = (render_report(marked, name).decode() for name in ("html", "interactive"))
    assert page.count("stroke-dasharray") == 4  # two panels, each with an overlay and a heatmap
    assert all(SAID in text.replace("\N{NO-BREAK SPACE}", " ") for text in (page, interactive, pdf_text(marked)))
    markdown = render_report(marked, "markdown").decode()
    assert "box from 0, 0 to 30, 40, 50 % of the photo" in markdown
    assert "Heat inside" in markdown
    rows = list(csv.DictReader(io.StringIO(render_report(marked, "csv").decode("utf-8-sig"))))
    assert [row["region"] for row in rows] == ["0,0,30,40"] * 2 + [""] * 2
    assert float(rows[0]["heat_inside"]) == pytest.approx(19 / 56, abs=1e-4)
    assert json.loads(encode(marked))["photos"][0]["region"] == [[0, 0], [30, 40]]


def test_a_mark_is_there_when_the_report_is_reopened_and_tells_two_reports_apart(marked):
    assert read_report(render_report(marked, "zip")) == marked
    plain = report(*(fakes.photo(name=photo.name) for photo in marked.photos))
    assert str(diff(plain, marked)[0]) == (
        "Photos: one.jpg: the object was not marked and is a box from 0, 0 to 30, 40, 50 % of the photo"
    )
    assert extent(plain) == extent(marked)


def test_the_command_and_the_lines_of_python_mark_it_again(marked):
    made = replace(marked, models=tuple(replace(model, origin="installed package") for model in marked.models))
    assert "--region 1=0,0,30,40" in command(made)
    lines = python_lines(made)
    assert "from dataclasses import replace" in lines
    assert "replace(open_photo('one.jpg'), region=((0.0, 0.0), (30.0, 40.0))), open_photo('two.jpg')" in lines


def test_a_mark_that_encloses_nothing_is_refused_when_a_report_is_built_or_opened(marked):
    flat = ((0, 0), (0, 9))
    with pytest.raises(OptionError, match="with width and height"):
        build_report(comparison([replace(fakes.photo(), region=flat)]), now=NOON)
    data = json.loads(encode(marked))
    data["photos"][0]["region"] = flat
    with pytest.raises(ReportError, match="with width and height"):
        decode(json.dumps(data).encode())
