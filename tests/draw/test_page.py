"""A page that needs nobody else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

from gradcam.comparison import Comparison
from gradcam.draw.figures import plotly_script
from gradcam.draw.page import comparison_html, html_in_pieces
from gradcam.types import Style, Top
from tests import fakes

HEAT = np.array([[0, 1, 2], [3, 4, 8]], np.float32)
HOSTILE = "<img src=x onerror=alert(1)>&\"'</script>.jpg"


def two_by_two() -> Comparison:
    """Two photos of different aspect, two models, one of which fails on the second photo."""
    wide, tall = fakes.photo(40, 60, "wide.jpg"), fakes.photo(60, 40, "tall.jpg")
    panels = (
        fakes.panel(wide, HEAT, view=fakes.middle(wide)),
        fakes.panel(wide, HEAT * 2, model="timm/b", untrained=True),
        fakes.panel(tall, HEAT * 0),
        fakes.failure(tall, "expected weights, got no network"),
    )
    return Comparison((wide, tall), ("bundled/a", "timm/b"), ("Grad-CAM",), (Top(),), panels)


class Page(HTMLParser):
    """Every tag of a page with its attributes, and all text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] != "script":
            self.text += data


def test_the_page_loads_nothing_from_anywhere():
    page = Page(comparison_html(two_by_two()))
    assert [tag for tag, attributes in page.tags if "src" in attributes or "href" in attributes] == []
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "eval" not in policy


def scenes(text: str) -> list[dict[str, Any]]:
    """What the page's viewers show: first the tools, then each photo."""
    return [json.loads(scene) for scene in re.findall(r'<script type="application/json">(.*?)</script>', text)]


def photo_scenes(text: str) -> list[dict[str, Any]]:
    """The same without the tools."""
    return [scene for scene in scenes(text) if "photo" in scene]


def test_the_page_holds_every_photo_and_plotly_once_and_is_small_enough_to_mail():
    text = comparison_html(two_by_two())
    assert text.count("data:image/jpeg;base64,") == len(photo_scenes(text)) == 2
    assert text.count(plotly_script()) == 1
    assert len(text) < len(plotly_script()) + 64_000  # 31 kB of viewer, the rest styles, colours, photos and maps


def test_the_page_comes_a_photo_at_a_time():
    pieces = list(html_in_pieces(two_by_two()))
    assert "".join(pieces) == comparison_html(two_by_two())
    assert [len(scenes(piece)) for piece in pieces] == [1, 1, 1, 0]


def test_one_toolbar_and_one_legend_serve_all_photos_of_the_page():
    tools, *photos = scenes(comparison_html(two_by_two()))
    assert "photo" not in tools
    assert "each map's own maximum" in tools["words"]
    assert [(photo["photo"]["name"], photo["tools"], photo["legend"]) for photo in photos] == [
        ("wide.jpg", False, False),
        ("tall.jpg", False, False),
    ]


def test_no_number_on_the_page_stands_apart_from_its_percent():
    text = Page(comparison_html(two_by_two())).text
    assert "70.0\N{NO-BREAK SPACE}%" in text
    assert " %" not in text


def test_the_page_tells_models_predictions_layers_and_failures():
    text = Page(comparison_html(two_by_two())).text
    for fact in (
        "wide.jpg", "60×40 pixels", "bundled/a", "timm/b (untrained)", "tabby", "espresso", "features.29",
        "the last layer with a grid", "2×3", "0.12 s", "expected weights, got no network", "no positive evidence",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_shared_scale_is_shared_by_all_photos_of_the_page():
    photos = fakes.photo(name="a.jpg"), fakes.photo(name="b.jpg")
    panels = tuple(fakes.panel(photo, HEAT * k) for photo, k in zip(photos, (1, 3), strict=True))
    text = comparison_html(
        Comparison(photos, ("bundled/a",), ("Grad-CAM",), (Top(),), panels), Style(scale="shared")
    )
    assert [scene["panels"][0]["plot"]["data"][0]["zmax"] for scene in photo_scenes(text)] == [24, 24]


def test_hostile_names_stay_text_on_the_page():
    photo = fakes.photo(name=HOSTILE)
    panels = (
        fakes.panel(photo, HEAT, model=f"x/{HOSTILE.replace('/', '')}", label=HOSTILE, target=HOSTILE),
        fakes.failure(photo, HOSTILE, model=HOSTILE, target=HOSTILE),
    )
    page = Page(comparison_html(fakes.comparison(*panels)))
    assert not [a for tag, a in page.tags if tag == "img" or "onerror" in a]
    assert HOSTILE in page.text
    (scene,) = photo_scenes(comparison_html(fakes.comparison(*panels)))
    assert HOSTILE in scene["panels"][0]["alt"]


def test_models_without_a_map_are_named_together_in_the_table_and_take_no_place_in_the_viewer():
    photo, other = fakes.photo(name="a.jpg"), fakes.photo(name="b.jpg")
    lost = [fakes.failure(photo, "no network", model=model) for model in ("x/b", "x/c")]
    nothing = [fakes.failure(other, "no network", model=model) for model in ("x/a", "x/b", "x/c")]
    panels = (fakes.panel(photo, HEAT, model="x/a"), *lost, *nothing)
    text = comparison_html(Comparison((photo, other), ("x/a", "x/b", "x/c"), ("Grad-CAM",), (Top(),), panels))
    (scene,) = photo_scenes(text)
    assert (scene["photo"]["name"], [panel["title"] for panel in scene["panels"]]) == ("a.jpg", ["x/a"])
    named = [re.sub("<wbr>", "", name) for name in re.findall(r"<th scope='row'>(.*?)</th>", text)]
    assert named == ["x/a", "x/b and x/c", "x/a, x/b and x/c"]
    assert text.count("<p class='failed'>no network</p>") == 2


def test_a_question_that_no_model_has_a_map_of_is_in_the_table_alone():
    photo = fakes.photo()
    targets = Top(), "tabby"
    panels = tuple(
        fakes.panel(photo, HEAT, model=model, target=target)
        if target == Top()
        else fakes.failure(photo, "unknown", model=model, target=target)
        for model in ("x/a", "x/b")
        for target in targets
    )
    text = comparison_html(Comparison((photo,), ("x/a", "x/b"), ("Grad-CAM",), targets, panels))
    (scene,) = photo_scenes(text)
    assert (scene["columns"], len(scene["panels"])) == (2, 2)
    assert text.count("<p class='failed'>tabby: no map. unknown</p>") == 2
