"""The page *Reviews* in a real browser: keys, and others at work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gradcam.report import render_report, review_report
from gradcam.reviews import Review, ReviewStore, Subject
from tests import fakes
from tests.report_fakes import report
from tests.visiting import Visit, settle

pytestmark = pytest.mark.browser

PHOTO = Subject("photo", "one.jpg")


@pytest.fixture
def store(store_path: Path) -> ReviewStore:
    return ReviewStore(store_path)


@pytest.fixture
def review(store: ReviewStore, tmp_path: Path) -> Review:
    """Of two photos, in the store that the dashboard uses."""
    made = report(fakes.photo(name="one.jpg"), fakes.photo(name="two.jpg"), title="Lesions")
    project = store.add_project(tmp_path.name, "Anna")
    return review_report(store, project, render_report(made, "zip"), "Anna")


@pytest.fixture
def page(visit: Visit, review: Review) -> Page:
    page = visit(f"reviews?review={review.id}", wait_for=None)
    page.get_by_role("textbox", name="Your name").fill("Ben")
    page.get_by_role("textbox", name="Your name").press("Enter")
    settle(page)
    return page


def test_keys_judge_and_move_but_letters_of_a_comment_do_not_and_others_are_seen_at_work(
    page: Page, store: ReviewStore, review: Review
) -> None:
    heading = page.get_by_role("heading", name=re.compile(r"(one|two)\.jpg · "))
    page.locator("h1").click()
    page.keyboard.press("a")
    expect(heading).to_have_text("one.jpg · approved")
    page.keyboard.press("n")
    expect(heading).to_have_text("two.jpg · draft")
    page.keyboard.press("x")
    expect(heading).to_have_text("two.jpg · rejected")
    page.keyboard.press("z")
    expect(heading).to_have_text("two.jpg · draft")
    page.keyboard.press("p")
    expect(heading).to_have_text("one.jpg · approved")
    page.keyboard.press("m")
    page.get_by_label("Note", exact=True).press_sequentially("xaun")  # letters, no verdicts
    page.get_by_role("button", name="Keep the note").click()
    settle(page)
    assert [(one.status, one.note) for one in store.verdicts(review, PHOTO)] == [("approved", "xaun")]
    store.say(review, "rejected", "Anna", PHOTO, note="The *ruler*.")
    expect(heading).to_have_text("one.jpg · disputed", timeout=15_000)  # nobody touched the page
    expect(page.get_by_text("ruler")).to_be_visible()
