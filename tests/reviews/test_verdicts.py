"""What people say in a review: it is corrected, taken back and decided, and never lost."""

from __future__ import annotations

import pytest

from gradcam.errors import ReviewError
from gradcam.reviews import WHOLE, ReviewStore, Subject
from tests.reviews.examples import EVIDENCE, OTHER, PHOTO


def test_what_is_said_comes_back_from_another_process(store, review, address):
    said = store.say(review, "rejected", "Anna", PHOTO, note="It looks at the **ruler**.")
    with ReviewStore(address) as again:
        assert again.verdicts(review) == [said]
        assert again.reviews() == [review]


def test_a_correction_supersedes_and_the_first_word_stays_in_the_history(store, review):
    first = store.say(review, "approved", "Anna", PHOTO)
    second = store.say(review, "rejected", "Anna", PHOTO)
    assert second.supersedes == first.id
    assert store.verdicts(review, PHOTO) == [second]
    assert store.history(review, PHOTO) == [first, second]


def test_two_people_never_supersede_each_other(store, review):
    anna, ben = store.say(review, "approved", "Anna", PHOTO), store.say(review, "rejected", "Ben", PHOTO)
    assert store.verdicts(review, PHOTO) == [anna, ben]


def test_undo_says_again_what_was_said_before(store, review):
    assert store.undo(review, "Anna", PHOTO) is None
    store.say(review, "approved", "Anna", PHOTO, note="fine")
    store.say(review, "rejected", "Anna", PHOTO)
    assert store.undo(review, "Anna", PHOTO).status == "approved"
    assert [verdict.note for verdict in store.verdicts(review, PHOTO)] == ["fine"]


def test_undo_goes_further_back_each_time_and_a_new_word_can_be_undone(store, review):
    for status in ("approved", "rejected", "unsure"):
        store.say(review, status, "Anna", PHOTO)
    undone = [store.undo(review, "Anna", PHOTO) for _ in range(4)]
    assert [one and one.status for one in undone] == ["rejected", "approved", "draft", None]
    for status in ("approved", "rejected", "approved"):
        store.say(review, status, "Anna", PHOTO)
    assert store.undo(review, "Anna", PHOTO).status == "rejected"


def test_undo_of_the_only_word_is_a_draft(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    assert store.undo(review, "Anna", PHOTO).status == "draft"
    assert store.state(review) == "draft"


def test_the_same_evidence_is_reviewed_once_in_a_project(store, review):
    project = store.projects()[0]
    assert store.add_review(project, EVIDENCE, "Another title", "Ben") == review
    other = store.add_project("Other", "Ben")
    assert store.add_review(other, EVIDENCE, "Lesions", "Ben") != review
    assert len(store.reviews(evidence=EVIDENCE)) == 2
    assert store.reviews(project) == [review]


def test_the_state_follows_the_verdicts_on_the_whole(store, review):
    assert store.state(review) == "draft"
    store.assign(review, "Ben", "Anna")
    assert store.state(review) == "in review"
    store.say(review, "approved", "Anna")
    assert store.state(review) == "approved"
    store.say(review, "rejected", "Ben")
    assert store.state(review) == "disputed"
    store.say(review, "rejected", "Carla", adjudicates=True)
    assert store.state(review) == "rejected"


def test_a_review_is_superseded_by_a_later_one(store, review):
    store.say(review, "approved", "Anna")
    later = store.add_review(store.projects()[0], "cd" * 32, "Lesions", "Anna", supersedes=review)
    assert later.supersedes == review.id
    assert store.state(review) == "superseded"
    assert store.state(later) == "draft"
    elsewhere = store.add_project("Other", "Ben")
    with pytest.raises(ReviewError, match="'Lesions', which is of another"):
        store.add_review(elsewhere, "ef" * 32, "Lesions", "Ben", supersedes=later)


def test_who_decides_keeps_their_own_verdict_and_can_undo_the_decision(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    own = store.say(review, "rejected", "Ben", PHOTO)
    store.say(review, "unsure", "Ben", PHOTO, adjudicates=True)
    assert own in store.verdicts(review, PHOTO)
    assert store.disputed(review) == []
    store.undo(review, "Ben", PHOTO)
    assert own in store.verdicts(review, PHOTO)
    assert store.disputed(review) == [PHOTO]


def test_who_is_asked_no_more_is_not_waited_for(store, review):
    store.assign(review, "Ben", "Anna")
    store.assign(review, "Ben", "Anna", asked=False)
    assert store.assignments(review) == []


def test_comments_change_no_verdict_and_keep_their_thread(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    verdicts = store.verdicts(review)
    first = store.comment(review, "Why the corner?", "Ben", PHOTO)
    store.comment(review, "A watermark.", "Anna", PHOTO, replies_to=first)
    assert [(one.author, one.replies_to) for one in store.comments(review, PHOTO)] == [
        ("Ben", None),
        ("Anna", first.id),
    ]
    assert store.verdicts(review) == verdicts
    with pytest.raises(ReviewError, match=r"expected an answer about 'photo cat\.jpg'"):
        store.comment(review, "And there?", "Ben", OTHER, replies_to=first)


def test_what_makes_no_sense_is_refused(store, review):
    project = store.projects()[0]
    for do, sentence in [
        (lambda: store.say(review, "fine", "Anna", PHOTO), "expected a verdict on a photo"),
        (lambda: store.say(review, "approved", " ", PHOTO), "expected a name of 1 to 500 letters"),
        (lambda: store.say(review, "approved", "Anna", note="x" * 20_001), "at most 20,000 letters"),
        (lambda: store.comment(review, " ", "Anna"), "expected a comment"),
        (lambda: store.add_project("Skin", "Anna"), "which exists"),
        (lambda: store.add_project("New", "Anna", signatures=-1), "expected 0 to 100 signatures"),
        (lambda: store.add_review(project, "abc", "x", "Anna"), "expected the SHA-256 of the evidence"),
        (lambda: store.say(review, "approved", "Anna", note="a\0b"), "text that a database can hold"),
        (lambda: store.comment(review, "\udce9", "Anna"), "text that a database can hold"),
        (lambda: store.add_project("\ud800", "Anna"), "text that a database can hold"),
        (lambda: Subject("photo", "caf\udce9.jpg"), "text that a database can hold"),
        (lambda: Subject("photo"), "expected the whole review, or the name of a photo"),
        (lambda: Subject("leaf", "x"), "expected a kind of subject"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(ReviewError, match=sentence):
            do()
    assert store.history(review) == []
    assert store.verdicts(review, WHOLE) == []
