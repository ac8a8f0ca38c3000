"""Rows of the store as nouns, and what may be written into them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.reviews.model import (
    MAX_NAME,
    MAX_TEXT,
    Assignment,
    Comment,
    Project,
    Review,
    SharedModel,
    Subject,
    Verdict,
    refuse_unstorable,
)


def rows_of(connection: sa.Connection, select: sa.Select[Any]) -> Iterator[sa.RowMapping]:
    yield from connection.execute(select).mappings()


def add_row(connection: sa.Connection, table: sa.Table, by: str, **values: Any) -> dict[str, Any]:
    """Add a row. Returns: it, with its number."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = {"id": secrets.token_hex(16), "by": checked_name(by, "a name"), "at": at, **values}
    number = connection.execute(table.insert().returning(table.c.number), [row]).scalar_one()
    return {"number": number, **row}


def checked_name(text: str, what: str) -> str:
    """A name on one line. Raises: ReviewError for none, or for too long a one."""
    refuse_unstorable(text)
    text = " ".join(text.split())
    if not 1 <= len(text) <= MAX_NAME:
        raise ReviewError(f"expected {what} of 1 to {MAX_NAME} letters, got {quoted(text, 80)}")
    return text


def checked_text(text: str) -> str:
    """Raises: ReviewError for a text that is too long."""
    refuse_unstorable(text)
    if len(text) > MAX_TEXT:
        raise ReviewError(f"expected a text of at most {MAX_TEXT:,} letters, got {len(text):,}; shorten it")
    return text


def to_project(row: Any) -> Project:
    return Project(row["id"], row["name"], row["signatures"], row["by"], row["at"])


def to_review(row: Any) -> Review:
    names = ("id", "project", "kind", "evidence", "title", "blind", "by", "at", "supersedes")
    return Review(**{name: row[name] for name in names})


def to_verdict(row: Any) -> Verdict:
    names = ("id", "number", "review", "status", "note", "at", "supersedes", "adjudicates")
    subject = Subject(row["subject_kind"], row["subject"])
    return Verdict(subject=subject, reviewer=row["by"], **{name: row[name] for name in names})


def to_comment(row: Any) -> Comment:
    names = ("id", "number", "review", "text", "at", "replies_to")
    subject = Subject(row["subject_kind"], row["subject"])
    return Comment(subject=subject, author=row["by"], **{name: row[name] for name in names})


def to_shared_model(row: Any) -> SharedModel:
    return SharedModel(row["id"], row["project"], row["name"], row["by"], row["at"])


def to_assignment(row: Any) -> Assignment:
    names = ("id", "number", "review", "reviewer", "asked", "by", "at")
    return Assignment(**{name: row[name] for name in names})
