"""How the heat is shown: never what it is, so a change here runs no model."""

from __future__ import annotations

from typing import get_args

import streamlit as st

from dashboard import state
from dashboard.state import Key
from gradcam import Style
from gradcam.render import SEQUENTIAL
from gradcam.types import Scale


def pick_look() -> Style:
    """Colour map, opacity and scale."""
    colormap = st.selectbox("Colour map", list(SEQUENTIAL), **state.linked(Key.COLORMAP))
    opacity = st.slider(
        "Opacity",
        0,
        100,
        50,
        5,
        format="%d %%",
        help="Used for downloads too. The slider under the heatmaps changes it without losing the zoom.",
        **state.linked(Key.OPACITY),
    )
    scale = st.segmented_control(
        "Scale",
        get_args(Scale),
        default="each",
        required=True,
        width="stretch",
        help="Full colour is the maximum of *each* map, of one *model*'s maps, or of all maps, *shared*.",
        **state.linked(Key.SCALE),
    )
    return Style(colormap=colormap or "viridis", opacity=opacity / 100, scale=scale or "each")
