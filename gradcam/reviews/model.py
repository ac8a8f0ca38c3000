"""The nouns of a review by a team. All are records of something said once; a correction is another record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from gradcam.errors import ReviewError, quoted
from gradcam.kinds import expect, expect_each, expect_one_of
from gradcam.statuses import STATUSES, SubjectKind

Kind = Literal["report", "run"]

RUNS = "Data sets"
"""The project that runs are reviewed in where nobody names another."""

NEEDED_SIGNATURES = range(101)
"""Of how many people a project may need the signatures."""
MAX_EVIDENCE = 400_000_000
"""Bytes of a file of evidence, or of a shared model, that the store keeps."""
MAX_TEXT = 20_000
"""Letters of a note or comment."""
MAX_NAME = 500
"""Letters of the name of anything: a project, a person, a photo."""


def refuse_unstorable(text: str) -> None:
    """Raises: ReviewError for a letter that no database holds: a NUL, or half of a pair (a lone surrogate)."""
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ReviewError(
            f"expected text that a database can hold, got {quoted(text, 80)}; leave the odd letters out"
        )


@dataclass(frozen=True)
class Subject:
    """What something is said about: the whole review, or a photo, cluster or class of it by name."""

    kind: SubjectKind
    name: str = ""

    def __post_init__(self) -> None:
        expect_one_of(STATUSES, self.kind, "a kind of subject", ReviewError)
        refuse_unstorable(self.name)
        if (self.kind == "whole") != (self.name == ""):
            raise ReviewError(
                f"expected the whole review, or the name of a {self.kind}, got {self.kind} {quoted(self.name)}"
            )

    def __str__(self) -> str:
        return "the whole" if self.kind == "whole" else f"{self.kind} {self.name}"


WHOLE = Subject("whole")


@dataclass(frozen=True)
class Project:
    """Reviews that belong together. signatures: how many a review needs before it counts as approved."""

    id: str
    name: str
    signatures: int
    by: str
    at: str


@dataclass(frozen=True)
class Review:
    """A comparison or run under review, bound to the SHA-256 of its evidence.

    blind: whether reviewers see each other's verdicts only when all who were asked, and two at least, are done.
    supersedes: the id of an earlier review that this one takes the place of.
    """

    id: str
    project: str
    kind: Kind
    evidence: str
    title: str
    blind: bool
    by: str
    at: str
    supersedes: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What one person said of one subject. note: Markdown. at: UTC.

    number: grows with each verdict of a store. supersedes: the id of an earlier verdict that counts no more.
    adjudicates: whether it decides between the verdicts of others.
    """

    id: str
    number: int
    review: str
    subject: Subject
    status: str
    reviewer: str
    note: str
    at: str
    supersedes: str | None = None
    adjudicates: bool = False

    @property
    def tells(self) -> bool:
        """Whether it says anything: a draft without a note only takes back what was said."""
        return self.status != "draft" or bool(self.note)


@dataclass(frozen=True)
class Comment:
    """A remark on a subject that changes no verdict. replies_to: the id of another comment of the same review."""

    id: str
    number: int
    review: str
    subject: Subject
    author: str
    text: str
    at: str
    replies_to: str | None = None


@dataclass(frozen=True)
class Assignment:
    """Somebody is asked to review, or no more. asked: whether they still are."""

    id: str
    number: int
    review: str
    reviewer: str
    asked: bool
    by: str
    at: str


@dataclass(frozen=True)
class SharedModel:
    """A model of somebody's own that they share with a project. name: its id."""

    id: str
    project: str
    name: str
    by: str
    at: str


def titled_note(title: str, text: str) -> str:
    """A note that begins with a heading, which names what it is about; without a title the text alone."""
    expect(str, title, text)
    title = " ".join(title.split())
    return f"# {title}\n\n{text}".strip() if title else text.strip()


def split_note(note: str) -> tuple[str, str]:
    """Title and text of a note, as `titled_note` takes them; the title is empty where no heading comes first."""
    expect(str, note)
    first, _, rest = note.partition("\n")
    return (first.removeprefix("# ").strip(), rest.strip()) if first.startswith("# ") else ("", note)


Filter = Literal["all", "mine", "open", "disputed"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
"""Which reviews: all, those that somebody began or is asked for, those not decided yet, those with a dispute."""

State = Literal["draft", "in review", "disputed", "approved", "rejected", "superseded"]
STATES: tuple[State, ...] = get_args(State)


def agreed_status(verdicts: Iterable[Verdict]) -> str:
    """What the verdicts on one subject come to: the latest adjudication, else what all say, else `disputed`.

    verdicts: those that nobody superseded. A subject without any is a `draft`. While one person still is at the
    whole, it is `in review`.
    """
    judged = [verdict for verdict in expect_each(Verdict, verdicts) if verdict.status != "draft"]
    decided = [verdict for verdict in judged if verdict.adjudicates]
    if decided:
        return max(decided, key=lambda verdict: verdict.number).status
    statuses = {verdict.status for verdict in judged}
    if "in review" in statuses:
        return "in review"
    return "draft" if not statuses else statuses.pop() if len(statuses) == 1 else "disputed"
