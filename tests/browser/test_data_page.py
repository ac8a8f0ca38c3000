"""The page *Data set* as somebody works with it: start, leave, come back, filter, open, judge by key, take away."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.visiting import FIRST_VISIT, PHONE, PLOT, Visit, settle

pytestmark = pytest.mark.browser

MODELS = "models=bundled/tf_efficientnet_lite0&models=bundled/tf_efficientnet_lite1"
RUN_ENDS = 120_000
"""Milliseconds: two models over the sample set, in a process that first imports PyTorch."""


def test_a_run_is_started_left_found_again_and_looked_through(visit: Visit) -> None:
    page = visit(f"data_set?{MODELS}", wait_for=None)
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.wait_for_url(re.compile(r"[?&]run=[\w-]{32}"))
    place = page.url.rpartition("/")[2]
    page.goto("about:blank")  # away while it computes

    page = visit(place, wait_for=None, viewport=PHONE)
    expect(page.get_by_text("48 of 48 maps")).to_be_visible(timeout=RUN_ENDS)
    expect(page.get_by_text("24 photos; first come those where")).to_be_visible()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0

    page = visit(f"{place}&label=espresso&by=Heat+outside+the+box", wait_for=None)
    expect(page.get_by_role("button", name="Open", exact=False).first).to_be_visible()
    assert "label=espresso" in page.url
    assert page.get_by_role("img", name=re.compile("heatmaps of 2 models")).count() < 24
    page.locator("[data-testid=stButton]", has_text="Open").first.get_by_role("button").click()
    page.wait_for_url(lambda url: "opened=" in url)
    page.locator(PLOT).first.wait_for(timeout=FIRST_VISIT)
    settle(page)
    page.get_by_role("textbox", name="Your name").fill("Anna")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Begin a review of this run").click()
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    settle(page)
    page.locator("h1").click()
    page.keyboard.press("a")
    expect(page.get_by_text("Anna: approved")).to_be_visible()
    settle(page)
    page.keyboard.press("z")
    expect(page.get_by_text("Anna: approved")).to_have_count(0)
    settle(page)
    at = page.url
    page.keyboard.press("n")
    page.wait_for_url(lambda url: url != at)
    settle(page)
    page.go_back()
    page.wait_for_url(at)
    expect(page.get_by_text("1 of ")).to_be_visible()
    settle(page)
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "opened=" not in url)

    settle(page)
    page.get_by_role("button", name=re.compile("^.*Export all photos that fit")).click()
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    lines = downloaded.value.path().read_text("utf-8").splitlines()
    assert lines[0].startswith("path,label,model")
    assert {line.split(",")[1] for line in lines[1:]} == {"espresso"}
