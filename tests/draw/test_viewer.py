"""What the viewer is told: maps in raw numbers, their place, and words for those who cannot see them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from gradcam.comparison import Comparison
from gradcam.draw import render
from gradcam.draw.viewer import comparison_scene, difference_scene, panels_scene, scene_json, what_differs
from gradcam.errors import MapError, OptionError
from gradcam.scaling import normalize
from gradcam.types import Style, Top
from tests import fakes

HEAT = np.array([[0, 1, 2], [3, 4, 8]], np.float32)


def numbers(packed: dict[str, str]) -> list[float]:
    """An array as Plotly packs it."""
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


def traces(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return panel["plot"]["data"]


def corners(panel: dict[str, Any]) -> list[tuple[float, ...]]:
    """Left, top, right, bottom of every line around what a model saw."""
    return [
        tuple(shape[c] for c in ("x0", "y0", "x1", "y1")) for shape in panel["plot"]["layout"].get("shapes", [])
    ]


def test_the_raw_map_travels_on_its_own_grid_with_its_place_and_full_scale():
    photo = fakes.photo(40, 60)
    (panel,) = panels_scene([fakes.panel(photo, HEAT, view=fakes.middle(photo))])["panels"]
    (trace,) = traces(panel)
    assert (trace["type"], trace["z"]["shape"], trace["zsmooth"]) == ("heatmap", "2, 3", "best")
    assert numbers(trace["z"]) == [0, 1, 2, 3, 4, 8]
    assert (trace["zmin"], trace["zmax"]) == (0, 8)
    assert trace["dx"] == pytest.approx(40 / 3)
    assert (trace["x0"], trace["y0"], trace["dy"]) == pytest.approx((10 + 40 / 6, 10, 20))
    assert set(corners(panel)) == {(10, 0, 50, 40)}


def test_hovering_says_raw_heat_and_its_share_of_full_colour():
    heatmap = fakes.panel(fakes.photo(), HEAT)
    (panel,) = panels_scene([heatmap], scaled={heatmap: normalize(HEAT, 16)})["panels"]
    (trace,) = traces(panel)
    assert trace["hovertemplate"] == "heat %{z:.3g}<br>%{customdata[0]} % of full colour<extra></extra>"
    assert numbers(trace["customdata"]) == [0, 6, 12, 19, 25, 50]


def test_axes_are_the_photos_pixels_square_and_downwards():
    layout = panels_scene([fakes.panel(fakes.photo(40, 60), HEAT)])["panels"][0]["plot"]["layout"]
    assert (layout["xaxis"]["range"], layout["yaxis"]["range"]) == ([0, 60], [40, 0])
    assert layout["yaxis"]["scaleanchor"] == "x"


def test_plotly_finds_nothing_wrong_with_a_panel_or_a_difference():
    """Plotly's own objects refuse a property that there is not, and write the arrays as they came."""
    photo = fakes.photo(40, 60)
    a, b = (fakes.panel(photo, heat, view=fakes.middle(photo)) for heat in (HEAT, HEAT[::-1] * 2))
    for panel in (*panels_scene([a, b])["panels"], *difference_scene(a, b)["panels"]):
        written = json.loads(go.Figure(panel["plot"], skip_invalid=False).to_json() or "")
        assert written["data"] == panel["plot"]["data"]
        assert {**written["layout"], **panel["plot"]["layout"]} == written["layout"]


def test_a_photo_seen_whole_has_no_frame():
    assert corners(panels_scene([fakes.panel(fakes.photo(), HEAT)])["panels"][0]) == []


def test_an_empty_map_has_words_and_no_colour():
    (panel,) = panels_scene([fakes.panel(fakes.photo(), HEAT * 0)])["panels"]
    assert (traces(panel), panel["note"]) == ([], "no positive evidence")
    assert "evidence" not in panel["facts"], "it is said on the picture"


def test_a_failure_keeps_its_place_and_its_reason():
    photo = fakes.photo()
    panels = panels_scene([fakes.panel(photo, HEAT), fakes.failure(photo, "no network")])["panels"]
    assert panels[1]["reason"] == "no network"
    assert panels[1]["alt"] == "timm/b: no map. no network"


def test_one_model_has_its_questions_side_by_side_and_several_have_a_row_for_each():
    photo = fakes.photo()
    questions = Top(1), Top(2), Top(3)
    for models, columns in ((("a/a",), 3), (("a/a", "b/b"), 2)):
        panels = tuple(fakes.panel(photo, HEAT, model=m, target=q) for m in models for q in questions)
        scene = comparison_scene(Comparison((photo,), models, ("Grad-CAM",), questions, panels), photo)
        assert scene["columns"] == columns
        assert [panel["title"] for panel in scene["panels"]] == list(models) * 3


def test_the_scale_is_shared_with_photos_that_are_not_in_the_scene():
    photos = fakes.photo(name="a.jpg"), fakes.photo(name="b.jpg")
    panels = tuple(fakes.panel(photo, HEAT * k) for photo, k in zip(photos, (1, 3), strict=True))
    comparison = Comparison(photos, ("bundled/a",), ("Grad-CAM",), (Top(),), panels)
    scene = comparison_scene(comparison, photos[0], Style(scale="shared"))
    assert traces(scene["panels"][0])[0]["zmax"] == 24
    assert scene["bars"][0]["numbers"][-1] == "24"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0, 0), "upper left"),
        ((0, 1), "upper centre"),
        ((1, 1), "centre"),
        ((1, 2), "middle right"),
        ((2, 0), "lower left"),
    ],
)
def test_the_alt_text_says_where_it_is_hottest(place: tuple[int, int], words: str):
    heat = np.zeros((3, 3), np.float32)
    heat[place] = 1
    (panel,) = panels_scene([fakes.panel(fakes.photo(60, 60), heat)])["panels"]
    assert panel["alt"] == f"bundled/a, tabby · 70.0 %: hottest at {words}."


def test_a_difference_is_drawn_around_zero_where_both_models_saw_the_photo():
    photo = fakes.photo(30, 60)
    a = fakes.panel(photo, [[2, 0]], view=fakes.middle(photo))
    b = fakes.panel(photo, [[0, 3]], model="timm/b")
    scene = difference_scene(a, b)
    left, panel, right = scene["panels"]
    assert (left["title"], right["title"]) == ("A: bundled/a", "B: timm/b")
    (trace,) = traces(panel)
    assert (trace["zmin"], trace["zmax"], trace["z"]["shape"]) == (-1, 1, "30, 30")
    assert (trace["x0"], trace["dx"], trace["y0"], trace["dy"]) == (15.5, 1, 0.5, 1)
    across = numbers(trace["z"])[:30]
    assert (across[0], across[-1]) == pytest.approx((1 - 1 / 60, -29.5 / 30), abs=0.02)
    assert numbers(trace["customdata"])[:2] == [100, 2]
    assert set(corners(panel)) == {(15, 0, 45, 30)}
    assert len(base64.b64decode(scene["diverging"])) == 3 * 256
    assert panel["alt"].startswith("bundled/a has most more at ")
    assert "timm/b has most more at " in panel["alt"]
    assert scene["words"] == (
        "Red: more heat in A, bundled/a. Blue: more in B, timm/b. "
        "Full colour is each map's own maximum: colours say where, not how much."
    )


def test_panels_of_two_methods_are_told_apart():
    photo = fakes.photo()
    one = fakes.panel(photo, HEAT)
    scene = panels_scene([one, replace(one, method="Other-CAM")])
    assert [panel["title"] for panel in scene["panels"]] == ["bundled/a · Grad-CAM", "bundled/a · Other-CAM"]
    assert scene["panels"][1]["alt"].startswith("bundled/a · Other-CAM. bundled/a, tabby")
    assert panels_scene([one])["panels"][0]["title"] == "bundled/a"


def test_colours_are_those_of_every_other_picture():
    packed = panels_scene([fakes.panel(fakes.photo(), HEAT)])["colormaps"]["turbo"]
    assert base64.b64decode(packed) == render.colormap("turbo").tobytes()


def test_a_scene_cannot_end_the_script_it_stands_in():
    photo = fakes.photo(name="</script><img src=x>")
    text = scene_json(panels_scene([fakes.panel(photo, HEAT)]))
    assert "<" not in text
    assert json.loads(text)["photo"]["name"] == photo.name


def test_a_bad_style_and_a_map_that_is_not_finite_are_refused():
    panel = fakes.panel(fakes.photo(), HEAT)
    with pytest.raises(OptionError, match="opacity"):
        panels_scene([panel], Style(opacity=2))
    with pytest.raises(MapError, match="NaN"):
        panels_scene([fakes.panel(fakes.photo(), HEAT * np.nan)])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite2"), ["lite0", "lite2"]),
        (("timm/resnet50.a1_in1k", "timm/resnet50.a2_in1k"), ["a1_in1k", "a2_in1k"]),
        (("torchvision/resnet18", "bundled/mobilenetv2_dogs"), ["resnet18", "mobilenetv2_dogs"]),
        (("mine", "mine2"), ["mine", "mine2"]),
        (("torchvision/resnet50", "timm/resnet50"), ["torchvision/resnet50", "timm/resnet50"]),
        (("hf:acme/vit", "hf:other/vit"), ["hf:acme/vit", "hf:other/vit"]),
        (("timm/resnet50", "timm/resnet50"), ["resnet50", "resnet50"]),
        (
            ("timm/a_1 (untrained, seed 0)", "timm/a_1 (untrained, seed 1)"),
            ["a_1 (untrained, seed 0)", "a_1 (untrained, seed 1)"],
        ),
    ],
)
def test_two_models_are_told_apart_in_few_letters(names: tuple[str, str], told: list[str]):
    assert what_differs(names) == told
