"""Shows an open review: its evidence photo by photo, the verdicts, the agreement, and the signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import identity
from dashboard.components.findings import show_findings
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.components.report_check import replay_report
from dashboard.components.review_changes import show_other_review
from dashboard.components.review_evidence import open_evidence
from dashboard.components.review_list import turn_to_review
from dashboard.components.signing import offer_signed_zip, show_signatures
from dashboard.components.verdicts import decide, discuss, judge, show_verdicts
from dashboard.session import Key
from gradcam.report import Report, photo_subjects
from gradcam.reviews import WHOLE, Review, Subject, agreed_status

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

EVERY = 3
"""Seconds after which the page looks whether somebody said anything."""
MOST_MAPS = 12
"""Maps of a photo that are shown."""

_INVITED = "_invited"


def show_review(store: ReviewStore, review: Review, me: str) -> None:
    """Show everything of a review, so that anybody can go on with it."""
    _watch(review)
    if st.button("All reviews", icon=":material/arrow_back:", type="tertiary"):
        turn_to_review(None)
        st.rerun()
    _show_head(store, review, me)
    evidence = open_evidence(store, review)
    subjects: Sequence[Subject] = ()
    if evidence:
        subjects = _ordered(store, review, photo_subjects(evidence.report))
        _show_photo(store, review, me, evidence.report, subjects)
        replay_report(evidence.report)
        show_other_review(store, review, evidence.report)
    st.header("The whole", anchor=False)
    judge(store, review, WHOLE, me, keys=False)
    _show_discussion(store, review, WHOLE, me)
    st.header("Agreement", anchor=False)
    _show_agreement(store, review)
    st.header("Signatures", anchor=False)
    show_signatures(store, review, me)
    if evidence and evidence.has_manifest:
        offer_signed_zip(store, review, me, evidence)


def _watch(review: Review) -> None:
    """Run the page again as soon as anybody says, asks or signs anything."""
    before = identity.team_store().pulse(review)

    @st.fragment(run_every=EVERY)
    def look() -> None:
        with show_errors():
            if identity.team_store().pulse(review) != before:
                st.rerun(scope="app")

    look()


def _show_head(store: ReviewStore, review: Review, me: str) -> None:
    project = store.project_of(review)
    asked = [one.reviewer for one in store.assignments(review)]
    waits = store.waiting_for(review)
    with st.container(border=True):
        st.header(f"{escape_markdown(review.title)} · {store.state(review)}", anchor=False)
        st.caption(
            f"{escape_markdown(project.name)} · begun by {escape_markdown(review.by)}, {review.at[:10]} · evidence "
            f"`{review.evidence[:16]}…` · approved with {project.signatures} signed"
            + (
                " · blind until all who are asked, and two at least, have judged all that anybody judged"
                if review.blind
                else ""
            )
        )
        done = [f"{escape_markdown(name)}{'' if name in waits else ' (done)'}" for name in asked]
        st.markdown(f"Asked: {', '.join(done) or 'nobody yet'}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _offer_to_ask(store, review, me, asked)


def _offer_to_ask(store: ReviewStore, review: Review, me: str, asked: Sequence[str]) -> None:
    label = "Leave it to others" if me in asked else "Take it on"
    if st.button(label, icon=":material/person:", disabled=me in asked and not store.is_open(review)):
        store.assign(review, me, me, asked=me not in asked)
        st.rerun()
    with st.popover("Ask somebody", icon=":material/person_add:"):
        name = st.text_input("Who", key=_INVITED, max_chars=100, help="As they call themselves, or sign in")
        if st.button("Ask", disabled=not name):
            with show_errors():
                store.assign(review, identity.as_known(name or ""), me)
                st.rerun()
        for other in [one for one in asked if one != me and _is_owner()]:
            if st.button(f"Ask {escape_markdown(other)} no more", key=f"_no_more-{other}", type="tertiary"):
                store.assign(review, other, me, asked=False)
                st.rerun()


def _is_owner() -> bool:
    return (who := identity.actor()) is not None and who.may("owner")


def _ordered(store: ReviewStore, review: Review, subjects: Sequence[Subject]) -> Sequence[Subject]:
    """Put the disputed photos first, once everybody may see which they are."""
    first = set(store.disputed(review)) if store.is_open(review) else set()
    return sorted(subjects, key=lambda subject: subject not in first)


def _show_photo(store: ReviewStore, review: Review, me: str, report: Report, subjects: Sequence[Subject]) -> None:
    """Show one photo with its maps, what people say of it, and the way to the next."""
    names = [subject.name for subject in subjects]
    wanted = st.session_state.get(Key.SUBJECT) or st.query_params.get(Key.SUBJECT)
    at = names.index(wanted) if wanted in names else 0
    subject = subjects[at]
    st.session_state[Key.SUBJECT] = subject.name  # it stays, wherever a verdict puts it in the order

    def move(step: int) -> None:
        name = names[(at + step) % len(names)]
        st.session_state[Key.SUBJECT] = st.query_params[Key.SUBJECT] = name

    status = agreed_status(store.verdicts(review, subject))
    st.header(f"{escape_markdown(subject.name)} · {status}", anchor=False)
    judged = {one.subject for one in store.verdicts(review) if one.reviewer == me and one.status != "draft"}
    st.caption(f"Photo {at + 1} of {len(subjects)}; you have judged {len(judged.intersection(subjects))}.")
    judge(store, review, subject, me, move=move)
    photo = photo_subjects(report).index(subject)
    show_findings(report, [finding for finding in report.findings if finding.photo == photo][:MOST_MAPS])
    _show_discussion(store, review, subject, me)


def _show_discussion(store: ReviewStore, review: Review, subject: Subject, me: str) -> None:
    show_verdicts(store, review, subject)
    if _is_owner() and store.is_open(review) and subject in store.disputed(review):
        decide(store, review, subject, me)
    discuss(store, review, subject, me)


def _show_agreement(store: ReviewStore, review: Review) -> None:
    """Show how far people agree and what is disputed; while it is blind, whom it waits for."""
    if not store.is_open(review):
        waits = ", ".join(map(escape_markdown, store.waiting_for(review))) or "a second reviewer"
        st.info(
            f"Blind: everybody sees their own verdicts alone. It waits for {waits}.",
            icon=":material/visibility_off:",
        )
        return
    st.markdown(f"{store.agreement(review)}.")
    found = store.disputed(review)
    for subject in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Disputed: {escape_markdown(str(subject))}", width="content")
            here = subject.kind == "photo" and review.kind == "report"
            if here and st.button("Look", key=f"_look-{subject}", type="tertiary"):
                st.session_state[Key.SUBJECT] = st.query_params[Key.SUBJECT] = subject.name
                st.rerun()
    if not found:
        st.caption("Nothing is disputed.")
