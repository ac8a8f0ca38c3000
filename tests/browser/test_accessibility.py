"""Every page of the dashboard and every page that leaves it as a file under axe, in both themes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.exports import EXPORTS, write_export
from tests.screenshots import PAGES
from tests.visiting import DESKTOP, Visit, finish, settle

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
HEADINGS = "heading-order"
"""A rule that axe calls moderate, but whoever finds the way by headings needs."""

STREAMLITS_OWN = {
    "aria-dialog-name": 'data-testid="stToast"',  # named by an element that is not there
}
"""Rules that Streamlit's own markup breaks and no page can mend: rule id, and how the markup is known."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_nobody_out_in_either_theme(visit: Visit, name: str) -> None:
    page = visit(PAGES[name], wait_for=None)
    finish(page, name)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # the page follows at once
        assert what_stays(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_page_keeps_nobody_out_in_either_theme(
    browser: Browser, tmp_path: Path, name: str, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme, bypass_csp=True)  # for axe itself
    page = context.new_page()
    page.goto(write_export(name, tmp_path).as_uri())
    page.wait_for_timeout(1_000)
    assert grave(Axe().run(page).response["violations"]) == []
    context.close()


def what_stays(page: Page) -> list[str]:
    """What keeps somebody out at three looks in a row: what fades has little contrast until it is there or gone."""
    found: list[str] = []
    for _ in range(3):
        settle(page)
        found = grave(Axe().run(page).response["violations"])
        if not found:
            break
    return found


def grave(violations: list[dict[str, Any]]) -> list[str]:
    """What keeps somebody out, and is the page's own doing."""
    return [
        f"{rule['id']}: {node['failureSummary']} {node['html']}"
        for rule in violations
        if rule["impact"] in GRAVE or rule["id"] == HEADINGS
        for node in rule["nodes"]
        if rule["id"] not in STREAMLITS_OWN or STREAMLITS_OWN[rule["id"]] not in node["html"]
    ]
