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
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from gradcam.draw import captions
from gradcam.types import Heatmap, ScaledMap, Style

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


def heat_trace(panel: Heatmap, heat: ScaledMap, style: Style) -> go.Heatmap:
    """The raw map on its own grid, its cells exactly where they lie on the photo."""
    rows, columns = panel.map.shape
    left, top, right, bottom = panel.explanation.view.box
    dx, dy = (right - left) / columns, (bottom - top) / rows
    name = escape(f"{captions.model_caption(panel)}: {panel.scored}")
    return go.Heatmap(
        z=panel.map.astype(np.float32),
        x0=left + dx / 2,
        dx=dx,
        y0=top + dy / 2,
        dy=dy,
        zmin=0,
        zmax=heat.vmax if heat.vmax > 0 else 1,
        zsmooth="best" if style.interpolation == "bilinear" else False,
        showscale=False,
        name=name,
        hovertemplate=f"<b>{name}</b><br>heat %{{z:.3g}}<br>{escape(captions.scale_caption(heat))}<extra></extra>",
    )


def add_outline(figure: go.Figure, axis: str, panel: Heatmap) -> None:
    """A light line on a dark one around what the model saw: visible on any photo."""
    left, top, right, bottom = panel.explanation.view.seen
    for colour, width in (("#141414", 3), ("#f5f5f5", 1)):
        figure.add_shape(
            type="rect",
            x0=left,
            y0=top,
            x1=right,
            y1=bottom,
            xref=f"x{axis}",
            yref=f"y{axis}",
            line={"color": colour, "width": width},
        )


def escape(text: str) -> str:
    """Text that neither HTML nor Plotly's own markup can mistake for tags; quotes are no danger between tags."""
    return html.escape(text, quote=False)
