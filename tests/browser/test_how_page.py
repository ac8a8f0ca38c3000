"""The page *How it works* in a real browser: what a lecturer sees and takes away."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Download, Page, expect

from tests.visiting import Visit, choose, settle

pytestmark = pytest.mark.browser


def taken(page: Page, name: str) -> Download:
    """The file of the figure whose button explains itself as `name`."""
    figure, _, kind = name.rpartition(" as ")
    stem = "gradcam-" + re.sub(r"\W+", "-", figure.lower())
    with page.expect_download() as download:
        page.locator(f".st-key-_{stem}-{kind.lower()}").get_by_role("button", name=kind).click()
    assert download.value.suggested_filename == f"{stem}.{kind.lower()}"
    return download.value


def opened(download: Download) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(download.path().read_bytes())).convert("RGB"))


def assert_a_chart_follows_the_theme(page: Page) -> None:
    words = page.locator("[data-testid=stPlotlyChart] svg text").first
    for scheme, lightness in (("light", range(0, 80)), ("dark", range(200, 256))):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        colour = words.evaluate("it => getComputedStyle(it).fill")
        assert all(int(part) in lightness for part in re.findall(r"\d+", colour)[:3]), (scheme, colour)


def test_a_lecturer_adds_a_model_takes_another_theme_and_colour_map_and_carries_figures_away(visit: Visit) -> None:
    page = visit("how_it_works", wait_for=None)
    assert_a_chart_follows_the_theme(page)
    choose(page, "Models", "lite2", "bundled/tf_efficientnet_lite2")
    expect(page.get_by_text("9×9 cells", exact=False).first).to_be_visible()
    expect(page.get_by_text("Each on its own scale: yellow", exact=False)).to_be_visible()
    choose(page, "Colour map", "jet", "jet")
    expect(page.get_by_text("dark red is its strongest cell", exact=False)).to_be_visible()
    expect(page).to_have_url(re.compile("colormap=jet"))

    page.get_by_role("button", name="Figures").click()
    bars = ElementTree.fromstring(taken(page, "Weights as SVG").path().read_bytes())
    assert len(bars.findall("{http://www.w3.org/2000/svg}rect")) > 1000
    assert opened(taken(page, "Feature maps as PNG")).shape[1] == 1800
    page.get_by_role("spinbutton", name="Width in pixels").fill("900")
    page.keyboard.press("Enter")
    settle(page)
    assert opened(taken(page, "Panels as PNG")).shape[1] == 900


def test_the_classic_picture_is_there_where_models_are_compared(visit: Visit) -> None:
    page = visit("?models=bundled/tf_efficientnet_lite0&models=bundled/tf_efficientnet_lite1")
    page.get_by_role("button", name="Panels").click()
    panels = opened(taken(page, "Panels as PNG"))
    assert panels.shape[1] == 1800
    assert panels.shape[0] > 2 * 350, "a row a model"
