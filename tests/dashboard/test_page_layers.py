"""The page *Layers* without a browser: the first sight, each control, each error, pins, links."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import library
from gradcam import WeightsError
from tests.dashboard import first_page
from tests.opening import open_page

LITE0, LITE1 = "bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite1"
DEPTHS = ["bn1", "blocks.1", "blocks.2", "blocks.4", "bn2"]
GRIDS = ["112×112", "56×56", "28×28", "14×14", "7×7"]
NB = "\N{NO-BREAK SPACE}"


opened = partial(open_page, "layers")


def scenes(page: AppTest) -> list[dict]:
    """The large picture and the strip."""
    viewers = [found for found in page.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    return [scene for viewer in viewers if "photo" in (scene := json.loads(viewer.proto.json))]


def large(page: AppTest) -> dict:
    (panel,) = scenes(page)[0]["panels"]
    return panel


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if label in button.label.replace("\\", "")).click().run()


def words(page: AppTest) -> str:
    said = (cast(Any, found).value for kind in ("markdown", "caption") for found in page.main.get(kind))
    return "\n".join(said)


def table(page: AppTest) -> dict[str, list[str]]:
    """The measured numbers by layer."""
    lines = [line for line in words(page).splitlines() if line.startswith("| `")]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_first_sight_is_the_last_layer_large_and_every_depth_in_a_strip() -> None:
    page = opened()
    assert not page.error
    assert large(page)["title"] == "bn2"
    strip = scenes(page)[1]["panels"]
    assert [panel["title"] for panel in strip] == DEPTHS
    assert [panel["subtitle"].split(" ")[0] for panel in strip] == GRIDS
    assert strip[-1]["subtitle"] == "7×7 grid, cells of 50×50 px"


def test_numbers_show_why_the_last_layer_is_usual() -> None:
    page = opened()
    measured = table(page)
    heats = [float(row[0]) for row in measured.values()]
    assert list(measured) == DEPTHS
    assert max(heats[:-1]) < 0.5 * heats[-1]
    assert heats[-1] == pytest.approx(9.34, rel=0.1)
    assert measured["bn2"][1:] == [f"93{NB}%", "1.00"]
    assert measured["blocks.4"][1:] == [f"37{NB}%", "−0.28"]
    assert "so the map accounts for the score" in words(page)
    assert f"cat left, coffee right. `bn2` puts 93{NB}% on the left one; `blocks.4` puts 37{NB}%." in words(page)
    assert " %" not in words(page)  # a line would break there


def test_without_a_sample_of_two_photos_no_half_is_told() -> None:
    page = opened(photos=["chelsea"])
    assert {len(row) for row in table(page).values()} == {2}
    assert "own half" not in words(page)


def test_the_slider_moves_through_the_depths_without_running_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened()
    monkeypatch.setattr(library, "use", lambda model: pytest.fail("a model was asked for"))
    for name, grid in zip(DEPTHS, GRIDS, strict=True):
        page.select_slider(key="depth").set_value(name).run()
        assert large(page)["title"] == name
        assert large(page)["subtitle"].startswith(grid)
    page.radio(key="depth-scale").set_value("shared").run()
    assert len({trace["zmax"] for panel in scenes(page)[1]["panels"] for trace in panel["plot"]["data"]}) == 1


def test_another_class_moves_the_heat_to_the_other_half() -> None:
    page = opened()
    page.selectbox(key="class").set_value("espresso").run()
    assert int(table(page)["bn2"][1].rstrip(f"{NB}%")) < 20
    assert f"**espresso** has 7.7{NB}%, rank 4" in words(page)


def test_a_class_without_a_positive_score_leaves_nothing_to_account_for() -> None:
    page = opened(photos=["chelsea"], fit="squash", **{"class": "espresso"})
    assert "score is not positive" in words(page)


def test_a_class_that_the_model_lacks_is_one_sentence() -> None:
    page = opened(**{"class": "espreso"})
    (error,) = page.error
    assert "espresso" in error.value
    assert not scenes(page)


def test_a_model_that_fails_is_one_line_and_one_without_its_weights_can_be_used_untrained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = opened(models=["bundled/tf_efficientnet_lite9"])
    (reason,) = first_page.reasons(page)
    assert "lite0" in reason
    assert not [button for button in page.button if button.label == "Use untrained"]

    def load(model: str):
        raise WeightsError(f"expected weights for {model}, got no network; plug it in")

    monkeypatch.setattr(library, "load_classifier", load)
    for name in ("layers", "how_it_works"):
        page = open_page(name, models=["torchvision/squeezenet1_1@IMAGENET1K_V1"])
        assert not page.error
        assert "plug it in" in first_page.reasons(page)[0]
        press(page, "Use untrained")
        assert page.multiselect(key="models").value == ["torchvision/squeezenet1_1 (untrained, seed 0)"]


def test_of_several_photos_and_models_one_is_shown() -> None:
    page = opened(models=[LITE0, LITE1], photos=["chelsea", "coffee"], depth="blocks.4")
    assert page.segmented_control(key="photo").options == ["chelsea", "coffee"]
    page.segmented_control(key="photo").set_value("coffee").run()
    page.segmented_control(key="model").set_value(LITE1).run()
    assert not page.error
    assert scenes(page)[0]["photo"]["name"] == "coffee"
    assert "15×15" in large(page)["subtitle"]
    page.multiselect(key="models").set_value([LITE0]).run()
    assert "14×14" in large(page)["subtitle"]


def test_more_models_than_stand_beside_each_other_are_a_list_and_the_chosen_one_stays() -> None:
    models = [LITE0, *(f"timm/test_resnet (untrained, seed {seed})" for seed in range(4))]
    page = opened(models=models[:4])
    page.segmented_control(key="model").set_value(models[2]).run()
    page.multiselect(key="models").set_value([*models[:4], models[4]]).run()
    box = page.selectbox(key="model")
    assert box.options == models
    assert box.value == models[4], "what has just been added"
    box.set_value(models[2]).run()
    assert not page.error
    page.multiselect(key="models").set_value(models[:4]).run()
    assert page.segmented_control(key="model").value == models[2]


def test_an_empty_page_says_what_to_choose() -> None:
    page = opened()
    page.multiselect(key="photos").set_value([]).run()
    assert "Choose a photo and a model" in page.info[0].value


def test_a_pinned_layer_is_used_and_told_on_the_other_pages_and_can_be_let_go() -> None:
    page = opened(depth="blocks.4")
    press(page, "Pin blocks.4")
    assert "is pinned" in page.success[0].value
    assert page.query_params["layers"] == f"{LITE0}~blocks.4"
    page.switch_page("app_pages/compare_classes.py").run()
    (scene,) = scenes(page)
    assert scene["panels"]
    assert all(panel["facts"].startswith("pinned layer blocks.4 · 14×14") for panel in scene["panels"])
    page.switch_page("app_pages/compare_models.py").run()
    assert "blocks.4 · 14×14" in scenes(page)[0]["panels"][0]["facts"]
    assert "pinned on the page Layers" in first_page.words(page)
    press(page, f"blocks.4 of {LITE0}")
    assert "bn2 · 7×7" in scenes(page)[0]["panels"][0]["facts"]
    assert "layers" not in page.query_params


def test_a_link_reopens_depth_class_and_pin() -> None:
    page = opened(photos=["coffee and cat"], depth="blocks.2", layers=[f"{LITE0}~blocks.4"], **{"class": "tabby"})
    assert large(page)["title"] == "blocks.2"
    assert "**tabby**" in words(page)
    press(page, "Unpin blocks.4")
    assert "layers" not in page.query_params
    assert not [button for button in page.button if "Unpin" in button.label]


def test_a_pin_of_a_model_that_is_not_chosen_changes_nothing() -> None:
    page = opened(layers=[f"{LITE1}~blocks.4"])
    page.switch_page("app_pages/compare_classes.py").run()
    assert not page.exception
    assert "bn2 · 7×7" in scenes(page)[0]["panels"][0]["facts"]


def test_a_pin_that_the_model_does_not_have_is_a_reason_in_its_panels() -> None:
    page = opened(layers=[f"{LITE0}~blocks.99"])
    page.switch_page("app_pages/compare_classes.py").run()
    assert not page.exception
    assert "blocks.99" in first_page.reasons(page)[0]
