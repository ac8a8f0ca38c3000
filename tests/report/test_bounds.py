"""Reports that hold more than anybody wants: the writer keeps to the bounds that the reader holds everybody to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from msgspec import structs

from gradcam.errors import ReportError
from gradcam.report import read_report, render_report
from gradcam.report.codec import published_schema
from gradcam.report.lazy_sequence import KEPT, LazySequence
from gradcam.report.limits import MAX_EMBEDDED_PIXELS, check_extent
from tests import fakes, report_fakes
from tests.large_report import steps

DATA = Path(__file__).parents[1] / "data" / "reports"


@pytest.fixture(scope="module")
def content() -> Any:
    return json.loads(render_report(report_fakes.report(), "json"))


def refusal(data: bytes) -> str:
    with pytest.raises(ReportError) as caught:
        read_report(data)
    sentence = str(caught.value)
    assert sentence.startswith("expected ")
    assert sentence.isprintable()
    assert len(sentence) < 500
    return sentence


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("int_1e308.json", "got 1e+308"),
        ("surrogate.json", "which no file can hold"),
        ("size_bigint.json", "a number of"),
        ("photobomb40.zip", "together"),
    ],
)
def test_a_known_bomb_is_refused(file: str, words: str) -> None:
    assert words in refusal((DATA / file).read_bytes())


def _set(*path: Any) -> Callable[[Any], None]:
    *way, key, value = path

    def change(content: Any) -> None:
        for step in way:
            content = content[step]
        content[key] = value

    return change


VIEW = ("answers", 0, "view")
REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a grid of one row and 200,000": (_set("answers", 0, "layer", "grid", [1, 200_000]), "a grid, got 1×200000"),
    "a photo of 10⁹ rows": (
        _set("photos", 0, "size", [1, 10**9]),
        "a size of the photo 'cat.jpg', got 1×1000000000",
    ),
    "a photo of too many pixels": (_set("photos", 0, "size", [10_000, 10_000]), "at most 50 megapixels"),
    "a photo of no rows": (_set("photos", 0, "size", [0, 10]), "a size of the photo"),
    "an input of 10⁶": (_set(*VIEW, "input_size", [10**6, 10**6]), "a model's input, got 1000000×1000000"),
    "a far box": (_set(*VIEW, "box", [1e30, 0, 1e31, 9]), "views that lie on their photos"),
    "an empty box": (_set(*VIEW, "box", [1, 1, 1 + 1e-9, 2]), "views that lie on their photos"),
    "an infinite number": (_set(*VIEW, "box", [0, 0, 1e300, 9]), "numbers up to 3.5e+38"),
    "a whole number of 30 digits": (_set("models", 0, "classes", int("9" * 30)), "a number of 30 digits"),
    "a fraction for a whole number": (_set("models", 0, "classes", 3.5), "the published schema"),
    "a year before ZIPs": (_set("created", "0999-01-01T00:00:00Z"), "the years 1980 to 2107"),
    "a year after ZIPs": (_set("created", "2200-01-01T00:00:00Z"), "the years 1980 to 2107"),
    "a day that does not exist": (_set("created", "2026-02-30T00:00:00Z"), "give one that exists"),
    "a text of a million letters": (_set("title", "W" * 1_000_000), "at most 100,000 letters"),
    "half a letter": (_set("title", "\ud800"), "which no file can hold"),
    "half a letter in a name": (_set("models", 0, "configuration", {"\udfff": 1}), "which no file can hold"),
    "too many targets": (_set("targets", [{"rank": 1}] * 1_001), "at most 1,000 targets"),
    "seventeen levels": (_set("models", 0, "configuration", {"a": json.loads("[" * 20 + "]" * 20)}), "levels deep"),
    "a map of texts": (_set("findings", 0, "map", [["a", "b"], ["c", "d"]]), "the published schema"),
    "a map of two lengths": (
        _set("findings", 0, "map", [[1.0, 2.0], [1.0]]),
        "rows of one length in panel 1/1/1/1",
    ),
    "a map without rows": (_set("findings", 0, "map", []), "a map, got 0×0"),
    "a map of 3,000 cells": (_set("findings", 0, "map", [[1.0] * 3_000]), "a map, got 1×3000"),
    "a missing layer": (_set("answers", 0, "layer", None), "the layer that panel 1/1/1/1 was read at"),
    "line breaks in a name": (_set("style", {"a\nb": 1}), "the published schema"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_out_of_bounds_is_refused_in_one_sentence(case: str, content: Any) -> None:
    change, words = REFUSED[case]
    changed = json.loads(json.dumps(content))
    change(changed)
    assert words in refusal(json.dumps(changed).encode())


BY_SCHEMA = [case for case, (_, words) in REFUSED.items() if words == "the published schema"]


@pytest.mark.parametrize("case", BY_SCHEMA)
def test_what_is_refused_by_the_published_schema_breaks_the_published_schema(case: str, content: Any) -> None:
    """The reader has a checker of its own; the schema, which others read reports by, refuses the same."""
    schema = jsonschema.Draft202012Validator(json.loads(published_schema()))
    changed = json.loads(json.dumps(content))
    assert schema.is_valid(changed)
    REFUSED[case][0](changed)
    assert not schema.is_valid(changed)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"photos"', '"title": "x", "photos"', "given twice"),
        ("2.5", "1e400", "numbers up to"),
        ("2.5", "9" * 5000, "a number of 5000 digits"),
        ('"created"', '"x": ' + "[" * 100_000, "something else"),
        ("2.5", "[" + "1," * 11_000_000 + "1]", "at most 10,000,000 values"),
    ],
)
def test_json_that_no_writer_writes_is_refused(content: Any, old: str, new: str, words: str) -> None:
    assert words in refusal(json.dumps(content).replace(old, new, 1).encode())


def test_the_writer_keeps_to_the_same_bounds() -> None:
    for year in (999, 1979, 2200):
        with pytest.raises(ReportError, match="the years 1980 to 2107"):
            report_fakes.report(now=datetime(year, 1, 1, tzinfo=UTC))
    with pytest.raises(ReportError, match=r"for a grid, got 1×3000"):
        report_fakes.build_report(report_fakes.comparison([fakes.photo()], heat=np.ones((1, 3000))))


def test_4500_panels_fit() -> None:
    made = report_fakes.report()
    photos = made.photos * 4_500
    findings = tuple(structs.replace(made.findings[0], photo=place) for place in range(4_500))
    answers = tuple(replace(made.answers[0], photo=place) for place in range(4_500))
    check_extent(replace(made, photos=photos, models=made.models[:1], findings=findings, answers=answers))


def test_more_than_a_gigapixel_travels_smaller_and_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam.report.build.MAX_EMBEDDED_PIXELS", 2_000)
    made = report_fakes.report(fakes.photo(), fakes.photo(30, 20, "dog.png"))
    assert made.embedded == "small"
    assert made.limits[-1].heading == "Smaller photos"
    sizes = [pixels.shape[:2] for pixels in made.pixels if pixels is not None]
    assert sum(height * width for height, width in sizes) <= 2_000
    assert read_report(render_report(made, "zip")) == made


def test_photos_of_an_opened_report_are_decoded_when_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    data = render_report(report_fakes.report(*(fakes.photo(name=f"{n}.jpg") for n in range(3))), "zip")
    opened: list[str] = []
    whole = "gradcam.report.read.open_photo"
    from gradcam.photo import open_photo

    monkeypatch.setattr(
        whole, lambda *args, **options: (opened.append(options["name"]), open_photo(*args, **options))[1]
    )
    report = read_report(data)
    assert opened == []
    assert report.pixels[1] is not None
    assert opened == ["images/photo-2.png"]


def test_a_few_pictures_are_kept_and_the_rest_made_again() -> None:
    made: list[int] = []
    pictures = LazySequence(10, lambda place: made.append(place) or place)
    assert list(pictures) == list(range(10))
    assert pictures[9] == pictures[-1] == 9
    assert len(made) == 10
    assert pictures[0] == 0
    assert len(made) == 11
    assert KEPT < 10
    assert MAX_EMBEDDED_PIXELS == 10**9
    with pytest.raises(IndexError):
        pictures[10]


def test_the_interactive_page_of_a_report_without_photos_is_drawn_at_the_size_it_tells() -> None:
    report = read_report(render_report(report_fakes.report(), "json"))
    assert b"cat.jpg" in render_report(report, "interactive")


def test_a_report_of_a_thousand_panels_is_written_and_reopened_in_little_time() -> None:
    """`python -m tests.large_report` does the same with 4,500."""
    assert sum(processor for _, _, processor in steps(67)) < 40
