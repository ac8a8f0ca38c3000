"""Methods: one class of one photo and model by several methods, side by side."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    BESIDE,
    Request,
    headline,
    offer_downloads,
    pick_class,
    pick_fit,
    pick_layers,
    pick_look,
    pick_methods,
    pick_model,
    pick_models,
    pick_one,
    pick_photos,
    pick_wrapper,
    run_comparison,
    section,
    show_errors,
    show_failed,
    show_methods,
)
from dashboard.session import Key
from gradcam.methods import GRADCAM

with st.sidebar:
    with section("Photos"):
        photos = pick_photos()
    with section("Models"):
        models = pick_models(default=("bundled/tf_efficientnet_lite0",))
    with section("Question"):
        target = pick_class(models)
        methods = pick_wrapper(pick_methods(Key.METHODS_BESIDE, BESIDE, models), models)
        fit, layers = pick_fit(), pick_layers()
    with section("Look"):
        style = pick_look()

actions = headline("Methods", "Would another method say the same?")

if not photos or not models:
    st.info("Choose a photo and a model in the sidebar to see it by several methods.", icon=":material/west:")
else:
    photo = photos[pick_one("Photo", [photo.name for photo in photos], Key.SHOWN_PHOTO)]
    model = pick_model(models)
    with show_errors():
        compared = tuple(dict.fromkeys((GRADCAM.name, *methods)))
        found = run_comparison([model], [photo], Request((target,), fit, layers, compared))
        if show_failed(found).models:
            style = show_methods(found.panels, style)
        with actions:
            offer_downloads(found, style)
