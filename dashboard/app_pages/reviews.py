"""Reviews: what a team says of reports and runs, kept, compared and signed."""

from __future__ import annotations

import streamlit as st

from dashboard import identity
from dashboard.components import (
    headline,
    list_reviews,
    offer_review,
    opened_review,
    pick_project,
    say_who,
    section,
    show_errors,
    show_review,
)

headline("Reviews", "Who says what about which evidence, do they agree, and who stands for it?")
st.caption(
    "*Reviews* are kept in a store, where a team goes on with them; *Reports* are files that are handed round."
)

with show_errors():
    if identity.actor() is None:
        with st.container(border=True):
            say_who()
            st.caption("Say who you are to see the reviews; what you say is kept under that name.")
    else:
        with st.sidebar, section("You"):
            say_who()
        store, me = identity.team_store(), identity.known_actor().name
        review = opened_review(store)
        with st.sidebar, section("Project"):
            project = pick_project(store, review)
        if review:
            show_review(store, review, me)
        elif project is None:
            st.info("Make a project in the sidebar; reviews belong to one.", icon=":material/west:")
        else:
            list_reviews(project)
            offer_review(store, project)
