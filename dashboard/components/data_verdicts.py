"""What somebody says of one photo of a run, by one key each, kept by `gradcam.reviews`."""

from __future__ import annotations

import streamlit as st

from dashboard import identity
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.data_runs import ListedRun
from dashboard.session import DataKey, Draft, drafted
from gradcam.reviews import Review, ReviewStore, Subject, Verdict
from gradcam.runs import Filter

PROJECT = "Data sets"
"""The project that reviews of runs belong to, if nobody has put one elsewhere."""
VERDICTS = {
    "Approve": ("approved", "A", ":material/check:"),
    "Reject": ("rejected", "X", ":material/close:"),
    "Unsure": ("unsure", "U", ":material/question_mark:"),
}
"""What each button says, the status that it gives, its key and its icon."""
ANY = "Any"


def pick_verdict(listed: ListedRun) -> Filter:
    """Only photos of one verdict; nothing is asked before anybody has said something."""
    said = _said(listed)
    if not said:
        return Filter()
    options = [ANY, *sorted(set(said.values()))]
    if st.session_state.get(DataKey.VERDICT) not in (None, *options):
        del st.session_state[DataKey.VERDICT]
    status = st.selectbox("Verdict", options, key=DataKey.VERDICT, bind="query-params")
    return Filter() if status == ANY else Filter(among=[path for path, one in said.items() if one == status])


def offer_verdict(listed: ListedRun, path: str) -> None:
    """Say something of a photo by a button or its key, and take the last word back."""
    review, subject = _review(listed), Subject("photo", path)
    mine = [] if review is None else _store().verdicts(review, subject)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            by = _who()
            note = st.text_input("Note", max_chars=2000, key=f"_note-{path}", placeholder="What is right or odd?")
            for label, (status, key, icon) in VERDICTS.items():
                st.button(
                    label,
                    on_click=_say,
                    args=(listed, status, by, subject, note.strip()),
                    disabled=not by,
                    shortcut=key,
                    icon=icon,
                )
            st.button(
                "Undo",
                on_click=_undo,
                args=(listed, by, subject),
                disabled=not any(verdict.reviewer == by for verdict in mine),
                shortcut="Z",
                icon=":material/undo:",
            )
        st.caption(
            _words(mine) if mine else "Nobody has said anything of this photo; your name goes with what you say."
        )


def _who() -> str:
    """Who speaks: typed, unless the server knows."""
    if identity.is_asked():
        return identity.known_actor().name
    return st.text_input("Reviewer", max_chars=200, placeholder="Your name", **drafted(Draft.REVIEWER)).strip()


def _words(verdicts: list[Verdict]) -> str:
    return " · ".join(
        f"**{one.status}** by {escape_markdown(one.reviewer)}"
        + (f": {escape_markdown(one.note)}" if one.note else "")
        for one in verdicts
    )


def _store(by: str = "") -> ReviewStore:
    """As the visitor may use it; who only looks needs no name."""
    return identity.team_store(by or "somebody")


def _review(listed: ListedRun, by: str = "") -> Review | None:
    """The review of a run; it is made when somebody has something to say, else None."""
    store = _store(by)
    known = store.reviews(evidence=listed.run.evidence)
    if known or not by:
        return known[0] if known else None
    named = {project.name: project for project in store.projects()}
    project = named.get(PROJECT) or store.add_project(PROJECT, by, signatures=0)
    return store.add_review(project, listed.run.evidence, listed.title, by, kind="run")


def _say(listed: ListedRun, status: str, by: str, subject: Subject, note: str) -> None:
    with show_errors():
        if review := _review(listed, by):
            _store(by).say(review, status, by, subject, note=note)


def _undo(listed: ListedRun, by: str, subject: Subject) -> None:
    with show_errors():
        if review := _review(listed):
            _store(by).undo(review, by, subject)


def _said(listed: ListedRun) -> dict[str, str]:
    """The latest status of each photo that has one, by its path."""
    review = _review(listed)
    verdicts = [] if review is None else _store().verdicts(review)
    return {
        one.subject.name: one.status for one in verdicts if one.subject.kind == "photo" and one.status != "draft"
    }
