"""What people say of a review: verdicts, comments, and who is asked."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.kinds import expect_one_of
from gradcam.reviews.agreement import Agreement
from gradcam.reviews.judging import agreement_of, disputed, finished, opening, standing, until
from gradcam.reviews.model import WHOLE, Assignment, Comment, Review, Subject, Verdict
from gradcam.reviews.projects import Projects
from gradcam.reviews.rows import (
    add_row,
    checked_name,
    checked_text,
    rows_of,
    to_assignment,
    to_comment,
    to_verdict,
)
from gradcam.reviews.tables import ASSIGNMENTS, COMMENTS, VERDICTS
from gradcam.statuses import STATUSES


class Verdicts(Projects):
    """What people say of reviews, as each of them may see it."""

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

        adjudicates: whether it decides between the verdicts of others, beside what the person thinks themselves.
        Raises: ReviewError for a status that its kind of subject cannot have, and to decide while it is blind.
        """
        if adjudicates and not self.is_open(review):
            raise _still_blind()
        return self._say(review, status, reviewer, subject, note, adjudicates=adjudicates)

    def _say(
        self,
        review: Review,
        status: str,
        reviewer: str,
        subject: Subject,
        note: str,
        *,
        adjudicates: bool,
        undoes: bool | None = None,
    ) -> Verdict:
        allowed = STATUSES[subject.kind]
        expect_one_of(allowed, status, f"a verdict on a {subject.kind}", ReviewError)
        about = {"subject_kind": subject.kind, "subject": subject.name}
        reviewer = checked_name(reviewer, "a name")
        before = _about(_current(), VERDICTS, review, subject)
        before = before.where(VERDICTS.c.by == reviewer, VERDICTS.c.adjudicates == adjudicates)
        with self._writing(reviewer, "owner" if adjudicates else "reviewer") as connection:
            self._one_at_a_time(connection, review.id)
            mine = [row["id"] for row in rows_of(connection, before)]
            content = {"status": status, "note": checked_text(note), "adjudicates": adjudicates, "undoes": undoes}
            supersedes = mine[-1] if mine else None
            row = add_row(
                connection, VERDICTS, reviewer, review=review.id, supersedes=supersedes, **about, **content
            )
        return to_verdict(row)

    def undo(self, review: Review, reviewer: str, subject: Subject = WHOLE) -> Verdict | None:
        """What somebody said before their last verdict on a subject, said again; a draft before the first.

        Each further undo goes back one more. Returns: None where nothing is left to undo.
        """
        wanted = _about(sa.select(VERDICTS), VERDICTS, review, subject).where(VERDICTS.c.by == reviewer)
        stand: list[sa.RowMapping] = []
        with self._reading() as connection:
            for row in rows_of(connection, wanted):
                if row["undoes"]:
                    del stand[-1:]
                else:
                    stand.append(row)
        if not stand:
            return None
        decided = stand.pop()["adjudicates"]
        earlier = next((row for row in reversed(stand) if row["adjudicates"] == decided), None)
        status, note = (earlier["status"], earlier["note"]) if earlier else ("draft", "")
        return self._say(review, status, reviewer, subject, note, adjudicates=decided, undoes=True)

    def history(self, review: Review, subject: Subject | None = None) -> list[Verdict]:
        """Every verdict that was ever said, the first one first; of a blind review as `verdicts` shows it."""
        return self._as_seen(review, self._verdicts(sa.select(VERDICTS), review, subject), None)

    def verdicts(self, review: Review, subject: Subject | None = None, reader: str | None = None) -> list[Verdict]:
        """The verdicts that nobody superseded, the first one first.

        reader: who asks, by default the person whom the store acts for. In a blind review they see their own alone
        until it is open.
        """
        return self._as_seen(review, self._standing(review, subject), reader)

    def is_open(self, review: Review) -> bool:
        """Whether all may see every verdict: it is not blind, or all who were asked, and two, were done once.

        Done with a blind review is who judged the whole, and every part that anybody judged.
        """
        return not review.blind or self._opened(review) is not None

    def waiting_for(self, review: Review) -> list[str]:
        """Who was asked and has not approved or rejected the whole yet, or of a blind review is not done."""
        done = finished(self._standing(review, None if review.blind else WHOLE))
        return [one.reviewer for one in self.assignments(review) if one.reviewer not in done]

    def agreement(self, review: Review) -> Agreement:
        """How far people agree on its parts; of a blind review, by what they said before it opened.

        Raises: ReviewError while it is blind.
        """
        verdicts = self._open_verdicts(review)
        if opened := self._opened(review):
            verdicts = until(self._verdicts(sa.select(VERDICTS), review, None), opened)
        return agreement_of(verdicts)

    def disputed(self, review: Review) -> list[Subject]:
        """What people judge differently and nobody has decided yet. Raises: ReviewError while it is blind."""
        return disputed(self._open_verdicts(review))

    def comment(
        self, review: Review, text: str, author: str, subject: Subject = WHOLE, replies_to: Comment | None = None
    ) -> Comment:
        """A remark, which changes no verdict. Raises: ReviewError for an empty one, or an answer elsewhere."""
        if not text.strip():
            raise ReviewError("expected a comment, got nothing; write one")
        if replies_to is not None and (replies_to.review, replies_to.subject) != (review.id, subject):
            raise ReviewError(f"expected an answer about {quoted(str(subject))}, got one to another comment")
        about = {"subject_kind": subject.kind, "subject": subject.name, "text": checked_text(text)}
        answered = None if replies_to is None else replies_to.id
        with self._writing(author) as connection:
            row = add_row(connection, COMMENTS, author, review=review.id, replies_to=answered, **about)
        return to_comment(row)

    def comments(self, review: Review, subject: Subject | None = None) -> list[Comment]:
        """The first one first; in a blind review one's own alone until it is open."""
        wanted = _about(sa.select(COMMENTS), COMMENTS, review, subject)
        with self._reading() as connection:
            found = [to_comment(row) for row in rows_of(connection, wanted)]
        if self._actor is None or self.is_open(review):
            return found
        return [comment for comment in found if comment.author == self._actor.name]

    def assign(self, review: Review, reviewer: str, by: str, *, asked: bool = True) -> Assignment:
        """Ask somebody to review, or no more; oneself as a reviewer, others as an owner.

        Raises: ReviewError for who leaves a review while it is blind, as that could open it to them.
        """
        reviewer = checked_name(reviewer, "a reviewer's name")
        if reviewer == by and not asked and not self.is_open(review):
            raise _still_blind()
        with self._writing(by, "reviewer" if reviewer == by else "owner") as connection:
            row = add_row(connection, ASSIGNMENTS, by, review=review.id, reviewer=reviewer, asked=asked)
        return to_assignment(row)

    def assignments(self, review: Review) -> list[Assignment]:
        """Who is asked now, in the order in which they were."""
        latest = {one.reviewer: one for one in self._ever_assigned(review)}
        return [one for one in latest.values() if one.asked]

    def _as_seen(self, review: Review, verdicts: list[Verdict], reader: str | None) -> list[Verdict]:
        reader = self._actor.name if self._actor else reader
        if reader is None or self.is_open(review):
            return verdicts
        return [verdict for verdict in verdicts if verdict.reviewer == reader]

    def _open_verdicts(self, review: Review) -> list[Verdict]:
        if not self.is_open(review):
            raise _still_blind()
        return self._standing(review)

    def _opened(self, review: Review) -> str | None:
        """When a blind review opened; None where it has not, and for one that never was blind."""
        if not review.blind:
            return None
        return opening(self._verdicts(sa.select(VERDICTS), review, None), self._ever_assigned(review))

    def _ever_assigned(self, review: Review) -> list[Assignment]:
        """Everybody who was asked, or no more, the first one first."""
        wanted = sa.select(ASSIGNMENTS).where(ASSIGNMENTS.c.review == review.id).order_by(ASSIGNMENTS.c.number)
        with self._reading() as connection:
            return [to_assignment(row) for row in rows_of(connection, wanted)]

    def _standing(self, review: Review, subject: Subject | None = None) -> list[Verdict]:
        return standing(self._verdicts(_current(), review, subject))

    def _verdicts(self, select: sa.Select[Any], review: Review, subject: Subject | None) -> list[Verdict]:
        with self._reading() as connection:
            return [to_verdict(row) for row in rows_of(connection, _about(select, VERDICTS, review, subject))]


def _still_blind() -> ReviewError:
    return ReviewError("expected a review that all have finished, got one that is still blind; wait for them")


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
