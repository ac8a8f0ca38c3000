"""The page *Data set* as somebody works with it: a run over two hundred photos, from its start to a report."""

from __future__ import annotations

import io
import re
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from gradcam import sample_photo
from gradcam.report import DataSetEntry, read_report
from tests.browser.test_accessibility import assert_fits_a_phone, what_stays
from tests.visiting import DESKTOP, FIRST_VISIT, PHONE, PLOT, Visit, arrive, settle

pytestmark = pytest.mark.browser

MODELS = "models=bundled/tf_efficientnet_lite0&models=timm/test_resnet+(untrained,+seed+1)"
"""Real weights, and a small net beside them to disagree with."""
SHOWN = {"tabby": ("chelsea", 180, 300), "espresso": ("coffee", 90, 160)}
"""A label, the sample photo that its photos are cut from, and the least and greatest side of a cut in pixels."""
CUP = 170, 15, 415, 310
"""The whole cup: every third espresso has it, the others are cuts of cup and table."""
EACH, SIDE, CUP_SIDE = 100, 96, 56
"""Photos of a label, and pixels of their sides and of the sides of the whole cup on them."""
RUN_ENDS = 240_000
"""Milliseconds: two models over the photos, in a process that first imports PyTorch."""


def write_photos(path: Path) -> Path:
    """A ZIP of photos in a folder a label."""
    random = np.random.default_rng(0)
    with ZipFile(path, "w") as file:
        for label, (name, least, most) in SHOWN.items():
            photo = Image.fromarray(sample_photo(name).pixels)
            for number in range(EACH):
                side = int(random.integers(least, most))
                left, top = (int(random.integers(0, whole - side + 1)) for whole in photo.size)
                small = photo.resize((SIDE, SIDE), box=(left, top, left + side, top + side))
                if label == "espresso" and number % 3 == 0:
                    small.paste(photo.resize((CUP_SIDE, CUP_SIDE), box=CUP), (20, 20))
                encoded = io.BytesIO()
                small.save(encoded, "JPEG", quality=90)
                file.writestr(f"{label}/{number:03}.jpg", encoded.getvalue())
    return path


@pytest.fixture(scope="module")
def place(context: BrowserContext, address: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The link of a run that a visitor starts on an upload, and leaves while it computes."""
    page = context.new_page()
    page.goto(f"{address}/data_set?{MODELS}")
    arrive(page, None)
    page.get_by_role("radio", name="Upload").check(force=True)
    upload = page.locator("[data-testid=stMain] input[type=file]")
    upload.set_input_files(write_photos(tmp_path_factory.mktemp("upload") / "pets.zip"))
    expect(page.get_by_role("button", name="Remove pets.zip")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.wait_for_url(re.compile(r"[?&]run=[\w-]{32}"))
    link = page.url.rpartition("/")[2]
    page.close()
    return link


def come_as(page: Page, name: str) -> None:
    """Say a name and begin the run's review, if nobody has."""
    page.get_by_role("textbox", name="Your name").fill(name)
    page.keyboard.press("Tab")
    begin = page.get_by_role("button", name="Begin a review of this run")
    expect(begin.or_(page.get_by_role("button", name="Unsure"))).to_be_visible()
    if begin.is_visible():
        begin.click()
        expect(page.get_by_role("button", name="Unsure")).to_be_visible()
    settle(page)
    page.locator("h1").click()  # out of the field, which would take the keys


def press(page: Page, key: str) -> None:
    settle(page)
    page.keyboard.press(key)


def names(page: Page) -> list[str]:
    """The photos of the page of the gallery."""
    return page.get_by_role("img", name=re.compile("the heatmaps of 2 models")).evaluate_all(
        "all => all.map(it => it.alt)"
    )


def test_a_run_is_found_again_filtered_turned_through_judged_by_key_and_taken_away(
    visit: Visit, place: str
) -> None:
    page = visit(f"{place}&page=5", wait_for=None, viewport=PHONE, color_scheme="dark")
    expect(page.get_by_text("400 of 400 maps")).to_be_visible(timeout=RUN_ENDS)
    expect(page.get_by_text("200 photos; first come those where")).to_be_visible()
    settle(page)
    assert len(names(page)) == 8
    assert_fits_a_phone(page, stacked=False)
    assert what_stays(page) == []

    page.set_viewport_size(DESKTOP)
    page.get_by_role("combobox", name="Label").fill("esp")
    page.get_by_role("option", name="espresso").click()
    expect(page.get_by_text("100 photos; first come those where")).to_be_visible()
    assert "label=espresso" in page.url
    settle(page)
    first = names(page)
    assert len(first) == 48
    page.locator("h1").click()
    press(page, "n")
    page.wait_for_url(re.compile("[?&]page=2"))
    settle(page)
    second = names(page)
    assert not set(first) & set(second)
    press(page, "p")
    page.wait_for_url(lambda url: "page=" not in url)
    settle(page)
    assert names(page) == first

    page.get_by_test_id("stMain").get_by_role("button", name="Open", exact=True).nth(40).click()
    page.wait_for_url(re.compile("[?&]opened="))
    page.locator(PLOT).first.wait_for(timeout=FIRST_VISIT)
    expect(page.get_by_text("41 of 100")).to_be_in_viewport()
    come_as(page, "Anna")
    said = page.get_by_text(re.compile("^Anna: "))
    press(page, "a")
    expect(said).to_contain_text("Anna: approved")
    press(page, "x")
    expect(said).to_contain_text("Anna: rejected")
    press(page, "z")
    expect(said).to_contain_text("Anna: approved")
    at = page.url
    press(page, "n")
    page.wait_for_url(lambda url: url != at)
    expect(page.get_by_text("42 of 100")).to_be_visible()
    expect(said).to_have_count(0)
    settle(page)
    page.go_back()
    page.wait_for_url(at)
    expect(page.get_by_text("41 of 100")).to_be_visible()
    press(page, "Escape")
    page.wait_for_url(lambda url: "opened=" not in url)
    judged = page.get_by_test_id("stCaptionContainer").filter(has_text="approved")
    expect(judged).to_be_in_viewport()  # where it was among the others

    page.goto(at)
    arrive(page, PLOT)
    expect(said).to_contain_text("Anna: approved")  # for whoever reads it
    press(page, "Escape")
    page.wait_for_url(lambda url: "opened=" not in url)
    settle(page)
    page.get_by_role("button", name="Export all photos that fit").click()
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    lines = downloaded.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("path,label,model")
    assert {line.split(",")[1] for line in lines[1:]} == {"espresso"}


def test_a_candidate_is_checked_named_judged_by_key_and_reported(visit: Visit, place: str) -> None:
    page = visit(f"{place}&part=Shortcuts&of-label=espresso", wait_for=None)
    expect(page.get_by_text("400 of 400 maps")).to_be_visible(timeout=RUN_ENDS)
    title = page.get_by_role("heading", name=re.compile("^Candidate 1"))
    expect(title).to_be_visible(timeout=FIRST_VISIT)
    come_as(page, "Ben")
    page.get_by_role("button", name="Check the cause").click()
    answer = page.get_by_text("Without these channels the prediction changes on")
    expect(answer).to_be_visible(timeout=FIRST_VISIT)
    there, elsewhere = (float(drop.replace("−", "-")) for drop in re.findall(r"−?\d+\.\d\d", answer.inner_text()))
    assert there > 2 * abs(elsewhere)  # 1.89 and 0.54
    page.locator("h1").click()
    press(page, "s")
    expect(page.get_by_text("Ben: shortcut")).to_be_visible()
    press(page, "m")
    page.get_by_role("textbox", name="Name", exact=True).fill("whole cup")
    page.get_by_role("button", name="Keep the note").click()
    expect(title).to_have_text("Candidate 1 · whole cup")
    page.locator("h1").click()
    press(page, "f")
    expect(page.get_by_text("Ben: fine")).to_be_visible()
    press(page, "z")
    expect(page.get_by_text("Ben: shortcut")).to_be_visible()
    page.reload()
    arrive(page, None)
    expect(title).to_have_text("Candidate 1 · whole cup")
    expect(page.get_by_text("Ben: shortcut")).to_be_visible()
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    settle(page)
    assert_fits_a_phone(page, stacked=False)
    assert what_stays(page) == []

    page.set_viewport_size(DESKTOP)
    page.get_by_role("radio", name="Photos").check(force=True)
    page.get_by_role("checkbox", name="Choose").first.check(force=True)
    expect(page.get_by_role("button", name="Export 1 chosen photo")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Report", exact=True).click()
    page.get_by_role("button", name="Build the report").click()
    take = page.get_by_role("button", name=re.compile("^ZIP · "))
    expect(take).to_be_visible(timeout=FIRST_VISIT)
    settle(page)
    with page.expect_download() as downloaded:
        take.click()
    told = read_report(downloaded.value.path().read_bytes()).data_set
    assert isinstance(told, DataSetEntry)
    assert [(one.status, one.notes[0].title) for one in told.candidates] == [("shortcut", "whole cup")]
