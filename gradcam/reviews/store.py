"""The store of a team: what was said is added, read, and carried to another store."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from gradcam.errors import ReviewError
from gradcam.files import refuse_existing
from gradcam.reviews.kept_files import KeptFiles
from gradcam.reviews.model import STATES, WHOLE, Filter, Review, State, agreed_status
from gradcam.reviews.signing import Signing
from gradcam.reviews.tables import ASSIGNMENTS, COMMENTS, EVIDENCE, REVIEWS, SIGNATURES, VERDICTS
from gradcam.reviews.transfer import add_rows, write_rows


class ReviewStore(Signing, KeptFiles):
    """Projects, reviews, and what people said of them. Whatever a method returned from is kept.

    Whoever opens it may do all. A store of `acting_as` is for one person: every method then raises a ReviewError
    for what their role does not allow, and for words of anybody else.
    """

    # ------------------------------------------------------------------------------- where a review stands

    def state(self, review: Review) -> State:
        """What the verdicts on the whole come to. A review that too few people signed is not approved yet."""
        later = sa.select(REVIEWS.c.id).where(REVIEWS.c.supersedes == review.id)
        with self._reading() as connection:
            if connection.execute(later).first():
                return "superseded"
        status = agreed_status(self._standing(review, WHOLE))
        if status == "draft":
            return "in review" if self.assignments(review) else "draft"
        if not self.is_open(review):
            return "in review"
        if status == "approved" and len(self.signers(review)) < self.project_of(review).signatures:
            return "in review"
        return next(state for state in STATES if state == status)

    def is_among(self, review: Review, which: Filter, person: str) -> bool:
        """Whether a review is one of those that a person wants to see."""
        if which == "mine":
            return person in (review.by, *(one.reviewer for one in self.assignments(review)))
        if which == "open":
            return self.state(review) in ("draft", "in review", "disputed")
        if which == "disputed":
            return self.is_open(review) and bool(self.disputed(review))
        return True

    def evidence_number(self, review: Review) -> int:
        """The number of the file that `evidence` reads; it changes when somebody gives or signs that file anew."""
        return self._last_number(EVIDENCE, review)

    def pulse(self, review: Review) -> tuple[int, ...]:
        """Numbers, one of which changes whenever anybody says, asks or signs anything about the review."""
        tables = (VERDICTS, COMMENTS, ASSIGNMENTS, SIGNATURES, EVIDENCE)
        return tuple(self._last_number(table, review) for table in tables)

    # ------------------------------------------------------------------------------- export and import

    def export(self, file: BinaryIO) -> int:
        """All that people said as JSONL, a row a line, without evidence, for an owner. Returns: how many rows."""
        with self._reading("owner") as connection:
            return write_rows(connection, file)

    def import_(self, file: BinaryIO) -> int:
        """Add the rows of an export that the store does not have yet: all of them, or none. Returns: how many.

        A project of the same name, and a review of the same evidence in it, are those of the store.
        Raises: ReviewError for a line that is no row, says something else than the row of the same id here,
        supersedes what somebody else said, or has a project of this store trust a key that it does not trust yet.
        """
        self._check("owner")
        with self._database.writing() as connection:
            return add_rows(connection, file)

    def backup(self, path: Path) -> None:
        """A copy of a SQLite store as of now, while others use it (`VACUUM INTO`).

        Raises: ReviewError for PostgreSQL, whose own `pg_dump` does that, or for a file that exists.
        """
        if not self._database.is_sqlite:
            raise ReviewError("expected reviews in SQLite, got PostgreSQL; back it up with pg_dump")
        self._check("owner")
        refuse_existing(path, error=ReviewError)
        with self._database.outside_transactions() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))

    # ------------------------------------------------------------------------------- within

    def _last_number(self, table: sa.Table, review: Review) -> int:
        about = EVIDENCE.c.sha256 == review.evidence if table is EVIDENCE else table.c.review == review.id
        wanted = sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0)).where(about)
        with self._reading() as connection:
            return connection.execute(wanted).scalar_one()
