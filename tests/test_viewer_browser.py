"""The linked viewer in a real browser, on the exported page opened as a file: what people see, do and hear."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from gradcam import render
from gradcam.page import comparison_html
from gradcam.types import Comparison, Style, Top
from tests import fakes

pytestmark = pytest.mark.browser

HEAT = np.random.default_rng(0).random((4, 6), np.float32)
DESKTOP, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
Visit = Callable[..., Page]


def comparison(failing: bool = False) -> Comparison:
    """Two models on one photo, of which one sees only the middle, and a third that fails if asked."""
    photo = fakes.photo(200, 300)
    panels = [
        fakes.panel(photo, HEAT, model="x/whole"),
        fakes.panel(photo, HEAT[:, ::-1], model="x/middle", view=fakes.middle(photo)),
    ]
    return fakes.comparison(*panels, *([fakes.failure(photo, "no network", model="x/fails")] if failing else []))


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    """Open a comparison's page; at the end nothing was complained of and no other host was asked."""
    complaints: list[str] = []
    strangers: list[str] = []
    contexts = []

    def open_page(shown: Comparison | None = None, style: Style | None = None, **options) -> Page:
        path = tmp_path / "page.html"
        path.write_text(comparison_html(shown or comparison(), style), "utf-8")
        context = browser.new_context(**{"viewport": DESKTOP, "offline": True, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: strangers.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(path.as_uri())
        page.wait_for_function("() => document.querySelector('canvas')?.width > 300")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert strangers == []


def settle(page: Page) -> None:
    """Wait until a frame has been drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pictures(page: Page) -> list[np.ndarray]:
    """The pixels of every canvas, RGB `[H, W, 3]`."""
    settle(page)
    urls = page.evaluate("() => [...document.querySelectorAll('canvas')].map(it => it.toDataURL())")
    return [
        np.asarray(Image.open(io.BytesIO(b64decode(url.split(",")[1]))).convert("RGB")).astype(int) for url in urls
    ]


def photo_alone(page: Page) -> list[np.ndarray]:
    """The pictures while the button is held."""
    button = page.get_by_role("button", name="Hold to see the photo")
    button.focus()
    page.keyboard.down("Enter")
    shown = pictures(page)
    page.keyboard.up("Enter")
    return shown


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and float(np.abs(a - b).max()) <= 2


def point_at(page: Page, panel: int, across: float, down: float) -> None:
    box = page.locator("canvas").nth(panel).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    settle(page)


def values(page: Page) -> list[str]:
    return page.locator(".value").all_inner_texts()


def slide(control: Locator, value: int) -> None:
    control.fill(str(value))
    control.dispatch_event("change")


def test_the_browser_colours_every_pixel_as_the_png_does(visit: Visit):
    page = visit(style=Style("jet", opacity=1, threshold=0.3))
    for shown, panel in zip(pictures(page), comparison().panels, strict=True):
        assert panel.map is not None
        assert panel.explanation is not None
        size = shown.shape[0], shown.shape[1]
        laid = render.lay_on_photo(render.scale_map(panel.map).values, panel.explanation.view, size)
        wanted = render.colourise(laid, "jet", 0.3)
        inner = np.zeros(size, bool)
        inner[8:-8, 8:-8] = True  # a frame is drawn around what was seen
        hot = (wanted[..., 3] == 255) & inner & (np.abs(laid - 0.3) > 0.01)
        left = np.flatnonzero(np.isfinite(laid).any(0))[[0, -1]]
        hot[:, : left[0] + 8] = hot[:, left[1] - 8 :] = False
        assert hot.sum() > 1000
        assert np.abs(shown[hot] - wanted[hot][:, :3]).max() <= 4  # a step of jet between two shares


def test_zooming_one_panel_zooms_all_and_reset_goes_back(visit: Visit):
    page = visit()
    before = photo_alone(page)
    page.locator("canvas").first.dblclick(position={"x": 100, "y": 60})
    first, second = photo_alone(page)
    assert alike(first, second)
    assert not alike(first, before[0])
    page.get_by_role("button", name="Reset zoom").click()
    assert alike(photo_alone(page)[0], before[0])


def test_dragging_moves_all_panels(visit: Visit):
    page = visit()
    page.locator("canvas").first.dblclick()
    before = photo_alone(page)[0]
    point_at(page, 1, 0.5, 0.5)
    page.mouse.down()
    point_at(page, 1, 0.7, 0.5)
    page.mouse.up()
    first, second = photo_alone(page)
    assert alike(first, second)
    assert first[:, :, 0].mean() < before[:, :, 0].mean() - 5  # red grows to the right, and we look further left


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(visit: Visit):
    page = visit(viewport={"width": 1280, "height": 800})
    point_at(page, 0, 0.5, 0.5)
    page.mouse.wheel(0, 60)
    page.wait_for_function("() => scrollY > 0")
    expect(page.locator(".zoomed")).to_have_count(0)
    point_at(page, 0, 0.5, 0.5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    expect(page.locator(".zoomed")).to_have_count(1)


@pytest.mark.parametrize("control", ["opacity", "colour map", "threshold"])
def test_a_new_look_keeps_the_zoom(visit: Visit, control: str):
    page = visit()
    page.locator("canvas").first.dblclick(position={"x": 100, "y": 60})
    photo, heat = photo_alone(page)[0], pictures(page)[0]
    if control == "colour map":
        page.get_by_label("Colour map").select_option("inferno")
    else:
        slide(page.get_by_label("Opacity" if control == "opacity" else "Hide below"), 80)
    assert not alike(pictures(page)[0], heat)
    assert alike(photo_alone(page)[0], photo)


def test_no_opacity_is_the_photo_and_the_slider_says_its_number(visit: Visit):
    page = visit(fakes.comparison(comparison().panels[0]))
    slider = page.get_by_label("Opacity")
    expect(slider).to_have_attribute("aria-valuetext", "50 %")
    slide(slider, 0)
    expect(slider).to_have_attribute("aria-valuetext", "0 %")
    assert alike(pictures(page)[0], photo_alone(page)[0])


@pytest.mark.parametrize("way", ["button", "picture", "space", "button by key"])
def test_holding_shows_the_bare_photo_and_letting_go_brings_the_heat_back(visit: Visit, way: str):
    page = visit()
    photo = photo_alone(page)
    page.mouse.move(0, 0)
    heat = pictures(page)
    button = page.get_by_role("button", name="Hold to see the photo")
    if way == "space":
        page.get_by_role("group", name="Heatmaps over").focus()
        page.keyboard.down(" ")
    elif way == "button by key":
        button.focus()
        page.keyboard.down(" ")
    else:
        target = button if way == "button" else page.locator("canvas").first
        target.hover()
        page.mouse.down()
    expect(button).to_have_attribute("aria-pressed", "true")
    if way != "picture":  # where the pointer draws its cross
        assert all(alike(a, b) for a, b in zip(pictures(page), photo, strict=True))
    page.keyboard.up(" ")
    page.mouse.up()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.mouse.move(0, 0)
    assert all(alike(a, b) for a, b in zip(pictures(page), heat, strict=True))


def test_the_crosshair_says_each_models_own_value_in_each_panel(visit: Visit):
    page = visit(comparison(failing=True))
    assert values(page) == ["", "", ""]
    point_at(page, 0, 0.5, 0.5)
    shown = [float(text.split()[1]) for text in values(page)[:2]]
    wanted = [
        float(heat[1:3, 2:4].mean()) for heat in (HEAT, HEAT[:, ::-1])
    ]  # the photo's middle is between 4 cells
    assert shown == pytest.approx(wanted, abs=0.02)
    point_at(page, 0, 0.02, 0.5)
    assert values(page)[1:] == ["not seen by the model", ""]
    page.mouse.move(0, 0)
    settle(page)
    assert values(page) == ["", "", ""]


def test_keys_move_the_cross_say_the_values_and_zoom(visit: Visit):
    page = visit()
    page.get_by_role("group", name="Heatmaps over").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert all(text.startswith("heat ") for text in values(page))
    expect(page.locator("[aria-live]")).to_contain_text("x/whole: heat")
    page.keyboard.press("+")
    expect(page.locator(".zoomed")).to_have_count(1)
    page.keyboard.press("0")
    expect(page.locator(".zoomed")).to_have_count(0)


@pytest.mark.parametrize(("viewport", "rows"), [(DESKTOP, 1), ({"width": 600, "height": 800}, 3), (PHONE, 3)])
def test_panels_stack_on_a_phone(visit: Visit, viewport: dict[str, int], rows: int):
    page = visit(comparison(failing=True), viewport=viewport)
    boxes = [canvas.bounding_box() for canvas in page.locator("canvas").all()]
    assert len({round(box["y"]) for box in boxes if box}) == rows
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_two_fingers_zoom_and_one_finger_points(visit: Visit):
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    canvas.tap()
    settle(page)
    assert all(text.startswith("heat ") for text in values(page))
    box = canvas.bounding_box()
    assert box is not None
    y, middle = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
    fingers = page.context.new_cdp_session(page)
    for kind, gap in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80)):
        points = [{"x": middle - gap, "y": y, "id": 1}, {"x": middle + gap, "y": y, "id": 2}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".zoomed")).to_have_count(1)


def test_every_picture_has_words(visit: Visit):
    page = visit(comparison(failing=True))
    names = [canvas.get_attribute("aria-label") or "" for canvas in page.locator("canvas[role=img]").all()]
    assert len(names) == 3
    assert all("tabby · 70.0 %: hottest at " in name for name in names[:2])
    assert names[2] == "x/fails: no map. no network"
    expect(page.get_by_text("no network").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_in_both_themes(visit: Visit, scheme: str):
    page = visit(color_scheme=scheme)
    for selector in (".viewer .quiet", ".viewer figcaption", ".viewer button", ".viewer select"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """selector => {
    const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const light = colour => {
        probe.fillStyle = colour;
        probe.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...probe.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ink = light(getComputedStyle(document.querySelector(selector)).color);
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""


def test_two_photos_share_the_look_and_not_the_zoom(visit: Visit):
    photos = fakes.photo(200, 300, "a.jpg"), fakes.photo(200, 300, "b.jpg")
    both = Comparison(photos, ("x/a",), (Top(),), tuple(fakes.panel(photo, HEAT) for photo in photos))
    page = visit(both)
    page.locator("canvas").first.dblclick()
    slide(page.get_by_label("Opacity").first, 0)
    expect(page.get_by_label("Opacity").nth(1)).to_have_value("0")
    expect(page.locator(".zoomed")).to_have_count(1)
