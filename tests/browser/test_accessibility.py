"""Every page of the dashboard and every exported one: on a phone, walked by Tab, and under axe in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from tests.browser.exports import EXPORTS, write_export
from tests.screenshots import PAGES
from tests.visiting import DESKTOP, PHONE, PLOT, Visit, finish, panels, settle

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
HEADINGS = "heading-order"
"""A rule that axe calls moderate, but whoever finds the way by headings needs."""

STREAMLITS_OWN = {
    "aria-dialog-name": 'data-testid="stToast"',  # named by an element that is not there
}
"""Rules that Streamlit's own markup breaks and no page can mend: rule id, and how the markup is known."""

COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules whose answers depend on the theme."""

MOST = 400
"""Presses of a key on one page."""

FOCUSED = """() => {
    const known = (window.walked ??= []);
    const at = document.activeElement;
    if (!at || at === document.body || at === document.documentElement) return null;
    if (!known.includes(at)) known.push(at);
    return [known.indexOf(at), at.cloneNode(false).outerHTML.slice(0, 160)];  // not the plots inside
}"""
"""Which control has the focus: a number that stays the same for it, and its markup; null where none has."""

MISSED = """() => {
    const GROUP = "[role=radiogroup], [role=toolbar]";  // one stop of Tab, with arrow keys within
    return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
    .filter(it => it.tabIndex >= 0 && !it.disabled)
    .filter(it => it.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true}))
    .filter(it => it.getBoundingClientRect().width && !it.closest("[inert]"))
    .filter(it => it.type !== "radio" || it.checked)
    .filter(it => !window.walked.some(at => at.closest(GROUP) && at.closest(GROUP) === it.closest(GROUP)))
    .filter(it => !window.walked.includes(it))
    .map(it => it.outerHTML.slice(0, 160));
}"""
"""Controls that can be seen, and had no focus yet."""


SPILT = """() => [...document.querySelectorAll('[data-testid=stMain] *')].filter(it => {
    const box = it.getBoundingClientRect();
    if (!box.width || !box.height || (box.right <= innerWidth + 1 && box.left >= -1)) return false;
    for (let up = it.parentElement; up && up.dataset.testid !== 'stMain'; up = up.parentElement)
        if (getComputedStyle(up).overflowX !== 'visible') return false;  // scrolls, or is cut off on purpose
    return true;
}).map(it => it.outerHTML.slice(0, 120))"""
"""What lies beyond the screen's edges and cannot be scrolled to."""

SIDEBAR = ("Run", "Photos", "Models", "Question", "Look")
"""What can be picked beside a page, in its order; no page has all of it."""

WITH_PANELS = ("compare_models", "compare_classes", "layers", "methods")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone_and_keeps_nobody_out_by_keyboard_or_in_either_theme(visit: Visit, name: str) -> None:
    wait_for = PLOT if name in WITH_PANELS else None
    page = visit(PAGES[name], wait_for=wait_for, viewport=PHONE, color_scheme="dark")
    finish(page, name)
    assert_fits_a_phone(page, stacked=name in WITH_PANELS)
    page.set_viewport_size(DESKTOP)
    settle(page)
    expect(page.get_by_text("what image classifiers look at, and whether they agree")).to_have_count(1)
    parts = page.get_by_test_id("stSidebar").get_by_role("heading").all_inner_texts()
    assert parts == [part for part in SIDEBAR if part in parts], "in one order on every page"
    assert_walked(page, least=9)
    assert what_stays(page) == []
    page.emulate_media(color_scheme="light")  # the page follows at once
    assert what_stays(page, other_theme=True) == []


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """One tab for all exported pages: it compiles plotly.js once."""
    with browser.new_context(viewport=DESKTOP, bypass_csp=True) as context:  # for axe itself
        yield context.new_page()


@pytest.mark.parametrize(("models", "photos"), [(1, 2), (3, 2), (8, 1)])
@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_page_keeps_nobody_out_by_keyboard_or_in_either_theme(
    tab: Page, tmp_path: Path, name: str, models: int, photos: int
) -> None:
    tab.emulate_media(color_scheme="light")
    tab.goto(write_export(name, tmp_path, models, photos).as_uri())
    settle(tab)
    assert_walked(tab, least=8)
    assert violations(tab) == []
    tab.emulate_media(color_scheme="dark")
    settle(tab)
    assert violations(tab, other_theme=True) == []


BROKEN = r"""cells => cells.flatMap(cell => {
    const text = cell.textContent, words = text.matchAll(/[^\s/_.-]+/g), range = document.createRange();
    const places = [];  // of every letter, although <wbr> parts the text
    const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) for (let i = 0; i < walk.currentNode.length; i++) places.push([walk.currentNode, i]);
    return [...words].filter(({0: word, index}) => {
        range.setStart(...places[index]);
        const [node, last] = places[index + word.length - 1];
        range.setEnd(node, last + 1);
        return range.getBoundingClientRect().height > 1.5 * parseFloat(getComputedStyle(cell).fontSize);
    }).map(([word]) => word);
})"""
"""The words of some elements that a line ends in the middle of."""


def assert_fits_a_phone(page: Page, *, stacked: bool) -> None:
    """Nothing is cut off, and panels stand below one another."""
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("[data-testid=stMain]").evaluate("it => it.scrollWidth") <= PHONE["width"]
    assert page.evaluate(SPILT) == []
    boxes = [panel.bounding_box() or {} for panel in panels(page).all()]
    assert (len(boxes) > 1) == stacked
    assert all(above["y"] + above["height"] <= below["y"] for above, below in pairwise(boxes))


def walk(page: Page, key: str) -> list[tuple[int, str]]:
    """The controls that a key leads to, from where the focus is until it leaves the page or comes round again."""
    passed: list[tuple[int, str]] = []
    for _ in range(MOST):
        page.keyboard.press(key)
        focused = page.evaluate(FOCUSED)
        if focused is None or (passed and focused[0] == passed[0][0]):
            return passed
        assert not passed or focused[0] != passed[-1][0], f"{key} cannot leave {focused[1]}"
        passed.append(tuple(focused))
    raise AssertionError(f"{key} did not come to the end of the page in {MOST} steps")


def assert_walked(page: Page, least: int) -> None:
    """Tab leads from the first control to the last past every one that can be seen, and Shift+Tab back."""
    forth = walk(page, "Tab")
    assert len(forth) >= least
    assert page.evaluate(MISSED) == []
    page.evaluate("document.activeElement.blur()")
    back = walk(page, "Shift+Tab")
    assert [number for number, _ in back] == [number for number, _ in reversed(forth)]


def what_stays(page: Page, *, other_theme: bool = False) -> list[str]:
    """What keeps somebody out at three looks in a row: what fades has little contrast until it is there or gone."""
    found: list[str] = []
    for _ in range(3):
        settle(page)
        found = violations(page, other_theme=other_theme)
        if not found:
            break
    return found


def violations(page: Page, *, other_theme: bool = False) -> list[str]:
    """What keeps somebody out by axe's rules, and is the page's own doing.

    other_theme: whether the page was looked at in one theme already. In another one its elements and their places
        are the same, so rules that ask for no colour answer as before.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"]}  # else it describes all that is right, too
    found = page.evaluate("axe.run", options | ({"runOnly": COLOURS} if other_theme else {}))
    return [
        f"{rule['id']}: {node['failureSummary']} {node['html']}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE or rule["id"] == HEADINGS
        for node in rule["nodes"]
        if rule["id"] not in STREAMLITS_OWN or STREAMLITS_OWN[rule["id"]] not in node["html"]
    ]
