"""The store of a team: what was said is added, read, and carried to another store."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from gradcam.config import settings
from gradcam.errors import ReviewError, nearest, quoted
from gradcam.files import refuse_existing
from gradcam.keys import PublicKey, SecretKey, by_bytes, encode, own_keys, read_public_key
from gradcam.reviews.agreement import Agreement
from gradcam.reviews.carrying import add_rows, write_rows
from gradcam.reviews.database import Database, default_store
from gradcam.reviews.judging import agreement_of, disputed, finished, opening, signed_of, standing, until
from gradcam.reviews.model import (
    MAX_EVIDENCE,
    NEEDED_SIGNATURES,
    RUNS,
    STATES,
    WHOLE,
    Assignment,
    Comment,
    Filter,
    Kind,
    Project,
    Review,
    SharedModel,
    State,
    Subject,
    Verdict,
    agreed_status,
)
from gradcam.reviews.roles import Actor, Role
from gradcam.reviews.rows import (
    add_row,
    checked_name,
    checked_text,
    rows_of,
    to_assignment,
    to_comment,
    to_project,
    to_review,
    to_shared_model,
    to_verdict,
)
from gradcam.reviews.tables import (
    ASSIGNMENTS,
    COMMENTS,
    EVIDENCE,
    MODELS,
    PROJECTS,
    REVIEWS,
    SIGNATURES,
    TRUSTED_KEYS,
    VERDICTS,
)
from gradcam.signatures import (
    CheckedSignature,
    Signed,
    State as SignatureState,
    check_signature,
    make_signature,
    read_signature,
)
from gradcam.statuses import DONE, STATUSES


class ReviewStore:
    """Projects, reviews, and what people said of them. Whatever a method returned from is kept.

    Whoever opens it may do all. A store of `acting_as` is for one person: every method below then raises a
    ReviewError for what their role does not allow, and for words of anybody else.
    """

    _actor: Actor | None = None

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

    def acting_as(self, actor: Actor) -> ReviewStore:
        """The same store as one person may use it, on the same connections."""
        theirs = copy.copy(self)
        theirs._actor = actor
        return theirs

    # ------------------------------------------------------------------------------- projects and reviews

    def add_project(self, name: str, by: str, signatures: int = 1) -> Project:
        """A new project, by an owner. signatures: of how many people a review needs to be approved, see `trust`."""
        name = checked_name(name, "a project's name")
        if signatures not in NEEDED_SIGNATURES:
            raise ReviewError(f"expected 0 to 100 signatures, got {quoted(signatures)}")
        with self._writing(by, "owner") as connection:
            if connection.execute(sa.select(PROJECTS.c.id).where(PROJECTS.c.name == name)).first():
                raise ReviewError(f"expected a new project, got {quoted(name)}, which exists; name another")
            row = add_row(connection, PROJECTS, by, name=name, signatures=signatures)
        return to_project(row)

    def project_of_runs(self, by: str) -> Project:
        """The project `RUNS`, which needs no signatures; whoever reviews the first run makes it, as a reviewer."""
        with self._writing(by) as connection:
            known = connection.execute(sa.select(PROJECTS).where(PROJECTS.c.name == RUNS)).mappings().first()
            return to_project(known or add_row(connection, PROJECTS, by, name=RUNS, signatures=0))

    def projects(self) -> list[Project]:
        """All of them, by name."""
        with self._reading() as connection:
            return [to_project(row) for row in rows_of(connection, sa.select(PROJECTS).order_by(PROJECTS.c.name))]

    def project_of(self, review: Review) -> Project:
        """The project that a review belongs to."""
        with self._reading() as connection:
            wanted = sa.select(PROJECTS).where(PROJECTS.c.id == review.project)
            return to_project(connection.execute(wanted).mappings().one())

    def trust(self, project: Project, key: PublicKey, by: str) -> None:
        """Let signatures by this key count in a project, by an owner; by no other key, then, than those trusted so.

        One that is revoked counts no more, whoever trusted it before; a project whose every key is revoked trusts
        none that counts. Raises: ReviewError for a revoked key that the project never trusted.
        """
        if key.revoked and key.key not in self.trusted_keys(project):
            raise ReviewError(f"expected a key that counts, got {key}, which is revoked; trust another")
        with self._writing(by, "owner") as connection:
            add_row(connection, TRUSTED_KEYS, by, project=project.id, key=encode(key).decode())

    def trusted_keys(self, project: Project) -> dict[bytes, PublicKey]:
        """The keys that a project trusts, by their 32 bytes; if it names none, any key counts in it."""
        wanted = sa.select(TRUSTED_KEYS).where(TRUSTED_KEYS.c.project == project.id).order_by(TRUSTED_KEYS.c.number)
        with self._reading() as connection:
            found = list(rows_of(connection, wanted))
        return by_bytes(read_public_key(row["key"].encode(), project.name) for row in found)

    def add_review(
        self,
        project: Project,
        evidence: str,
        title: str,
        by: str,
        *,
        kind: Kind = "report",
        blind: bool = False,
        supersedes: Review | None = None,
    ) -> Review:
        """A review of a piece of evidence; the one that the project has of it already, if it has.

        evidence: SHA-256 in hexadecimal digits. supersedes: an earlier one of the project, which counts no more.
        """
        if len(evidence) != 64 or set(evidence) - set("0123456789abcdef"):
            raise ReviewError(f"expected the SHA-256 of the evidence, got {quoted(evidence, 80)}")
        if supersedes is not None and supersedes.project != project.id:
            raise ReviewError(
                f"expected a review of the project {quoted(project.name)} to take the place of, got "
                f"{quoted(supersedes.title)}, which is of another; choose one of this project"
            )
        known = sa.select(REVIEWS).where(REVIEWS.c.project == project.id, REVIEWS.c.evidence == evidence)
        values = {"project": project.id, "kind": kind, "evidence": evidence, "blind": blind}
        values["supersedes"] = None if supersedes is None else supersedes.id
        with self._writing(by) as connection:
            self._one_at_a_time(connection, project.id)
            row = connection.execute(known).mappings().first()
            row = row or add_row(connection, REVIEWS, by, title=checked_name(title, "a review's title"), **values)
        return to_review(row)

    def reviews(self, project: Project | None = None, evidence: str | None = None) -> list[Review]:
        """The latest first: of a project, of a piece of evidence, or all."""
        wanted = sa.select(REVIEWS).order_by(REVIEWS.c.number.desc())
        if project is not None:
            wanted = wanted.where(REVIEWS.c.project == project.id)
        if evidence is not None:
            wanted = wanted.where(REVIEWS.c.evidence == evidence)
        with self._reading() as connection:
            return [to_review(row) for row in rows_of(connection, wanted)]

    def keep_evidence(self, review: Review, data: bytes, by: str) -> None:
        """Keep the file of a review's evidence for everybody who goes on with it: a ZIP, or where a run lies.

        Whoever reads it checks that it has the review's hash. Raises: ReviewError above `MAX_EVIDENCE` bytes.
        """
        _check_size(data, "evidence", "embed smaller photos")
        if self.evidence(review) != data:
            with self._writing(by) as connection:
                add_row(connection, EVIDENCE, by, sha256=review.evidence, data=data)

    def change_evidence(self, review: Review, change: Callable[[bytes], bytes], by: str) -> bytes:
        """Keep the file of a review's evidence with a change to it, such as another signature, and return it.

        Of several who change it at the same time, each changes what the one before left.
        """
        with self._writing(by) as connection:
            self._one_at_a_time(connection, review.id)
            before = connection.execute(_latest_evidence(review)).scalar()
            if before is None:
                raise ReviewError("expected a review whose evidence is kept here, got one without; bring its ZIP")
            after = change(before)
            if after != before:
                add_row(connection, EVIDENCE, by, sha256=review.evidence, data=after)
        return after

    def evidence(self, review: Review) -> bytes | None:
        """The file of a review's evidence as somebody last gave it; None where nobody did."""
        with self._reading() as connection:
            return connection.execute(_latest_evidence(review)).scalar()

    def share_model(self, project: Project, name: str, options: str, data: bytes, by: str) -> SharedModel:
        """Let everybody who reads a project use a model of somebody's own; as all that is kept, it stays.

        name: its id. data, options: the file of its weights, and what else it takes to load it.
        Raises: ReviewError above `MAX_EVIDENCE` bytes, or where all would take more than `limits.shared_gigabytes`.
        """
        _check_size(data, "a model", "halve its precision")
        values = {"name": checked_name(name, "a model's id"), "options": options, "data": data}
        most = settings().limits.shared_gigabytes
        with self._writing(by) as connection:
            taken = connection.execute(sa.select(sa.func.sum(sa.func.length(MODELS.c.data)))).scalar() or 0
            if taken + len(data) > most * 1e9:
                raise ReviewError(
                    f"expected shared models of at most {most:g} GB together, got one too many; "
                    "ask the operator for a larger limits.shared_gigabytes"
                )
            return to_shared_model(add_row(connection, MODELS, by, project=project.id, **values))

    def shared_models(self, project: Project) -> list[SharedModel]:
        """The models that people share with a project, the first one first."""
        columns = [column for column in MODELS.c if column.name not in ("data", "options")]
        wanted = sa.select(*columns).where(MODELS.c.project == project.id).order_by(MODELS.c.number)
        with self._reading() as connection:
            return [to_shared_model(row) for row in rows_of(connection, wanted)]

    def shared_file(self, model: SharedModel) -> bytes:
        """The file of a shared model's weights."""
        with self._reading() as connection:
            return connection.execute(sa.select(MODELS.c.data).where(MODELS.c.id == model.id)).scalar_one()

    def shared_options(self, model: SharedModel) -> str:
        """What it takes to load a shared model beside its file: labels, preprocessing and more."""
        with self._reading() as connection:
            return connection.execute(sa.select(MODELS.c.options).where(MODELS.c.id == model.id)).scalar_one()

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
        if status not in allowed:
            raise ReviewError(
                f"expected a verdict on a {subject.kind}, got {quoted(status)}; use {nearest(status, allowed)}"
            )
        about = {"subject_kind": subject.kind, "subject": subject.name}
        reviewer = checked_name(reviewer, "a name")
        before = _about(_current(), VERDICTS, review, subject)
        before = before.where(VERDICTS.c.by == reviewer, VERDICTS.c.adjudicates == adjudicates)
        with self._writing(reviewer, "owner" if adjudicates else "reviewer") as connection:
            self._one_at_a_time(connection, review.id)
            mine = [row["id"] for row in rows_of(connection, before)]
            said = {"status": status, "note": checked_text(note), "adjudicates": adjudicates, "undoes": undoes}
            supersedes = mine[-1] if mine else None
            row = add_row(connection, VERDICTS, reviewer, review=review.id, supersedes=supersedes, **about, **said)
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

    def agreement(self, review: Review) -> Agreement:
        """How far people agree on its parts; of a blind review, by what they said before it opened.

        Raises: ReviewError while it is blind.
        """
        said = self._open_verdicts(review)
        if opened := self._opened(review):
            said = until(self._verdicts(sa.select(VERDICTS), review, None), opened)
        return agreement_of(said)

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
        latest = {one.reviewer: one for one in self._asked(review)}
        return [one for one in latest.values() if one.asked]

    def sign(self, review: Review, key: SecretKey, by: str) -> CheckedSignature:
        """Sign a review's evidence and what the verdicts on it come to; other signatures stay as they are.

        Raises: ReviewError before it is approved or rejected, for a key that is revoked, not among those that its
        project trusts, or known as somebody else's, or where the same person or key has signed it as it is.
        """
        self._check("reviewer", by)
        signed = self._signed(review)
        if not self.is_open(review) or signed.status not in DONE:
            raise ReviewError("expected a review that is approved or rejected, got one that is not; judge it first")
        trusted, known = self._keys(review)
        if known.get(key.public.key, key.public).revoked:
            raise ReviewError(f"expected a key that counts, got {key.public}, which is revoked; make another")
        if trusted and key.public.key not in trusted:
            raise ReviewError(
                f"expected a key that the project trusts, got {key.public}; ask an owner to trust its .pub file"
            )
        owner = known.get(key.public.key)
        if owner and not _speaks_for(owner, key.public.name):
            raise ReviewError(
                f"expected a signature by the owner of the key, {owner}, got one by {quoted(key.public.name)}; "
                "sign with a key of your own"
            )
        made = make_signature(signed, key)
        with self._writing(by) as connection:
            self._one_at_a_time(connection, review.id)
            before = self._signatures(connection, review)
            after = [*before, (by, made.encode())]
            if _signers(before, signed, trusted, known) == _signers(after, signed, trusted, known):
                raise ReviewError(
                    f"expected a review that neither {quoted(by)} nor this key has signed, got one signed as it is"
                )
            add_row(connection, SIGNATURES, by, review=review.id, signature=made.encode().decode())
        return check_signature(made, signed, {key.public.key: key.public})

    def signatures(self, review: Review, trusted: Iterable[PublicKey] = ()) -> list[tuple[str, CheckedSignature]]:
        """Who signed, the first one first, and whether it still fits evidence and verdicts.

        trusted: keys that are trusted beside those that the project trusts.
        """
        keys = by_bytes([*self.trusted_keys(self.project_of(review)).values(), *trusted])
        signed = self._signed(review)
        with self._reading() as connection:
            found = self._signatures(connection, review)
        return [(by, check_signature(read_signature(data, by), signed, keys)) for by, data in found]

    def signers(self, review: Review) -> set[str]:
        """Everybody whose signature fits the evidence and the verdicts as they are: each name and each key once.

        If the project trusts keys, these alone. Who signed with a key that is known here is named as the key says.
        """
        with self._reading() as connection:
            found = self._signatures(connection, review)
        return _signers(found, self._signed(review), *self._keys(review)) if found else set()

    def last_number(self, review: Review) -> int:
        """The number of a review's latest verdict: another one means that somebody said something."""
        return self._last_number(VERDICTS, review)

    def evidence_number(self, review: Review) -> int:
        """The number of the file that `evidence` reads: another one means that somebody gave or signed it anew."""
        return self._last_number(EVIDENCE, review)

    def pulse(self, review: Review) -> tuple[int, ...]:
        """What is another one as soon as anybody says, asks or signs anything about the review or its ZIP."""
        tables = (VERDICTS, COMMENTS, ASSIGNMENTS, SIGNATURES, EVIDENCE)
        return tuple(self._last_number(table, review) for table in tables)

    # ------------------------------------------------------------------------------- carrying it elsewhere

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

    def _check(self, least: Role, by: str | None = None) -> None:
        """Raises: ReviewError where the person whom the store acts for may not do this, or not as `by`."""
        if self._actor is None:
            return
        if not self._actor.may(least):
            has = self._actor.role or "no role"
            raise ReviewError(
                f"expected the role {least} for this, got {quoted(self._actor.name)} with {has}; ask an owner"
            )
        if by not in (None, self._actor.name):
            raise ReviewError(f"expected words of {quoted(self._actor.name)}, got words of {quoted(by)}")

    @contextmanager
    def _reading(self, least: Role = "viewer") -> Iterator[sa.Connection]:
        self._check(least)
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def _writing(self, by: str, least: Role = "reviewer") -> Iterator[sa.Connection]:
        self._check(least, by)
        with self._database.writing() as connection:
            yield connection

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
        return opening(self._verdicts(sa.select(VERDICTS), review, None), self._asked(review))

    def _asked(self, review: Review) -> list[Assignment]:
        """Everybody who was asked, or no more, the first one first."""
        wanted = sa.select(ASSIGNMENTS).where(ASSIGNMENTS.c.review == review.id).order_by(ASSIGNMENTS.c.number)
        with self._reading() as connection:
            return [to_assignment(row) for row in rows_of(connection, wanted)]

    def _signed(self, review: Review) -> Signed:
        return signed_of(review, self._standing(review))

    def _keys(self, review: Review) -> tuple[dict[bytes, PublicKey], dict[bytes, PublicKey]]:
        """The keys that a review's project trusts, and these with the others whose owner is known here."""
        trusted = self.trusted_keys(self.project_of(review))
        return trusted, by_bytes([*trusted.values(), *own_keys().values()])

    def _signatures(self, connection: sa.Connection, review: Review) -> list[tuple[str, bytes]]:
        wanted = sa.select(SIGNATURES).where(SIGNATURES.c.review == review.id).order_by(SIGNATURES.c.number)
        return [(row["by"], row["signature"].encode()) for row in rows_of(connection, wanted)]

    def _last_number(self, table: sa.Table, review: Review) -> int:
        about = EVIDENCE.c.sha256 == review.evidence if table is EVIDENCE else table.c.review == review.id
        wanted = sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0)).where(about)
        with self._reading() as connection:
            return connection.execute(wanted).scalar_one()

    def _one_at_a_time(self, connection: sa.Connection, id: str) -> None:
        """Nobody else reads and then writes about the same thing until this transaction ends; SQLite sees to it."""
        if not self._database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(id[:15], 16))))

    def _standing(self, review: Review, subject: Subject | None = None) -> list[Verdict]:
        return standing(self._verdicts(_current(), review, subject))

    def _verdicts(self, select: sa.Select[Any], review: Review, subject: Subject | None) -> list[Verdict]:
        with self._reading() as connection:
            return [to_verdict(row) for row in rows_of(connection, _about(select, VERDICTS, review, subject))]


def _check_size(data: bytes, what: str, do: str) -> None:
    if len(data) > MAX_EVIDENCE:
        raise ReviewError(
            f"expected {what} of at most {MAX_EVIDENCE / 1e6:g} MB, got {len(data) / 1e6:,.0f} MB; {do}"
        )


def _still_blind() -> ReviewError:
    return ReviewError("expected a review that all have finished, got one that is still blind; wait for them")


def _latest_evidence(review: Review) -> sa.Select[Any]:
    wanted = sa.select(EVIDENCE.c.data).where(EVIDENCE.c.sha256 == review.evidence)
    return wanted.order_by(EVIDENCE.c.number.desc()).limit(1)


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


def _signers(
    signatures: Iterable[tuple[str, bytes]],
    signed: Signed,
    trusted: Mapping[bytes, PublicKey],
    known: Mapping[bytes, PublicKey],
) -> set[str]:
    """Each name and each key counts once, a revoked key never, and if any is trusted no other.

    A known key tells who signed, whoever `by` says they are: its owner, or whom a server's key vouches for.
    """
    found: set[str] = set()
    seen: set[str | bytes] = set()
    for by, data in signatures:
        checked = check_signature(read_signature(data, by), signed, known)
        said, key = checked.statement, known.get(checked.statement.key)
        marks: set[str | bytes] = {said.name} if key else {said.name, by}
        if not key or not key.vouches:
            marks.add(said.key)
        counts = checked.state is SignatureState.VALID and not checked.revoked and _speaks_for(key, said.name)
        if counts and (not trusted or said.key in trusted) and not marks & seen:
            found.add(said.name if key else by)
            seen |= marks
    return found


def _speaks_for(key: PublicKey | None, name: str) -> bool:
    """Whether a signature by a key can be in this name: one of a known person signs in their own alone."""
    return key is None or key.vouches or key.name == name
