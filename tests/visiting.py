"""What a visitor of the dashboard sees and does, for tests in a browser."""

from __future__ import annotations

import re
from itertools import count
from typing import Literal, Protocol

from playwright.sync_api import Locator, Page, TimeoutError, ViewportSize

DESKTOP: ViewportSize = {"width": 1440, "height": 1000}
PHONE: ViewportSize = {"width": 390, "height": 844}
PLOT = ".viewer .js-plotly-plot"
FIRST_VISIT = 120_000
"""Milliseconds: the first visitor waits for PyTorch."""

LAST = {
    "compare_models": "button:has-text('Panels')",
    "compare_classes": "button:has-text('Panels')",
    "layers": ".viewer >> nth=2",
    "methods": "text=/Agreement does not make a method right/",
    "how_it_works": "[data-testid=stCode]",
    "data_set": "button:has-text('Start the run'), img[alt*='the heatmaps of']",
    "reports": "button:has-text('Build the report')",
    "reviews": "text=/Say who you are|Take the ZIP/",
    "models": "button:has-text('Add the model')",
}
"""By page, what comes last and is there only when everything else is."""

_OWN = ("http://127.0.0.1:", "file:", "data:", "blob:")
_SEARCHED = ("/_stcore/health", "/_stcore/host-config")
"""Opened at a page's own address, Streamlit looks for its server there first, and then at the root."""


class Visit(Protocol):
    """Opens the dashboard at a place, such as `layers?fit=pad`, as a new visitor, and lets it come to rest."""

    def __call__(
        self,
        place: str = "",
        *,
        wait_for: str | None = PLOT,
        viewport: ViewportSize = DESKTOP,
        color_scheme: Literal["light", "dark"] = "light",
        rest: bool = True,
    ) -> Page: ...


def listen(page: Page, complaints: list[str], strangers: list[str]) -> None:
    """Note what the page complains of and which other hosts it asks."""

    def hear(said) -> None:
        searched = "404" in said.text and said.location["url"].endswith(_SEARCHED)
        if said.type == "error" and not searched:
            complaints.append(f"{said.text} {said.location['url']}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(_OWN) else strangers.append(asked.url))


def arrive(page: Page, wait_for: str | None, *, rest: bool = True) -> None:
    """Wait until a page is there, and has come to rest if that is asked."""
    page.locator(".outline").wait_for(state="detached", timeout=FIRST_VISIT)
    page.get_by_role("heading", level=1).wait_for(timeout=FIRST_VISIT)
    if wait_for:
        page.locator(wait_for).first.wait_for(timeout=FIRST_VISIT)
    if rest:
        settle(page)


def finish(page: Page, name: str) -> None:
    """Wait until a page is whole: its last part is there, and what it told in passing is gone."""
    page.locator(LAST[name]).first.wait_for(timeout=FIRST_VISIT)
    page.wait_for_selector("[data-testid=stToast]", state="detached")
    settle(page)


QUIET = 300
"""Milliseconds in which nothing happens: after a click, the server has begun to answer within them."""

_UNREST = """() => [
    "[data-testid=stProgress]",  // stays from one model's run of the page to the next one's
    "[data-test-script-state=running]",
    "[data-test-script-state=rerunRequested]",
    "[data-stale=true]",
    "[data-testid=stSkeleton]",  // in the place of a widget whose script is on its way
].filter(part => document.querySelector(part)).concat(document.getAnimations()
    .filter(({playState, effect}) => playState === "running" && effect.getComputedTiming().iterations < Infinity)
    .map(it => `fades: ${it.effect.target?.outerHTML.slice(0, 80)}`))"""
"""What goes on in a page, in words."""

_QUIET = f"""([call, quiet]) => {{
    const unrest = ({_UNREST})(), now = performance.now();
    if (window.settling?.call !== call || unrest.length) window.settling = {{call, since: now}};
    return now - window.settling.since >= quiet;
}}"""
"""Whether nothing has gone on for some milliseconds since this call began; a page that loads anew begins anew."""

_calls = count()


def settle(page: Page) -> None:
    """Wait until the server has nothing more to say, and what it said last is drawn and no longer fades in."""
    try:
        page.wait_for_function(_QUIET, arg=[next(_calls), QUIET], polling=50, timeout=FIRST_VISIT)
    except TimeoutError as error:
        raise AssertionError(f"the page does not come to rest: {page.evaluate(_UNREST)}") from error


def panels(page: Page) -> Locator:
    """Every heatmap with its words; not the difference of two, nor these two beside it."""
    return page.locator(".viewer .panel", has_not_text=re.compile(r"^(A|B|A − B): "))


def pictures(page: Page) -> Locator:
    """The Plotly plot of every heatmap."""
    return panels(page).locator(".js-plotly-plot")


def titles(page: Page) -> list[str]:
    """Model, target and probability of every heatmap, as written over it."""
    return panels(page).locator("figcaption").all_inner_texts()


def choose(page: Page, label: str, typed: str, option: str | re.Pattern[str]) -> None:
    """Type into a list of choices and take an option."""
    page.get_by_role("combobox", name=label).fill(typed)
    page.get_by_role("option", name=option).first.click()
    page.locator("h1").click(force=True)  # outside the list, which closes it and hides the rest from readers
    settle(page)
