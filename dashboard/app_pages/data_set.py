"""Data set: a run of models over many photos, and the photos on which they differ."""

from __future__ import annotations

from functools import partial

import streamlit as st

from dashboard.components import (
    forget_undrawn,
    headline,
    offer_start,
    offer_to_take,
    opened_photo,
    pick_models,
    pick_one,
    pick_run,
    pick_shown,
    pick_verdict,
    section,
    show_classes,
    show_errors,
    show_gallery,
    show_opened,
    show_progress,
    show_shortcuts,
    team_review_of,
)
from dashboard.data_runs import hide_path
from dashboard.session import DataKey

with st.sidebar, section("Run"):
    listed = pick_run()

headline("Data set", "On which photos do the models differ, and what does a class stand on?")

if listed is None:
    with st.sidebar, section("Models"):
        models = pick_models()
    st.markdown(
        "A run takes every photo of a set through every model, keeps the heatmaps, and ranks the photos: where "
        "models agree on the class and look elsewhere, where one is wrong and sure of it, where the heat lies "
        "outside the object. Each photo is computed once; another visit finds it."
    )
    offer_start(models)
else:
    with show_errors(), hide_path(listed.run):
        show_progress(listed)
        if listed.status and listed.status.done:
            team = team_review_of(listed)
            with forget_undrawn():
                with st.sidebar, section("Photos"):
                    shown = pick_shown(listed, partial(pick_verdict, team))
                if (photo := opened_photo(listed.run)) is None:
                    with st.container(horizontal=True, vertical_alignment="bottom"):
                        part = pick_one("Show", ["Photos", "Classes", "Shortcuts"], DataKey.PART)
                        offer_to_take(listed, team, shown)
                    parts = partial(show_gallery, team), show_classes, partial(show_shortcuts, listed, team)
                    parts[part](shown)
                else:
                    show_opened(listed, team, shown, photo)
