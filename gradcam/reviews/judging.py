"""What the verdicts of several people come to: agreement beyond chance, what is disputed, what can be signed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from gradcam.kinds import expect_each
from gradcam.reviews.agreement import Agreement, cohen_kappa, krippendorff_alpha
from gradcam.reviews.model import WHOLE, Assignment, Review, Subject, Verdict, agreed_status
from gradcam.signatures import Signed, sha256_of
from gradcam.statuses import DONE, ReportStatus


def by_subject(verdicts: Iterable[Verdict]) -> dict[Subject, list[Verdict]]:
    """Verdicts on each subject that somebody judged, in the order of the first one."""
    found: dict[Subject, list[Verdict]] = {}
    for verdict in expect_each(Verdict, verdicts):
        found.setdefault(verdict.subject, []).append(verdict)
    return found


class _Judged:
    """What each person has judged themselves, told verdict by verdict."""

    def __init__(self) -> None:
        self._subjects: defaultdict[str, set[Subject]] = defaultdict(set)
        self._people: Counter[Subject] = Counter()

    def hear(self, verdict: Verdict) -> None:
        if verdict.adjudicates:
            return
        subject, mine = verdict.subject, self._subjects[verdict.reviewer]
        judged = verdict.status in DONE if subject == WHOLE else verdict.status != "draft"
        if judged and subject not in mine:
            mine.add(subject)
            self._people[subject] += 1
        elif not judged and subject in mine:
            mine.remove(subject)
            self._people[subject] -= 1
            self._people += Counter()  # what nobody judges any more goes

    def finished(self) -> set[str]:
        """Who approved or rejected the whole, and judged every part that anybody judged."""
        return {who for who, mine in self._subjects.items() if WHOLE in mine and len(mine) == len(self._people)}


def finished(verdicts: Iterable[Verdict]) -> set[str]:
    """Who is done with a blind review: with the whole, and with every part that anybody judged."""
    judged = _Judged()
    for verdict in verdicts:
        judged.hear(verdict)
    return judged.finished()


def opening(verdicts: Iterable[Verdict], assignments: Iterable[Assignment]) -> str | None:
    """When a blind review opened: all who were asked then, and two, had finished. None where it has not.

    verdicts: all that were ever given. assignments: all that were ever made or taken back. Both in their order.
    """
    judged, waits = _Judged(), set[str]()
    for event in sorted([*assignments, *verdicts], key=lambda event: event.at):
        if isinstance(event, Verdict):
            judged.hear(event)
        elif event.asked:
            waits.add(event.reviewer)
        else:
            waits.discard(event.reviewer)
        if len(done := judged.finished()) > 1 and done >= waits:
            return event.at
    return None


def standing(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that nobody superseded: the latest of each person on each subject.

    Somebody who judged in two stores that came together has two verdicts that supersede nothing; the later counts.
    """
    verdicts = list(verdicts)
    superseded = {verdict.supersedes for verdict in verdicts}
    kept = [verdict for verdict in verdicts if verdict.id not in superseded]
    in_time = sorted(kept, key=lambda one: (one.at, one.number))
    latest = {(one.subject, one.reviewer, one.adjudicates): one.id for one in in_time}
    counting = set(latest.values())
    return [one for one in kept if one.id in counting]


def until(history: Sequence[Verdict], at: str) -> list[Verdict]:
    """The verdicts that nobody had superseded at a time. history: every verdict."""
    return standing(verdict for verdict in history if verdict.at <= at)


def agreement_of(verdicts: Sequence[Verdict]) -> Agreement:
    """How far people agree on the parts of a review: Cohen's κ of two, Krippendorff's α of another number.

    verdicts: those that nobody superseded. Adjudications and the verdicts on the whole count for nothing.
    """
    statuses: dict[str, dict[Subject, str]] = {}
    for verdict in verdicts:
        if verdict.subject != WHOLE and verdict.status != "draft" and not verdict.adjudicates:
            statuses.setdefault(verdict.reviewer, {})[verdict.subject] = verdict.status
    people = list(statuses.values())
    return cohen_kappa(*people) if len(people) == 2 else krippendorff_alpha(people)


def disputed(verdicts: Iterable[Verdict]) -> list[Subject]:
    """What people judge differently and nobody has decided yet. verdicts: those that nobody superseded."""
    return [subject for subject, found in by_subject(verdicts).items() if agreed_status(found) == "disputed"]


def signed_of(review: Review, verdicts: Iterable[Verdict]) -> Signed:
    """What can be signed of a review: its evidence, and what the verdicts on each subject come to.

    Notes and comments change neither hash. verdicts: those that nobody superseded.
    """
    statuses = {subject: agreed_status(found) for subject, found in by_subject(verdicts).items()}
    rows = sorted([one.kind, one.name, status] for one, status in statuses.items() if status != "draft")
    return Signed(review.evidence, sha256_of(rows), _report_status(statuses.get(WHOLE, "draft")))


def _report_status(status: str) -> ReportStatus:
    if status == "approved":
        return "approved"
    return "rejected" if status in DONE else "needs review"
