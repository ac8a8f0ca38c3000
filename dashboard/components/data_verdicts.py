"""What a team says of the photos of a run, by one key each, kept with all its other reviews."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import identity
from dashboard.components.data_filters import pick_from
from dashboard.components.messages import show_errors
from dashboard.components.review_list import say_who
from dashboard.components.verdicts import judge, show_verdicts
from dashboard.data_runs import ListedRun
from dashboard.session import DataKey
from gradcam.reviews import Review, Subject
from gradcam.runs import Filter

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

ANY = "Any"


def pick_verdict(listed: ListedRun) -> Filter:
    """Only photos of one verdict; nothing is asked of somebody unknown, or before anybody has said something."""
    if identity.actor() is None:
        return Filter()
    store, review = identity.team_store(), _review(listed)
    said = [] if review is None else store.verdicts(review, reader=identity.known_actor().name)
    of_photos = [one for one in said if one.subject.kind == "photo" and one.status != "draft"]
    if not of_photos:
        return Filter()
    status = pick_from("Verdict", [ANY, *sorted({one.status for one in of_photos})], DataKey.VERDICT)
    among = [one.subject.name for one in of_photos if one.status == status]
    return Filter() if status == ANY else Filter(among=among)


def offer_verdict(listed: ListedRun, path: str) -> None:
    """Say something of a photo by a button or its key, and take the last word back."""
    with st.container(border=True), show_errors():
        if not identity.is_asked():
            say_who()
        if identity.actor() is None:
            st.caption("Say who you are to judge this photo; what you say is kept under that name.")
            return
        if not _is_finished(listed):
            st.caption("Photos are judged when the run has finished: a review stands for all of its maps.")
            return
        store, me, subject = identity.team_store(), identity.known_actor().name, Subject("photo", path)
        if review := _review(listed):
            judge(store, review, subject, me)
            show_verdicts(store, review, subject)
        elif st.button("Begin a review of this run", icon=":material/rate_review:"):
            _begin(store, listed, me)
            st.rerun()


def _review(listed: ListedRun) -> Review | None:
    """The latest review of a run; None where nobody has begun one, as before the run has finished."""
    if not _is_finished(listed):
        return None
    known: Iterable[Review] = identity.team_store().reviews(evidence=listed.run.evidence)
    return next(iter(known), None)


def _is_finished(listed: ListedRun) -> bool:
    return listed.status is not None and listed.status.state == "finished"


def _begin(store: ReviewStore, listed: ListedRun, me: str) -> Review:
    return store.add_review(store.project_of_runs(me), listed.run.evidence, listed.title, me, kind="run")
