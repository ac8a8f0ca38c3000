"""The store of a team, on SQLite and on PostgreSQL: nothing said is lost, changed or deleted."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gradcam.config import Limits, Settings
from gradcam.errors import ReviewError
from gradcam.keys import PublicKey, SecretKey, new_key, revoke
from gradcam.reviews import WHOLE, Actor, Review, ReviewStore, Subject, read_roles
from gradcam.reviews.database import MIGRATIONS, Database
from gradcam.reviews.roles import ROLES
from gradcam.reviews.tables import METADATA, TABLES
from gradcam.signatures import State as SignatureState

EVIDENCE = "ab" * 32
PHOTO, OTHER = Subject("photo", "dog.jpg"), Subject("photo", "cat.jpg")
VERDICTS = int(os.environ.get("GRADCAM_VERDICTS", "40"))
"""Of each of eight processes; `GRADCAM_VERDICTS=1000` is what README gives a figure of."""

SAY = """
import sys
from gradcam.reviews import ReviewStore, Subject
address, person, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = ReviewStore(address)
review = store.reviews()[0]
for number in range(many):
    said = store.say(review, "approved", person, Subject("photo", f"{number}.jpg"))
    print(said.id, flush=True)
"""


@pytest.fixture
def review(store: ReviewStore) -> Review:
    project = store.add_project("Skin", "Anna", signatures=0)
    return store.add_review(project, EVIDENCE, "Lesions", "Anna")


@contextmanager
def writing(address: str) -> Iterator[sa.Connection]:
    """The database itself, past the store."""
    with closing(Database(address)) as database, database.writing() as connection:
        yield connection


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


def key_of(name: str, folder: Path) -> SecretKey:
    return new_key(name, folder / name)


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


def test_a_review_is_superseded_by_a_later_one(store, review):
    store.say(review, "approved", "Anna")
    later = store.add_review(store.projects()[0], "cd" * 32, "Lesions", "Anna", supersedes=review)
    assert later.supersedes == review.id
    assert store.state(review) == "superseded"
    assert store.state(later) == "draft"
    elsewhere = store.add_project("Other", "Ben")
    with pytest.raises(ReviewError, match="'Lesions', which is of another"):
        store.add_review(elsewhere, "ef" * 32, "Lesions", "Ben", supersedes=later)


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


ANYBODY = "Anna"
SOMEBODYS = PublicKey("Anna", "2026-11-01T12:00:00Z", bytes(32))
DOES = {
    "viewer": {
        "projects": lambda store, review: store.projects(),
        "reviews": lambda store, review: store.reviews(),
        "verdicts": lambda store, review: store.verdicts(review),
        "history": lambda store, review: store.history(review),
        "comments": lambda store, review: store.comments(review),
        "assignments": lambda store, review: store.assignments(review),
        "signatures": lambda store, review: store.signatures(review),
        "shared models": lambda store, review: store.shared_models(store.projects()[0]),
        "trusted keys": lambda store, review: store.trusted_keys(store.projects()[0]),
        "state": lambda store, review: store.state(review),
        "evidence": lambda store, review: store.evidence(review),
        "pulse": lambda store, review: store.pulse(review),
    },
    "reviewer": {
        "say": lambda store, review: store.say(review, "approved", ANYBODY, PHOTO),
        "comment": lambda store, review: store.comment(review, "Why?", ANYBODY),
        "ask oneself": lambda store, review: store.assign(review, ANYBODY, ANYBODY),
        "share a model": lambda store, review: store.share_model(store.projects()[0], "mine", "{}", b"", ANYBODY),
        "keep evidence": lambda store, review: store.keep_evidence(review, b"ZIP", ANYBODY),
        "begin the first review of a run": lambda store, review: store.project_of_runs(ANYBODY),
        "add a review": lambda store, review: store.add_review(store.projects()[0], "cd" * 32, "New", ANYBODY),
    },
    "owner": {
        "ask another": lambda store, review: store.assign(review, "Ben", ANYBODY),
        "decide": lambda store, review: store.say(review, "approved", ANYBODY, PHOTO, adjudicates=True),
        "add a project": lambda store, review: store.add_project("New", ANYBODY),
        "trust a key": lambda store, review: store.trust(store.projects()[0], SOMEBODYS, ANYBODY),
        "export": lambda store, review: store.export(io.BytesIO()),
        "import": lambda store, review: store.import_(io.BytesIO()),
    },
}


@pytest.mark.parametrize("role", [None, *ROLES])
def test_everybody_may_do_what_their_role_allows_and_no_more(store, review, role):
    mine = store.acting_as(Actor(ANYBODY, role))
    for least, acts in DOES.items():
        for what, act in acts.items():
            if role is not None and ROLES.index(role) >= ROLES.index(least):
                act(mine, review)
            else:
                with pytest.raises(ReviewError, match=f"expected the role (viewer|{least})"):
                    pytest.fail(f"{role} may {what}: {act(mine, review)}")


def test_nobody_speaks_for_another(store, review, tmp_path):
    mine = store.acting_as(Actor("Anna", "owner"))
    store.say(review, "approved", "Ben")
    for act in (
        lambda: mine.say(review, "rejected", "Ben"),
        lambda: mine.undo(review, "Ben"),
        lambda: mine.comment(review, "Why?", "Ben"),
        lambda: mine.assign(review, "Anna", "Ben"),
        lambda: mine.sign(review, key_of("Anna", tmp_path), "Ben"),
    ):
        with pytest.raises(ReviewError, match="got words of 'Ben'"):
            act()


def test_roles_are_read_by_address_and_group_the_highest_first(tmp_path):
    file = tmp_path / "roles.toml"
    file.write_text('owner = ["Anna@Example.org"]\nreviewer = ["group:Pathology"]\nviewer = ["anna@example.org"]\n')
    roles = read_roles(file)
    assert roles.role_of("anna@example.org") == "owner"
    assert roles.role_of("ben@example.org", ["pathology"]) == "reviewer"
    assert roles.role_of("eve@example.org", ["it"]) is None
    assert roles.role_of("group:pathology") is None  # as an address
    for wrong, sentence in [
        ("owners = []", "expected a role in .*; use 'owner'"),
        ("owner = 3", "expected a list of e-mail addresses"),
        ("owner = [", "expected TOML in"),
    ]:
        file.write_text(wrong)
        with pytest.raises(ReviewError, match=sentence):
            read_roles(file)


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


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_the_database_itself_refuses_to_change_or_delete(store, review, address, table, tmp_path):
    store.say(review, "approved", "Anna", PHOTO)
    store.comment(review, "A comment", "Anna")
    store.assign(review, "Ben", "Anna")
    store.say(review, "approved", "Anna")
    store.sign(review, key_of("Anna", tmp_path), "Anna")
    store.keep_evidence(review, b"a ZIP", "Anna")
    store.trust(store.projects()[0], SOMEBODYS, "Anna")
    store.share_model(store.projects()[0], "mine", "{}", b"weights", "Anna")
    for change in (f"UPDATE {table} SET \"by\" = 'Eve'", f"DELETE FROM {table}"):
        with pytest.raises(ReviewError, match="what was said is never changed"), writing(address) as connection:
            connection.exec_driver_sql(change)


def test_a_store_carries_all_it_holds_to_another_of_either_kind(store, review, tmp_path):
    store.say(review, "approved", "Anna", PHOTO)
    store.say(review, "rejected", "Anna", PHOTO, note="nein – „ß“")
    store.comment(review, "Why?", "Ben")
    store.assign(review, "Ben", "Anna")
    file = io.BytesIO()
    rows = store.export(file)
    other = ReviewStore(tmp_path / "other.sqlite")
    assert other.import_(io.BytesIO(file.getvalue())) == rows
    assert other.import_(io.BytesIO(file.getvalue())) == 0
    again = io.BytesIO()
    other.export(again)
    assert again.getvalue() == file.getvalue()
    assert [one.status for one in other.verdicts(review, PHOTO)] == ["rejected"]


def test_two_stores_that_review_the_same_come_together(store, review, tmp_path):
    with ReviewStore(tmp_path / "other.sqlite") as other:
        theirs = other.add_review(other.add_project("Skin", "Ben"), EVIDENCE, "Lesions", "Ben")
        other.say(theirs, "approved", "Ben", PHOTO)
        said = other.say(theirs, "rejected", "Ben", PHOTO)
        later = other.add_review(other.projects()[0], "cd" * 32, "New", "Ben", supersedes=theirs)
        file = io.BytesIO()
        other.export(file)
    anna = store.say(review, "approved", "Anna", PHOTO)
    for new in (3, 0):
        assert store.import_(io.BytesIO(file.getvalue())) == new
        assert [one.id for one in store.verdicts(review)] == [anna.id, said.id]
        assert [one.id for one in store.reviews(store.projects()[0])] == [later.id, review.id]
        assert store.state(review) == "superseded"


def test_of_two_words_of_one_person_in_two_stores_the_later_one_counts(store, review, tmp_path):
    earlier = store.say(review, "approved", "Anna", PHOTO)
    time.sleep(0.002)  # verdicts tell milliseconds
    with ReviewStore(tmp_path / "other.sqlite") as other:
        theirs = other.add_review(other.add_project("Skin", "Ben"), EVIDENCE, "Lesions", "Ben")
        later = other.say(theirs, "rejected", "Anna", PHOTO)
        for to, of in ((store, other), (other, store)):
            file = io.BytesIO()
            of.export(file)
            to.import_(io.BytesIO(file.getvalue()))
            (kept,) = to.verdicts(to.reviews()[0], PHOTO)
            assert kept.id == later.id
        assert {one.id for one in store.history(review)} == {earlier.id, later.id}


def test_an_import_with_a_bad_line_adds_nothing(store, review, tmp_path):
    store.say(review, "approved", "Anna", PHOTO)
    file = io.BytesIO()
    store.export(file)
    other = ReviewStore(tmp_path / "other.sqlite")
    for line in (b"{", b"[]\n", b'{"table": "verdicts"}\n', b'{"table": "sqlite_master", "id": "1"}\n', b"\xff\n"):
        with pytest.raises(ReviewError, match="nothing was imported"):
            other.import_(io.BytesIO(file.getvalue() + line))
        assert other.projects() == []


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ('"signatures":0', '"signatures":"abc"'),
        ('"signatures":0', '"signatures":101'),
        ('"signatures":0', '"signatures":true'),
        ('"kind":"report"', '"kind":"rumour"'),
        ('"blind":false', '"blind":"yes"'),
        ('"blind":false', '"blind":null'),
        ('"status":"approved"', '"status":"shortcut"'),
        ('"subject_kind":"photo"', '"subject_kind":"planet"'),
        ('"subject_kind":"photo"', '"subject_kind":"whole"'),
        (f'"evidence":"{EVIDENCE}"', '"evidence":"none"'),
        ('"by":"Anna"', '"by":" "'),
        ('"at":"2', '"at":"x'),
        ('"id":"', '"id":"x'),
        ('"signature":"{', '"signature":"x'),
        ('"key":"{', '"key":"x'),
    ],
)
def test_an_import_of_what_no_store_would_write_adds_nothing(exported, other, said, instead):
    assert said in exported
    with pytest.raises(ReviewError, match="expected a row of an export in line"):
        other.import_(io.BytesIO(exported.replace(said, instead).encode()))
    assert other.projects() == []


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewStore]:
    """A store that holds nothing."""
    with ReviewStore(tmp_path_factory.mktemp("other") / "other.sqlite") as store:
        yield store


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A review with a verdict on a photo, signed by a trusted key, as a store exports it."""
    folder = tmp_path_factory.mktemp("one")
    with ReviewStore(folder / "one.sqlite") as store:
        review = store.add_review(project := store.add_project("Skin", "Anna", 0), EVIDENCE, "Lesions", "Anna")
        store.say(review, "approved", "Anna", PHOTO)
        store.say(review, "approved", "Anna")
        store.trust(project, (anna := key_of("Anna", folder)).public, "Anna")
        store.sign(review, anna, "Anna")
        file = io.BytesIO()
        store.export(file)
    return file.getvalue().decode()


@pytest.mark.parametrize(
    "forged",
    [
        {"by": "Ben", "supersedes": 0},
        {"subject": "cat.jpg", "supersedes": 0},
        {"adjudicates": True, "supersedes": 0},
        {"supersedes": "0" * 32},
        {"supersedes": "f" * 32},
    ],
)
def test_an_import_supersedes_no_word_but_the_same_persons_of_the_same_subject(store, review, forged):
    """Who forges an export hides nothing that somebody said."""
    said = store.say(review, "rejected", "Anna", PHOTO)
    file = io.BytesIO()
    store.export(file)
    (row,) = [row for row in map(json.loads, file.getvalue().splitlines()) if row["table"] == "verdicts"]
    row |= {"id": "f" * 32, "status": "approved"} | forged
    row["supersedes"] = row["supersedes"] or said.id
    with pytest.raises(ReviewError, match="supersedes an earlier row about the same, got ffff"):
        store.import_(io.BytesIO(json.dumps(row).encode()))
    assert store.verdicts(review, PHOTO) == [said]


def test_an_import_that_says_something_else_is_refused(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    file = io.BytesIO()
    store.export(file)
    changed = file.getvalue().replace(b'"approved"', b'"rejected"')
    with pytest.raises(ReviewError, match="got something else; nothing was imported"):
        store.import_(io.BytesIO(changed))


def test_a_file_of_evidence_is_kept_for_whoever_goes_on_and_the_latest_counts(store, review, monkeypatch):
    assert store.evidence(review) is None
    store.keep_evidence(review, b"a ZIP", "Anna")
    other = store.add_review(store.add_project("Other", "Ben"), EVIDENCE, "Lesions", "Ben")
    assert store.evidence(other) == b"a ZIP"
    store.keep_evidence(other, b"the ZIP, signed", "Ben")
    assert store.evidence(review) == b"the ZIP, signed"
    assert store.change_evidence(review, lambda before: before + b" twice", "Anna") == store.evidence(review)
    assert store.evidence(review) == b"the ZIP, signed twice"
    before = store.pulse(review)
    store.change_evidence(review, lambda before: before, "Anna")
    assert store.pulse(review) == before
    store.change_evidence(review, lambda before: before + b" thrice", "Anna")
    assert store.pulse(review) != before  # whoever has it open sees the signature
    monkeypatch.setattr("gradcam.reviews.kept_files.MAX_EVIDENCE", 3)
    with pytest.raises(ReviewError, match="expected evidence of at most"):
        store.keep_evidence(review, b"more", "Anna")


def test_shared_models_take_no_more_than_the_operator_allows(store, review, monkeypatch):
    limits = Limits(shared_gigabytes=1.05e-8)
    monkeypatch.setattr("gradcam.reviews.kept_files.settings", lambda: Settings(limits=limits))
    projects = store.projects()[0], store.add_project("Other", "Ben")
    shared = [store.share_model(project, "mine", "{}", b"bytes", "Anna") for project in projects]
    with pytest.raises(ReviewError, match="expected shared models of at most"):
        store.share_model(projects[0], "mine", "{}", b"1", "Anna")
    assert [store.shared_models(project) for project in projects] == [[one] for one in shared]


def test_a_backup_is_a_store(tmp_path):
    store = ReviewStore(tmp_path / "reviews.sqlite")
    store.add_project("Skin", "Anna")
    store.backup(tmp_path / "backup.sqlite")
    assert ReviewStore(tmp_path / "backup.sqlite").projects() == store.projects()
    with pytest.raises(ReviewError, match="which exists"):
        store.backup(tmp_path / "backup.sqlite")


def test_eight_processes_lose_nothing_and_none_finds_it_locked(store, review, address):
    people = [f"person {number}" for number in range(8)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAY, address, person, str(VERDICTS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for person in people
    ]
    ends = [process.communicate(timeout=1800) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, ends
    said = store.history(review)
    assert Counter(verdict.reviewer for verdict in said) == dict.fromkeys(people, VERDICTS)
    assert len({verdict.id for verdict in said}) == 8 * VERDICTS


def test_a_killed_process_leaves_every_verdict_that_it_acknowledged(store, review, address):
    process = subprocess.Popen([sys.executable, "-c", SAY, address, "Anna", "100000"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().decode().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += [line for line in rest.decode().splitlines() if len(line) == 32]
    kept = {verdict.id for verdict in store.history(review)}
    assert set(acknowledged) <= kept
    store.say(review, "rejected", "Ben", PHOTO)


# ------------------------------------------------------------------------------------------ schemas


def test_the_migrations_end_at_the_tables_of_today(store, address):
    with writing(address) as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


FIRST = [
    ("projects", {"name": "Skin", "signatures": 0}),
    ("reviews", {"project": "1", "kind": "report", "evidence": EVIDENCE, "title": "Lesions", "blind": False}),
    (
        "verdicts",
        {"review": "2", "subject_kind": "whole", "subject": "", "status": "approved", "note": "Fine."}
        | {"supersedes": None, "adjudicates": False},
    ),
]
"""Rows as the first schema had them."""


SCHEMAS = sorted(file.name[:4] for file in MIGRATIONS.glob("versions/[0-9]*.py"))


@pytest.mark.parametrize("schema", SCHEMAS[:-1])
def test_a_store_of_every_earlier_schema_is_brought_up_to_date_with_all_it_holds(address, monkeypatch, schema):
    with monkeypatch.context() as patch:
        patch.setattr("gradcam.reviews.database.NEWEST", "0001")
        with writing(address) as connection:
            for number, (table, row) in enumerate(FIRST, start=1):
                row = {**row, "id": str(number), "by": "Anna", "at": "2026-11-01T12:00:00.000Z"}
                found = sa.Table(table, sa.MetaData(), autoload_with=connection)
                assert {column.name for column in found.c} == {"number", *row}
                connection.execute(found.insert(), [row])
        patch.setattr("gradcam.reviews.database.NEWEST", schema)
        Database(address).close()
    with ReviewStore(address) as store:
        (review,) = store.reviews()
        assert (review.title, review.supersedes) == ("Lesions", None)
        assert [one.note for one in store.verdicts(review)] == ["Fine."]
        with pytest.raises(ReviewError, match="never changed"), store._database.writing() as connection:
            connection.execute(sa.delete(METADATA.tables["verdicts"]))
        store.add_review(store.projects()[0], "cd" * 32, "New", "Anna", supersedes=review)
        assert store.state(review) == "superseded"


def test_an_export_of_an_earlier_version_is_imported(store, review, tmp_path):
    file = io.BytesIO()
    store.export(file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    lines = [json.dumps({key: row[key] for key in row if key != "supersedes"}) for row in rows]
    with ReviewStore(tmp_path / "other.sqlite") as other:
        assert other.import_(io.BytesIO("\n".join(lines).encode())) == 2
        assert other.reviews() == [review]


def test_a_store_of_a_later_version_is_refused(store, address):
    with writing(address) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ReviewError, match="this version of gradcam or an earlier one"):
        ReviewStore(address)


def test_verdicts_of_a_subject_are_found_by_an_index(tmp_path):
    with Database(tmp_path / "reviews.sqlite").reading() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM verdicts WHERE review = '' AND subject_kind = '' AND subject = ''"
        ).all()
    assert "USING INDEX verdicts_by_subject" in str(plan)


def test_what_is_acknowledged_is_on_the_disk(tmp_path):
    with Database(tmp_path / "reviews.sqlite").reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


# ------------------------------------------------------------------------------------------ bad input


def test_a_network_file_system_is_refused_and_a_link_to_one(tmp_path, monkeypatch):
    (tmp_path / "mounted").mkdir()
    (tmp_path / "linked.sqlite").symlink_to(tmp_path / "mounted" / "reviews.sqlite")
    mounted = SimpleNamespace(mountpoint=str(tmp_path / "mounted"), fstype="nfs4")
    monkeypatch.setattr(
        "psutil.disk_partitions", lambda all: [SimpleNamespace(mountpoint="/", fstype="ext4"), mounted]
    )
    for path in (tmp_path / "mounted" / "reviews.sqlite", tmp_path / "linked.sqlite"):
        with pytest.raises(ReviewError, match="on nfs4, where two processes can overwrite each other"):
            ReviewStore(path)


@pytest.mark.parametrize("address", ["mysql://root:secret@host/x", "http://x", "sqlite://"])
def test_another_database_is_refused_without_its_password(address):
    with pytest.raises(ReviewError, match="expected a path or postgresql://") as refused:
        ReviewStore(address)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_a_sentence():
    with pytest.raises(ReviewError, match="but the database says"):
        ReviewStore("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path):
    (tmp_path / "reviews.sqlite").write_bytes(b"not a database " * 100)
    with pytest.raises(ReviewError, match="file is not a database"):
        ReviewStore(tmp_path / "reviews.sqlite")


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


def test_an_export_is_plain_lines(store, review):
    file = io.BytesIO()
    store.export(file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [row["table"] for row in rows] == ["projects", "reviews"]
    assert all("number" not in row for row in rows)
    assert Path(str(store)).name  # a store shows where it is
