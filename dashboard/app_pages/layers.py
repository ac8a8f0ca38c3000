"""Layers: one class of one photo at every depth of a model, from early to last."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    headline,
    offer_panels,
    pick_class,
    pick_fit,
    pick_layers,
    pick_look,
    pick_model,
    pick_models,
    pick_one,
    pick_photos,
    run_depths,
    say_error,
    section,
    show_depths,
    show_errors,
    show_failure,
)
from dashboard.session import Key
from gradcam import Failure, Heatmap

with st.sidebar:
    with section("Photos"):
        photos = pick_photos()
    with section("Models"):
        models = pick_models(default=("bundled/tf_efficientnet_lite0",))
    with section("Question"):
        target, fit = pick_class(models), pick_fit()
        pick_layers()
    with section("Look"):
        style = pick_look(Key.DEPTH_SCALE)

actions = headline("Layers", "At which depth does the model see the class, and how finely?")

if not photos or not models:
    st.info("Choose a photo and a model in the sidebar to see it layer by layer.", icon=":material/west:")
else:
    photo = photos[pick_one("Photo", [photo.name for photo in photos], Key.SHOWN_PHOTO)]
    model = pick_model(models)
    with show_errors(), show_failure(model):
        panels = run_depths(model, photo, target, fit)
        for reason in dict.fromkeys(panel.reason for panel in panels if isinstance(panel, Failure)):
            say_error(reason)
        heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
        if len(heatmaps) == len(panels):
            show_depths(heatmaps, style)
            with actions:
                offer_panels(heatmaps)
