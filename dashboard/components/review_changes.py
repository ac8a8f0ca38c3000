"""Shows two reviews side by side: what people say of each part, what the reports say, which maps changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from dashboard.components.messages import escape_markdown
from dashboard.components.report_changes import show_changes, values_html
from dashboard.components.review_evidence import open_evidence
from gradcam.report import Change, Report
from gradcam.reviews import Review, agreed_status, by_subject

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

NONE = "none"
SAID = "What people say"

_OTHER = "_other_review"


class _Side(NamedTuple):
    """A report, under the name of its review."""

    name: str
    report: Report


def show_other_review(store: ReviewStore, review: Review, report: Report) -> None:
    """Show another review of the project beside this one on demand, at first the one that this one supersedes."""
    found = store.reviews(store.project_of(review))
    others = {one.id: one for one in found if one.id != review.id and one.kind == review.kind}
    if not others or not st.toggle("Compare with another review", key=_OTHER):
        return
    choices = list(others)
    id = st.selectbox(
        "Earlier review",
        choices,
        index=choices.index(review.supersedes) if review.supersedes in others else 0,
        format_func=lambda id: _name(others[id]),
        key=f"{_OTHER}-{review.id}",
    )
    earlier = others[id]
    if before := open_evidence(store, earlier):
        _show_statuses(store, earlier, review)
        show_changes(_Side(_name(earlier), before.report), _Side(_name(review), report))


def _name(review: Review) -> str:
    return f"{review.title} · {review.at[:10]}"


def _show_statuses(store: ReviewStore, before: Review, after: Review) -> None:
    """Show the parts on which the verdicts come to something else in the two reviews."""
    blind = [one for one in (before, after) if not store.is_open(one)]
    if blind:
        st.caption(f"What people say is compared once {escape_markdown(_name(blind[0]))} is no longer blind.")
        return
    sides = [by_subject(store.verdicts(review)) for review in (before, after)]
    changes = [
        Change(SAID, "", str(subject), earlier, later)
        for subject in dict.fromkeys(subject for side in sides for subject in side)
        for earlier, later in [[agreed_status(side.get(subject, ())) for side in sides]]
        if earlier != later
    ]
    st.subheader(SAID, anchor=False)
    if changes:
        st.html(values_html(SAID, changes))
    else:
        st.caption("The same of every part.")
