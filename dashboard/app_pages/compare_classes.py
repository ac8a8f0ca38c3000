"""Compare classes: several classes of one photo, and which of them competes where."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    Request,
    headline,
    is_pair,
    offer_downloads,
    offer_next_photos,
    pick_competing_classes,
    pick_fit,
    pick_layers,
    pick_look,
    pick_models,
    pick_photos,
    run_comparison,
    section,
    show_competing_classes,
    show_errors,
    show_failed,
)
from dashboard.session import Key

with st.sidebar:
    with section("Photos"):
        photos = pick_photos()
    with section("Models"):
        models = pick_models(default=("bundled/tf_efficientnet_lite0",))
    with section("Question"):
        request = Request(pick_competing_classes(models, photos), pick_fit(), pick_layers())
    with section("Look"):
        style = pick_look(Key.RIVALS_SCALE, "model")

actions = headline("Compare classes", "Where does each class find its evidence, and which class competes?")
if any(map(is_pair, photos)):
    st.markdown(
        "The paper that introduced Grad-CAM asks this with a cat and a dog in one photo: does the heat move when "
        "the question does? Here it is a cat and a coffee. *Egyptian cat rather than espresso* asks what tells "
        "the two apart."
    )

if not photos or not models:
    st.info("Choose a photo and a model in the sidebar, then the classes to compare.", icon=":material/west:")
else:
    with show_errors():
        comparison = run_comparison(models, photos, request)
        mapped = show_failed(comparison)
        if mapped.models:
            style = show_competing_classes(mapped, style)
        offer_next_photos()
        with actions:
            offer_downloads(comparison, style)
