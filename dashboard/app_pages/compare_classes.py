"""Compare classes: several classes of one photo, and which of them competes where."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    Question,
    headline,
    is_pair,
    offer_downloads,
    pick_fit,
    pick_layers,
    pick_look,
    pick_models,
    pick_photos,
    pick_rivals,
    run_comparison,
    section,
    sentences,
    show_rivals,
)
from dashboard.state import Key

with st.sidebar:
    with section("Photos"):
        photos = pick_photos(default=("cat and coffee",))
    with section("Models"):
        models = pick_models(default=("bundled/tf_efficientnet_lite0",))
    with section("Question"):
        question = Question(pick_rivals(models, photos), pick_fit(), pick_layers())
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
    with sentences():
        comparison = run_comparison(models, photos, question)
        style = show_rivals(comparison, style)
        with actions:
            offer_downloads(comparison, style)
