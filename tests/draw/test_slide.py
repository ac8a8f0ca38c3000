"""Slides hold their pictures, bars and words at the same places as PNG and as SVG."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gradcam.draw import CLASSIC, COLORMAP_ENDS, SEQUENTIAL, PictureRow, panels_slide, picture_slide, weights_slide
from gradcam.errors import OptionError
from gradcam.types import Style
from tests import fakes

SVG = "{http://www.w3.org/2000/svg}"
HOT = np.ones((1, 1))


def opened(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


def test_the_classic_is_photo_jet_and_half_of_each_in_the_width_that_was_asked_for():
    (photo, heat, both) = (slice(k * 224, k * 224 + 200) for k in range(3))
    drawn = opened(panels_slide([fakes.panel(fakes.photo(30, 60, grey=100), HOT)], width=648).png())
    assert drawn.shape == (100, 648, 3)
    assert (drawn[:, photo] == 100).all()
    assert (drawn[:, heat] == [128, 0, 0]).all(), "full heat in JET"
    assert (drawn[:, both] == [114, 50, 50]).all()
    assert (drawn[:, 200:224] == 255).all()


def test_several_panels_are_rows_that_say_which_they_are():
    panels = [fakes.panel(fakes.photo(30, 60), HOT, model=model) for model in ("x/a", "x/b")]
    root = ElementTree.fromstring(panels_slide(panels, width=900).svg())
    assert len(root.findall(f"{SVG}image")) == 6
    titles = [text.text for text in root.findall(f"{SVG}text")]
    assert titles == [f"cat.jpg · x/{name} · tabby · 70.0 %" for name in "ab"]


def test_the_pictures_of_the_svg_are_those_of_the_png():
    slide = panels_slide([fakes.panel(fakes.photo(30, 60), HOT)], Style(), width=300)
    drawn = opened(slide.png())
    for image in ElementTree.fromstring(slide.svg()).findall(f"{SVG}image"):
        x, y, width, height = (int(image.attrib[name]) for name in ("x", "y", "width", "height"))
        inside = opened(base64.b64decode(image.attrib["href"].partition(",")[2]))
        assert (drawn[y : y + height, x : x + width] == inside).all()


def test_words_are_no_markup():
    row = PictureRow([np.zeros((4, 4, 3), np.uint8)], ["<b>&\x00\nsecond line"])
    root = ElementTree.fromstring(picture_slide([row], 400).svg())
    assert [text.text for text in root.findall(f"{SVG}text")] == ["<b>&", "second line"]


def test_bars_stand_on_the_zero_line_and_fall_from_left_to_right():
    root = ElementTree.fromstring(weights_slide(np.array([-1, 3, 2], np.float32), 600).svg())
    _, *bars, zero = (
        {name: float(rect.attrib[name]) for name in ("x", "y", "height")} | {"fill": rect.attrib["fill"]}
        for rect in root.findall(f"{SVG}rect")
        if "x" in rect.attrib or rect.attrib.update(x="0", y="0", height="0") is None
    )
    assert [round(bar["height"] / bars[2]["height"], 3) for bar in bars] == [3, 2, 1]
    assert [bar["x"] for bar in bars] == sorted(bar["x"] for bar in bars)
    ground = zero["y"] + 1
    assert [round(bar["y"] + bar["height"] - ground, 1) for bar in bars[:2]] == [0, 0]
    assert round(bars[2]["y"] - ground, 1) == 0
    assert [bar["fill"] for bar in bars] == ["#d6604d", "#d6604d", "#4393c3"], "red above zero, blue below"
    assert [text.text for text in root.findall(f"{SVG}text")][:3] == ["3", "0", "−1"]


def test_a_slide_of_very_many_panels_is_narrower_than_asked():
    panels = [fakes.panel(fakes.photo(60, 30), HOT)] * 20
    slide = panels_slide(panels, width=8000)
    assert slide.width * slide.height < 110_000_000


@pytest.mark.parametrize("width", [0, 199, 8001])
def test_a_width_beyond_what_is_drawn_is_refused(width: int):
    with pytest.raises(OptionError, match="expected a width from 200 to 8,000 pixels"):
        panels_slide([fakes.panel(fakes.photo(), HOT)], CLASSIC, width)


def test_nothing_to_show_is_a_sentence():
    with pytest.raises(OptionError, match="expected a heatmap"):
        panels_slide([])


def test_the_ends_of_every_colour_map_for_heat_have_words():
    assert COLORMAP_ENDS.keys() == SEQUENTIAL.keys()
