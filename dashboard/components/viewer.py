"""Shows linked heatmaps: the package's viewer as a component, whose look changes without running a model.

    style = view_tools(comparison.heatmaps, style, key="tools")
    view_photo(comparison, photo, style, key="photo-0")

Zoom, crosshair and look live in the browser, and one toolbar serves all viewers of a page. It gives back the style
as the visitor has set it there, so that downloads and links can follow. A style that Python changes is taken over;
a new scene of the same photo keeps the zoom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.components import v2

from dashboard import session
from dashboard.first_answers import PLOTLY_ADDRESS
from gradcam import Comparison, GradcamError, Heatmap, Panel, Photo, Style
from gradcam.draw import (
    SCRIPT,
    STYLES,
    Caption,
    Scene,
    check_style,
    comparison_scene,
    difference_scene,
    panels_scene,
    tools_scene,
)
from gradcam.regions import check_region
from gradcam.scaling import scale_panels
from gradcam.types import ScaledMap

# Plotly styles its parts and follows the pointer through the document, which a shadow root would hide from it.
_viewer = v2.component("gradcam_viewer", css=STYLES, js=SCRIPT, isolate_styles=False)


def view_tools(
    panels: Sequence[Heatmap],
    style: Style,
    key: str,
    scaled: Mapping[Heatmap, ScaledMap] | None = None,
    *,
    markable: bool = False,
) -> Style:
    """Show tools and legend of all viewers on the page; return the style as set there.

    markable: whether to offer marking the object in the viewers that are markable, too.
    """
    scene = tools_scene(panels, style, scale_panels(panels, style.scale) if scaled is None else scaled)
    answer = _component(scene | {"markable": markable}, key)
    if not answer or answer["base"] != scene["look"] or answer["turn"] != session.turns():
        return style
    look = answer["look"]
    chosen = replace(style, **{name: look[name] for name in scene["look"]})
    check_style(chosen)  # a browser can send anything
    return chosen


def view_photo(comparison: Comparison, photo: Photo, style: Style, key: str) -> None:
    """Show one photo's heatmaps on the scale of the whole comparison: a row a target, a column a model.

    The object can be marked on the photo.
    """
    _view(comparison_scene(comparison, photo, style) | {"markable": True}, key)
    _offer_clearing(photo, key)


def view_panels(
    panels: Sequence[Panel],
    style: Style,
    key: str,
    *,
    scaled: Mapping[Heatmap, ScaledMap] | None = None,
    columns: int | None = None,
    captions: Sequence[Caption] | None = None,
    least: float | None = None,
    markable: bool = False,
) -> None:
    """Show any panels of one photo, such as one class at several layers; see `gradcam.draw.viewer.panels_scene`.

    markable: whether the object can be marked on the photo.
    """
    scene = panels_scene(panels, style, scaled=scaled, columns=columns, captions=captions, least=least)
    _view(scene | {"markable": markable}, key)
    if markable:
        _offer_clearing(panels[0].photo, key)


def view_difference(a: Heatmap, b: Heatmap, style: Style, key: str, *, fade: bool = False) -> None:
    """Show A − B of two maps of one photo, between A and B: red where A has more heat, blue where B has.

    fade: whether to fade the photo where the two agree.
    """
    _view(difference_scene(a, b, style, fade=fade), key, legend=True)


def _view(scene: Scene, key: str, *, legend: bool = False) -> None:
    """Show a viewer without tools. legend: whether its colours are not those of the page's legend."""
    _component(scene | {"tools": False, "legend": legend}, key)


def _component(scene: Scene, key: str) -> Any:
    return _viewer(
        key=key,
        data=scene | {"plotly": PLOTLY_ADDRESS, "turn": session.turns()},
        on_look_change=lambda: None,
        on_region_change=lambda: _keep_mark(key, scene["photo"]["sha256"]),
    ).look


def _keep_mark(key: str, sha256: str) -> None:
    """Keep what the visitor has marked on a photo; a browser can send anything."""
    with suppress(GradcamError, TypeError, ValueError):
        region = tuple((float(x), float(y)) for x, y in st.session_state[key]["region"])
        check_region(region)
        session.mark(sha256, region)


def _offer_clearing(photo: Photo, key: str) -> None:
    if photo.region:
        st.button(
            "Clear the mark",
            key=f"{key}-unmark",
            type="tertiary",
            icon=":material/ink_eraser:",
            on_click=session.mark,
            args=(photo.sha256, None),
        )
