"""What every Plotly figure is made of: plotly.js, colours of text, a map as a trace, a frame.

A panel is the photo as an image with the raw map on its own grid over it. The browser draws that grid bilinearly
(`zsmooth="best"` interpolates between cell centres and clamps at the edge, as `geometry.project_to_photo` does), so
the figure stays small, is exact at any zoom, and the value under the pointer is the layer's own, in raw units.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Literal

import numpy as np
import plotly
from plotly.offline import get_plotlyjs

from gradcam.draw import captions
from gradcam.geometry import hides_part_of_photo
from gradcam.regions import outline_of
from gradcam.types import Heatmap, Photo, ScaledMap, Style

Theme = Literal["light", "dark"]

PLOTLY_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
"""Pass as `config` wherever one of these figures is shown: no upload button, no logo."""

PLOTLY_SCRIPT = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly.js as a file, for a server to hand out."""


def plotly_script() -> str:
    """plotly.js itself, about 4.8 MB, for a page that carries all it needs."""
    return get_plotlyjs()


TEXT: dict[Theme, tuple[str, str]] = {"light": ("#1f2328", "#59606a"), "dark": ("#f0f3f6", "#a9b1bb")}
"""Strong and quiet text for each theme; the background is the page's own."""


def heat_trace(panel: Heatmap, heat: ScaledMap, style: Style) -> dict[str, Any]:
    """The raw map on its own grid, its cells exactly where they lie on the photo: the properties of a heatmap."""
    rows, columns = panel.map.shape
    left, top, right, bottom = map(float, panel.explanation.view.box)
    dx, dy = (right - left) / columns, (bottom - top) / rows
    name = escape(f"{captions.model_caption(panel)}: {panel.scored}")
    scale, full = escape(captions.scale_caption(heat)), float(heat.vmax) if heat.vmax > 0 else 1.0
    return {
        "type": "heatmap",
        "z": panel.map.astype(np.float32),
        "x0": left + dx / 2,
        "dx": dx,
        "y0": top + dy / 2,
        "dy": dy,
        "zmin": -full if heat.signed else 0,
        "zmax": full,
        "zsmooth": "best" if style.interpolation == "bilinear" else False,
        "showscale": False,
        "name": name,
        "hovertemplate": f"<b>{name}</b><br>heat %{{z:.3g}}<br>{scale}<extra></extra>",
    }


def outline_shapes(panel: Heatmap, axis: str = "") -> list[dict[str, Any]]:
    """A light line on a dark one around what the model saw, visible on any photo; none where it saw all of it.

    axis: the number of the panel's axes, empty for the first.
    """
    view = panel.explanation.view
    if not hides_part_of_photo(view):
        return []
    left, top, right, bottom = map(float, view.seen)
    corners = {"x0": left, "y0": top, "x1": right, "y1": bottom, "xref": f"x{axis}", "yref": f"y{axis}"}
    return [
        {"type": "rect", **corners, "line": {"color": colour, "width": width}}
        for colour, width in (("#141414", 3), ("#f5f5f5", 1))
    ]


def mark_shapes(photo: Photo, axis: str = "") -> list[dict[str, Any]]:
    """Light dashes on a dark line around where somebody says the object is; none where nobody did."""
    if not photo.region:
        return []
    path = "L".join(f"{x:g},{y:g}" for x, y in outline_of(photo.region))
    return [
        {"type": "path", "path": f"M{path}Z", "xref": f"x{axis}", "yref": f"y{axis}", "line": line}
        for line in ({"color": "#141414", "width": 4}, {"color": "#f5f5f5", "width": 2, "dash": "6px,4px"})
    ]


def escape(text: str) -> str:
    """Text that neither HTML nor Plotly's own markup can mistake for tags; quotes are no danger between tags."""
    return html.escape(text, quote=False)
