"""Models: which there are, where their heatmaps lie, and how to bring one's own."""

from __future__ import annotations

import streamlit as st

from dashboard import serving
from dashboard.components import (
    headline,
    offer_custom_model,
    offer_models,
    pick_entries,
    pick_models,
    search_catalogue,
    section,
    show_custom_models,
    show_errors,
)

with st.sidebar, section("Models"):
    chosen = pick_models()

headline("Models", "Which models are there, and how do I bring my own?")

st.header("Catalogue", anchor=False)
with show_errors():
    ticked = pick_entries(search_catalogue())
    offer_models(ticked, chosen)

st.header("Bring your own", anchor=False)
st.markdown("A model that you trained: its weights, the architecture they belong to, and the names of its classes.")
if serving.may_use_hubs():
    st.markdown(
        "One on the Hugging Face hub needs no file: type `hf-hub:organisation/name` for a model of timm, or "
        "`hf:organisation/name` for one of transformers, into *Models* in the sidebar."
    )
offer_custom_model()
show_custom_models()
