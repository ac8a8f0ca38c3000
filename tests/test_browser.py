"""The dashboard in a real browser: what a visitor sees, does, and takes away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from skimage import data, io

from tests.server import dashboard

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
FIRST_VISIT = 90_000
"""Milliseconds: the first visitor waits for PyTorch."""

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with dashboard() as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Open the dashboard as a new visitor; at the end, no error was logged and no other host was asked."""
    contexts, complaints, strangers = [], [], []

    def open_page(query: str = "", **options) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
        contexts.append(context)
        page = context.new_page()
        listen(page, complaints, strangers)
        page.goto(f"{address}/{query}")
        pictures(page).first.wait_for(timeout=FIRST_VISIT)
        settle(page)
        return page

    expect.set_options(timeout=20_000)
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert strangers == []


def listen(page: Page, complaints: list[str], strangers: list[str]) -> None:
    """Note what the page complains of and which other hosts it asks."""
    own = ("http://127.0.0.1:", "file:", "data:", "blob:")
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(own) else strangers.append(asked.url))


def settle(page: Page) -> None:
    """Wait until the server has nothing more to say and a frame has been drawn."""
    page.wait_for_timeout(300)
    expect(page.locator("[data-test-script-state='running']")).to_have_count(0, timeout=FIRST_VISIT)
    page.wait_for_timeout(300)


def pictures(page: Page) -> Locator:
    """The canvas of every panel that is drawn."""
    return page.locator(".viewer canvas")


def titles(page: Page) -> list[str]:
    """Model, target and probability of every panel, as written over it."""
    return page.locator(".viewer figcaption").all_inner_texts()


def heat(page: Page) -> list[int]:
    """How far each picture differs at most from the bare photo, 0 to 255 in any channel."""
    drawn = """all => all.map(it => [...it.getContext('2d').getImageData(0, 0, it.width, it.height).data])"""
    covered = pictures(page).evaluate_all(drawn)
    page.get_by_role("button", name="Hold to see the photo").first.hover()
    page.mouse.down()
    page.wait_for_timeout(300)
    bare = pictures(page).evaluate_all(drawn)
    page.mouse.up()
    return [max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in zip(covered, bare, strict=True)]


def choose(page: Page, label: str, typed: str, option: str | re.Pattern[str]) -> None:
    """Type into a list of choices and take an option."""
    page.get_by_role("combobox", name=label).fill(typed)
    page.get_by_role("option", name=option).first.click()
    page.mouse.click(900, 20)  # outside the list, which closes it
    settle(page)


def test_the_first_sight_is_three_real_heatmaps_of_a_sample(visit: Visit) -> None:
    page = visit()
    assert [re.sub(r"\s*(\S+)\s*(.*) · .*", r"\1: \2", title, flags=re.S) for title in titles(page)] == [
        "bundled/tf_efficientnet_lite0: tiger cat",
        "bundled/tf_efficientnet_lite1: Egyptian cat",
        "bundled/tf_efficientnet_lite2: Egyptian cat",
    ]
    assert all(difference > 50 for difference in heat(page))
    for words in ("7×7 grid", "8×8 grid", "9×9 grid", "Why this layer"):
        expect(page.get_by_text(words).first).to_be_visible()
    expect(page.locator(".barlayer .trace.bars")).to_have_count(3)


def test_the_look_changes_without_losing_the_zoom_and_goes_into_the_link(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".viewer .zoomed")).to_have_count(1)
    page.get_by_role("slider", name="Opacity").fill("80")
    page.get_by_role("combobox", name="Colour map").select_option("inferno")
    expect(page).to_have_url(re.compile("colormap=inferno"))
    expect(page).to_have_url(re.compile("opacity=80"))
    settle(page)
    expect(page.locator(".viewer .zoomed")).to_have_count(1)
    choose(page, "Photos", "coffee", "coffee · sample")
    sliders = page.get_by_role("slider", name="Opacity")
    expect(sliders).to_have_count(2)
    assert [slider.input_value() for slider in sliders.all()] == ["80", "80"]


def test_a_visitor_uploads_a_photo_adds_a_model_and_asks_for_a_class(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    io.imsave(tmp_path / "my cup.jpg", data.coffee(), check_contrast=False)
    page.set_input_files("input[type=file]", tmp_path / "my cup.jpg")
    expect(page.get_by_role("heading", name="my cup.jpg")).to_be_visible()
    settle(page)
    assert all("espresso" in title for title in titles(page))

    page.get_by_role("button", name="Remove bundled/tf_efficientnet_lite1").last.click()
    expect(pictures(page)).to_have_count(2)
    choose(page, "Models", "efflite1", "bundled/tf_efficientnet_lite1")
    expect(pictures(page)).to_have_count(3)

    choose(page, "Models", "torchvision/vgg16@", re.compile("vgg16@IMAGENET1K_V1 · download"))
    expect(page.locator(".viewer .facts").get_by_text("expected weights for torchvision/vgg16")).to_be_visible()

    choose(page, "Classes", "coffee m", "coffee mug")
    found = titles(page)
    assert sum("espresso" in title for title in found) == 3
    assert sum("coffee mug" in title for title in found) >= 3


def test_a_link_reopens_the_view_for_somebody_else(visit: Visit) -> None:
    page = visit()
    choose(page, "Photos", "coffee", "coffee · sample")
    choose(page, "Classes", "tabb", "tabby")
    page.get_by_role("radio", name="squash").click()
    expect(page).to_have_url(re.compile("fit=squash"))
    settle(page)
    expect(pictures(page)).to_have_count(12)
    again = visit("?" + page.url.partition("?")[2])
    expect(pictures(again)).to_have_count(12)
    assert titles(again) == titles(page)


def test_both_downloads_hold_the_comparison_and_the_page_opens_without_a_network(
    visit: Visit, browser: Browser, tmp_path: Path
) -> None:
    page = visit()
    for name in ("PNG", "HTML"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        download.value.save_as(tmp_path / f"comparison.{name.lower()}")
    picture = io.imread(tmp_path / "comparison.png")
    assert picture.shape[1] > 3 * 300
    assert picture.std() > 20

    complaints: list[str] = []
    strangers: list[str] = []
    context = browser.new_context(offline=True, viewport=DESKTOP)
    saved = context.new_page()
    listen(saved, complaints, strangers)
    saved.goto((tmp_path / "comparison.html").as_uri())
    expect(pictures(saved)).to_have_count(3)
    saved.wait_for_function("document.querySelector('canvas').width > 300")
    colours = saved.evaluate(
        """() => [...document.querySelectorAll('canvas')].map(it => new Set(it.getContext('2d')
        .getImageData(0, 0, it.width, it.height).data).size)"""
    )
    assert all(count > 100 for count in colours)
    assert titles(saved) == titles(page)
    assert complaints == []
    assert strangers == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_panels_stack_and_nothing_is_cut_off(visit: Visit, scheme: str) -> None:
    page = visit(viewport=PHONE, color_scheme=scheme)
    expect(pictures(page)).to_have_count(3)
    boxes = [canvas.bounding_box() or {} for canvas in pictures(page).all()]
    for above, below in pairwise(boxes):
        assert above["y"] + above["height"] < below["y"]
    assert all(box["x"] >= 0 and 300 < box["width"] <= 390 for box in boxes)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= PHONE["width"]


def test_the_dark_theme_writes_light_on_dark(visit: Visit) -> None:
    page = visit(color_scheme="dark")
    ground = page.locator(".stApp").evaluate("it => getComputedStyle(it).backgroundColor")
    words = [
        page.locator(".viewer figcaption").first.evaluate("it => getComputedStyle(it).color"),
        page.locator(".barlayer .bartext").first.evaluate("it => getComputedStyle(it).fill"),
    ]

    def brightness(colour: str) -> float:
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    assert brightness(ground) < 40
    assert all(brightness(colour) > 200 for colour in words), json.dumps(words)
