"""Every page of the dashboard under axe, in both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.screenshots import PAGES
from tests.visiting import Visit

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
HEADINGS = "heading-order"
"""A rule that axe calls moderate, but whoever finds the way by headings needs."""

STREAMLITS_OWN = {
    "aria-dialog-name": 'data-testid="stToast"',  # named by an element that is not there
}
"""Rules that Streamlit's own markup breaks and no page can mend: rule id, and how the markup is known."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_nobody_out(visit: Visit, name: str, scheme: str) -> None:
    page = visit(PAGES[name], wait_for=None, color_scheme=scheme)
    page.wait_for_timeout(1_000)  # what fades in has little contrast until it is there
    found = Axe().run(page).response["violations"]
    grave = [
        f"{rule['id']}: {node['failureSummary']} {node['html']}"
        for rule in found
        if rule["impact"] in GRAVE or rule["id"] == HEADINGS
        for node in rule["nodes"]
        if rule["id"] not in STREAMLITS_OWN or STREAMLITS_OWN[rule["id"]] not in node["html"]
    ]
    assert grave == []
