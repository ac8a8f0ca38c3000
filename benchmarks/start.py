"""`python -m benchmarks start`: how soon a visitor of a fresh server sees the page, a heatmap, and all of it."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

from playwright.sync_api import sync_playwright

from benchmarks.measure import seconds_of
from tests.conftest import ARGUMENTS, CHROMIUM
from tests.server import dashboard

SKELETON, FIRST, WHOLE = "the page's outline", "the first heatmap", "the whole default page"
MOST_FOR_SKELETON = 2.0
MODELS = 3
"""Of the default page."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    imports = statistics.median(seconds_of("import torch; import timm") for _ in range(options.rounds))
    rounds = [first_visit() for _ in range(options.rounds)]
    most = {SKELETON: MOST_FOR_SKELETON, WHOLE: 1.6 * imports + 3}
    print(f"`import torch` and `import timm` take {imports:.1f} s; medians of {options.rounds} fresh servers.\n")
    print("| seconds from the first request until | measured | at most |")
    print("|---|--:|--:|")
    for name in rounds[0]:
        limit = f"{most[name]:.1f}" if name in most else ""
        print(f"| {name} | {statistics.median(one[name] for one in rounds):.1f} | {limit} |")


def first_visit() -> dict[str, float]:
    """Seconds from the first request to a fresh server until each thing is in sight."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        with dashboard() as address:
            asked = time.perf_counter()
            page.goto(address, wait_until="commit")
            seen: dict[str, float] = {}
            plots = page.locator(".viewer .panel .js-plotly-plot .hm image")
            for name, sight in (
                (SKELETON, page.get_by_role("heading", level=1)),
                (FIRST, plots.first),
                ("every heatmap", plots.nth(MODELS - 1)),
                (WHOLE, page.get_by_role("table", name="Rank correlation")),
            ):
                sight.wait_for(timeout=300_000)
                seen[name] = time.perf_counter() - asked
            browser.close()
    return seen
