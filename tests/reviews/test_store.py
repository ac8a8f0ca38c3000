"""The store of a team, on SQLite and on PostgreSQL: nothing said is lost, changed or deleted."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gradcam.errors import ReviewError
from gradcam.reviews import WHOLE, Review, ReviewStore, Subject
from gradcam.reviews.database import Database
from gradcam.reviews.tables import METADATA, TABLES

EVIDENCE = "ab" * 32
PHOTO = Subject("photo", "dog.jpg")
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


def test_a_review_is_approved_once_it_has_the_signatures_its_project_asks_for(store):
    review = store.add_review(store.add_project("Two", "Anna", signatures=2), EVIDENCE, "Lesions", "Anna")
    store.say(review, "approved", "Anna")
    store.add_signature(review, "first", "Anna")
    store.add_signature(review, "first", "Anna")
    store.add_signature(review, "again", "Anna")  # nobody is two people
    assert store.state(review) == "in review"
    store.add_signature(review, "second", "Ben")
    assert store.state(review) == "approved"
    assert store.signatures(review) == ["first", "again", "second"]


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


def test_who_is_asked_no_more_is_not_waited_for(store, review):
    store.assign(review, "Ben", "Anna")
    store.assign(review, "Ben", "Anna", asked=False)
    assert store.assignments(review) == []


def test_comments_change_no_verdict_and_keep_their_thread(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    before = store.last_number(review)
    first = store.comment(review, "Why the corner?", "Ben", PHOTO)
    store.comment(review, "A watermark.", "Anna", PHOTO, replies_to=first)
    assert [(one.author, one.replies_to) for one in store.comments(review, PHOTO)] == [
        ("Ben", None),
        ("Anna", first.id),
    ]
    assert store.last_number(review) == before


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_the_database_itself_refuses_to_change_or_delete(store, review, address, table):
    store.say(review, "approved", "Anna", PHOTO)
    store.comment(review, "A comment", "Anna")
    store.assign(review, "Ben", "Anna")
    store.add_signature(review, "signed", "Anna")
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


def test_an_import_with_a_bad_line_adds_nothing(store, review, tmp_path):
    store.say(review, "approved", "Anna", PHOTO)
    file = io.BytesIO()
    store.export(file)
    other = ReviewStore(tmp_path / "other.sqlite")
    for line in (b"{", b"[]\n", b'{"table": "verdicts"}\n', b'{"table": "sqlite_master", "id": "1"}\n', b"\xff\n"):
        with pytest.raises(ReviewError, match="nothing was imported"):
            other.import_(io.BytesIO(file.getvalue() + line))
        assert other.projects() == []


def test_an_import_that_says_something_else_is_refused(store, review):
    store.say(review, "approved", "Anna", PHOTO)
    file = io.BytesIO()
    store.export(file)
    changed = file.getvalue().replace(b'"approved"', b'"rejected"')
    with pytest.raises(ReviewError, match="got something else; nothing was imported"):
        store.import_(io.BytesIO(changed))


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


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounted = SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")
    monkeypatch.setattr(
        "psutil.disk_partitions", lambda all: [SimpleNamespace(mountpoint="/", fstype="ext4"), mounted]
    )
    with pytest.raises(ReviewError, match="on nfs4, where two processes can overwrite each other"):
        ReviewStore(tmp_path / "reviews.sqlite")


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
