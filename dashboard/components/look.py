"""How the heat is shown: never what it is, so a change here runs no model."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import streamlit as st

from dashboard import session
from dashboard.session import Key
from gradcam import Style
from gradcam.types import Scale


def pick_look(key: Key = Key.SCALE, default: Scale = "each") -> Style:
    """The scale, with the opacity, threshold and colour map that the visitor has set in the viewer or link.

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
