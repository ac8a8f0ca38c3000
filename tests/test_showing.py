"""What a value looks like in a notebook, at a prompt and in a file."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from gradcam import (
    Comparison,
    Explanation,
    OptionError,
    Style,
    Top,
    UnreadablePhoto,
    build_report,
    explain,
    load_classifier,
)
from gradcam.comparison import as_comparison
from gradcam.draw import render, request_caption
from gradcam.draw.notebook import MAX_PANELS, notebook_html
from gradcam.report import MapCheck, Replay, read_report
from tests import fakes

HEAT = np.array([[0, 1, 2], [3, 4, 8]], np.float32)
HOSTILE = "<script>alert(1)</script>\u202e\n'.jpg"


def comparison(*heats: object) -> Comparison:
    photo = fakes.photo()
    panels = [fakes.panel(photo, heat, model=f"x/{number}") for number, heat in enumerate(heats or (HEAT,))]
    return fakes.comparison(*panels, fakes.failure(photo, "expected weights, got no network"))


# ----- at a prompt


def test_a_replay_of_any_length_is_printed_in_one_line():
    checks = (MapCheck("cat.jpg", "x/0", "tabby", "same", "same", 0.0),) * 99
    assert repr(Replay(checks, ())) == "Replay(99 panels: 99 same)"


def test_every_noun_is_printed_in_one_short_line():
    heatmap = fakes.panel(fakes.photo(), HEAT)
    failure = fakes.failure(fakes.photo(name=HOSTILE), "expected weights, got\nno network " * 99)
    grey = np.zeros((1, 1, 3), np.uint8)
    nouns = [heatmap, heatmap.explanation, heatmap.explanation.layer, heatmap.explanation.view, heatmap.photo]
    nouns += [
        failure,
        comparison(),
        next(comparison().rows()),
        UnreadablePhoto(grey, HOSTILE, "", reason="no\n" * 99),
    ]
    printed = [repr(noun) for noun in nouns]
    assert [line for line in printed if len(line) > 400 or "\n" in line or "\u202e" in line] == []
    assert printed[0] == "Heatmap('cat.jpg', bundled/a, Grad-CAM 2×3: tabby 70.0 %, peak 8)"
    assert printed[1] == "Explanation('cat.jpg', bundled/a, Grad-CAM 2×3 at features.29: tabby 70.0 %, peak 8)"
    assert printed[2] == "TargetLayer('features.29', 2×3, 4 channels, NCHW)"
    assert printed[3] == "View(squash: 0, 0 to 60, 40 of 60×40 px, as 8×8 px, 100.0 % seen)"
    assert printed[6] == "Comparison(1 photo × 2 models × 1 method × 1 target: 1 heatmap, 1 failure)"


def test_a_layer_of_tokens_and_a_crop_say_what_is_their_own():
    layer = replace(fakes.panel(fakes.photo(), HEAT).explanation.layer, layout="tokens", prefix=5, call=1)
    assert repr(layer) == "TargetLayer('features.29', 2×3, 4 channels, tokens, prefix 5, call 1)"
    middle = fakes.middle(fakes.photo(400, 601))
    assert repr(middle) == "View(crop: 100.5, 0 to 500.5, 400 of 601×400 px, as 8×8 px, 66.6 % seen)"


def test_a_report_is_printed_in_one_line_too():
    made = build_report(comparison(), title=HOSTILE)
    assert re.fullmatch(
        r"Report\(.<script>.+, \d{4}-.+Z, needs review: 1 photo, 2 models, 1 heatmap, 1 failure\)", repr(made)
    )
    assert "\u202e" not in repr(made)


def test_an_empty_map_and_nan_are_told_at_the_prompt():
    broken = HEAT.copy()
    broken[0, 0] = np.nan
    assert "tabby 70.0 %, all zero)" in repr(fakes.panel(fakes.photo(), HEAT * 0))
    assert "NaN or infinity in 1 of 6 cells)" in repr(fakes.panel(fakes.photo(), broken))


def test_many_targets_are_counted_rather_than_printed():
    explanation = fakes.panel(fakes.photo(), HEAT).explanation
    many = replace(explanation, targets=explanation.targets * 20, maps=np.stack([HEAT] * 20))
    assert repr(many).endswith("; 17 more targets)")


# ----- one explanation is a comparison of one


def test_an_explanation_of_a_real_model_shows_itself_as_its_comparison_does():
    explanation = explain(load_classifier("bundled/tf_efficientnet_lite0"), fakes.photo(60, 80), [Top(), 281])
    shown = as_comparison(explanation)
    assert [panel.scored for panel in shown.heatmaps] == list(explanation.targets)
    assert all(panel.explanation is explanation for panel in shown.heatmaps)
    assert explanation.figure().to_json() == shown.figure().to_json()
    for position, panel in enumerate(shown.heatmaps):
        drawn = render.draw_panel(panel, Style("turbo"))
        np.testing.assert_array_equal(explanation.overlay(Style("turbo"), position=position), drawn)
        np.testing.assert_array_equal(panel.overlay(Style("turbo")), drawn)


def test_an_overlay_is_the_photo_at_no_opacity():
    heatmap = fakes.panel(fakes.photo(), HEAT)
    pixels = heatmap.overlay(Style(opacity=0))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, heatmap.photo.pixels)


def test_something_else_is_no_comparison():
    with pytest.raises(OptionError, match="expected an explanation, a heatmap or a comparison, got str"):
        as_comparison("chelsea")


def test_the_figure_links_zoom_and_reads_raw_values():
    figure = comparison(HEAT, HEAT * 2).figure(Style("inferno"), theme="dark")
    assert isinstance(figure, go.Figure)
    assert figure.layout.xaxis2.matches == "x"
    assert [trace.zmax for trace in figure.data if isinstance(trace, go.Heatmap)] == [8, 16]


# ----- in a notebook


def test_a_notebook_gets_pictures_captions_and_reasons_and_asks_for_nothing():
    html = comparison(HEAT, HEAT * 0)._repr_html_()
    assert html.count('<img src="data:image/jpeg;base64,') == 3  # the photo and two maps
    assert not re.search("http|<script", html)
    assert "tabby · 70.0 %" in html
    assert "no positive evidence" in html
    assert "No map. expected weights, got no network" in html


def test_a_map_with_nan_is_a_card_with_its_reason_and_the_others_are_shown():
    html = comparison(HEAT, HEAT * np.nan)._repr_html_()
    assert html.count("<img ") == 2
    assert "No map. expected a finite map, got NaN or infinity" in html


def test_hostile_text_stays_text_in_a_notebook():
    photo = fakes.photo(name=HOSTILE)
    panels = fakes.panel(photo, HEAT, label="<b>tabby</b>", model='x/"a"'), fakes.failure(photo, "<i>reason</i>")
    html = fakes.comparison(*panels)._repr_html_()
    tags = set(re.findall(r"<(\w+)", html.partition("</style>")[2]))
    assert tags == {"div", "figure", "img", "figcaption", "b", "br", "p"}
    assert "\u202e" not in html
    assert "&lt;b&gt;tabby&lt;/b&gt;" in html


def test_a_notebook_is_not_filled_with_a_thousand_pictures():
    photos = tuple(fakes.photo(name=f"{number}.jpg") for number in range(MAX_PANELS + 5))
    many = Comparison(photos, ("x/a",), ("Grad-CAM",), (Top(),), tuple(fakes.panel(p, HEAT) for p in photos))
    html = notebook_html(many)
    assert html.count("<img ") == 2 * MAX_PANELS
    assert "… and 5 more rows" in html


# ----- in files


def test_a_picture_a_page_and_reports_are_saved_by_suffix(tmp_path: Path):
    shown = comparison()
    opened: dict[str, Callable[[Path], object]] = {
        "sheet.png": lambda path: path.read_bytes().startswith(b"\x89PNG"),
        "page.html": lambda path: path.read_text("utf-8").startswith("<!doctype html>"),
        "report.zip": lambda path: zipfile.is_zipfile(path),
        "report.json": lambda path: json.loads(path.read_text("utf-8"))["title"] == "Tabby",
        "report.pdf": lambda path: path.read_bytes().startswith(b"%PDF"),
    }
    for name, holds in opened.items():
        report = {} if name.endswith((".png", ".html")) else {"title": "Tabby"}
        assert shown.save(tmp_path / name, **report) == tmp_path / name
        assert holds(tmp_path / name), name


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path: Path):
    shown: Explanation = fakes.panel(fakes.photo(), HEAT).explanation
    shown.save(tmp_path / "sheet.png")
    before = (tmp_path / "sheet.png").read_bytes()
    with pytest.raises(OptionError, match=r"sheet\.png"):
        shown.save(tmp_path / "sheet.png", style=Style("turbo"))
    assert (tmp_path / "sheet.png").read_bytes() == before
    shown.save(tmp_path / "sheet.png", style=Style("turbo"), force=True)
    assert (tmp_path / "sheet.png").read_bytes() != before


@pytest.mark.parametrize(
    ("label", "others", "title"),
    [("tabby", "dog", "tabby"), ("tabby", "tabby", "class 1"), ("7", "dog", "class 1")],
)
def test_a_class_of_an_explanation_is_called_by_its_name_if_that_tells_it(tmp_path: Path, label, others, title):
    """Two classes of one name, or a number as a name, are told by the index."""
    found = fakes.panel(fakes.photo(), HEAT, label=label).explanation
    shown = replace(found, labels=(others, label, "espresso"))
    (row,) = as_comparison(shown).rows()
    assert request_caption(row.target) == title
    (entry,) = read_report(shown.save(tmp_path / "report.json")).targets
    assert entry.target == row.target


def test_another_suffix_is_answered_with_those_that_there_are(tmp_path: Path):
    there = r"one of \.png, \.html, \.zip, \.pdf, .*, got 'map\.xyz'"
    with pytest.raises(OptionError, match=there):
        comparison().save(tmp_path / "map.xyz")
