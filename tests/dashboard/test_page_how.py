"""The page *How it works* without a browser: the four steps, each control, each error, and the script."""

from __future__ import annotations

import base64
import json
from functools import partial

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gradcam import explain, heatmaps, load_classifier, sample_photo
from gradcam.preprocess import to_input, view_of
from tests.dashboard.test_page_models import bring
from tests.opening import open_page

LITE0, LITE1, LITE2 = (f"bundled/tf_efficientnet_lite{size}" for size in range(3))


opened = partial(open_page, "how_it_works")


def words(page: AppTest) -> str:
    said = "\n".join(element.value for kind in ("markdown", "caption") for element in page.main.get(kind))
    return said.replace("\\", "")


def alts(page: AppTest) -> list[str]:
    return [picture.alt for images in page.get("image") for picture in images.proto.imgs]


def errors(page: AppTest) -> str:
    return " ".join(error.value for error in page.error).replace("\\", "")


def code(page: AppTest) -> str:
    return page.code[-1].value  # the script, after another method's line


def test_first_sight_takes_a_photo_through_the_four_steps() -> None:
    page = opened()
    assert not page.error
    assert [heading.value for heading in page.main.header] == [
        "The question",
        "1 · Feature maps",
        "2 · Gradients and weights",
        "3 · Weighted sum and ReLU",
        "4 · Back on the photo",
        "Another line",
        "The classic picture",
        "The same in Python",
    ]
    explanation = explain(load_classifier(LITE0), sample_photo("cat and coffee"))
    assert "**Egyptian cat**" in words(page)
    assert f"y = {explanation.targets[0].score:.2f}" in page.latex[0].value
    assert "1,280 small pictures of 7×7 cells" in words(page)
    assert "all cells of a map have one gradient" in words(page)
    assert "This is the whole sum." in words(page)


def test_every_picture_has_words_for_those_who_do_not_see_it() -> None:
    page = opened()
    said = alts(page)
    assert len(said) == 1 + 10 + 10 + 2 + 2 + 2 + 1
    assert all(said)
    assert sum(alt.startswith("Feature maps: map ") for alt in said) == 10
    assert any("hottest at" in alt for alt in said)
    (chart,) = page.get("plotly_chart")
    assert "1,280 weights" in chart.proto.alt


def test_the_bars_are_all_the_weights_from_the_largest_to_the_smallest() -> None:
    (chart,) = opened().get("plotly_chart")
    (bars,) = json.loads(chart.proto.spec)["data"]
    heights = bars["y"]
    if isinstance(heights, dict):
        heights = np.frombuffer(base64.b64decode(heights["bdata"]), heights["dtype"])
    assert len(heights) == 1280
    assert (np.diff(heights) <= 0).all()
    assert heights[0] > 0 > heights[-1]


def test_the_sum_grows_map_by_map() -> None:
    page = opened()
    slider = page.slider(key="step")
    assert (slider.min, slider.max, slider.value) == (1, 1280, 1280)
    slider.set_value(1).run()
    assert not page.exception
    assert "1 of 1,280 maps, before ReLU" in words(page)
    assert "Correlation with the whole sum: " in words(page)
    page.slider(key="step").set_value(300).run()
    assert "300 of 1,280 maps, before ReLU" in words(page)


def test_a_link_reopens_the_same_view() -> None:
    page = opened(photos=["coffee"], models=[LITE1], fit="squash", step="20", **{"class": "espresso"})
    assert not page.error
    assert "**espresso**" in words(page)
    assert "8×8 cells" in words(page)
    assert page.slider(key="step").value == 20
    assert "'squash'" in code(page)


def test_a_count_beyond_the_models_maps_means_all_of_them() -> None:
    page = opened()
    page.session_state["step"] = 5000
    page.run()
    assert not page.exception
    assert page.slider(key="step").value == 1280


def test_another_class_changes_the_numbers_and_a_contrast_explains_a_difference() -> None:
    page = opened()
    page.selectbox(key="class").set_value("espresso").run()
    assert "**espresso**" in words(page)
    page = opened(**{"class": "Egyptian cat rather than espresso"})
    assert "**Egyptian cat rather than espresso**" in words(page)
    assert "y_a - y_b" in page.latex[0].value
    assert "logits[0, 285] - logits[0, 967]" in code(page)


@pytest.mark.parametrize("question", ["top prediction", "espresso"])
def test_the_script_runs_and_gives_what_heatmaps_gives(question: str) -> None:
    page = opened(**{"class": question})
    names: dict = {}
    exec(compile(code(page), "script", "exec"), names)
    classifier, photo = load_classifier(LITE0), sample_photo("cat and coffee")
    batch = to_input(photo, view_of(photo.size, classifier.preprocessing), classifier.preprocessing)[None]
    index = {"top prediction": 285, "espresso": 967}[question]
    expected = heatmaps(classifier.module, batch, index)[0, 0]
    assert torch.allclose(names["heat"], expected, rtol=1e-3, atol=1e-5)


def test_a_pinned_layer_is_the_one_that_is_laid_open() -> None:
    page = opened(layers=[f"{LITE0}~blocks.2"])
    assert "layer `blocks.2`" in words(page)
    assert "28×28 cells" in words(page)
    assert "one gradient" not in words(page)


def test_one_of_several_photos_and_models_is_shown_at_a_time() -> None:
    page = opened(photos=["chelsea", "coffee"], models=[LITE0, LITE1])
    page.segmented_control(key="photo").set_value("coffee").run()
    page.segmented_control(key="model").set_value(LITE1).run()
    assert "**espresso**" in words(page)
    assert "8×8 cells" in words(page)


def test_a_model_or_photo_just_added_is_what_is_shown() -> None:
    page = opened(models=[LITE0, LITE1], model=LITE1)
    assert page.segmented_control(key="model").value == LITE1, "a link is believed"
    page.multiselect(key="models").select(LITE2).run()
    assert page.segmented_control(key="model").value == LITE2
    assert "9×9 cells" in words(page)
    page.segmented_control(key="model").set_value(LITE0).run()
    page.multiselect(key="photos").select("coffee").run()
    assert page.segmented_control(key="photo").value == "coffee"
    assert page.segmented_control(key="model").value == LITE0, "and no other choice moves"
    assert "**espresso**" in words(page)


def test_a_model_added_on_another_page_is_what_is_shown_at_first() -> None:
    page = open_page("compare_models")
    page.multiselect(key="models").set_value([LITE1, LITE2]).run()
    page.switch_page("app_pages/how_it_works.py").run()
    assert page.segmented_control(key="model").value == LITE1, "none is new"
    page = open_page("compare_models", models=[LITE0])
    page.multiselect(key="models").set_value([LITE0, LITE1]).run()
    page.switch_page("app_pages/how_it_works.py").run()
    assert page.segmented_control(key="model").value == LITE1
    assert "8×8 cells" in words(page)


def test_a_class_that_the_model_rules_out_is_said_to_be_hopeless() -> None:
    page = opened()
    explanation = explain(load_classifier(LITE0), sample_photo("cat and coffee"), "tarantula")
    assert "Rank **1** of 1,000 classes, probability **" in words(page)
    assert not page.main.get("alert")
    page.selectbox(key="class").set_value("tarantula").run()
    (scored,) = explanation.targets
    assert scored.probability < 1e-4
    assert f"Rank **{scored.rank:,}** of 1,000 classes" in words(page)
    assert "rules this class out" in page.warning[0].value


def test_the_colour_map_and_the_opacity_are_those_of_every_page() -> None:
    page = opened(colormap="jet", opacity="30")
    assert page.selectbox(key="_look_colormap").value == "jet"
    assert page.slider(key="_look_opacity").value == 30
    assert "dark red is its strongest cell, dark blue is none" in words(page)
    page.selectbox(key="_look_colormap").set_value("inferno").run()
    assert "pale yellow is its strongest cell, black is none" in words(page)
    assert page.query_params["colormap"] == "inferno"
    assert page.query_params["opacity"] == "30"


def test_every_figure_can_be_taken_away_as_png_and_svg() -> None:
    labels = [button.proto.label for button in opened().get("download_button")]
    assert labels == ["PNG", "SVG"] * 8


def test_ones_own_model_is_laid_open_too() -> None:
    page = AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
    page.switch_page("app_pages/models.py")
    page.query_params["models"] = [LITE0]
    page.run()
    page = bring(page)
    page.switch_page("app_pages/how_it_works.py").run()
    page.segmented_control(key="model").set_value("shapes").run()
    assert not page.exception
    assert "96 small pictures of 4×4 cells" in words(page)
    assert "load_checkpoint(\n    'shapes.pt',\n    'timm/test_resnet',\n    labels=" in code(page)


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"models": ["nonsense"]}, "expected a model id"),
        ({"class": "tabyb"}, "'tabby'"),
        ({"layers": [f"{LITE0}~blocks.99"]}, "blocks.99"),
        ({"photos": ["dog.jpg~0123456789abcdef"]}, "upload that file again"),
    ],
)
def test_what_cannot_be_laid_open_is_a_sentence(link: dict, sentence: str) -> None:
    page = opened(**link)
    assert sentence in errors(page).replace("Expected", "expected")


def test_nothing_chosen_teaches_what_to_do() -> None:
    page = opened(photos=[""])
    assert "Choose a photo and a model" in page.info[0].value


def test_another_line_shows_its_own_map_beside_grad_cams_and_the_code_that_made_it() -> None:
    page = opened(line="HiResCAM")
    assert "Draelos and Carin 2020" in words(page)
    assert "def hires_cam(signals: Signals) -> Tensor:" in page.code[0].value
    assert {"The map of another line: Grad-CAM.", "The map of another line: HiResCAM."} <= set(alts(page))
