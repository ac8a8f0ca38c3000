"""Signing in with a real OpenID provider, in a real browser: roles, the end of a sign-in, and signing out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from gradcam.reviews import Review, ReviewStore
from tests.sign_in_server import COOKIE, PROVIDER_WARNS, asking_dashboard, read_cookie, write_cookie
from tests.visiting import FIRST_VISIT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings(PROVIDER_WARNS),
]

ROLES = 'owner = ["anna@example.org"]\nreviewer = ["ben@example.org"]\nviewer = ["eve@example.org"]\n'
LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ReviewStore:
    return ReviewStore(tmp_path_factory.mktemp("reviews") / "reviews.sqlite")


@pytest.fixture(scope="module")
def review(store: ReviewStore) -> Review:
    return store.add_review(
        store.add_project("Skin", "anna@example.org", 0), "ab" * 32, "Lesions", "anna@example.org"
    )


@pytest.fixture
def address(store: ReviewStore, tmp_path: Path) -> Iterator[str]:
    with asking_dashboard(tmp_path, ROLES, GRADCAM_STORE=str(store._database.url.database)) as address:
        yield address


@pytest.fixture
def page(context) -> Iterator[Page]:
    """A page of a browser without cookies, which reaches the provider and the dashboard alone."""
    context.clear_cookies()
    page = context.new_page()
    page.route(lambda url: not LOOPBACK.match(url), lambda route: route.abort())  # the provider's style sheet
    page.set_default_timeout(FIRST_VISIT)
    yield page
    page.close()
    context.clear_cookies()


def sign_in(page: Page, address: str, who: str) -> None:
    """Press the button, say at the provider who one is, and be led back."""
    page.get_by_role("button", name="Sign in").click()
    page.get_by_placeholder("sub").fill(who)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{address}/**", wait_until="commit")


def test_a_viewer_reads_a_reviewer_judges_and_nobody_stays_for_longer_than_allowed(
    page, address, store, review
) -> None:
    def see(what: Locator) -> None:
        expect(what).to_be_visible(timeout=FIRST_VISIT)

    def visit(role: str) -> None:
        page.goto(f"{address}/reviews?review={review.id}", wait_until="commit")
        if role:
            see(page.get_by_text(role))
        else:
            see(page.get_by_role("heading", name="Sign in"))
            assert page.get_by_text("Lesions").count() == 0

    visit("")
    sign_in(page, address, "eve@example.org")
    visit("eve@example.org · viewer")
    page.get_by_role("button", name="Approve").click()
    see(page.get_by_text("xpected the role reviewer").first)
    assert store.history(review) == []

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_function("() => !document.body.innerText.includes('Lesions')")
    while COOKIE in {one["name"] for one in page.context.cookies()}:  # a visit before would keep it
        page.wait_for_timeout(100)
    visit("")

    sign_in(page, address, "ben@example.org")
    visit("ben@example.org · reviewer")
    page.get_by_role("button", name="Approve").click()
    see(page.get_by_role("heading", name="Lesions · approved"))
    assert [(one.reviewer, one.status) for one in store.history(review)] == [("ben@example.org", "approved")]

    (cookie,) = [one for one in page.context.cookies() if one["name"] == COOKIE]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    long_ago = {"iat": time.time() - 13 * 3600}  # auth.hours are 12
    page.context.add_cookies([cookie | {"value": write_cookie(read_cookie(cookie["value"]) | long_ago)}])
    visit("")
