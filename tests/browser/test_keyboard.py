"""Every page and every exported page, walked by Tab from the first control to the last and back by Shift+Tab."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.exports import EXPORTS, write_export
from tests.screenshots import PAGES
from tests.visiting import DESKTOP, Visit, finish

pytestmark = pytest.mark.browser

MOST = 400
"""Presses of a key on one page."""

FOCUSED = """() => {
    const known = (window.walked ??= []);
    const at = document.activeElement;
    if (!at || at === document.body || at === document.documentElement) return null;
    if (!known.includes(at)) known.push(at);
    return [known.indexOf(at), at.outerHTML.slice(0, 160)];
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
    forth = walk(page, "Tab")
    assert len(forth) >= least
    assert page.evaluate(MISSED) == []
    page.evaluate("document.activeElement.blur()")
    back = walk(page, "Shift+Tab")
    assert [number for number, _ in back] == [number for number, _ in reversed(forth)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_walked_by_tab_from_first_to_last_and_back(visit: Visit, name: str) -> None:
    page = visit(PAGES[name], wait_for=None)
    finish(page, name)
    assert_walked(page, least=9)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_page_is_walked_by_tab_from_first_to_last_and_back(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.goto(write_export(name, tmp_path).as_uri())
    page.wait_for_timeout(1_000)
    assert_walked(page, least=8)
    page.close()
