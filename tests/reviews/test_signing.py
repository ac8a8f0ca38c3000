"""A review is signed by keys that count, for what it says and for its evidence."""

from __future__ import annotations

import io
from dataclasses import replace

import msgspec
import pytest

from gradcam.errors import ReviewError
from gradcam.keys import SecretKey, new_key, revoke
from gradcam.reviews import ReviewStore
from gradcam.signatures import State as SignatureState
from tests.reviews.examples import EVIDENCE, PHOTO, key_of


def replace_name(key: SecretKey, name: str) -> SecretKey:
    return msgspec.structs.replace(key, public=msgspec.structs.replace(key.public, name=name))


def test_a_review_is_approved_once_it_has_the_signatures_its_project_asks_for(store, tmp_path):
    review = store.add_review(store.add_project("Two", "Anna", signatures=2), EVIDENCE, "Lesions", "Anna")
    anna, ben = key_of("Anna", tmp_path), key_of("Ben", tmp_path)
    with pytest.raises(ReviewError, match="expected a review that is approved or rejected"):
        store.sign(review, anna, "Anna")
    store.say(review, "approved", "Anna")
    store.sign(review, anna, "Anna")
    with pytest.raises(ReviewError, match="signed as it is"):  # nobody is two people
        store.sign(review, key_of("Another key", tmp_path), "Anna")
    assert store.state(review) == "in review"
    store.sign(review, ben, "Ben")
    assert store.state(review) == "approved"
    assert [(by, one.counts) for by, one in store.signatures(review, [anna.public])] == [
        ("Anna", True),
        ("Ben", False),  # not trusted by who asks
    ]


def test_one_person_is_not_two_signatures_and_a_revoked_key_is_none(store, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path))
    review = store.add_review(store.add_project("Two", "Anna", signatures=2), EVIDENCE, "Lesions", "Anna")
    store.say(review, "approved", "Anna")
    anna, ben = new_key("Anna"), new_key("Ben")
    store.sign(review, anna, "Anna")
    with pytest.raises(ReviewError, match="signed as it is"):
        store.sign(review, anna, "Ben")
    store.sign(review, ben, "Ben")
    assert store.state(review) == "approved"
    revoke(tmp_path / "ben.pub", "stolen")
    assert store.signers(review) == {"Anna"}
    assert store.state(review) == "in review"
    with pytest.raises(ReviewError, match="which is revoked"):
        store.sign(review, ben, "Carla")


def test_a_servers_key_signs_for_everybody_whom_it_vouches_for(store, review, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path))
    store.say(review, "approved", "Anna")
    server, person = new_key("gradcam at example.org", vouches=True), new_key("Carla")
    for name in ("Anna", "Ben"):
        store.sign(review, replace_name(server, name), name)
    assert store.signers(review) == {"Anna", "Ben"}
    store.sign(review, person, "Carla")
    with pytest.raises(ReviewError, match="expected a signature by the owner of the key, Carla"):
        store.sign(review, replace_name(person, "Dora"), "Dora")


def test_nobody_signs_as_another_or_in_their_place(store, tmp_path):
    project = store.add_project("Two", "Anna", signatures=2)
    review = store.add_review(project, EVIDENCE, "Lesions", "Anna")
    store.say(review, "approved", "Anna")
    anna, ben = key_of("Anna", tmp_path), key_of("Ben", tmp_path)
    store.sign(review, replace_name(anna, "Ben"), "Ben")  # while nobody knows whose key it is
    for key in (anna, ben):
        store.trust(project, key.public, "Anna")
    assert store.signers(review) == set()
    with pytest.raises(ReviewError, match="expected a signature by the owner of the key, Anna"):
        store.sign(review, replace_name(anna, "Ben"), "Ben")
    store.sign(review, anna, "Ben")
    assert store.signers(review) == {"Anna"}
    store.sign(review, ben, "Ben")
    assert store.signers(review) == {"Anna", "Ben"}


def test_in_a_project_that_trusts_keys_no_other_key_counts(store, tmp_path):
    project = store.add_project("Two", "Anna", signatures=2)
    review = store.add_review(project, EVIDENCE, "Lesions", "Anna")
    store.say(review, "approved", "Anna")
    anna, another, ben = (key_of(name, tmp_path) for name in ("Anna", "Another key of Anna", "Ben"))
    store.sign(review, anna, "Anna")
    store.sign(review, another, "Somebody")  # where nobody asks who people are, she is two
    assert store.state(review) == "approved"
    for key in (anna, ben):
        store.trust(project, key.public, "Anna")
    assert list(store.trusted_keys(project).values()) == [anna.public, ben.public]
    assert store.signers(review) == {"Anna"}
    with pytest.raises(ReviewError, match="expected a key that the project trusts, got Carla"):
        store.sign(review, key_of("Carla", tmp_path), "Carla")
    store.sign(review, ben, "Ben")
    assert store.state(review) == "approved"
    assert [one.counts for _, one in store.signatures(review)] == [True, False, True]
    store.trust(project, revoke(tmp_path / "Ben" / "ben.pub", "stolen"), "Anna")
    store.trust(project, ben.public, "Anna")  # the older file takes nothing back
    assert store.signers(review) == {"Anna"}
    assert store.state(review) == "in review"


def test_a_key_that_a_project_never_trusted_closes_it_to_no_other(store, tmp_path):
    review = store.add_review(project := store.add_project("One", "Anna"), EVIDENCE, "Lesions", "Anna")
    store.say(review, "approved", "Anna")
    store.sign(review, key_of("Anna", tmp_path), "Anna")
    eve = key_of("Eve", tmp_path).public
    with ReviewStore(tmp_path / "other.sqlite") as other:
        other.trust(other.add_project("One", "Eve"), eve, "Eve")
        other.export(file := io.BytesIO())
    with pytest.raises(ReviewError, match="expected in line 2 a key that its project trusts here too, got Eve"):
        store.import_(io.BytesIO(file.getvalue()))
    revoked = revoke(tmp_path / "Eve" / "eve.pub", "lost")
    with pytest.raises(ReviewError, match="expected a key that counts, got Eve"):
        store.trust(project, revoked, "Anna")
    assert store.trusted_keys(project) == {}
    assert store.state(review) == "approved"
    store.trust(project, eve, "Anna")
    assert store.import_(io.BytesIO(file.getvalue())) == 1
    store.trust(project, revoked, "Anna")
    assert store.signers(review) == set()  # it opens again to nobody


def test_a_changed_verdict_voids_signatures_and_a_comment_or_a_note_does_not(store, review, tmp_path):
    store.say(review, "approved", "Anna")
    store.say(review, "approved", "Anna", PHOTO)
    store.sign(review, key_of("Anna", tmp_path), "Anna")
    store.comment(review, "Fine.", "Ben", PHOTO)
    store.say(review, "approved", "Anna", PHOTO, note="The eyes.")
    assert store.signers(review) == {"Anna"}
    store.say(review, "rejected", "Anna", PHOTO)
    assert [one.state for _, one in store.signatures(review)] == [SignatureState.OTHER_VERDICT]
    assert store.signers(review) == set()
    store.undo(review, "Anna", PHOTO)
    assert store.signers(review) == {"Anna"}


def test_a_signature_of_other_evidence_is_shown_void(store, review, tmp_path):
    for one in (review, other := store.add_review(store.projects()[0], "cd" * 32, "New model", "Anna")):
        store.say(one, "approved", "Anna")
    store.sign(other, key_of("Anna", tmp_path), "Anna")
    assert [one.state for _, one in store.signatures(other)] == [SignatureState.VALID]
    assert [one.state for _, one in store.signatures(replace(other, evidence=EVIDENCE))] == [
        SignatureState.OTHER_EVIDENCE
    ]
