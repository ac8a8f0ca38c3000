"""The HTML report in a real browser, without a network: its controls, its print, and without JavaScript."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pypdf
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from gradcam.report import Verdict, build_report, render_report
from tests import fakes
from tests.browser.test_accessibility import BROKEN
from tests.report_fakes import NOON, comparison, report


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    made = report(fakes.photo(name="one.jpg"), fakes.photo(50, 50, "two.jpg"), verdict=Verdict("approved", "Ada"))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(render_report(made, "html"))
    return path


@pytest.fixture(scope="module")
def tabs(browser: Browser) -> Iterator[BrowserContext]:
    """What all pages are opened in: one process of the browser, which need not start for each."""
    with browser.new_context() as context:
        yield context


def tab(tabs: BrowserContext, width: int, height: int) -> Page:
    page = tabs.new_page()
    page.set_viewport_size({"width": width, "height": height})
    return page


@pytest.fixture
def page(tabs, file) -> Iterator[Page]:
    page = tab(tabs, 1280, 900)
    troubles: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    yield page
    assert troubles == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    page.close()


def _boxes(page: Page, photo: int) -> list[str]:
    return page.eval_on_selector_all(
        f"svg[data-photo='{photo}']", "pictures => pictures.map(picture => picture.getAttribute('viewBox'))"
    )


def _heat(page: Page) -> float:
    return float(page.eval_on_selector(".overlay .heat", "heat => getComputedStyle(heat).opacity"))


def test_every_picture_is_drawn_and_has_words_for_those_who_cannot_see_it(page):
    assert page.locator("svg[role=img]").count() == 8
    for picture in page.locator("svg[role=img]").all():
        assert "hottest" in (picture.get_attribute("aria-label") or "")
    sizes = page.eval_on_selector_all("img", "images => images.map(image => [image.naturalWidth, image.alt])")
    assert sizes
    assert all(width > 0 and alt for width, alt in sizes)


def test_the_heat_really_lies_on_the_photo(page):
    overlay = page.locator(".overlay").first
    with_heat = overlay.screenshot()
    page.locator("#opacity").fill("0")
    assert overlay.screenshot() != with_heat


def test_the_opacity_slider_moves_every_overlay(page):
    assert _heat(page) == 0.6
    page.locator("#opacity").fill("80")
    assert _heat(page) == 0.8
    assert page.locator("#opacity-value").text_content() == "80 %"


def test_zooming_one_panel_zooms_all_panels_of_its_photo_and_no_other(page):
    page.locator(".overlay[data-photo='0']").first.focus()
    page.keyboard.press("+")
    assert len(set(_boxes(page, 0))) == 1
    assert [float(part) for part in _boxes(page, 0)[0].split()] == pytest.approx([10, 20 / 3, 40, 80 / 3])
    assert set(_boxes(page, 1)) == {"0 0 50 50"}
    page.keyboard.press("ArrowLeft")
    assert float(_boxes(page, 0)[0].split()[0]) == pytest.approx(6)
    page.locator("#whole").click()
    assert set(_boxes(page, 0)) == {"0 0 60 40"}


def test_dragging_moves_a_zoomed_photo(page):
    page.locator("#nearer").click()
    before = _boxes(page, 0)[0]
    box = page.locator(".overlay").first.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 80, steps=4)
    page.mouse.up()
    assert _boxes(page, 0)[0] != before
    assert len(set(_boxes(page, 0))) == 1


def test_the_photo_is_seen_bare_for_as_long_as_something_is_held(page):
    hold = page.get_by_role("button", name="Hold to see the photo")
    hold.hover()
    page.mouse.down()
    assert _heat(page) == 0
    page.mouse.up()
    assert _heat(page) == 0.6
    page.locator(".overlay").first.focus()
    page.keyboard.down(" ")
    assert _heat(page) == 0
    page.keyboard.up(" ")
    assert _heat(page) == 0.6
    page.locator(".overlay").first.hover()
    page.mouse.down()
    page.wait_for_selector("html.bare")
    page.mouse.up()
    assert _heat(page) == 0.6


def test_a_box_zooms_all_panels_of_a_photo_and_a_double_click_goes_back(page):
    page.locator(".overlay").first.hover()
    box = page.locator(".overlay").first.bounding_box()
    corners = [(box["x"] + share * box["width"], box["y"] + share * box["height"]) for share in (0.25, 0.75)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=5)
    assert page.locator(".stage .box").count() == 1
    page.mouse.up()
    assert [float(part) for part in _boxes(page, 0)[0].split()] == pytest.approx([15, 10, 30, 20], abs=0.3)
    assert len(set(_boxes(page, 0))) == 1
    assert page.locator(".stage .box").count() == 0
    page.locator(".overlay").first.dblclick()
    assert set(_boxes(page, 0)) == {"0 0 60 40"}


def test_what_belongs_together_stands_at_one_height_in_all_cards_of_a_row(page):
    for part in ("figcaption", ".stage", ".pair", ".bar", ".facts"):
        tops = page.locator(f"#photo-panels-0 .card {part}").evaluate_all(
            "parts => parts.map(part => Math.round(part.getBoundingClientRect().top))"
        )
        assert len(tops) == 2
        assert len(set(tops)) == 1, part


def test_every_sign_on_the_page_is_in_the_fonts_of_any_machine(file):
    signs = {sign for sign in file.read_text("utf-8") if ord(sign) > 0x17F}
    assert signs <= set("–—−×·≠…’“”∂Σαₖ√≥≤²₁₂ᵢⱼ→"), signs


def test_a_panel_can_fill_the_screen(page):
    page.locator("button.full").first.click()
    page.wait_for_selector(".card:fullscreen")
    page.evaluate("document.exitFullscreen()")


def test_the_page_has_landmarks_and_headings_in_order(page):
    assert [page.locator(name).count() for name in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    levels = page.eval_on_selector_all("h1,h2,h3,h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    targets = page.eval_on_selector_all(
        "nav a", "links => links.map(link => document.querySelector(link.hash) !== null)"
    )
    assert all(targets)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_text_stands_out_from_its_ground(tabs, file, width, scheme):
    page = tab(tabs, width, 800)
    page.emulate_media(color_scheme=scheme)
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert _contrast(ink, paper) > 7
    page.close()


def test_on_a_phone_no_number_is_broken_and_a_hash_is_read_in_few_lines(tabs, file):
    page = tab(tabs, 390, 800)
    page.goto(file.as_uri())
    lines = "all => all.map(it => it.getBoundingClientRect().height / parseFloat(getComputedStyle(it).lineHeight))"
    assert max(page.locator("td.number bdi").evaluate_all(lines)) <= 1.1
    assert max(page.locator(".hashes td:last-child bdi").evaluate_all(lines)) <= 4.1
    page.close()


LONG = "bundled/tf_efficientnet_lite0 and timm/vit_small_patch16_224.augreg_in21k_ft_in1k"


def test_on_a_phone_no_name_of_a_model_ends_a_line_within_a_word_and_copied_it_is_whole(tabs, tmp_path):
    compared = comparison([fakes.photo()], [LONG.partition(" ")[0], LONG.rpartition(" ")[2]])
    path = tmp_path / "report.html"
    path.write_bytes(render_report(build_report(compared, now=NOON), "html"))
    page = tab(tabs, 390, 800)
    page.goto(path.as_uri())
    names = page.locator(".scroll:not(:has(.hashes)) bdi").filter(has_text="bundled/")
    assert names.count() > 3
    assert names.evaluate_all(BROKEN) == []
    assert LONG in page.get_by_role("region", name="How far the models").locator("bdi").all_text_contents()
    page.close()


def test_without_javascript_everything_is_there_but_the_controls(browser, file):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.locator(".overlay").count() == 4
        assert page.locator(".overlay").first.is_visible()
        assert not page.locator(".tools").is_visible()
        assert not page.locator("button.full").first.is_visible()


def test_it_prints_with_its_words_and_without_its_controls(page):
    printed = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    text = " ".join(sheet.extract_text() for sheet in printed.pages)
    assert "Provenance" in text
    assert "Hold to see" not in text
    assert len(printed.pages) < 12


def _contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it, of two colours such as `rgb(1, 2, 3)`."""

    def light(colour: str) -> float:
        levels = [int(level) / 255 for level in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_wide_table_keeps_its_first_column_and_its_caption_in_sight_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    table = page.get_by_role("region", name="Every map in numbers")
    assert table.evaluate("it => it.scrollLeft = 200") == 200
    for part in (table.locator("tbody td").first, table.locator("caption")):
        assert part.bounding_box()["x"] == pytest.approx(table.bounding_box()["x"], abs=1)
    last = table.locator("tbody tr").first.locator("td").last
    assert last.evaluate("it => getComputedStyle(it).position") == "static"


def test_a_wide_screen_is_used_and_a_tall_photo_fits_on_it(tabs, tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(render_report(report(fakes.photo(900, 300, "tall.jpg")), "html"))
    page = tab(tabs, 2560, 1000)
    page.goto(path.as_uri())
    main = page.locator("main").bounding_box()
    assert main["width"] > 2200
    for stage in page.locator(".stage").all():
        picture, card = stage.locator("svg.overlay").bounding_box(), stage.locator("xpath=..").bounding_box()
        assert stage.bounding_box() == picture, "drags are told as shares of the stage"
        assert picture["height"] == pytest.approx(850, abs=1)
        assert picture["width"] == pytest.approx(850 / 3, abs=1)
        assert card["width"] > 600
    page.close()
