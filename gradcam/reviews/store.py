"""The store of a team: what was said is added, read, and carried to another store."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import sqlalchemy as sa

from gradcam.errors import ReviewError, nearest, quoted
from gradcam.files import refuse_existing
from gradcam.reviews.database import Database, default_store
from gradcam.reviews.model import (
    DONE,
    MAX_NAME,
    MAX_TEXT,
    STATES,
    STATUSES,
    WHOLE,
    Assignment,
    Comment,
    Kind,
    Project,
    Review,
    State,
    Subject,
    Verdict,
    agreed_status,
    refuse_unstorable,
)
from gradcam.reviews.tables import ASSIGNMENTS, COMMENTS, PROJECTS, REVIEWS, SIGNATURES, TABLES, VERDICTS


class ReviewStore:
    """Projects, reviews, and what people said of them. Whatever a method returned from is kept."""

    def __init__(self, store: str | Path | None = None) -> None:
        """store: a path, or `postgresql://…`; by default `default_store()`. Raises: ReviewError."""
        self._database = Database(default_store() if store is None else store)

    def __repr__(self) -> str:
        return f"ReviewStore({self._database.url!r})"

    def __enter__(self) -> ReviewStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._database.close()

    # ------------------------------------------------------------------------------- projects and reviews

    def add_project(self, name: str, by: str, signatures: int = 1) -> Project:
        """A new project. signatures: how many a review needs to be approved. Raises: ReviewError."""
        name = _name(name, "a project's name")
        if not 0 <= signatures <= 100:
            raise ReviewError(f"expected 0 to 100 signatures, got {quoted(signatures)}")
        with self._database.writing() as connection:
            if connection.execute(sa.select(PROJECTS.c.id).where(PROJECTS.c.name == name)).first():
                raise ReviewError(f"expected a new project, got {quoted(name)}, which exists; name another")
            row = _add(connection, PROJECTS, by, name=name, signatures=signatures)
        return _project(row)

    def projects(self) -> list[Project]:
        """All of them, by name."""
        with self._database.reading() as connection:
            return [_project(row) for row in _rows(connection, sa.select(PROJECTS).order_by(PROJECTS.c.name))]

    def add_review(
        self, project: Project, evidence: str, title: str, by: str, *, kind: Kind = "report", blind: bool = False
    ) -> Review:
        """A review of a piece of evidence; the one that the project has of it already, if it has.

        evidence: SHA-256 in hexadecimal digits.
        """
        if len(evidence) != 64 or set(evidence) - set("0123456789abcdef"):
            raise ReviewError(f"expected the SHA-256 of the evidence, got {quoted(evidence, 80)}")
        known = sa.select(REVIEWS).where(REVIEWS.c.project == project.id, REVIEWS.c.evidence == evidence)
        values = {"project": project.id, "kind": kind, "evidence": evidence, "blind": blind}
        with self._database.writing() as connection:
            self._one_at_a_time(connection, project.id)
            row = connection.execute(known).mappings().first()
            row = row or _add(connection, REVIEWS, by, title=_name(title, "a review's title"), **values)
        return _review(row)

    def reviews(self, project: Project | None = None, evidence: str | None = None) -> list[Review]:
        """The latest first: of a project, of a piece of evidence, or all."""
        wanted = sa.select(REVIEWS).order_by(REVIEWS.c.number.desc())
        if project is not None:
            wanted = wanted.where(REVIEWS.c.project == project.id)
        if evidence is not None:
            wanted = wanted.where(REVIEWS.c.evidence == evidence)
        with self._database.reading() as connection:
            return [_review(row) for row in _rows(connection, wanted)]

    # ------------------------------------------------------------------------------- what people say

    def say(
        self,
        review: Review,
        status: str,
        reviewer: str,
        subject: Subject = WHOLE,
        *,
        note: str = "",
        adjudicates: bool = False,
    ) -> Verdict:
        """A verdict, which supersedes what the same person said of the subject before; `draft` takes that back.

        Raises: ReviewError for a status that its kind of subject cannot have.
        """
        allowed = STATUSES[subject.kind]
        if status not in allowed:
            raise ReviewError(
                f"expected a verdict on a {subject.kind}, got {quoted(status)}; use {nearest(status, allowed)}"
            )
        about = {"subject_kind": subject.kind, "subject": subject.name}
        before = _current().where(
            VERDICTS.c.review == review.id,
            VERDICTS.c.subject_kind == subject.kind,
            VERDICTS.c.subject == subject.name,
            VERDICTS.c.by == reviewer,
        )
        with self._database.writing() as connection:
            self._one_at_a_time(connection, review.id)
            mine = connection.execute(before.order_by(VERDICTS.c.number.desc())).mappings().first()
            said = {"status": status, "note": _text(note), "adjudicates": adjudicates}
            supersedes = None if mine is None else mine["id"]
            row = _add(connection, VERDICTS, reviewer, review=review.id, supersedes=supersedes, **about, **said)
        return _verdict(row)

    def undo(self, review: Review, reviewer: str, subject: Subject = WHOLE) -> Verdict | None:
        """What somebody said before their last verdict on a subject, said again; None where nothing was said."""
        mine = [verdict for verdict in self.history(review, subject) if verdict.reviewer == reviewer]
        if not mine:
            return None
        earlier = next((verdict for verdict in mine if verdict.id == mine[-1].supersedes), None)
        status, note = (earlier.status, earlier.note) if earlier else ("draft", "")
        return self.say(review, status, reviewer, subject, note=note)

    def history(self, review: Review, subject: Subject | None = None) -> list[Verdict]:
        """Every verdict that was ever said, the first one first."""
        return self._verdicts(sa.select(VERDICTS), review, subject)

    def verdicts(self, review: Review, subject: Subject | None = None, reader: str | None = None) -> list[Verdict]:
        """The verdicts that nobody superseded, the first one first.

        reader: who asks. In a blind review they see their own alone until all who were asked are done.
        """
        found = self._verdicts(_current(), review, subject)
        if reader is None or self.is_open(review):
            return found
        return [verdict for verdict in found if verdict.reviewer == reader]

    def is_open(self, review: Review) -> bool:
        """Whether everybody may see every verdict: the review is not blind, or all who were asked are done."""
        return not review.blind or not self.waiting_for(review)

    def waiting_for(self, review: Review) -> list[str]:
        """Who was asked and has not approved or rejected the whole yet."""
        done = {one.reviewer for one in self._verdicts(_current(), review, WHOLE) if one.status in DONE}
        return [one.reviewer for one in self.assignments(review) if one.reviewer not in done]

    def state(self, review: Review) -> State:
        """What the verdicts on the whole come to. A review that too few people signed is not approved yet."""
        status = agreed_status(self._verdicts(_current(), review, WHOLE))
        if status == "draft":
            return "in review" if self.assignments(review) else "draft"
        if status == "approved" and len(self.signers(review)) < self._project_of(review).signatures:
            return "in review"
        return next(state for state in STATES if state == status)

    def comment(
        self, review: Review, text: str, author: str, subject: Subject = WHOLE, replies_to: Comment | None = None
    ) -> Comment:
        """A remark, which changes no verdict. Raises: ReviewError for an empty one."""
        if not text.strip():
            raise ReviewError("expected a comment, got nothing; write one")
        about = {"subject_kind": subject.kind, "subject": subject.name, "text": _text(text)}
        answered = None if replies_to is None else replies_to.id
        with self._database.writing() as connection:
            row = _add(connection, COMMENTS, author, review=review.id, replies_to=answered, **about)
        return _comment(row)

    def comments(self, review: Review, subject: Subject | None = None) -> list[Comment]:
        """The first one first."""
        wanted = _about(sa.select(COMMENTS), COMMENTS, review, subject)
        with self._database.reading() as connection:
            return [_comment(row) for row in _rows(connection, wanted)]

    def assign(self, review: Review, reviewer: str, by: str, *, asked: bool = True) -> Assignment:
        """Ask somebody to review, or no more."""
        reviewer = _name(reviewer, "a reviewer's name")
        with self._database.writing() as connection:
            row = _add(connection, ASSIGNMENTS, by, review=review.id, reviewer=reviewer, asked=asked)
        return _assignment(row)

    def assignments(self, review: Review) -> list[Assignment]:
        """Who is asked now, in the order in which they were."""
        wanted = sa.select(ASSIGNMENTS).where(ASSIGNMENTS.c.review == review.id).order_by(ASSIGNMENTS.c.number)
        with self._database.reading() as connection:
            latest = {row["reviewer"]: _assignment(row) for row in _rows(connection, wanted)}
        return [one for one in latest.values() if one.asked]

    def add_signature(self, review: Review, signature: str, by: str) -> None:
        """Keep a signature, the content of a report's `signatures/N.sig`, once."""
        wanted = sa.select(SIGNATURES.c.id).where(
            SIGNATURES.c.review == review.id, SIGNATURES.c.signature == signature
        )
        with self._database.writing() as connection:
            self._one_at_a_time(connection, review.id)
            if connection.execute(wanted).first() is None:
                _add(connection, SIGNATURES, by, review=review.id, signature=_text(signature))

    def signatures(self, review: Review) -> list[str]:
        """The first one first."""
        wanted = sa.select(SIGNATURES.c.signature).where(SIGNATURES.c.review == review.id)
        with self._database.reading() as connection:
            return list(connection.execute(wanted.order_by(SIGNATURES.c.number)).scalars())

    def signers(self, review: Review) -> set[str]:
        """Everybody who signed it, however often."""
        with self._database.reading() as connection:
            return set(
                connection.execute(sa.select(SIGNATURES.c.by).where(SIGNATURES.c.review == review.id)).scalars()
            )

    def last_number(self, review: Review) -> int:
        """The number of a review's latest verdict: another one means that somebody said something."""
        wanted = sa.select(sa.func.coalesce(sa.func.max(VERDICTS.c.number), 0))
        with self._database.reading() as connection:
            return connection.execute(wanted.where(VERDICTS.c.review == review.id)).scalar_one()

    # ------------------------------------------------------------------------------- carrying it elsewhere

    def export(self, file: BinaryIO) -> int:
        """All that the store holds as JSONL, a row a line. Returns: how many rows."""
        rows = 0
        with self._database.reading() as connection:
            for table in TABLES:
                columns = [column for column in table.c if column.name != "number"]
                for row in _rows(connection, sa.select(*columns).order_by(table.c.number)):
                    file.write(
                        msgspec.json.encode(
                            {"table": str(table.name)} | {str(name): value for name, value in row.items()}
                        )
                        + b"\n"
                    )
                    rows += 1
        return rows

    def import_(self, file: BinaryIO) -> int:
        """Add the rows of an export that the store does not have yet: all of them, or none. Returns: how many.

        Raises: ReviewError for a line that is no row, or says something else than a row of the same id here.
        """
        tables = {table.name: table for table in TABLES}
        added = 0
        with self._database.writing() as connection:
            for number, line in enumerate(file, start=1):
                name, row = _imported(line, number, tables)
                table = tables[name]
                known = connection.execute(sa.select(table).where(table.c.id == row["id"])).mappings().first()
                if known is None:
                    connection.execute(table.insert(), [row])
                    added += 1
                elif any(known[key] != value for key, value in row.items()):
                    raise ReviewError(
                        f"expected in line {number} what is kept under {row['id']}, got something else; "
                        "nothing was imported"
                    )
        return added

    def backup(self, path: Path) -> None:
        """A copy of a SQLite store as of now, while others use it (`VACUUM INTO`).

        Raises: ReviewError for PostgreSQL, whose own `pg_dump` does that, or for a file that exists.
        """
        if not self._database.is_sqlite:
            raise ReviewError("expected reviews in SQLite, got PostgreSQL; back it up with pg_dump")
        refuse_existing(path, error=ReviewError)
        with self._database.outside_transactions() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))

    # ------------------------------------------------------------------------------- within

    def _one_at_a_time(self, connection: sa.Connection, id: str) -> None:
        """Nobody else reads and then writes about the same thing until this transaction ends; SQLite sees to it."""
        if not self._database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(id[:15], 16))))

    def _verdicts(self, select: sa.Select[Any], review: Review, subject: Subject | None) -> list[Verdict]:
        with self._database.reading() as connection:
            return [_verdict(row) for row in _rows(connection, _about(select, VERDICTS, review, subject))]

    def _project_of(self, review: Review) -> Project:
        with self._database.reading() as connection:
            wanted = sa.select(PROJECTS).where(PROJECTS.c.id == review.project)
            return _project(connection.execute(wanted).mappings().one())


def _current() -> sa.Select[Any]:
    """Verdicts that no other supersedes."""
    later = VERDICTS.alias("later")
    superseded = sa.select(later.c.number).where(later.c.supersedes == VERDICTS.c.id).exists()
    return sa.select(VERDICTS).where(~superseded)


def _about(select: sa.Select[Any], table: sa.Table, review: Review, subject: Subject | None) -> sa.Select[Any]:
    select = select.where(table.c.review == review.id).order_by(table.c.number)
    if subject is None:
        return select
    return select.where(table.c.subject_kind == subject.kind, table.c.subject == subject.name)


def _rows(connection: sa.Connection, select: sa.Select[Any]) -> Iterator[sa.RowMapping]:
    yield from connection.execute(select).mappings()


def _add(connection: sa.Connection, table: sa.Table, by: str, **values: Any) -> dict[str, Any]:
    """Add a row. Returns: it, with its number."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = {"id": secrets.token_hex(16), "by": _name(by, "a name"), "at": at, **values}
    number = connection.execute(table.insert().returning(table.c.number), [row]).scalar_one()
    return {"number": number, **row}


def _imported(line: bytes, number: int, tables: dict[str, sa.Table]) -> tuple[str, dict[str, Any]]:
    """The table of a line of an export, and its row. Raises: ReviewError."""
    wrong = f"expected a row of an export in line {number}, got {quoted(line[:80])}; nothing was imported"
    try:
        row = msgspec.json.decode(line, type=dict[str, str | int | bool | None])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(wrong) from error
    name = row.pop("table", None)
    if name not in tables or row.keys() != {column.name for column in tables[name].c} - {"number"}:
        raise ReviewError(wrong)
    return str(name), row


def _name(text: str, what: str) -> str:
    refuse_unstorable(text)
    text = " ".join(text.split())
    if not 1 <= len(text) <= MAX_NAME:
        raise ReviewError(f"expected {what} of 1 to {MAX_NAME} letters, got {quoted(text, 80)}")
    return text


def _text(text: str) -> str:
    refuse_unstorable(text)
    if len(text) > MAX_TEXT:
        raise ReviewError(f"expected a text of at most {MAX_TEXT:,} letters, got {len(text):,}; shorten it")
    return text


def _project(row: Any) -> Project:
    return Project(row["id"], row["name"], row["signatures"], row["by"], row["at"])


def _review(row: Any) -> Review:
    names = ("id", "project", "kind", "evidence", "title", "blind", "by", "at")
    return Review(**{name: row[name] for name in names})


def _verdict(row: Any) -> Verdict:
    names = ("id", "number", "review", "status", "note", "at", "supersedes", "adjudicates")
    subject = Subject(row["subject_kind"], row["subject"])
    return Verdict(subject=subject, reviewer=row["by"], **{name: row[name] for name in names})


def _comment(row: Any) -> Comment:
    names = ("id", "number", "review", "text", "at", "replies_to")
    subject = Subject(row["subject_kind"], row["subject"])
    return Comment(subject=subject, author=row["by"], **{name: row[name] for name in names})


def _assignment(row: Any) -> Assignment:
    names = ("id", "number", "review", "reviewer", "asked", "by", "at")
    return Assignment(**{name: row[name] for name in names})
