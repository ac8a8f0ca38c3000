"""One panel, or the difference of two, as plain `data` and `layout` of Plotly, for the viewer to complete.

They are written out here: Plotly's own objects check each property, which takes longer than the rest of a panel.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam.draw.figures.parts import heat_trace, mark_shapes, outline_shapes
from gradcam.geometry import Values, fit_within, project_to_photo
from gradcam.scaling import difference, scale_panels
from gradcam.types import Heatmap, Panel, Photo, ScaledMap, Style


def panel_plot(panel: Panel, heat: ScaledMap | None, style: Style) -> dict[str, Any]:
    """One panel as `data` and `layout` of Plotly, without the photo and the colours, which the viewer puts in.

    There is no trace without a map, or without positive evidence in it.
    """
    trace = None
    if isinstance(panel, Heatmap) and heat is not None and not heat.note:
        trace = heat_trace(panel, heat, style) | {
            "customdata": _percents(heat.values),
            "hovertemplate": "heat %{z:.3g}<br>%{customdata[0]} % of full colour<extra></extra>",
        }
    return _plot(panel.photo, trace, [panel])


def difference_plot(a: Heatmap, b: Heatmap, style: Style) -> dict[str, Any]:
    """A − B of two maps of one photo as `data` and `layout` of Plotly, like `panel_plot`.

    Raises: OptionError where the photos differ.
    """
    grid = fit_within(a.photo.size, 160, 160)
    apart = difference(a, b, style.scale, grid)
    scaled = scale_panels((a, b), style.scale)
    shares = [project_to_photo(scaled[panel].values, panel.explanation.view, grid) for panel in (a, b)]
    rows, columns = (np.flatnonzero(np.isfinite(apart).any(axis)) for axis in (1, 0))  # what both saw: a rectangle
    if not rows.size:
        return _plot(a.photo, None, [a, b])
    both = np.ix_(rows, columns)
    dx, dy = a.photo.size[1] / grid[1], a.photo.size[0] / grid[0]
    trace = {
        "type": "heatmap",
        "z": apart[both],
        "x0": float(columns[0] + 0.5) * dx,
        "dx": dx,
        "y0": float(rows[0] + 0.5) * dy,
        "dy": dy,
        "zmin": -1,
        "zmax": 1,
        "zsmooth": "best",
        "showscale": False,
        "customdata": _percents(*(share[both] for share in shares)),
        "hovertemplate": "A − B %{z:.2f}<br>A %{customdata[0]} %, B %{customdata[1]} %<extra></extra>",
    }
    return _plot(a.photo, trace, [a, b])


def _percents(*shares: Values) -> NDArray[np.int8]:
    """Shares of full colour as `[h, w, len(shares)]`, from which a cell's hover text takes its numbers."""
    return (100 * np.stack(shares, 2)).round().astype(np.int8)


def _plot(photo: Photo, trace: dict[str, Any] | None, panels: Sequence[Panel]) -> dict[str, Any]:
    """A figure that fills its place to the edge: axes are photo pixels, square, y downwards."""
    height, width = photo.size
    framed = [shape for panel in panels if isinstance(panel, Heatmap) for shape in outline_shapes(panel)]
    axis = {"visible": False, "constrain": "domain"}
    layout = {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#141414", "bordercolor": "#f5f5f5", "font": {"size": 12, "color": "#ffffff"}},
        "xaxis": {**axis, "range": [0, width]},
        "yaxis": {**axis, "range": [height, 0], "scaleanchor": "x"},
        "shapes": framed + mark_shapes(photo),
    }
    return {"data": [_packed(trace)] if trace else [], "layout": layout}


def _packed(trace: dict[str, Any]) -> dict[str, Any]:
    """A trace whose arrays are written as plotly.js takes them: type, bytes in base64, shape."""
    return {name: _typed_array(v) if isinstance(v, np.ndarray) else v for name, v in trace.items()}


def _typed_array(values: NDArray[Any]) -> dict[str, str]:
    """Source: plotly.js, typed array specification."""
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    return {
        "dtype": f"{values.dtype.kind}{values.dtype.itemsize}",
        "bdata": base64.b64encode(little_endian.tobytes()).decode(),
        "shape": ", ".join(map(str, values.shape)),
    }
