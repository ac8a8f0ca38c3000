"""Lets the visitor say who they are, pick a project and a review, and bring in another report."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import streamlit as st

from dashboard import identity, session
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.components.review_models import show_models
from dashboard.session import Key, linked
from gradcam.keys import read_public_key
from gradcam.report import review_report
from gradcam.reviews import FILTERS, Filter, Project, Review

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

MOST, EVERY = 50, 5
"""Reviews that are listed, and seconds after which the list is read again."""

_NEW_NAME, _NEW_SIGNATURES, _UPLOADED, _BLIND, _SUPERSEDES = "_new_project", "_signatures", "_zip", "_blind", "_old"
_KEY = "_trusted_key"
_NONE = "none"


def say_who() -> None:
    """Ask the visitor for a name, if the server asks nobody to sign in."""
    if not identity.requires_sign_in():
        st.text_input(
            "Your name",
            key=session.OWN_NAME,
            persist_state="session",
            max_chars=100,
            placeholder="As others are to read it",
            help="Nobody checks it on this server; a signature does.",
        )


def pick_project(store: ReviewStore, review: Review | None) -> Project | None:
    """Let the visitor pick a project, with its trusted keys and models; return None as long as there is none.

    An owner makes one, and adds to the keys. review: the open one, of whose project this is; another closes it.
    """
    found = {project.name: project for project in store.projects()}
    name = None
    if review and (of_review := store.project_of(review).name) in found:
        st.session_state[Key.PROJECT] = of_review
    if found:
        name = st.selectbox(
            "Project",
            list(found),
            label_visibility="collapsed",
            on_change=turn_to_review,
            args=(None,),
            **linked(Key.PROJECT),
        )
    project = found.get(name or "")
    with st.container(horizontal=True, gap="small"):
        with st.popover("New project", icon=":material/create_new_folder:"):
            _offer_project(store)
        if project:
            with st.popover("Trusted keys", icon=":material/key:"):
                _show_keys(store, project)
            with st.popover("Models", icon=":material/deployed_code:"):
                show_models(store, project)
    return project


def _show_keys(store: ReviewStore, project: Project) -> None:
    """Show the keys whose signatures count in a project, and take another one, or one that is revoked."""
    trusted = store.trusted_keys(project).values()
    for key in trusted:
        revoked = f": revoked {key.revoked.at[:10]}" if key.revoked else ""
        st.markdown(f"{escape_markdown(str(key))}{revoked}")
    if not trusted:
        st.caption("None is named, so a signature by any key counts here, each key and each name once.")
    file = st.file_uploader("Another key, or a trusted one that is revoked now", max_upload_size=1, key=_KEY)
    if st.button("Trust it", disabled=file is None) and file is not None:
        with show_errors():
            store.trust(project, read_public_key(file.getvalue(), file.name), identity.known_actor().name)
            st.rerun()


def _offer_project(store: ReviewStore) -> None:
    name = st.text_input("Name", key=_NEW_NAME, max_chars=200)
    signatures = st.number_input("People who have to sign an approval", 0, 100, 1, key=_NEW_SIGNATURES)
    if st.button("Make it", disabled=not name):
        with show_errors():
            store.add_project(name or "", identity.known_actor().name, int(signatures))
            st.rerun()


def opened_review(store: ReviewStore) -> Review | None:
    """Return the review that the visitor opened, or that their link names."""
    if session.went_back():
        for key in (Key.REVIEW, Key.SUBJECT):
            st.session_state.pop(key, None)
    id = st.session_state.get(Key.REVIEW, st.query_params.get(Key.REVIEW, ""))
    found = next((review for review in store.reviews() if review.id == id), None) if id else None
    if found:
        turn_to_review(found)
    return found


def turn_to_review(review: Review | None) -> None:
    """Open a review, or go back to the list."""
    st.session_state[Key.REVIEW] = review.id if review else ""
    if review:
        st.query_params[Key.REVIEW] = review.id
    else:
        st.session_state[Key.SUBJECT] = ""
        for key in (Key.REVIEW, Key.SUBJECT):
            st.query_params.pop(key, None)


def list_reviews(project: Project) -> None:
    """List the project's reviews with their state and who is asked, read again while others work."""
    picked = st.segmented_control("Reviews", FILTERS, default="all", required=True, **linked(Key.REVIEWS))
    which = cast(Filter, picked or "all")

    @st.fragment(run_every=EVERY)
    def show() -> None:
        with show_errors():
            store, me = identity.team_store(), identity.known_actor().name
            found = [one for one in store.reviews(project) if store.is_among(one, which, me)]
            for review in found[:MOST]:
                _show_row(store, review)
            if not found:
                none = "No reviews yet" if which == "all" else "No such reviews"
                st.info(f"{none}. A report's ZIP can be brought in below.", icon=":material/inbox:")
            if len(found) > MOST:
                st.caption(f"The latest {MOST} of {len(found)}.")

    show()


def _show_row(store: ReviewStore, review: Review) -> None:
    waits = ", ".join(map(escape_markdown, store.waiting_for(review)))
    facts = [
        f"begun by {escape_markdown(review.by)}, {review.at[:10]}",
        *(["blind"] if review.blind else []),
        *([f"waits for {waits}"] if waits else []),
    ]
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{escape_markdown(review.title)}** · {store.state(review)}  \n{' · '.join(facts)}", width="content"
        )
        label = "Open" if review.kind == "report" else "Look"
        if st.button(label, key=f"_open-{review.id}", icon=":material/open_in_new:"):
            turn_to_review(review)
            st.rerun(scope="app")


def offer_review(store: ReviewStore, project: Project) -> None:
    """Bring a report's ZIP into the project."""
    with st.expander("Bring a report to review", icon=":material/add:"):
        file = st.file_uploader("A report's ZIP or JSON, as the page Reports writes it", key=_UPLOADED)
        blind = st.toggle(
            "Blind",
            key=_BLIND,
            help="Reviewers see each other's verdicts when all who are asked are done. A verdict in the report's "
            "own file can be read all the same: bring one without.",
        )
        earlier = {review.id: review for review in store.reviews(project)}
        old = st.selectbox(
            "In place of",
            [_NONE, *earlier],
            format_func=lambda id: id if id == _NONE else f"{earlier[id].title} · {earlier[id].at[:10]}",
            key=_SUPERSEDES,
        )
        if st.button("Bring it in", icon=":material/add:", disabled=file is None) and file is not None:
            with show_errors(), st.spinner("Checking it"):
                me = identity.known_actor().name
                review = review_report(
                    store, project, file.getvalue(), me, blind=blind, supersedes=earlier.get(old or _NONE)
                )
                turn_to_review(review)
                st.rerun()
