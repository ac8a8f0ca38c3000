"""What `page.js` and the viewer do in the browser, on a page with the parts of Streamlit's that they look for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import dashboard
from dashboard.first_answers import outline
from gradcam.draw import SCRIPT as VIEWER, panels_scene
from tests import fakes

pytestmark = pytest.mark.browser

SCRIPT = Path(dashboard.__file__).with_name("page.js")
PAGE = """<!doctype html><html lang="en"><title>Data set</title><body style="margin: 0">
    <section data-testid="stMain" tabindex="0" style="height: 300px; overflow: auto">
        <div style="height: 3000px">Photos</div>
        <div class="stButton st-key-_page-Next"><button>Next</button></div>
    </section>"""
NOTHING_IS_STORED = """for (const name of ["sessionStorage", "localStorage"]) {
    const get = () => { throw new DOMException("denied", "SecurityError"); };
    Object.defineProperty(window, name, { get });
}"""
"""As in a browser whose visitor blocks what sites store."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """The run `a` at its first page of photos; at the end the script has raised nothing."""
    raised: list[str] = []
    with browser.new_context() as context:
        context.route("**/*", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        context.add_init_script(NOTHING_IS_STORED)
        page = context.new_page()
        page.on("pageerror", lambda error: raised.append(str(error)))
        page.goto("http://dashboard.test/data_set?run=a")
        page.add_script_tag(path=SCRIPT)
        yield page
    assert raised == []


@pytest.mark.parametrize(
    "sight",
    [
        "<section data-testid='stMain'><h1>Layers</h1></section>",
        "<section data-testid='stMain'><div role='alert'>Something is wrong</div></section>",
        "<div role='dialog'>The connection is lost</div>",
    ],
)
def test_the_outline_of_a_slow_start_stays_until_something_stands_in_the_page(browser: Browser, sight: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.set_content(f"<body><div id='root'></div>{outline('Layers', 'At which depth?')}</body>")
        page.clock.fast_forward(60_000)
        add = "(to, html) => to.insertAdjacentHTML('beforeend', html)"
        page.locator("#root").evaluate(add, "<section data-testid='stSidebar'><h2>Models</h2></section>")
        expect(page.locator(".outline")).to_be_visible()
        page.locator("#root").evaluate(add, sight)
        expect(page.locator(".outline")).to_have_count(0)


def test_the_outline_leaves_a_server_that_never_answers_to_the_browser(browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.set_content(f"<body><div id='root'></div>{outline('Layers', 'At which depth?')}</body>")
        page.clock.fast_forward(91_000)
        expect(page.locator(".outline")).to_have_count(0)


def go(page: Page, link: str) -> None:
    """Put a link into the address, as Streamlit does."""
    page.evaluate("link => history.pushState(null, '', link)", link)


def top(page: Page) -> int:
    """How far the page is scrolled down, in pixels."""
    return page.get_by_test_id("stMain").evaluate("it => it.scrollTop")


def test_who_closes_a_photo_is_where_they_were_among_those_of_its_run_and_nothing_is_stored(page: Page) -> None:
    page.get_by_test_id("stMain").evaluate("it => it.scrollTop = 700")
    go(page, "?run=a&opened=3")
    assert top(page) == 0
    go(page, "?run=a&opened=4")
    go(page, "?run=a")
    assert top(page) == 700
    go(page, "?run=a&page=2")
    page.get_by_test_id("stMain").evaluate("it => it.scrollTop = 600")
    go(page, "?run=a&opened=5")
    go(page, "?run=a")  # as Streamlit does before it has drawn what says the page
    go(page, "?run=a&page=2")
    assert top(page) == 600
    go(page, "?run=b&opened=5")
    go(page, "?run=b")
    assert top(page) == 0


def test_another_page_of_photos_is_announced_and_begins_at_its_top_for_the_keyboard_too(page: Page) -> None:
    page.get_by_role("button", name="Next").focus()
    assert top(page) > 0
    go(page, "?run=a&page=2")
    assert top(page) == 0
    expect(page.get_by_role("status")).to_have_text("Page 2")
    expect(page.get_by_test_id("stMain")).to_be_focused()
    go(page, "?run=a&opened=3")
    expect(page.get_by_role("status")).to_have_text("Page 2")
    go(page, "?run=a")
    go(page, "?run=a&page=2")
    expect(page.get_by_role("status")).to_have_text("Page 2")
    go(page, "?run=a")
    expect(page.get_by_role("status")).to_have_text("Page 1")


def test_a_viewer_whose_page_is_left_at_once_raises_nothing(page: Page) -> None:
    shown_and_left = """async ([script, data]) => {
        const { default: show } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
        const parentElement = document.body.appendChild(document.createElement("div"));
        const leave = show({ data, parentElement, setStateValue() {}, setTriggerValue() {} });
        const there = parentElement.childElementCount;
        leave();
        await new Promise(done => setTimeout(done, 50));
        return [there, parentElement.childElementCount];
    }"""
    scene = panels_scene([fakes.panel(fakes.photo(), [[0, 1], [2, 4]])])
    assert page.evaluate(shown_and_left, [VIEWER, scene | {"plotly": "data:text/javascript,"}]) == [1, 0]


def test_a_table_is_a_stop_of_tab_only_where_it_is_wider_than_its_place(page: Page) -> None:
    add = "html => document.body.insertAdjacentHTML('beforeend', html)"
    table = "<div style='max-width: 60vw; overflow: auto'><table style='width: 500px'><td>Fact</td></table></div>"
    page.evaluate(add, f"<div data-testid='stTable'>{table}</div>")
    place = page.locator("[data-testid=stTable] > div")
    expect(place).not_to_have_attribute("tabindex", "0")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(place).to_have_attribute("tabindex", "0")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(place).not_to_have_attribute("tabindex", "0")
