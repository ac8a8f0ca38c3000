"""Taking a comparison away."""

from __future__ import annotations

from functools import partial

import streamlit as st

from gradcam import Comparison, Style
from gradcam.draw import comparison_html, grid_png

NAME = "gradcam-comparison"


def offer_downloads(comparison: Comparison, style: Style) -> None:
    """Buttons whose files are made on the click, from this frozen comparison."""
    st.download_button(
        "PNG",
        partial(grid_png, comparison, style),
        f"{NAME}.png",
        "image/png",
        on_click="ignore",
        icon=":material/download:",
        help="The grid of heatmaps as one picture",
    )
    st.download_button(
        "HTML",
        partial(comparison_html, comparison, style),
        f"{NAME}.html",
        "text/html",
        on_click="ignore",
        icon=":material/download:",
        help="The interactive comparison as one file that opens offline",
    )
