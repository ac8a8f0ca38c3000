"""Records what a team says of the photos of a run and of its candidates, with all its other reviews."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import identity
from dashboard.components.data_filters import pick_some
from dashboard.components.messages import show_errors
from dashboard.components.review_list import say_who
from dashboard.components.verdicts import discuss, judge, show_comments, show_verdicts
from dashboard.data_runs import ListedRun, hide_path
from dashboard.session import DataKey
from gradcam.errors import RunError
from gradcam.reviews import Review, Subject, Verdict, agreed_status, by_subject
from gradcam.runs import Filter

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore


@dataclass(frozen=True)
class TeamReview:
    """What people say of a run and its parts: its review, and those verdicts that the visitor may read, in order.

    review: None for a run that has not finished, or of which nobody has begun one.
    """

    review: Review | None = None
    verdicts: Sequence[Verdict] = ()


def team_review_of(listed: ListedRun) -> TeamReview:
    """Ask the store once for what a run of the page shows."""
    if not _is_finished(listed):
        return TeamReview()
    store = identity.store_to_read()
    known: Iterable[Review] = store.reviews(evidence=listed.run.evidence)
    review = next(iter(known), None)  # the latest
    return TeamReview() if review is None else TeamReview(review, store.verdicts(review))


def pick_verdict(team: TeamReview) -> Filter:
    """Let the visitor show photos of one verdict only, once somebody has judged a photo."""
    of_photos = _of_photos(team)
    if not of_photos:
        return Filter()
    statuses = sorted({one.status for one in of_photos})
    photos = {status: [one.subject.name for one in of_photos if one.status == status] for status in statuses}
    if disputed := [one.name for one, found in by_subject(of_photos).items() if agreed_status(found) == "disputed"]:
        photos["disputed"] = disputed
    status = pick_some("Verdict", {name: len(set(found)) for name, found in photos.items()}, DataKey.VERDICT)
    return Filter(among=photos[status]) if status else Filter()


def statuses_of(team: TeamReview) -> dict[str, str]:
    """What the verdicts on each photo of a run come to, by its path; nothing of photos that nobody judged."""
    return {subject.name: agreed_status(found) for subject, found in by_subject(_of_photos(team)).items()}


def _of_photos(team: TeamReview) -> list[Verdict]:
    return [one for one in team.verdicts if one.subject.kind == "photo" and one.status != "draft"]


def offer_verdict(listed: ListedRun, team: TeamReview, subject: Subject) -> None:
    """Let the visitor judge a photo or a candidate by a button or its key, and undo that; show what others say."""
    with st.container(border=True), show_errors(), hide_path(listed.run):
        if not identity.requires_sign_in():
            with st.container(width=NAME_WIDTH):
                say_who()
        if identity.actor() is None:
            if team.review:
                show_verdicts(identity.store_to_read(), team.review, subject)
            st.caption(f"Say who you are to judge {_THIS[subject.kind]}; what you say is kept under that name.")
            return
        if not _is_finished(listed):
            st.caption("A run is judged when it has finished: a review stands for all of its maps.")
            return
        store, me = identity.team_store(), identity.known_actor().name
        if team.review:
            judge(store, team.review, subject, me)
            show_verdicts(store, team.review, subject)
        elif st.button("Begin a review of this run", icon=":material/rate_review:"):
            with st.spinner("Checking its maps"):
                _begin(store, listed, me)
            st.rerun()


def offer_discussion(team: TeamReview, subject: Subject) -> None:
    """Show the comments on a photo or a candidate once the run has a review; who has a name may add one."""
    with show_errors():
        if team.review is None:
            return
        if identity.actor() is None:
            show_comments(identity.store_to_read(), team.review, subject)
        else:
            discuss(identity.team_store(), team.review, subject, identity.known_actor().name)


NAME_WIDTH = 320
"""Pixels of the field for a visitor's name."""
_THIS = {"photo": "this photo", "cluster": "this candidate"}


def _is_finished(listed: ListedRun) -> bool:
    return listed.status is not None and listed.status.state == "finished"


def _begin(store: ReviewStore, listed: ListedRun, me: str) -> Review:
    """Begin a review of the maps as they lie on the disk. Raises: RunError if one was changed there."""
    try:
        listed.run.check_shards()
    except RunError as error:
        raise RunError(
            "expected the maps as the run wrote them, got another file among them; tell whoever keeps this server"
        ) from error
    return store.add_review(store.project_of_runs(me), listed.run.evidence, listed.title, me, kind="run")
