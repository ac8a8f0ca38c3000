"""The database under a store: what it refuses, how old ones are brought up to date, and addresses that are none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gradcam.errors import ReviewError
from gradcam.reviews import ReviewStore
from gradcam.reviews.database import MIGRATIONS, Database
from gradcam.reviews.tables import METADATA, TABLES
from tests.reviews.examples import EVIDENCE, PHOTO, SOMEBODYS, key_of, writing


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


def test_a_backup_is_a_store(tmp_path):
    store = ReviewStore(tmp_path / "reviews.sqlite")
    store.add_project("Skin", "Anna")
    store.backup(tmp_path / "backup.sqlite")
    assert ReviewStore(tmp_path / "backup.sqlite").projects() == store.projects()
    with pytest.raises(ReviewError, match="which exists"):
        store.backup(tmp_path / "backup.sqlite")


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
