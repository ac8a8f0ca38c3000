"""The linked viewer in a real browser, on the exported page opened as a file: what people see, do and hear."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from gradcam.comparison import Comparison, Heatmap
from gradcam.draw import render
from gradcam.draw.page import comparison_html
from gradcam.geometry import project_to_photo
from gradcam.scaling import normalize
from gradcam.types import Blend, Style, Top
from tests import fakes

pytestmark = pytest.mark.browser

HEAT = np.random.default_rng(0).random((4, 6), np.float32)
DESKTOP: ViewportSize = {"width": 1280, "height": 1000}
PHONE: ViewportSize = {"width": 390, "height": 844}
PLOT = ".viewer .js-plotly-plot"
WHOLE = [0, 300, 200, 0]
Visit = Callable[..., Page]


def comparison(failing: bool = False, reason: str = "no network") -> Comparison:
    """Two models on one photo, of which one sees only the middle; it fails on a second question if asked."""
    photo = fakes.photo(200, 300)
    whole, middle = [
        fakes.panel(photo, HEAT, model="x/whole"),
        fakes.panel(photo, HEAT[:, ::-1], model="x/middle", view=fakes.middle(photo)),
    ]
    if not failing:
        return fakes.comparison(whole, middle)
    second = replace(whole, target="tabby"), fakes.failure(photo, reason, model="x/middle", target="tabby")
    panels = whole, second[0], middle, second[1]
    return Comparison((photo,), ("x/whole", "x/middle"), ("Grad-CAM",), (Top(), "tabby"), panels)


@pytest.fixture(scope="module")
def offline(browser: Browser) -> Iterator[BrowserContext]:
    """What the tabs on a desktop share, without a network: plotly.js, compiled once."""
    with browser.new_context(viewport=DESKTOP, offline=True) as context:
        yield context


@pytest.fixture(scope="module")
def tab(offline: BrowserContext) -> Page:
    """One tab for one visit after the other."""
    return offline.new_page()


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Page]:
    """The same on a phone with a touch screen."""
    with browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, offline=True) as context:
        yield context.new_page()


@contextmanager
def listened_to(page: Page) -> Iterator[None]:
    """Meanwhile the page complains of nothing and asks no other host."""
    complaints: list[str] = []
    strangers: list[str] = []
    listeners = {
        "console": lambda said: complaints.append(said.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda asked: strangers.append(asked.url) if asked.url.startswith("http") else None,
    }
    for event, hear in listeners.items():
        page.on(event, hear)  # pyright: ignore[reportCallIssue, reportArgumentType]
    yield
    for event, hear in listeners.items():
        page.remove_listener(event, hear)
    assert complaints == []
    assert strangers == []


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every page is written before it is opened: at the same address, plotly.js is not compiled again."""
    return tmp_path_factory.mktemp("viewer") / "page.html"


@pytest.fixture
def visit(request: pytest.FixtureRequest, file: Path) -> Iterator[Visit]:
    """Open a comparison's page in a tab that is listened to until the test ends."""
    listening = ExitStack()

    def open_page(
        shown: Comparison | None = None,
        style: Style | None = None,
        *,
        viewport: ViewportSize = DESKTOP,
        on: str = "tab",
    ) -> Page:
        page = in_front(request.getfixturevalue(on))
        listening.enter_context(listened_to(page))
        listening.callback(page.goto, "about:blank")
        if on == "tab":
            page.set_viewport_size(viewport)
        page.emulate_media(color_scheme="light")
        release(page)
        load(page, file, shown or comparison(), style)
        return page

    with listening:
        yield open_page


@contextmanager
def opened(offline: BrowserContext, file: Path, shown: Comparison) -> Iterator[Page]:
    """The page of a comparison for several tests, in a tab that is listened to."""
    with listened_to(page := offline.new_page()):
        load(page, file, shown)
        yield page


@pytest.fixture(scope="module")
def opened_pair(offline: BrowserContext, file: Path) -> Iterator[Page]:
    with opened(offline, file, comparison()) as page:
        yield page


@pytest.fixture(scope="module")
def opened_failure(offline: BrowserContext, file: Path) -> Iterator[Page]:
    with opened(offline, file, comparison(failing=True)) as page:
        yield page


@pytest.fixture
def pair(opened_pair: Page) -> Iterator[Page]:
    """Two heatmaps of one photo, for tests that change nothing but the zoom."""
    yield in_front(opened_pair)
    put_back(opened_pair)


@pytest.fixture
def failure(opened_failure: Page) -> Iterator[Page]:
    """The same with a second question, to which one model has no map."""
    yield in_front(opened_failure)
    put_back(opened_failure)


def in_front(page: Page) -> Page:
    """The page before all others: Chromium draws one that lies behind another once a second."""
    page.bring_to_front()
    return page


def put_back(page: Page) -> None:
    """Leave a page as the next test must find it: on a desktop, at its top, whole and in light colours."""
    release(page)
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Reset zoom").click()
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    assert all(view == pytest.approx(WHOLE) for view in views(page))


def load(page: Page, file: Path, shown: Comparison, style: Style | None = None) -> None:
    file.write_text(comparison_html(shown, style), "utf-8")
    page.goto(file.as_uri())
    page.locator(f"{PLOT} .hm image").first.wait_for(state="attached")
    settle(page)


def release(page: Page) -> None:
    """Take the hands off mouse and keys."""
    for key in (" ", "Enter", "Control"):
        page.keyboard.up(key)
    page.mouse.up()
    page.mouse.move(0, 0)


def settle(page: Page) -> None:
    """Wait until Plotly has drawn, and hovered, which it does at most twenty times a second."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 150)))")


BOXES = """plots => plots.map(plot => plot.getBoundingClientRect()).map(({left, top, right, bottom}) => [
    Math.floor(left + 1e-3), Math.floor(top + 1e-3), Math.ceil(right - 1e-3), Math.ceil(bottom - 1e-3),
])"""
"""Left, top, right and bottom of what every panel covers, in whole pixels of the screen."""


def look(page: Page) -> list[np.ndarray]:
    """What every panel shows now, RGB `[H, W, 3]`, cut from one picture of the screen, which must hold them all."""
    settle(page)
    boxes = page.locator(PLOT).evaluate_all(BOXES)
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    first, top = min(lefts), min(tops)
    wide, tall = page.evaluate("[innerWidth, innerHeight]")
    assert 0 <= first < max(rights) <= wide, "a panel is off the screen"
    assert 0 <= top < max(bottoms) <= tall, "a panel is off the screen"
    screen = shot(page, first, top, max(rights) - first, max(bottoms) - top)
    return [screen[box[1] - top : box[3] - top, box[0] - first : box[2] - first].astype(int) for box in boxes]


def shot(page: Page, x: int, y: int, width: int, height: int) -> np.ndarray:
    """This part of the screen, RGB `[H, W, 3]`, with less work than Playwright's own picture."""
    left, top = page.evaluate("[scrollX, scrollY]")
    part = {"x": x + left, "y": y + top, "width": width, "height": height, "scale": 1}
    ask = {"format": "png", "clip": part, "optimizeForSpeed": True}  # the same pixels, pressed less
    session = page.context.new_cdp_session(page)
    picture = session.send("Page.captureScreenshot", ask)["data"]
    session.detach()
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))


def pictures(page: Page) -> list[np.ndarray]:
    """What every panel shows, RGB `[H, W, 3]`, once two looks agree: a busy machine draws late."""
    before, now = look(page), look(page)
    for _ in range(20):
        if all(np.array_equal(a, b) for a, b in zip(before, now, strict=True)):
            return now
        before, now = now, look(page)
    raise AssertionError("the panels never came to rest")


def comes_to_show(page: Page, wanted: list[np.ndarray]) -> bool:
    """Whether every panel shows this within some seconds, as `expect` waits for what is in the page."""
    return any(all(alike(a, b) for a, b in zip(look(page), wanted, strict=True)) for _ in range(20))


def views(page: Page) -> list[list[float]]:
    """Left, right, bottom, top of every panel, in photo pixels, as Plotly has it."""
    settle(page)
    ranges = f"""() => [...document.querySelectorAll({PLOT!r})]
        .map(it => [...it._fullLayout.xaxis.range, ...it._fullLayout.yaxis.range])"""
    return page.evaluate(ranges)


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
    box = page.locator(PLOT).nth(panel).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    settle(page)


def values(page: Page) -> list[str]:
    lines = "it => [...it.querySelectorAll('.hoverlayer tspan.line')].map(line => line.textContent).join(' ')"
    return [plot.evaluate(lines) for plot in page.locator(PLOT).all()]


def slide(control: Locator, value: int) -> None:
    control.fill(str(value))
    control.dispatch_event("change")


@pytest.mark.parametrize("blend", get_args(Blend))
def test_the_browser_colours_every_pixel_as_the_png_does(visit: Visit, blend: Blend):
    page = visit(style=Style("jet", opacity=1, threshold=0.3, blend=blend))
    page.mouse.move(0, 0)
    begin_on_a_whole_pixel(page)
    for shown, photo, panel in zip(pictures(page), photo_alone(page), comparison().panels, strict=True):
        assert isinstance(panel, Heatmap)
        size = shown.shape[0], shown.shape[1]
        laid = project_to_photo(normalize(panel.map).values, panel.explanation.view, size)
        heat = render.colourise(laid, "jet", 0.3, blend)
        wanted = render.blend(photo, heat, 1.0)
        inner = np.zeros(size, bool)
        inner[8:-8, 8:-8] = True  # a frame is drawn around what was failure
        hot = (heat[..., 3] > 0) & inner & (np.abs(laid - 0.3) > 0.01)
        left = np.flatnonzero(np.isfinite(laid).any(0))[[0, -1]]
        hot[:, : left[0] + 8] = hot[:, left[1] - 8 :] = False
        assert hot.sum() > 1000
        assert np.abs(shown[hot] - wanted[hot].astype(int)).max() <= 16  # what jet changes over a pixel or two


def begin_on_a_whole_pixel(page: Page) -> None:
    """Move the panels up by less than a pixel of the screen, whose pixels are compared with a picture's."""
    top = page.locator(PLOT).first.evaluate("it => it.getBoundingClientRect().top")
    page.add_style_tag(content=f".panels {{ margin-top: {-(top % 1)}px }}")
    settle(page)


def drag(page: Page, panel: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Press in a panel at a share of its width and height, move and let go."""
    point_at(page, panel, *start)
    page.mouse.down()
    box = page.locator(PLOT).nth(panel).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=5)
    settle(page)
    page.mouse.up()


def test_every_panel_is_a_plotly_plot_without_a_button_that_sends_it_away(failure: Page):
    expect(failure.locator(PLOT)).to_have_count(4)
    expect(failure.locator(f"{PLOT} .hm image")).to_have_count(3)
    assert failure.locator(PLOT).first.evaluate("it => [it._context.showSendToCloud, it._context.displaylogo]") == [
        False,
        False,
    ]


def test_a_box_drawn_in_one_panel_zooms_all_and_reset_goes_back(pair: Page):
    assert views(pair) == [pytest.approx(WHOLE)] * 2
    drag(pair, 0, (0.2, 0.2), (0.6, 0.6))
    first, second = views(pair)
    assert first == pytest.approx([60, 180, 120, 40], abs=2)
    assert second == pytest.approx(first, abs=0.5)
    pair.get_by_role("button", name="Reset zoom").click()
    assert views(pair) == [pytest.approx(WHOLE)] * 2


def test_a_double_click_goes_back_to_the_whole_photo(pair: Page):
    pair.get_by_role("button", name="Zoom in").click()
    assert views(pair)[1] == pytest.approx([50, 250, 500 / 3, 100 / 3])
    pair.locator(PLOT).nth(1).dblclick()
    assert views(pair) == [pytest.approx(WHOLE)] * 2


def test_dragging_moves_all_panels_and_never_beyond_the_photo(pair: Page):
    pair.get_by_role("button", name="Zoom in").click()
    drag(pair, 1, (0.5, 0.5), (0.6, 0.5))
    first, second = views(pair)
    assert first == pytest.approx([30, 230, 500 / 3, 100 / 3], abs=2)
    assert second == pytest.approx(first, abs=0.5)
    drag(pair, 0, (0.1, 0.5), (0.95, 0.5))
    assert views(pair) == [pytest.approx([0, 200, 500 / 3, 100 / 3], abs=1)] * 2


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(pair: Page):
    pair.set_viewport_size({"width": 1280, "height": 800})
    settle(pair)
    point_at(pair, 0, 0.5, 0.5)
    pair.mouse.wheel(0, 60)
    pair.wait_for_function("() => scrollY > 0")
    expect(pair.locator(".zoomed")).to_have_count(0)
    point_at(pair, 0, 0.5, 0.5)
    pair.keyboard.down("Control")
    pair.mouse.wheel(0, -60)
    expect(pair.locator(".zoomed")).to_have_count(1)
    pair.wait_for_timeout(400)  # Plotly waits for the last turn of the wheel
    first, second = views(pair)
    assert first == pytest.approx(second, abs=0.5)
    assert 100 < first[1] - first[0] < 290


def test_a_new_look_keeps_the_zoom(visit: Visit):
    page = visit()
    drag(page, 0, (0.2, 0.2), (0.6, 0.6))
    page.mouse.move(0, 0)
    zoomed, photo, heat = views(page), photo_alone(page)[0], pictures(page)[0]
    assert zoomed != [WHOLE, WHOLE]
    controls = {
        "opacity": lambda: slide(page.get_by_label("Opacity"), 80),
        "blend": lambda: page.get_by_label("Less heat is").select_option("even"),
        "colour map": lambda: page.get_by_label("Colour map").select_option("inferno"),
        "threshold": lambda: slide(page.get_by_label("Hide below"), 80),
    }
    for control, use in controls.items():
        use()
        before, heat = heat, pictures(page)[0]
        assert not alike(heat, before), control
        assert alike(photo_alone(page)[0], photo), control
        assert views(page) == zoomed, control


def test_no_opacity_is_the_photo_and_the_slider_says_its_number(visit: Visit):
    page = visit(fakes.comparison(comparison().panels[0]), viewport={"width": 800, "height": 1200})
    slider = page.get_by_label("Opacity")
    expect(slider).to_have_attribute("aria-valuetext", "60 %")
    slide(slider, 0)
    expect(slider).to_have_attribute("aria-valuetext", "0 %")
    assert comes_to_show(page, photo_alone(page))


def test_holding_shows_the_bare_photo_and_letting_go_brings_the_heat_back(pair: Page):
    photo = photo_alone(pair)
    pair.mouse.move(0, 0)
    heat = pictures(pair)
    assert not any(map(alike, heat, photo))
    button = pair.get_by_role("button", name="Hold to see the photo")
    for way in ("button", "picture", "space", "button by key"):
        if way == "space":
            pair.get_by_role("group", name="Heatmaps over").focus()
            pair.keyboard.down(" ")
        elif way == "button by key":
            button.focus()
            pair.keyboard.down(" ")
        else:
            target = button if way == "button" else pair.locator(PLOT).first
            target.hover()
            pair.mouse.down()
        expect(button).to_have_attribute("aria-pressed", "true")
        if way != "picture":  # where the pointer draws its cross
            assert comes_to_show(pair, photo), way
        pair.keyboard.up(" ")
        pair.mouse.up()
        expect(button).to_have_attribute("aria-pressed", "false")
        pair.mouse.move(0, 0)
        assert comes_to_show(pair, heat), way


FOCUSED = """() => {
    const focused = document.activeElement;
    const place = [...document.querySelectorAll("*")].indexOf(focused);
    return [place, focused.getAttribute("aria-label") || focused.innerText];
}"""


def test_the_tab_key_leads_through_all_controls_and_out_again_both_ways(failure: Page):
    for key in ("Tab", "Shift+Tab"):
        passed = []
        for _ in range(25):
            failure.keyboard.press(key)
            passed.append(tuple(failure.evaluate(FOCUSED)))
        assert all(one != other for one, other in pairwise(passed))  # nothing holds the focus
        assert len(passed) > len(set(passed))  # and round again
        names = {name for _, name in passed}
        assert {"Hold to see the photo", "Reset zoom"} <= names
        assert any(name.startswith("Heatmaps over") for name in names)


def test_a_mouse_gets_its_menu_on_a_picture_and_a_finger_the_photo(failure: Page):
    held_back = """(picture, pointerType) =>
        !picture.dispatchEvent(new PointerEvent("contextmenu", {bubbles: true, cancelable: true, pointerType}))"""
    picture = failure.locator(PLOT).first
    assert [picture.evaluate(held_back, kind) for kind in ("mouse", "touch")] == [False, True]


def test_the_crosshair_says_each_models_own_value_in_each_panel(failure: Page):
    assert values(failure) == [""] * 4
    point_at(failure, 0, 0.55, 0.4)
    heats = [heat[1, 3] for heat in (HEAT, HEAT[:, ::-1], HEAT)]
    shares = [round(100 * heat / HEAT.max()) for heat in heats]
    assert values(failure) == [
        *(f"heat {heat:.3g} {share} % of full colour" for heat, share in zip(heats, shares, strict=True)),
        "",
    ]
    expect(failure.locator(".cross:visible")).to_have_count(4)
    point_at(failure, 0, 0.02, 0.5)
    assert values(failure)[1::2] == ["", ""]
    failure.mouse.move(0, 0)
    settle(failure)
    assert values(failure) == [""] * 4
    expect(failure.locator(".cross:visible")).to_have_count(0)


def test_keys_move_the_cross_say_the_values_and_zoom(pair: Page):
    pair.get_by_role("group", name="Heatmaps over").focus()
    pair.keyboard.press("ArrowRight")
    settle(pair)
    assert [text[:5] for text in values(pair)] == ["heat "] * pair.locator(PLOT).count()
    expect(pair.locator("section [aria-live]")).to_contain_text("x/whole: heat")
    pair.keyboard.press("+")
    expect(pair.locator(".zoomed")).to_have_count(1)
    pair.keyboard.press("0")
    expect(pair.locator(".zoomed")).to_have_count(0)


def test_panels_stack_on_a_phone(failure: Page):
    tablet: ViewportSize = {"width": 600, "height": 800}
    for viewport, rows in ((DESKTOP, 2), (tablet, 4), (PHONE, 4)):
        failure.set_viewport_size(viewport)
        settle(failure)
        boxes = [canvas.bounding_box() for canvas in failure.locator(PLOT).all()]
        assert len({round(box["y"]) for box in boxes if box}) == rows
        assert failure.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_on_a_touch_screen_a_tap_points_and_buttons_zoom(visit: Visit):
    page = visit(on="phone")
    page.get_by_text("Touch", exact=True).tap()
    expect(page.get_by_text("Two fingers zoom and move the photo")).to_be_visible()
    expect(page.get_by_text("arrows move the cross")).to_have_count(0)
    page.get_by_text("Touch", exact=True).tap()
    plot = page.locator(PLOT).first
    plot.scroll_into_view_if_needed()
    plot.tap()
    settle(page)
    assert [text[:5] for text in values(page)] == ["heat "] * page.locator(PLOT).count()
    page.get_by_role("button", name="Zoom in").tap()
    expect(page.locator(".zoomed")).to_have_count(1)


def test_two_fingers_zoom_every_panel_and_keep_what_is_between_them(visit: Visit):
    page = visit(on="phone")
    plot = page.locator(PLOT).first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    hand = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        """Fingers on a line through the middle of the panel, at these shares of its width."""
        points = [
            {"x": box["x"] + place * box["width"], "y": box["y"] + box["height"] / 2, "id": finger}
            for finger, place in enumerate(places)
        ]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.4)
    touch("touchStart", 0.4, 0.6)
    for step in range(1, 5):
        touch("touchMove", 0.4 - 0.05 * step, 0.6 + 0.05 * step)
    touch("touchEnd")
    first, second = views(page)
    assert first == pytest.approx([100, 200, 400 / 3, 200 / 3], abs=2)
    assert second == pytest.approx(first, abs=0.5)
    expect(page.get_by_role("button", name="Hold to see the photo")).to_have_attribute("aria-pressed", "false")


def test_every_picture_has_words(failure: Page):
    names = [canvas.get_attribute("aria-label") or "" for canvas in failure.locator(f"{PLOT}[role=img]").all()]
    assert len(names) == 4
    assert all("tabby · 70.0 %: hottest at " in name for name in names[:3])
    assert names[3] == "x/middle: no map. no network"
    expect(failure.get_by_text("no network").first).to_be_visible()


def test_words_are_legible_in_both_themes(failure: Page):
    for scheme in ("light", "dark"):
        failure.emulate_media(color_scheme=scheme)
        for selector in (".viewer .quiet", ".viewer figcaption", ".viewer button", ".viewer select"):
            assert failure.evaluate(CONTRAST, selector) >= 4.5, (scheme, selector)


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


def test_one_toolbar_acts_on_every_photo_and_a_drag_on_its_own(visit: Visit):
    photos = fakes.photo(200, 300, "a.jpg"), fakes.photo(200, 300, "b.jpg")
    both = Comparison(
        photos, ("x/a",), ("Grad-CAM",), (Top(),), tuple(fakes.panel(photo, HEAT) for photo in photos)
    )
    page = visit(both)
    drag(page, 0, (0.2, 0.2), (0.6, 0.6))
    expect(page.locator(".zoomed")).to_have_count(1)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".zoomed")).to_have_count(2)
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.locator(".zoomed")).to_have_count(0)
    slide(page.get_by_label("Opacity"), 10)
    settle(page)
    assert page.locator(PLOT).evaluate_all("all => all.map(it => it._fullData[0].opacity)") == [0.1, 0.1]


def test_the_toolbar_and_the_legend_stay_in_sight_while_the_photos_scroll_by(visit: Visit):
    photos = [fakes.photo(200, 300, f"{number}.jpg") for number in range(3)]
    panels = tuple(fakes.panel(photo, HEAT) for photo in photos)
    page = visit(Comparison(tuple(photos), ("bundled/a",), ("Grad-CAM",), (Top(),), panels))
    expect(page.get_by_role("slider", name="Opacity")).to_have_count(1)
    expect(page.locator(".ramp")).to_have_count(1)
    page.locator("h2").last.scroll_into_view_if_needed()
    for part in (page.get_by_role("slider", name="Opacity"), page.locator(".ramp")):
        expect(part).to_be_in_viewport()


def test_a_long_reason_is_folded_so_that_no_panel_is_taller_than_the_others_and_keys_unfold_it(visit: Visit):
    reason = f"expected weights, found none; put the file {'https://example.org/' + 20 * 'models/'} there"
    page = visit(comparison(failing=True, reason=reason))
    said = page.locator(".panel").get_by_text(reason)
    expect(said).to_be_hidden()
    heights = page.locator(".panel").evaluate_all("all => all.map(it => it.clientHeight)")
    assert heights[0] == heights[1]
    assert heights[2] == heights[3] <= heights[0] + 1
    page.get_by_text("Why there is no map").focus()
    page.keyboard.press("Enter")
    expect(said).to_be_visible()


def test_each_method_has_its_colour_bar_and_its_whole_name_where_a_models_is_cut(visit: Visit):
    photo, model = fakes.photo(200, 300), f"bundled/{8 * 'resnet_'}50"
    methods = "Grad-CAM", "HiResCAM"
    panels = tuple(
        fakes.panel(photo, heat, model=model, method=method)
        for method, heat in zip(methods, (HEAT, HEAT - 0.5), strict=True)
    )
    page = visit(Comparison((photo,), (model,), methods, (Top(),), panels))
    page.set_viewport_size({"width": 390, "height": 844})
    names = page.locator(".panel .name")
    assert [name.split()[-2:] for name in names.all_inner_texts()] == [["·", method] for method in methods]
    assert names.first.locator("span").last.inner_text() == "_resnet_50"
    labels = page.locator(".ramp").evaluate_all("all => all.map(it => it.getAttribute('aria-label'))")
    assert labels == ["Colour scale from 0 % to 100 %", "Colour scale from −100 % to 100 %"]
    grounds = page.locator(".ramp").evaluate_all("all => all.map(it => getComputedStyle(it).backgroundImage)")
    assert len(set(grounds)) == 2


def test_each_question_begins_a_row_where_its_models_need_more_than_one(visit: Visit):
    photo, models = fakes.photo(200, 300), [f"x/{name}" for name in "abcdefgh"]
    targets = Top(), "tabby"
    panels = tuple(fakes.panel(photo, HEAT, model=model, target=target) for model in models for target in targets)
    page = visit(Comparison((photo,), tuple(models), ("Grad-CAM",), targets, panels))
    boxes = [plot.bounding_box() or {} for plot in page.locator(PLOT).all()]
    assert boxes[0]["x"] == boxes[8]["x"] < boxes[7]["x"]
    assert boxes[8]["y"] > boxes[7]["y"]
    assert len({round(box["y"]) for box in boxes}) == 4


def test_on_a_phone_no_word_of_the_toolbar_is_broken_and_the_table_scrolls_beside_its_models(visit: Visit):
    page = visit(on="phone")
    lines = """it => {
        const words = document.createRange();
        words.selectNodeContents(it);
        return words.getClientRects().length;
    }"""
    assert [button.evaluate(lines) for button in page.locator(".zoom button").all()] == [1, 1, 1]

    table = page.get_by_role("region", name="What the models say of photo 1")
    model = table.get_by_role("rowheader").first
    table.scroll_into_view_if_needed()
    before = model.bounding_box()
    assert table.evaluate("it => { it.scrollLeft = 1e6; return it.scrollLeft; }") > 100
    settle(page)
    assert model.bounding_box() == before
    expect(table.get_by_role("columnheader", name="Grid")).to_be_in_viewport()
