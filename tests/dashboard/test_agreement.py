"""Numbers that compare models on the first page, and differences of two of them."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import results
from dashboard.components.agreement import matrix_html
from dashboard.components.messages import escape_markdown
from gradcam import parse_target, sample_photo
from gradcam.measures import agreement
from tests.dashboard.first_page import (
    LITE0,
    LITE1,
    LITE2,
    one_model,
    scenes,
    words,
)

DOGS = "bundled/mobilenetv2_dogs"


def tables(page: AppTest) -> list[str]:
    """The tables of agreement, as HTML."""
    return [found.proto.body for found in page.get("html") if "<table" in found.proto.body]


def test_models_that_agree_are_named_and_every_number_stands_in_a_table(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1]
    page.query_params["classes"] = ["Egyptian cat", "tabby"]
    page.run()
    assert not page.exception
    correlation, overlap = tables(page)
    photo, target = sample_photo("cat and coffee"), parse_target("Egyptian cat")
    maps = [results.kept([model], [photo], [target], reason="").panels[0] for model in (LITE0, LITE1)]
    number = f"{agreement(maps)[0, 1]:.2f}"
    assert correlation.count(f">{number}</td>") == 2
    assert "Overlap of the hottest fifths" in overlap
    assert f"rank correlation\N{NO-BREAK SPACE}{number}." in words(page)
    page.segmented_control(key="of-class").set_value("tabby").run()
    assert tables(page)[0] != correlation


def test_what_cannot_be_measured_is_a_dash() -> None:
    table = matrix_html("Rank correlation", ["a", "<b>"], np.array([[1, np.nan], [np.nan, np.nan]]))
    assert table.count("<td>–</td>") == 2
    assert table.count('<td class="itself"></td>') == 2
    assert "2 &lt;b&gt;" in table
    assert "nan" not in table


def test_models_without_a_map_or_without_contrast_are_told_of_in_a_sentence_and_fill_no_table(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.session_state["models"] = [LITE0, DOGS]
    page.query_params["classes"] = ["Egyptian cat", "bull mastiff"]
    page.run()
    assert tables(page) == [], "of a cat, which one of them does not know"
    assert "fewer than two models have a heatmap" in words(page)
    monkeypatch.setattr(results, "agreements", lambda panels, _: np.full((len(panels),) * 2, np.nan))
    page.segmented_control(key="of-class").set_value("bull mastiff").run()
    assert tables(page) == []
    assert "cannot be said: fewer than two of them have a map with contrast" in words(page)


def test_numbers_that_compare_a_pinned_layer_say_so(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1]
    page.run()
    assert not page.warning
    page.query_params["layers"] = f"{LITE0}~blocks.4"
    del page.session_state["_pins"]
    page.run()
    (warning,) = page.warning
    assert f"{escape_markdown(LITE0)} is drawn on a pinned layer" in warning.value


def test_any_two_models_can_be_subtracted_and_one_alone_is_told_to_find_another(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1, LITE2]
    page.run()
    assert scenes(page)[-1]["panels"][1]["title"] == "A − B: lite0 − lite2", "the two that agree least"
    page.selectbox(key="a").set_value(LITE2).run()
    assert page.selectbox(key="b").options == [LITE0, LITE1]
    assert scenes(page)[-1]["panels"][1]["title"] == "A − B: lite2 − lite0"
    page.selectbox(key="b").set_value(LITE1).run()
    page.multiselect(key="photos").set_value(["chelsea"]).run()
    assert scenes(page)[-1]["panels"][1]["title"] == "A − B: lite2 − lite1", "as chosen, whatever the photo"
    between = scenes(page)[-1]["panels"][1]
    page.toggle(key="differing").set_value(True).run()
    faded = scenes(page)[-1]["panels"][1]
    assert faded["uri"] != between["uri"]
    assert [panel["title"] for panel in scenes(page)[-1]["panels"][::2]] == [f"A: {LITE2}", f"B: {LITE1}"]
    one_model(page).run()
    assert not page.exception
    assert tables(page) == []
    assert "Add a second model" in words(page)


def test_predictions_of_a_model_that_knows_dogs_only_are_not_compared_but_a_breed_that_all_know_is(
    page: AppTest,
) -> None:
    page.session_state["models"] = [LITE0, LITE1, DOGS]
    page.run()
    assert not page.exception
    assert "Knows 19 dog breeds and nothing else; this photo may show none." in words(page)
    said = page.info[0].value.replace("\\", "")
    assert f"Left out: **{DOGS}**, which knows 19 dog breeds only" in said
    assert "Ask for a class that all know, such as *Chihuahua*" in said
    assert {DOGS in table for table in tables(page)} == {False}
    assert DOGS not in page.selectbox(key="a").options
    page.multiselect(key="classes").set_value(["bull mastiff"]).run()
    assert not page.info
    assert {DOGS in table for table in tables(page)} == {True}
