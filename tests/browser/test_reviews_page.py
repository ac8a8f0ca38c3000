"""The page *Reviews* in a real browser: keys, and others at work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradcam.report import render_report, review_report
from gradcam.reviews import Review, ReviewStore, Subject
from tests import fakes
from tests.report_fakes import report
from tests.server import dashboard
from tests.visiting import arrive, listen, settle

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

PHOTO = Subject("photo", "one.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reviews")


@pytest.fixture(scope="module")
def review(folder: Path) -> Review:
    """Of two photos, in a store that both servers of this file use."""
    store = ReviewStore(folder / "reviews.sqlite")
    made = report(fakes.photo(name="one.jpg"), fakes.photo(name="two.jpg"), title="Lesions")
    return review_report(store, store.add_project("Skin", "Anna"), render_report(made, "zip"), "Anna")


@pytest.fixture
def store(folder: Path, review: Review) -> ReviewStore:
    return ReviewStore(folder / "reviews.sqlite")


@pytest.fixture
def page(browser, folder: Path, review: Review) -> Iterator[playwright.Page]:
    with dashboard(GRADCAM_STORE=str(folder / "reviews.sqlite")) as address:
        page = browser.new_page()
        complaints, strangers = [], []
        listen(page, complaints, strangers)
        page.goto(f"{address}/reviews?review={review.id}")
        arrive(page, None)
        page.get_by_role("textbox", name="Your name").fill("Ben")
        page.get_by_role("textbox", name="Your name").press("Enter")
        settle(page)
        yield page
        page.close()
        assert complaints == []
        assert strangers == []


def test_keys_judge_and_move_but_letters_of_a_comment_do_not_and_others_are_seen_at_work(
    page, store, review
) -> None:
    heading = page.get_by_role("heading", name=re.compile(r"(one|two)\.jpg · "))
    page.locator("h1").click()
    page.keyboard.press("a")
    playwright.expect(heading).to_have_text("one.jpg · approved")
    page.keyboard.press("n")
    playwright.expect(heading).to_have_text("two.jpg · draft")
    page.keyboard.press("x")
    playwright.expect(heading).to_have_text("two.jpg · rejected")
    page.keyboard.press("z")
    playwright.expect(heading).to_have_text("two.jpg · draft")
    page.keyboard.press("p")
    playwright.expect(heading).to_have_text("one.jpg · approved")
    page.keyboard.press("m")
    page.get_by_label("Note", exact=True).press_sequentially("xaun")  # letters, no verdicts
    page.get_by_role("button", name="Keep the note").click()
    settle(page)
    assert [(one.status, one.note) for one in store.verdicts(review, PHOTO)] == [("approved", "xaun")]
    store.say(review, "rejected", "Anna", PHOTO, note="The *ruler*.")
    playwright.expect(heading).to_have_text("one.jpg · disputed", timeout=15_000)  # nobody touched the page
    playwright.expect(page.get_by_text("ruler")).to_be_visible()
