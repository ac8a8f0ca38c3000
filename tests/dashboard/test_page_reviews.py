"""The page *Reviews*: a team that judges, disagrees, decides and signs, without a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import identity, serving, session
from dashboard.components import review_changes
from gradcam import keys
from gradcam.models import Labels
from gradcam.report import Verdict, build_report, render_report, review_report, verify_report, with_signature
from gradcam.reviews import Review, ReviewStore, Subject
from tests import fakes
from tests.opening import open_page
from tests.report_fakes import HEAT, NOON, comparison, report
from tests.shapes import load, saved, state

ONE, TWO = Subject("photo", "one.jpg"), Subject("photo", "two.jpg")
ZIP = render_report(
    report(
        fakes.photo(name="one.jpg"),
        fakes.photo(name="two.jpg"),
        title="Lesions",
        verdict=Verdict("approved", "Anna"),
    ),
    "zip",
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReviewStore:
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path / "keys"))
    monkeypatch.setattr(serving, "is_local", lambda: True)
    return ReviewStore()


@pytest.fixture
def review(store: ReviewStore) -> Review:
    return review_report(store, store.add_project("Skin", "Anna"), ZIP, "Anna")


def opened(review: Review | None = None, me: str = "Ben") -> AppTest:
    """The page as somebody sees it who has said a name."""
    page = open_page("reviews", **({"review": review.id} if review else {}))
    page.text_input(key="_own_name").set_value(me).run()
    assert not page.exception
    return page


def press(page: AppTest, label: str, number: int = 0) -> AppTest:
    [one for one in page.button if one.label == label][number].click().run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    kinds = ("markdown", "caption", "error", "success", "warning", "info", "header")
    return "\n".join(element.value for kind in kinds for element in page.main.get(kind))


def test_who_has_said_no_name_is_asked_for_one(store: ReviewStore) -> None:
    page = open_page("reviews")
    assert "Say who you are" in words(page)
    assert "Reports* are files" in words(page)


def test_a_team_begins_with_a_project_and_a_report(store: ReviewStore) -> None:
    page = opened()
    assert "Make a project" in page.info[0].value
    page.text_input(key="_new_project").set_value("Skin").run()
    press(page, "Make it")
    assert [(project.name, project.by) for project in store.projects()] == [("Skin", "Ben")]
    assert "No reviews yet" in words(page)
    page.get("file_uploader")[0].upload("review.zip", ZIP, "application/zip").run()
    press(page, "Bring it in")
    (review,) = store.reviews()
    assert (review.title, review.by) == ("Lesions", "Ben")
    assert "Lesions · draft" in words(page)
    assert review.id in page.query_params["review"]


def test_the_list_shows_state_and_who_is_asked_and_is_filtered(store: ReviewStore, review: Review) -> None:
    store.assign(review, "Ben", "Anna")
    page = opened()
    assert "**Lesions** · in review" in words(page)
    assert "waits for Ben" in words(page)
    for which, shown in [("mine", True), ("open", True), ("disputed", False)]:
        page.segmented_control(key="reviews").set_value(which).run()
        assert ("**Lesions**" in words(page)) is shown
    page.segmented_control(key="reviews").set_value("all").run()
    press(page, "Open")
    assert "one.jpg · draft" in words(page)
    press(page, "All reviews")
    assert "**Lesions** · in review" in words(page)


def test_somebody_goes_on_with_what_another_began_photo_by_photo(store: ReviewStore, review: Review) -> None:
    store.say(review, "rejected", "Anna", ONE, note="It looks at the **ruler**.")
    page = opened(review)
    assert "**Anna**: rejected" in words(page)
    assert all(f"{name}  \n" in words(page) for name in ("x/a", "x/b"))
    press(page, "Approve")
    assert [(one.reviewer, one.status) for one in store.verdicts(review, ONE)] == [
        ("Anna", "rejected"),
        ("Ben", "approved"),
    ]
    press(page, "Undo")
    assert [one.status for one in store.verdicts(review, ONE)] == ["rejected", "draft"]
    press(page, "Next")
    assert "two.jpg · draft" in words(page)
    assert "two.jpg" in page.query_params["subject"]
    press(page, "Unsure")
    press(page, "Previous")
    assert "you have judged 1" in words(page)
    press(page, "Note")
    page.text_area(key=f"_note_text-{review.id}-{ONE}").set_value("The *eyes*")
    press(page, "Keep the note")
    assert [one.note for one in store.verdicts(review, ONE) if one.reviewer == "Ben"] == ["The *eyes*"]
    page.text_area(key=f"_comment_text-{review.id}-{ONE}").set_value("Why?")
    press(page, "Comment")
    press(page, "Reply")
    page.text_area(key=f"_comment_text-{review.id}-{ONE}").set_value("A watermark.")
    press(page, "Comment")
    first, second = store.comments(review, ONE)
    assert (first.text, second.text, second.replies_to) == ("Why?", "A watermark.", first.id)


def test_the_browsers_back_leads_to_the_photo_and_to_the_list_that_were_there_before(
    store: ReviewStore, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = press(opened(), "Open")
    press(page, "Next")
    monkeypatch.setattr(session, "went_back", lambda: True)
    for key, shown in [("subject", "one.jpg · draft"), ("review", "**Lesions** · draft")]:
        del page.query_params[key]
        assert shown in words(page.run())


def test_verdicts_of_two_reviews_are_read_once_however_many_photos_have_some(
    store: ReviewStore, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    for subject in (ONE, TWO):
        store.say(review, "approved", "Anna", subject)
    asked, verdicts = [], ReviewStore.verdicts
    monkeypatch.setattr(ReviewStore, "verdicts", lambda *of: asked.append(of[1:]) or verdicts(*of))
    review_changes._show_statuses(store, review, review)
    assert asked == [(review,), (review,)]


def test_what_can_be_said_has_a_key(store: ReviewStore, review: Review) -> None:
    page = opened(review)
    keys = {one.label: one.proto.shortcut for one in page.button if one.proto.shortcut}
    assert {label: key.upper() for label, key in keys.items()} == {
        "Previous": "P",
        "Approve": "A",
        "Reject": "X",
        "Unsure": "U",
        "Undo": "Z",
        "Note": "M",
        "Next": "N",
    }


def test_a_blind_review_hides_the_others_then_shows_agreement_and_disputes_for_an_owner_to_decide(
    store: ReviewStore,
) -> None:
    review = review_report(store, store.add_project("Skin", "Anna"), ZIP, "Anna", blind=True)
    for name in ("Anna", "Ben"):
        store.assign(review, name, name)
    store.say(review, "approved", "Anna", ONE)
    store.say(review, "approved", "Anna", TWO)
    store.say(review, "approved", "Anna")
    page = opened(review)
    assert "**Anna**: approved" not in words(page)
    assert "It waits for Ben" in words(page)
    store.say(review, "approved", "Ben", ONE)
    store.say(review, "rejected", "Ben", TWO)
    store.say(review, "approved", "Ben")
    page = opened(review)
    assert "two.jpg · disputed" in words(page)  # the disputed one first
    assert "Cohen's κ = 0.00" in words(page)
    assert "Disputed: photo two.jpg" in words(page)
    press(page, "Reject", 1)  # decide
    assert store.disputed(review) == []
    assert "two.jpg · rejected" in words(page)


def test_an_owner_asks_somebody_and_no_more(
    store: ReviewStore, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(review)
    page.text_input(key="_invited").set_value("Carla").run()
    press(page, "Ask")
    assert [one.reviewer for one in store.assignments(review)] == ["Carla"]
    press(page, "Ask Carla no more")
    assert store.assignments(review) == []
    assert identity.as_known(" Carla@Example.org ") == " Carla@Example.org "
    monkeypatch.setattr(identity, "requires_sign_in", lambda: True)
    assert identity.as_known(" Carla@Example.org ") == "carla@example.org"


def test_an_open_review_is_among_its_own_project_and_another_project_closes_it(
    store: ReviewStore, review: Review
) -> None:
    store.add_project("Other", "Anna")
    page = opened(review)
    assert page.selectbox(key="project").value == "Skin"
    page.selectbox(key="project").set_value("Other").run()
    assert "review" not in page.query_params
    assert "No reviews yet" in words(page)


def test_alone_nobody_agrees_and_the_page_says_so(store: ReviewStore, review: Review) -> None:
    store.say(review, "approved", "Anna", ONE)
    assert "cannot be said" in words(opened(review))


def test_a_review_and_its_zip_are_countersigned_and_the_first_signature_stays(
    store: ReviewStore, review: Review, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.new_key("Ben")
    store.say(review, "approved", "Anna")
    store.sign(review, keys.new_key("Anna", tmp_path / "hers"), "Anna")
    page = opened(review)
    press(page, "Sign the review")
    assert store.signers(review) == {"Anna", "Ben"}
    press(page, "Sign the ZIP too")
    assert [
        one.statement.name for one in verify_report(store.evidence(review) or b"", render=False).signatures
    ] == ["Ben"]
    with monkeypatch.context() as patch:
        patch.setattr(ReviewStore, "evidence", lambda *_: pytest.fail("the whole ZIP is read at every rerun"))
        page.run()
        assert "In the ZIP: " in words(page)
    press(page, "Sign the ZIP too")
    assert "one signed as it is already" in page.error[0].value
    store.say(review, "rejected", "Anna", ONE)
    assert "VOID" in words(page.run())


def test_a_review_is_replayed_and_compared_with_the_one_whose_place_it_takes(
    store: ReviewStore, review: Review
) -> None:
    photos = [fakes.photo(name="one.jpg"), fakes.photo(name="two.jpg")]
    again = build_report(comparison(photos, heat=HEAT[::-1]), now=NOON, title="Lesions again")
    project = store.project_of(review)
    later = review_report(store, project, render_report(again, "zip"), "Anna", supersedes=review)
    store.say(review, "rejected", "Anna", ONE)
    store.say(later, "approved", "Anna", ONE)
    page = opened(later)
    assert press(page, "Replay").table[0].value["Photo"].tolist() == ["one.jpg"] * 2 + ["two.jpg"] * 2
    page.toggle(key="_other_review").set_value(True).run()
    assert not page.exception
    said, *_ = [html.proto.body for html in page.get("html") if 'class="changes"' in html.proto.body]
    assert "photo one.<wbr>jpg</th><td>rejected</td><td>approved</td>" in said
    assert "Maps that changed" in words(page)


def test_an_owner_names_the_keys_that_count_in_a_project(
    store: ReviewStore, review: Review, tmp_path: Path
) -> None:
    ben, carla = keys.new_key("Ben"), keys.new_key("Carla", tmp_path / "hers")
    store.say(review, "approved", "Anna")
    page = opened(review)
    assert "None is named" in "".join(one.value for one in page.sidebar.caption)
    uploader = next(one for one in page.get("file_uploader") if "key" in one.label)
    uploader.upload("carla.pub", keys.encode(carla.public), "text/plain").run()
    press(page, "Trust it")
    assert list(store.trusted_keys(store.project_of(review)).values()) == [carla.public]
    assert any(carla.public.fingerprint in one.value for one in page.sidebar.markdown)
    assert "xpected a key that the project trusts, got Ben" in press(page, "Sign the review").error[0].value
    store.trust(store.project_of(review), ben.public, "Anna")
    press(page, "Sign the review")
    assert store.signers(review) == {"Ben"}


@pytest.mark.parametrize(
    ("label", "button", "told"),
    [("key", "Trust it", "xpected a public key"), ("ZIP", "Bring it in", "xpected a report")],
)
def test_a_file_of_another_kind_is_refused_in_a_sentence(
    store: ReviewStore, review: Review, label: str, button: str, told: str
) -> None:
    page = opened()
    next(one for one in page.get("file_uploader") if label in one.label).upload("notes.txt", b"Nothing").run()
    assert told in press(page, button).error[0].value.replace("\\", "")


def test_a_model_of_ones_own_is_shared_with_a_project_for_others_to_use(store: ReviewStore, review: Review) -> None:
    mine = load(state())
    model = str(mine.spec)
    anna = opened(me="Anna")
    anna.session_state[session._OWN] = {model: mine}
    for data, refused in [(b"another", True), (saved(state()), False)]:
        uploader = next(one for one in anna.run().get("file_uploader") if one.label == "Its file once more")
        uploader.upload("shapes.pt", data, "application/x").run()
        press(anna, "Share it")
        assert bool(anna.error) is refused
    (shared,) = store.shared_models(store.projects()[0])
    assert (shared.name, shared.by) == (model, "Anna")

    ben = opened(me="Ben")
    assert model not in ben.session_state[session._OWN]
    numbered = replace(mine, labels=Labels(("round", "crossed"), None, "Ben"))
    ben.session_state[session._OWN] = {model: numbered}  # the same file under the same id, with other options
    press(ben.run(), "Use it here")
    assert ben.session_state[session._OWN][model].labels == mine.labels
    assert ben.session_state[session._OWN][model].weights_sha256 == mine.weights_sha256
    assert [one.disabled for one in ben.button if one.label == "In use"] == [True]
    assert not ben.error


def test_a_report_brought_again_keeps_and_gains_signatures(store: ReviewStore, review: Review) -> None:
    anna, ben = keys.new_key("Anna"), keys.new_key("Ben")
    by_anna, by_ben = with_signature(ZIP, anna)[0], with_signature(ZIP, ben)[0]
    for brought, names in [
        (by_anna, ["Anna"]),
        (ZIP, ["Anna"]),
        (by_ben, ["Anna", "Ben"]),
        (by_anna, ["Anna", "Ben"]),
    ]:
        review_report(store, store.project_of(review), brought, "Carla")
        found = verify_report(store.evidence(review) or b"", render=False)
        assert [one.statement.name for one in found.signatures] == names


def test_a_visitor_whom_nobody_vouches_for_does_not_sign_with_the_servers_key(
    store: ReviewStore, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "is_local", lambda: False)
    keys.new_key("The server")
    store.say(review, "approved", "Ben")
    page = press(opened(review), "Sign the review")
    assert "sits at the server's machine" in page.error[0].value
    assert store.signers(review) == set()


def test_another_evidence_than_the_one_under_review_is_refused(store: ReviewStore, review: Review) -> None:
    other = render_report(report(fakes.photo(name="three.jpg")), "zip")
    store.keep_evidence(review, other, "Eve")
    assert "what was signed of it is void" in opened(review).error[0].value


def test_a_store_that_cannot_be_opened_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_resource.clear()
    monkeypatch.setenv("GRADCAM_STORE", "mysql://root@host/x")
    page = opened()
    assert "Expected a path or postgresql" in page.error[0].value.replace("\\", "")
