"""Compare models: photos × models for one question, side by side."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    begin_comparison,
    headline,
    offer_downloads,
    offer_next_photos,
    offer_report_page,
    pick_look,
    pick_models,
    pick_photos,
    pick_request,
    section,
    show_agreement,
    show_comparison,
    show_errors,
    show_failed,
    waiting_models,
)

with st.sidebar:
    with section("Photos"):
        photos = pick_photos()
    with section("Models"):
        models = pick_models()
    with section("Question"):
        request = pick_request(models)
    with section("Look"):
        style = pick_look()

actions = headline(
    "Compare models",
    "What does each model look at before it decides, and do the models agree? "
    "The brighter a place, the more it speaks for the class.",
)

if not photos or not models:
    st.info("Choose a photo and a model in the sidebar to see what the model looks at.", icon=":material/west:")
else:
    with show_errors():
        comparison, go_on = begin_comparison(models, photos, request)
        mapped = show_failed(comparison)
        if mapped.heatmaps:
            style = show_comparison(mapped, style)
        if not waiting_models(mapped):
            if mapped.heatmaps:
                show_agreement(mapped, style)
                with actions:
                    offer_downloads(comparison, style)
                    offer_report_page()
            offer_next_photos()
        go_on()
