"""Thresholds: what holds, what does not, and what makes no sense."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from gradcam.errors import OptionError
from gradcam.regions import region_of_box
from gradcam.report import (
    Thresholds,
    build_report,
    check,
    render_report,
)
from gradcam.report.checks import heat_outside
from tests import fakes
from tests.report_fakes import NOON, comparison, report


def test_thresholds_that_hold_give_no_failure():
    made = report(fakes.photo(name="cat.jpg"))
    asked = Thresholds(-1.0, ((None, "Tabby"),), 1.0, (("cat.jpg", (0, 0, 60, 40)),))
    assert [one.failure for one in check(made, asked)] == [None] * 7
    assert ElementTree.fromstring(render_report(made, "junit", asked)).get("failures") == "0"


def test_thresholds_that_do_not_hold_are_failures_in_the_junit_file():
    made = report(fakes.photo(name="cat.jpg"))
    asked = Thresholds(0.99, (("cat.jpg", "dog"),), 0.1, (("cat.jpg", (0, 0, 10, 10)),))
    root = ElementTree.fromstring(render_report(made, "junit", asked))
    assert (root.get("tests"), root.get("failures")) == ("7", "5")
    told = " ".join(str(failure.get("message")) for failure in root.iter("failure"))
    for words in ("expected a rank correlation of at least 0.99", "expected 'dog' as the first", "outside the box"):
        assert words in told


def test_the_share_outside_a_box_is_the_heat_outside_it():
    photo = fakes.photo(40, 40)
    heat = np.array([[1, 1], [1, 1]], np.float32)
    made = build_report(fakes.comparison(fakes.panel(photo, heat)), now=NOON)
    assert heat_outside(made, made.heatmaps[0], region_of_box((0, 0, 10, 40))) == pytest.approx(0.75)


def test_a_photo_without_a_box_is_held_to_its_mark():
    heat = np.array([[1, 1], [1, 1]], np.float32)
    photos = [replace(fakes.photo(40, 40, name=name), region=((0, 0), (10, 40))) for name in ("a.jpg", "b.jpg")]
    made = build_report(comparison(photos, models=("x/a",), heat=heat), now=NOON)
    asked = Thresholds(max_outside_box=0.5, boxes=(("b.jpg", (0, 0, 30, 40)),))
    told = {one.photo: one.failure for one in check(made, asked) if "lies in the" in one.name}
    assert told == {"a.jpg": "expected at most 50 % of the heat outside the mark, got 75 %", "b.jpg": None}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Thresholds(min_agreement=2), "from -1 to 1"),
        (Thresholds(max_outside_box=0.5), "expected a box"),
        (
            Thresholds(expect_classes=(("cta.jpg", "tabby"),)),
            "expected a photo of the report, got 'cta.jpg'; use 'cat.jpg'",
        ),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(asked, words):
    with pytest.raises(OptionError, match=words):
        check(report(), asked)
