"""Lets the visitor set how the heat is drawn, which runs no model."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import streamlit as st

from dashboard import session
from dashboard.session import Key
from gradcam import Style
from gradcam.draw import SEQUENTIAL
from gradcam.types import Scale


def pick_look(key: Key = Key.SCALE, default: Scale = "each") -> Style:
    """Let the visitor pick the scale; opacity, threshold and colour map come from the viewer or the link.

    key, default: pages that compare other things have a scale of their own.
    """
    scales = get_args(Scale)
    scale = st.radio(
        "Scale",
        scales,
        index=scales.index(default),
        horizontal=True,
        help="Full colour is the maximum of *each* map, of one *model*'s maps, or of all maps, *shared*. "
        "Opacity and colour map are above the heatmaps.",
        **session.linked(key),
    )
    return replace(session.look(), scale=scale)


def pick_colours() -> Style:
    """Let the visitor pick colour map and opacity on a page without a viewer; every other page keeps them."""
    look = session.look()
    by_colormap, by_opacity = session.PICKED_LOOK
    for key, value in ((by_colormap, look.colormap), (by_opacity, round(100 * look.opacity))):
        st.session_state.setdefault(key, value)
    colormap = st.selectbox("Colour map", list(SEQUENTIAL), key=by_colormap)
    opacity = st.slider("Opacity of the heat", 0, 100, format="%d %%", key=by_opacity)
    chosen = replace(look, colormap=colormap, opacity=opacity / 100)
    session.keep_look(chosen)
    return chosen
