"""A report under review by a team: brought into the store, and found again with the evidence that was reviewed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gradcam import reviews
from gradcam.errors import ReportError
from gradcam.kinds import expect
from gradcam.report._sign import Verification, merge_signatures, verify_report
from gradcam.report.model import Report
from gradcam.report.read import bytes_of
from gradcam.reviews.model import Project, Review, Subject


def review_report(
    store: reviews.ReviewStore,
    project: Project,
    source: str | Path | bytes,
    by: str,
    *,
    blind: bool = False,
    supersedes: Review | None = None,
) -> Review:
    """Bring a report into a project; the review that the project has of the same evidence, if it has one.

    source: a ZIP or JSON, which the store keeps; signatures of a ZIP that is kept already stay.
    Raises: ReportError, ReviewError.
    """
    expect(reviews.ReviewStore, store)
    expect(Project, project)
    data = bytes_of(source)
    found = verify_report(data, render=False)
    review = store.add_review(
        project, found.signed.evidence, found.report.title, by, blind=blind, supersedes=supersedes
    )
    if store.evidence(review) is None:
        store.keep_evidence(review, data, by)
    else:
        store.change_evidence(review, lambda kept: merge_signatures(kept, data), by)
    return review


def evidence_under_review(store: reviews.ReviewStore, review: Review) -> Verification | None:
    """The report that is reviewed; None where nobody has brought its file to this store.

    Raises: ReportError for a file whose maps, photos, models or settings are others than those under review.
    """
    expect(reviews.ReviewStore, store)
    expect(Review, review)
    data = store.evidence(review)
    if data is None:
        return None
    found = verify_report(data, render=False)
    if found.signed.evidence != review.evidence:
        raise ReportError("expected the evidence under review, got another one; what was signed of it is void")
    return found


def photo_subjects(report: Report) -> tuple[Subject, ...]:
    """What verdicts on each photo of a report are said about: its name, with its hash where two have one name."""
    expect(Report, report)
    names = Counter(photo.name for photo in report.photos)
    return tuple(
        Subject("photo", photo.name if names[photo.name] == 1 else f"{photo.name} ({photo.sha256[:12]})")
        for photo in report.photos
    )
