"""In a blind review nobody learns what others said before they have judged it themselves."""

from __future__ import annotations

import time

import pytest

from gradcam.errors import ReviewError
from gradcam.reviews import WHOLE, Actor, Review, ReviewStore, Subject
from tests.reviews.examples import EVIDENCE, OTHER, PHOTO


def test_in_a_blind_review_each_sees_their_own_until_all_are_done(store):
    review = store.add_review(store.add_project("Blind", "Anna"), EVIDENCE, "Lesions", "Anna", blind=True)
    store.assign(review, "Anna", "Carla")
    store.assign(review, "Ben", "Carla")
    store.say(review, "approved", "Anna", PHOTO)
    store.say(review, "rejected", "Ben", PHOTO)
    store.say(review, "approved", "Anna")
    assert {verdict.reviewer for verdict in store.verdicts(review, reader="Ben")} == {"Ben"}
    assert store.waiting_for(review) == ["Ben"]
    store.say(review, "rejected", "Ben")
    assert {verdict.reviewer for verdict in store.verdicts(review, reader="Ben")} == {"Anna", "Ben"}


@pytest.fixture
def blind(store: ReviewStore) -> Review:
    """Anna is done with it; Ben is asked too and has judged nothing."""
    review = store.add_review(store.add_project("Blind", "Anna"), EVIDENCE, "Lesions", "Anna", blind=True)
    for name in ("Anna", "Ben"):
        store.assign(review, name, name)
    for subject in (PHOTO, OTHER, WHOLE):
        store.say(review, "approved", "Anna", subject)
    return review


def test_nobody_opens_a_blind_review_without_judging_what_others_judged(store, blind):
    store.say(blind, "approved", "Ben")
    for act in (
        lambda: store.assign(blind, "Ben", "Ben", asked=False),
        lambda: store.say(blind, "approved", "Ben", PHOTO, adjudicates=True),
    ):
        with pytest.raises(ReviewError, match="still blind"):
            act()
    assert store.verdicts(blind, PHOTO, reader="Ben") == []
    assert store.waiting_for(blind) == ["Ben"]
    store.assign(blind, "Ben", "Anna", asked=False)  # an owner may; two have to be done all the same
    assert not store.is_open(blind)
    for subject in (PHOTO, OTHER):
        store.say(blind, "rejected", "Ben", subject)
    assert store.is_open(blind)


def test_agreement_of_a_blind_review_stays_that_of_before_it_opened(store, blind):
    for subject, status in ((PHOTO, "approved"), (OTHER, "rejected"), (WHOLE, "approved")):
        store.say(blind, status, "Ben", subject)
    before = store.agreement(blind)
    assert before.value == 0
    time.sleep(0.002)  # verdicts tell milliseconds
    store.say(blind, "approved", "Ben", OTHER)
    store.say(blind, "approved", "Carla", Subject("photo", "third.jpg"))
    assert store.is_open(blind)
    assert store.disputed(blind) == []
    assert store.agreement(blind) == before


def test_a_blind_review_tells_nothing_before_two_are_done(store):
    review = store.add_review(store.add_project("Blind", "Anna"), EVIDENCE, "Lesions", "Anna", blind=True)
    anna, ben = (store.acting_as(Actor(name, "reviewer")) for name in ("Anna", "Ben"))
    anna.say(review, "approved", "Anna", PHOTO, note="Fine.")
    anna.comment(review, "Look at the corner.", "Anna", PHOTO)
    anna.say(review, "approved", "Anna")
    assert (ben.verdicts(review), ben.history(review), ben.comments(review)) == ([], [], [])
    assert ben.state(review) == "in review"
    for ask in (ben.agreement, ben.disputed):
        with pytest.raises(ReviewError, match="still blind"):
            ask(review)
    ben.say(review, "rejected", "Ben", PHOTO)
    ben.say(review, "rejected", "Ben")
    assert [one.reviewer for one in ben.verdicts(review, PHOTO)] == ["Anna", "Ben"]
    assert set(ben.disputed(review)) == {PHOTO, WHOLE}
    assert ben.agreement(review).value is None  # of a single photo it cannot be said
    store.say(review, "rejected", "Carla", PHOTO, adjudicates=True)
    assert ben.disputed(review) == [WHOLE]
