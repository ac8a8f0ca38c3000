"""A store goes into another as plain lines, and nothing forged or damaged comes in."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradcam.errors import ReviewError
from gradcam.reviews import ReviewStore
from tests.reviews.examples import EVIDENCE, PHOTO, key_of


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


def test_an_export_of_an_earlier_version_is_imported(store, review, tmp_path):
    file = io.BytesIO()
    store.export(file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    lines = [json.dumps({key: row[key] for key in row if key != "supersedes"}) for row in rows]
    with ReviewStore(tmp_path / "other.sqlite") as other:
        assert other.import_(io.BytesIO("\n".join(lines).encode())) == 2
        assert other.reviews() == [review]


def test_an_export_is_plain_lines(store, review):
    file = io.BytesIO()
    store.export(file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [row["table"] for row in rows] == ["projects", "reviews"]
    assert all("number" not in row for row in rows)
    assert Path(str(store)).name  # a store shows where it is
