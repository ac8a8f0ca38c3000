"""Offers a comparison, its panels or a figure as files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dashboard import session
from gradcam import Comparison, Heatmap, Style
from gradcam.draw import WIDTH, WIDTHS, Slide, comparison_html, grid_png, panels_slide

NAME = "gradcam-comparison"

_PANELS_WIDTH = "_panels_width"


def offer_downloads(comparison: Comparison, style: Style) -> None:
    """Offer files that are made on the click, from this frozen comparison; none where it has no map to show."""
    if not comparison.heatmaps:
        return
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
    offer_panels(comparison.heatmaps)


def offer_panels(panels: Sequence[Heatmap]) -> None:
    """Offer the classic picture of every panel."""
    with st.popover("Panels", icon=":material/view_column:"):
        _offer_classic(panels)


def offer_report_page() -> None:
    """Lead to the page that writes what is compared here into a report."""
    if st.button("Report", icon=":material/draft:", help="Add notes and a verdict; as PDF, HTML, ZIP and more"):
        session.open_page("reports")


Figure = tuple[str, Callable[[], Slide]]
"""What a figure is called, and what makes it."""


def offer_figures(figures: Sequence[Figure], panel: Heatmap) -> None:
    """Offer every figure of a page at one place, each made on the click, and the classic picture of a panel."""
    with st.popover("Figures", icon=":material/download:", help="Each figure of this page as PNG or SVG"):
        for name, make in figures:
            with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(name, width="content")
                with st.container(horizontal=True, width="content"):
                    _offer_kinds(name, make)
        _offer_classic([panel])


def _offer_classic(panels: Sequence[Heatmap]) -> None:
    """Offer photo, heatmap and overlay beside each other, as wide as the visitor says, as PNG or SVG."""
    whose = " of every panel" if len(panels) > 1 else ""
    st.markdown(f"**Photo, heatmap, overlay**{whose} in one picture, in JET at half opacity")
    least, most = WIDTHS
    label = f"Width in pixels, {least} to {most:,}"
    width = st.number_input(label, least, most, WIDTH, step=100, key=_PANELS_WIDTH)
    with st.container(horizontal=True):
        _offer_kinds("Panels", lambda: panels_slide(panels, width=width))


def _offer_kinds(name: str, make: Callable[[], Slide]) -> None:
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
            on_click="ignore",
            icon=":material/download:",
            help=f"{name} as {label}",
        )
