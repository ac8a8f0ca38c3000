"""The first page without a browser: its defaults, its link, each control and each error."""

from __future__ import annotations

from unittest.mock import ANY

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import library
from dashboard.components import models, progress
from tests.dashboard.first_page import (
    LITE0,
    LITE1,
    THREE_MODELS,
    box,
    heatmaps,
    one_model,
    reasons,
    scenes,
    toolbar,
    words,
)


def test_first_sight_shows_three_real_heatmaps_with_predictions_layer_grid_reason_and_time(page: AppTest) -> None:
    page.run()
    assert not page.exception
    assert not page.error
    assert [heat.split(": ")[0] for heat in heatmaps(page)] == list(THREE_MODELS)
    assert len(predictions(page)) == 3
    assert page.main.markdown[0].value.startswith("What does each model look at")  # no stray string of a script
    said = words(page)
    assert said.count("7×7 grid") == 1
    assert said.count("Why this layer: ") == 3
    assert said.count(" s") >= 3


@pytest.mark.parametrize(("at_once", "redrawn"), [(600, 1), (-1, 3)])
def test_models_that_are_there_and_take_no_time_appear_together(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, at_once: float, redrawn: int
) -> None:
    page.session_state["photos"] = ["chelsea"]
    page.run()
    rerun, reruns = st.rerun, list[object]()
    monkeypatch.setattr(st, "rerun", lambda **options: (reruns.append(options), rerun(**options)))
    monkeypatch.setattr(library, "load_ahead", lambda models: {})
    monkeypatch.setattr(progress, "AT_ONCE", at_once)
    page.multiselect(key="classes").set_value([f"espresso rather than #{300 + redrawn}"]).run()
    assert len(heatmaps(page)) == 3
    assert len(reruns) == redrawn


def test_two_photos_can_be_compared_at_once_and_the_link_names_them(page: AppTest) -> None:
    one_model(page).run()
    page.multiselect(key="photos").set_value(["chelsea", "coffee"]).run()
    page.multiselect(key="classes").set_value(["espresso", "tabby"]).run()
    assert len(heatmaps(page)) == 4
    assert page.query_params["photos"] == ["chelsea", "coffee"]
    assert page.query_params["models"] in (LITE0, [LITE0])


def test_a_link_reopens_the_same_view(page: AppTest) -> None:
    page.query_params["photos"] = ["coffee"]
    page.query_params["models"] = [LITE1]
    page.query_params["classes"] = ["espresso"]
    page.query_params["fit"] = "squash"
    page.query_params["colormap"] = "cividis"
    page.query_params["opacity"] = "30"
    page.query_params["blend"] = "even"
    page.query_params["threshold"] = "10"
    page.query_params["scale"] = "shared"
    page.run()
    assert not page.error
    assert heatmaps(page) == [f"{LITE1}: espresso"]
    assert toolbar(page)["look"] == {"colormap": "cividis", "opacity": 0.3, "threshold": 0.1, "blend": "even"}
    assert page.radio(key="fit").value == "squash"
    assert page.radio(key="scale").value == "shared"


def test_the_fit_changes_where_the_heat_lies(page: AppTest) -> None:
    page.session_state["photos"] = ["chelsea"]
    one_model(page).run()
    boxes = {}
    for fit in ("crop", "squash", "pad"):
        page.radio(key="fit").set_value(fit).run()
        boxes[fit] = box(scenes(page)[0]["panels"][0]["plot"]["data"][0])
    assert boxes["squash"] == pytest.approx((0, 0, 451, 300), abs=0.5)
    assert boxes["pad"] == pytest.approx((0, 150 - 451 / 2, 451, 150 + 451 / 2), abs=1.5)
    left, top, right, bottom = boxes["crop"]
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert (left + right, top + bottom) == pytest.approx((451, 300), abs=2)
    assert right - left < 300


@pytest.mark.parametrize(
    "query", [{"colormap": "rainbow"}, {"opacity": "lots"}, {"threshold": "900"}, {"blend": "x"}, {"fit": "x"}]
)
def test_a_link_that_makes_no_sense_shows_the_default(page: AppTest, query: dict[str, str]) -> None:
    for key, value in query.items():
        page.query_params[key] = value
    one_model(page).run()
    assert not page.exception
    assert toolbar(page)["look"] == {"colormap": "viridis", "opacity": 0.6, "threshold": 0.0, "blend": "evidence"}


def test_one_scale_serves_all_photos_where_it_is_shared(page: AppTest) -> None:
    page.session_state["photos"] = ["chelsea", "coffee"]
    one_model(page).run()
    each = [scene["panels"][0]["plot"]["data"][0]["zmax"] for scene in scenes(page)]
    page.radio(key="scale").set_value("shared").run()
    shared = [scene["panels"][0]["plot"]["data"][0]["zmax"] for scene in scenes(page)]
    assert each[0] != each[1]
    assert shared == [max(each)] * 2


def test_classes_are_offered_by_name_and_taken_by_index_or_contrast(page: AppTest) -> None:
    one_model(page).run()
    offered = page.multiselect(key="classes").options
    assert offered[:3] == ["top prediction", "prediction 2", "prediction 3"]
    assert len(offered) == 3 + 1000
    assert "tabby" in offered
    page.multiselect(key="classes").set_value(["281", "tabby rather than tiger cat"]).run()
    assert heatmaps(page) == [
        f"{LITE0}: tabby",
        f"{LITE0}: tabby rather than tiger cat",
    ]


def test_no_class_means_the_top_prediction(page: AppTest) -> None:
    one_model(page).run()
    page.multiselect(key="classes").set_value([]).run()
    assert heatmaps(page) == [f"{LITE0}: Egyptian cat"]


def test_a_class_that_no_model_has_is_a_sentence(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WORTH_A_TOAST", 0.0)
    one_model(page)
    page.query_params["classes"] = ["tabyb", "espresso"]
    page.run()
    assert not page.exception
    (reason,) = reasons(page)
    assert "tabyb" in reason
    assert "'tabby'" in reason
    assert heatmaps(page) == [f"{LITE0}: espresso"]
    assert "<b>tabyb</b> has no map" in words(page), "a line, and no place among the heatmaps"
    (told,) = page.toast
    assert told.value.startswith("Finished: "), "the model has a map of the other class"
    page.multiselect(key="models").set_value([LITE0, LITE1]).run()
    assert heatmaps(page) == [f"{LITE0}: espresso", f"{LITE1}: espresso"]
    assert "rank correlation" in words(page), "which is measured of the class that they have"


def test_models_that_all_lack_a_class_are_named_in_one_line_and_none_is_to_be_left_out(page: AppTest) -> None:
    page.query_params["classes"] = "zzzzzz"
    page.session_state["models"] = [LITE0, LITE1]
    page.run()
    (line,) = [html.proto.body for html in page.get("html") if 'class="failed"' in html.proto.body]
    assert f'{LITE0}</b> and <b title="{LITE1}">{LITE1}</b> have no map: expected a class of imagenet-1k' in line
    assert not [button for button in page.button if button.label == "Remove"]


def test_models_are_offered_with_where_their_weights_come_from(page: AppTest) -> None:
    one_model(page).run()
    offered = page.multiselect(key="models").options
    assert offered[:3] == list(THREE_MODELS)
    assert len(offered) > 1000
    assert any(option.startswith("torchvision/vgg16@IMAGENET1K_V1 · ") for option in offered)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("bundled/tf_efficientnet_lite9", "tf_efficientnet_lite0"), ("nonsense", "expected a model id")],
)
def test_a_model_that_fails_says_why_and_the_others_go_on(page: AppTest, model: str, sentence: str) -> None:
    page.session_state["models"] = [model, LITE0]
    page.run()
    assert not page.exception
    (reason,) = reasons(page)
    assert sentence in reason
    assert heatmaps(page) == [f"{LITE0}: Egyptian cat"]
    assert "<details open" not in words(page)
    page.multiselect(key="models").set_value([model]).run()
    assert "<details open" in words(page), "there is nothing else to see"


def test_a_link_with_somebody_elses_photo_asks_for_the_file(page: AppTest) -> None:
    page.query_params["photos"] = ["dog.jpg~0123456789abcdef", "coffee"]
    one_model(page).run()
    (error,) = page.error
    assert "upload that file again" in error.value
    assert heatmaps(page) == [f"{LITE0}: espresso"]


def test_a_link_with_an_unknown_sample_is_a_sentence(page: AppTest) -> None:
    page.query_params["photos"] = ["chelsae"]
    one_model(page).run()
    assert not page.exception
    assert "chelsea" in page.error[0].value
    assert page.info


def test_nothing_chosen_teaches_what_to_do(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    assert not page.exception
    assert "Choose a photo and a model" in page.info[0].value


def predictions(page: AppTest) -> list[str]:
    return [html.proto.body for html in page.get("html") if 'class="predictions"' in html.proto.body]


def test_every_chart_has_words_for_those_who_do_not_see_it(page: AppTest) -> None:
    one_model(page).run()
    (bars,) = predictions(page)
    assert bars.startswith(f'<ol class="predictions" aria-label="{LITE0} predicts"><li class=asked>')
    assert "Egyptian cat</span> <b>" in bars
    alts = [panel["alt"] for scene in scenes(page) for panel in scene["panels"]]
    assert len(alts) == 1
    assert all(LITE0 in alt and "Egyptian cat" in alt for alt in alts)


@pytest.mark.parametrize(
    ("reachable", "added"),
    [(True, "torchvision/vgg16@IMAGENET1K_V1"), (False, "torchvision/vgg16 (untrained, seed 0)")],
)
def test_vgg16_is_one_click_away_and_untrained_where_its_weights_cannot_be_had(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, reachable: bool, added: str
) -> None:
    monkeypatch.setattr(models, "has_weights", lambda model: reachable)
    page.session_state["photos"] = []  # nothing is computed
    page.run()
    next(button for button in page.button if button.label == "Add VGG16").click().run()
    assert not page.exception
    assert page.multiselect(key="models").value == [*THREE_MODELS, added]
    assert not any(button.label == "Add VGG16" for button in page.button)
    assert [toast.value for toast in page.toast if "untrained" in toast.value] == ([] if reachable else [ANY])
