"""How it works: Grad-CAM in four steps, with the numbers of the visitor's own photo and model."""

from __future__ import annotations

import streamlit as st

from dashboard import results
from dashboard.components import (
    escape_markdown,
    headline,
    name_markdown,
    offer_figures,
    panel_of,
    pick_class,
    pick_colours,
    pick_fit,
    pick_layers,
    pick_model,
    pick_models,
    pick_one,
    pick_photos,
    section,
    show_classic,
    show_code,
    show_errors,
    show_failure,
    show_maps,
    show_other_line,
    show_photo,
    show_question,
    show_sum,
    show_weights,
)
from dashboard.session import Key

with st.sidebar:
    with section("Photos"):
        photos = pick_photos()
    with section("Models"):
        models = pick_models(default=("bundled/tf_efficientnet_lite0",))
    with section("Question"):
        target, fit, pinned = pick_class(models), pick_fit(), pick_layers()
    with section("Look"):
        pick_colours()

actions = headline(
    "How it works", "How does Grad-CAM turn a prediction into a heatmap? Four steps, with your own numbers."
)

if not photos or not models:
    st.info(
        "Choose a photo and a model in the sidebar to take them through the four steps.", icon=":material/west:"
    )
else:
    photo = photos[pick_one("Photo", [photo.name for photo in photos], Key.SHOWN_PHOTO)]
    model = pick_model(models)
    with show_errors(), show_failure(model):
        with st.spinner(f"Taking {escape_markdown(photo.name)} through {name_markdown(model)}"):
            steps = results.steps_of(model, photo, target, fit, pinned.get(model, "auto"))
        parts = (
            show_question,
            show_maps,
            show_weights,
            show_sum,
            show_photo,
            show_other_line,
            show_classic,
            show_code,
        )
        figures = [figure for show in parts for figure in show(steps)]
        with actions:
            offer_figures(figures, panel_of(steps))
