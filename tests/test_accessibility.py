"""Every page of the dashboard under axe, in both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.screenshots import PAGES
from tests.visiting import Visit

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")

STREAMLITS_OWN: dict[str, str] = {}
"""Rules that Streamlit's own markup breaks and a page cannot mend: rule id and a selector of what breaks it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_nobody_out(visit: Visit, name: str, scheme: str) -> None:
    page = visit(PAGES[name], wait_for=None, color_scheme=scheme)
    found = Axe().run(page).response["violations"]
    grave = [
        f"{rule['id']}: {rule['help']}, at {node['target']}: {node['html']}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
        if rule["id"] not in STREAMLITS_OWN or STREAMLITS_OWN[rule["id"]] not in node["html"]
    ]
    assert grave == []
