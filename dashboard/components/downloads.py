"""Taking a comparison, its panels or a figure away."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import streamlit as st

from gradcam import Comparison, Heatmap, Style
from gradcam.draw import WIDTH, WIDTHS, Slide, comparison_html, grid_png, panels_slide

NAME = "gradcam-comparison"

_PANELS_WIDTH = "_panels_width"


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
    if comparison.heatmaps:
        with st.popover("Panels", icon=":material/view_column:"):
            st.markdown("**Photo, heatmap, overlay** of every panel in one picture, in JET at half opacity")
            offer_panels(comparison.heatmaps)


def offer_panels(panels: Sequence[Heatmap]) -> None:
    """The classic picture of every panel, as wide as the visitor says: photo, heatmap, overlay, as PNG or SVG."""
    width = st.number_input("Width in pixels", *WIDTHS, WIDTH, step=100, key=_PANELS_WIDTH)
    with st.container(horizontal=True):
        _offer_kinds("Panels", lambda: panels_slide(panels, width=width), "secondary")


def offer_slide(name: str, make: Callable[[], Slide]) -> None:
    """Two small buttons that give a figure away, made on the click, as PNG or SVG."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        _offer_kinds(name, make, "tertiary")


def _offer_kinds(name: str, make: Callable[[], Slide], look: Literal["secondary", "tertiary"]) -> None:
    stem = "gradcam-" + re.sub(r"\W+", "-", name.lower())
    for label, suffix, media_type, write in (
        ("PNG", "png", "image/png", lambda: make().png()),
        ("SVG", "svg", "image/svg+xml", lambda: make().svg()),
    ):
        st.download_button(
            label,
            write,
            f"{stem}.{suffix}",
            media_type,
            key=f"_{stem}-{suffix}",
            type=look,
            on_click="ignore",
            icon=":material/download:",
            help=f"{name} as {label}",
        )
