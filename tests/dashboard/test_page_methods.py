"""The page *Methods*, and methods on *Compare models*, without a browser."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from dashboard.components import BESIDE
from dashboard.components.methods import long_methods, method_text
from gradcam.config import settings
from gradcam.methods import METHODS
from tests.dashboard.first_page import LITE0, LITE1, scenes, words
from tests.opening import open_page

opened = partial(open_page, "methods")


def test_first_sight_is_six_methods_side_by_side_with_what_they_are() -> None:
    page = opened()
    assert not page.error
    (scene,) = scenes(page)
    assert [panel["title"] for panel in scene["panels"]] == list(BESIDE)
    assert [bool(panel.get("diverging")) for panel in scene["panels"]] == [METHODS[name].signed for name in BESIDE]
    assert all(panel["plot"]["data"] for panel in scene["panels"])
    items = [line for line in words(page).splitlines() if line.startswith("**[")]
    assert [line.split("]")[0].removeprefix("**[") for line in items] == list(BESIDE)
    assert all(panel["facts"].startswith("like Grad-CAM\N{NO-BREAK SPACE}") for panel in scene["panels"][1:])
    assert "1 forward, no backward" in items[-1]


def test_grad_cam_is_there_whatever_is_picked_and_a_link_holds_the_choice() -> None:
    page = opened(methods_beside=["CAM", "FEM"])
    (scene,) = scenes(page)
    assert [panel["title"] for panel in scene["panels"]] == ["Grad-CAM", "CAM", "FEM"]
    assert "the same for every class" in scene["panels"][2]["facts"]


def test_a_wrapper_makes_a_method_of_each_that_it_fits_and_a_name_in_a_wrapper_may_be_typed() -> None:
    page = opened(methods_beside=["FEM", "finer-cam(layercam)"], wrapper="Finer-CAM")
    (scene,) = scenes(page)
    assert [panel["title"] for panel in scene["panels"]] == ["Grad-CAM", "FEM", "Finer-CAM(LayerCAM)"]
    (told,) = [caption for caption in page.sidebar.caption if caption.value.startswith("Not in ")]
    assert told.value == "Not in Finer-CAM: FEM."  # and nothing of what is in it already
    assert "whose map is the same for every class" in told.help
    page = opened(methods_beside=["LayerCAM", "nonsense", "SmoothGrad(IS-CAM)"], wrapper="Augmented")
    (scene,) = scenes(page)
    assert [panel["title"] for panel in scene["panels"]] == ["Grad-CAM", "Augmented(LayerCAM)"]
    assert "Expected a method, got 'nonsense'" in page.error[0].value
    assert "of at most 25,000 forwards of each photo and model, got about 80,009 with Smooth" in page.error[1].value


def test_forwards_are_counted_at_the_layers_of_the_page_s_models_only(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(settings(), limits=replace(settings().limits, forwards=20))
    monkeypatch.setattr("dashboard.components.methods.settings", lambda: few)
    named, several = ["Grad-CAM", "Smooth Grad-CAM++"], "blocks.4 + blocks.5 + blocks.6"
    elsewhere = opened(methods_beside=named, layers=[f"{LITE1}~{several}"])
    assert not elsewhere.error
    assert [panel["title"] for panel in scenes(elsewhere)[0]["panels"]] == named
    here = opened(methods_beside=named, layers=[f"{LITE0}~{several}"])
    assert "got about 27 with Smooth" in here.error[0].value
    assert "; take fewer methods or layers, or no wrapper" in here.error[0].value


def test_compare_models_takes_several_methods_as_rows() -> None:
    page = open_page("compare_models", models=[LITE0], methods=["LayerCAM", "Grad-CAM"])
    (scene,) = scenes(page)
    assert [panel["title"].rpartition(" · ")[2] for panel in scene["panels"]] == ["LayerCAM", "Grad-CAM"]


def test_methods_that_take_minutes_say_how_many_forwards_and_none_is_picked_at_first() -> None:
    assert not any(METHODS[name].takes_long for name in BESIDE)
    assert long_methods([METHODS[name] for name in BESIDE]) == ""
    said = long_methods([METHODS[name] for name in ("Grad-CAM", "RISE", "Score-CAM")])
    assert "RISE 1,001 forwards" in said
    assert "Score-CAM 1 forward and 1 a channel" in said
    assert "Grad-CAM " not in said


def test_every_name_links_to_its_paper() -> None:
    for method in METHODS.values():
        item = method_text(method.name)
        assert f"[{method.name}]({method.link})" in item
        assert method.says in item
