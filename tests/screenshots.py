"""Make README's pictures from the running app: `.venv/bin/python -m tests.screenshots [PAGE…]`."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.conftest import ARGUMENTS, CHROMIUM
from tests.server import dashboard

FOLDER = Path(__file__).parents[1] / "dashboard" / "screenshots"
WIDE, HIGH = 1440, 1000

PAGES: dict[str, str] = {
    "compare_models": "",
    "compare_classes": "compare_classes",
    "layers": "layers",
    "how_it_works": "how_it_works",
    "models": "models",
    "reports": "reports",
}
"""File name and place in the app of every picture."""


def shoot(browser: Browser, address: str, name: str, theme: str = "light") -> Path:
    """Open a page, wait until it has nothing more to do, and take its picture."""
    page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{address}/{PAGES[name]}")
    page.get_by_role("heading", level=1).wait_for(timeout=120_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=180_000)
    page.wait_for_timeout(2_000)  # pictures are drawn after the script has ended
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    page.close()
    return path


def main() -> None:
    with dashboard() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in sys.argv[1:] or PAGES:
            print(shoot(browser, address, name))
        browser.close()


if __name__ == "__main__":
    main()
