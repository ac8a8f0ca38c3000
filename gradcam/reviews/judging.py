"""What the verdicts of several people come to: agreement beyond chance, what is disputed, what can be signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradcam.reviews.agreement import Agreement, cohen_kappa, krippendorff_alpha
from gradcam.reviews.model import WHOLE, Review, Subject, Verdict, agreed_status
from gradcam.signatures import Signed, sha256_of
from gradcam.statuses import DONE, ReportStatus


def by_subject(verdicts: Iterable[Verdict]) -> dict[Subject, list[Verdict]]:
    """Verdicts on each subject that somebody judged, in the order of the first one."""
    found: dict[Subject, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.subject, []).append(verdict)
    return found


def agreement_of(verdicts: Sequence[Verdict]) -> Agreement:
    """How far people agree on the parts of a review: Cohen's κ of two, Krippendorff's α of another number.

    verdicts: those that nobody superseded. Adjudications and the verdicts on the whole count for nothing.
    """
    said: dict[str, dict[Subject, str]] = {}
    for verdict in verdicts:
        if verdict.subject != WHOLE and verdict.status != "draft" and not verdict.adjudicates:
            said.setdefault(verdict.reviewer, {})[verdict.subject] = verdict.status
    people = list(said.values())
    return cohen_kappa(*people) if len(people) == 2 else krippendorff_alpha(people)


def disputed(verdicts: Iterable[Verdict]) -> list[Subject]:
    """What people judge differently and nobody has decided yet. verdicts: those that nobody superseded."""
    return [subject for subject, said in by_subject(verdicts).items() if agreed_status(said) == "disputed"]


def signed_of(review: Review, verdicts: Iterable[Verdict]) -> Signed:
    """What can be signed of a review: its evidence, and what the verdicts on each subject come to.

    Notes and comments change neither hash. verdicts: those that nobody superseded.
    """
    statuses = {subject: agreed_status(said) for subject, said in by_subject(verdicts).items()}
    rows = sorted([one.kind, one.name, status] for one, status in statuses.items() if status != "draft")
    return Signed(review.evidence, sha256_of(rows), _report_status(statuses.get(WHOLE, "draft")))


def _report_status(status: str) -> ReportStatus:
    if status == "approved":
        return "approved"
    return "rejected" if status in DONE else "needs review"
