"""The page *Reports* in a real browser: a report is written, taken away, reopened, replayed and continued."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gradcam.report import read_report
from tests.browser.test_accessibility import BROKEN
from tests.visiting import DESKTOP, PHONE, Visit, arrive, settle

pytestmark = pytest.mark.browser

LITE0 = "bundled/tf_efficientnet_lite0"


def write_note(page: Page, label: str, text: str) -> None:
    box = page.get_by_role("textbox", name=label).first
    box.fill(text)
    box.press("Control+Enter")
    settle(page)


def test_a_verdict_is_written_taken_away_reopened_and_replayed_as_same(visit: Visit, tmp_path: Path) -> None:
    page = visit(f"?models={LITE0}&fit=pad")
    page.get_by_role("button", name="Report", exact=True).click()
    arrive(page, "textarea")
    write_note(page, "Summary", "Good **enough**")
    write_note(page, "Note", "The eyes")
    page.get_by_test_id("stDateInput").locator("svg").first.click()  # a calendar opens
    page.get_by_role("gridcell").get_by_role("button", name=re.compile(r"\b15\b")).click()
    settle(page)
    page.get_by_role("button", name="Build the report").click()
    take = page.get_by_role("button", name="ZIP ·")
    expect(take).to_be_visible(timeout=60_000)
    settle(page)
    page.get_by_text("Preview", exact=True).click()
    inside = page.frame_locator("iframe[title^='The report']")
    expect(inside.get_by_role("heading", level=1)).to_have_text("What the models look at", timeout=60_000)
    expect(inside.locator("strong", has_text="enough")).to_be_visible()
    with page.expect_download() as download:
        take.click()
    assert download.value.suggested_filename == "review.zip"
    download.value.save_as(tmp_path / "review.zip")

    page.get_by_role("button", name="Check or sign the ZIP").click()
    expect(page.get_by_text("Open: review.zip")).to_be_visible()
    expect(page).to_have_url(re.compile("task=Reopen"))
    settle(page)
    (tmp_path / "notes.txt").write_text("no report")
    page.locator("[data-testid=stMain] input[type=file]").set_input_files(tmp_path / "notes.txt")
    expect(page.get_by_text("notes.txt: expected a report as ZIP or JSON")).to_be_visible()
    page.locator("[data-testid=stMain] input[type=file]").set_input_files(tmp_path / "review.zip")
    seal = page.get_by_text("nobody has signed it, so anyone could have rewritten both")
    expect(seal).to_be_visible()
    expect(page.get_by_text("The eyes")).to_be_visible()
    settle(page)
    words = page.get_by_test_id("stMain").inner_text()
    assert words.index("the files fit the manifest") < words.index("What the models look at")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 panel: 1 same.")).to_be_visible(timeout=60_000)
    page.set_viewport_size(PHONE)
    settle(page)
    assert page.get_by_test_id("stTable").locator("td").evaluate_all(BROKEN) == []
    page.get_by_text("Notes and verdict", exact=True).click()
    settle(page)
    statuses = page.get_by_role("radiogroup").filter(has_text="rejected").first.get_by_role("radio")
    tops = statuses.evaluate_all("all => all.map(it => Math.round(it.getBoundingClientRect().top))")
    assert len(tops) == 4
    assert len(set(tops)) == 1, "the statuses of a photo stand in one row"
    page.get_by_text("Notes and verdict", exact=True).click()
    page.set_viewport_size(DESKTOP)

    page.get_by_text("Notes and verdict", exact=True).click()
    settle(page)
    expect(page.get_by_role("textbox", name="Summary")).to_have_value("Good **enough**")
    write_note(page, "Summary", "Better")
    page.get_by_role("button", name="Write it with these words").click()
    take = page.get_by_role("button", name="ZIP ·")
    expect(take.first).to_be_visible(timeout=60_000)
    settle(page)  # until what stood there before is gone
    with page.expect_download() as download:
        take.click(timeout=60_000)
    after = read_report(download.value.path().read_bytes()).verdict
    assert after.summary == "Better"
    assert re.fullmatch(r"\d{4}-\d\d-15", after.date), "as it was picked"
    download.value.save_as(tmp_path / "later.zip")
    page.reload()
    arrive(page, "[data-testid=stAlert]")
    expect(page.get_by_text("as after a reload; upload that file again")).to_contain_text("'review.zip'")

    page.get_by_role("radio", name="Compare").click()
    settle(page)
    for place, name in enumerate(("review.zip", "later.zip")):
        page.locator("[data-testid=stMain] input[type=file]").nth(place).set_input_files(tmp_path / name)
        expect(page.get_by_text(f"Open: {name}")).to_be_visible()
        settle(page)
    changed = page.locator(".changes tbody tr")
    expect(changed).to_have_text([re.compile(r"^summary\s*Good \*\*enough\*\*\s*Better$")])
    earlier, later = (it.bounding_box() or {"x": 0, "y": 0} for it in changed.locator("td").all())
    assert (earlier["x"] < later["x"], earlier["y"]) == (True, later["y"]), "in two columns"
