"""The interactive face: Plotly figures.

A panel is the photo as an image with the raw map on its own grid over it. The browser draws that grid bilinearly
(`zsmooth="best"` interpolates between cell centres and clamps at the edge, as `render.lay_on_photo` does), so the
figure stays small, is exact at any zoom, and the value under the cursor is the layer's own, in raw units.
"""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import plotly
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from gradcam.comparison import Comparison
from gradcam.draw import captions, render
from gradcam.geometry import Values, fit_within, hides_part_of_photo, project_to_photo
from gradcam.scaling import difference, scale_panels
from gradcam.text import percent, shorten
from gradcam.types import Explanation, Failure, Heatmap, Panel, Photo, ScaledMap, Style

Theme = Literal["light", "dark"]

PLOTLY_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
"""Pass as `config` wherever a figure of this module is shown: no upload button, no logo."""

PLOTLY_SCRIPT = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly.js as a file, for a server to hand out."""

_TEXT: dict[Theme, tuple[str, str]] = {"light": ("#1f2328", "#59606a"), "dark": ("#f0f3f6", "#a9b1bb")}
"""Strong and quiet text for each theme; the background is the page's own."""

_LONG_SIDE = 640
_WIDTH, _GAP, _TITLE = 1200, 24, 58
"""Nominal width, gap between columns and room for a panel's title, in pixels."""


def comparison_figure(comparison: Comparison, style: Style | None = None, *, theme: Theme = "light") -> go.Figure:
    """The comparison as one Plotly figure: a row for each photo and question, a column for each model.

    Axes are photo pixels, y downwards; the panels of one photo zoom and pan together. A slider in the figure sets
    the opacity and keeps the zoom. Show it with `PLOTLY_CONFIG`.

    Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
    """
    style = style or Style()
    render.check_style(style)
    scaled = comparison.scaled(style)
    rows, columns = list(comparison.rows()), len(comparison.models)
    figure = _frame([row.photo.size for row in rows], columns)
    images = {photo: render.jpeg_uri(photo, _LONG_SIDE) for photo in comparison.photos}
    first: dict[Photo, str] = {}
    heats: list[int] = []
    for number, row in enumerate(rows, start=1):
        for column, panel in enumerate(row.panels, start=1):
            axis = _axis(figure, number, column)
            _place_photo(figure, axis, first.setdefault(row.photo, axis), panel, images[row.photo])
            _title(figure, axis, panel, columns, theme)
            if isinstance(panel, Failure):
                _notice(figure, axis, "<b>No map</b><br>" + _folded(panel.reason, _room(columns)), panel.reason)
                continue
            if not scaled[panel].note:
                heats.append(len(figure.data))  # pyright: ignore[reportArgumentType]
            _place_heat(figure, axis, panel, scaled[panel], style)
    figure.add_trace(_colour_bar(figure, style, scaled.values(), theme))
    _opacity_slider(figure, heats, style, theme)
    return figure


def _frame(sizes: Sequence[tuple[int, int]], columns: int) -> go.Figure:
    """Empty subplots whose rows are as tall as their photos need; `sizes` are height and width."""
    cell = (_WIDTH - 110 - _GAP * (columns - 1)) / columns
    heights = [min(max(cell * height / width, 150), 560) for height, width in sizes]
    inner = sum(heights) + _TITLE * (len(sizes) - 1)
    figure = make_subplots(
        rows=len(sizes),
        cols=columns,
        row_heights=[height / sum(heights) for height in heights],
        horizontal_spacing=_GAP / (_WIDTH - 110) if columns > 1 else 0,
        vertical_spacing=_TITLE / inner if len(sizes) > 1 else 0,
    )
    top, bottom = _TITLE + 8, 96
    figure.update_layout(
        height=round(inner + top + bottom),
        margin={"l": 8, "r": 92, "t": top, "b": bottom},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode="zoom",
        hovermode="closest",
        showlegend=False,
    )
    return figure


def _axis(figure: go.Figure, row: int, column: int) -> str:
    """The number that Plotly gives a subplot's axes: empty for the first."""
    subplot = figure.get_subplot(row, column)
    return subplot.xaxis.plotly_name.removeprefix("xaxis")  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def _place_photo(figure: go.Figure, axis: str, first: str, panel: Panel, image: str) -> None:
    """The photo under everything else, its axes linked with those of the photo's first panel."""
    height, width = panel.photo.size
    shared = {"visible": False, "constrain": "domain", "minallowed": 0}
    x = {**shared, "range": [0, width], "maxallowed": width}
    y = {**shared, "range": [height, 0], "maxallowed": height, "constraintoward": "top"}
    if axis == first:
        y["scaleanchor"] = f"x{axis}"
    else:
        x["matches"], y["matches"] = f"x{first}", f"y{first}"
    figure.update_layout({f"xaxis{axis}": x, f"yaxis{axis}": y})
    figure.add_layout_image(
        source=image,
        xref=f"x{axis}",
        yref=f"y{axis}",
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        sizing="stretch",
        layer="below",
        opacity=1 if isinstance(panel, Heatmap) else 0.35,
    )


def _place_heat(figure: go.Figure, axis: str, panel: Heatmap, heat: ScaledMap, style: Style) -> None:
    """The map over its photo with what the model saw outlined."""
    trace = _heat(panel, heat, style)
    trace.update(
        colorscale=plotly_scale(style.colormap, style.threshold),
        opacity=0 if heat.note else style.opacity,
        xaxis=f"x{axis}",
        yaxis=f"y{axis}",
    )
    figure.add_trace(trace)
    if heat.note:
        _notice(figure, axis, heat.note)
    if hides_part_of_photo(panel.explanation.view):
        _outline(figure, axis, panel)


def _heat(panel: Heatmap, heat: ScaledMap, style: Style) -> go.Heatmap:
    """The raw map on its own grid, its cells exactly where they lie on the photo."""
    rows, columns = panel.map.shape
    left, top, right, bottom = panel.explanation.view.box
    dx, dy = (right - left) / columns, (bottom - top) / rows
    name = _escape(f"{captions.model_caption(panel)}: {panel.scored}")
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
        hovertemplate=f"<b>{name}</b><br>heat %{{z:.3g}}<br>{_escape(captions.scale_caption(heat))}<extra></extra>",
    )


def _outline(figure: go.Figure, axis: str, panel: Heatmap) -> None:
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


def _notice(figure: go.Figure, axis: str, text: str, more: str = "") -> None:
    """Words over the middle of a panel, dark behind them so that they can be read on any photo."""
    figure.add_annotation(
        text=text,
        hovertext=_escape(more),
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        x=0.5,
        y=0.5,
        showarrow=False,
        align="left",
        font={"size": 12, "color": "#ffffff"},
        bgcolor="rgba(20,20,20,0.86)",
        borderpad=8,
    )


def _title(figure: go.Figure, axis: str, panel: Panel, columns: int, theme: Theme) -> None:
    """Model, target and probability above a panel."""
    room = _room(columns)
    lines = [shorten(line, room) for line in (captions.model_caption(panel), captions.target_caption(panel))]
    if isinstance(panel, Heatmap) and panel.explanation.model.untrained and "untrained" not in lines[0]:
        lines[0] = shorten(panel.model, max(8, room - 12)) + " (untrained)"
    strong, quiet = _TEXT[theme]
    figure.add_annotation(
        text=f"<b>{_escape(lines[0])}</b><br><span style='color:{quiet}'>{_escape(lines[1])}</span>",
        hovertext=_escape("\n".join(filter(None, (captions.model_caption(panel), captions.layer_caption(panel))))),
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
        yshift=4,
        showarrow=False,
        align="left",
        font={"size": 13, "color": strong},
    )


def _room(columns: int) -> int:
    """How many characters fit beside each other in a panel of a figure 1000 pixels wide."""
    return max(16, 110 // columns)


def _colour_bar(figure: go.Figure, style: Style, scaled: Collection[ScaledMap], theme: Theme) -> go.Scatter:
    """A trace without points that carries the colour bar of all panels."""
    title, numbers = captions.bar_numbers(style, scaled)
    strong, quiet = _TEXT[theme]
    margin = figure.layout.margin
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        hoverinfo="skip",
        marker={
            "color": [0],
            "cmin": 0,
            "cmax": 1,
            "colorscale": plotly_scale(style.colormap, style.threshold),
            "showscale": True,
            "colorbar": {
                "title": {
                    "text": _escape(title).replace(" of ", " of<br>"),
                    "side": "right",
                    "font": {"size": 12, "color": quiet},
                },
                "tickvals": [0, 0.25, 0.5, 0.75, 1],
                "ticktext": numbers,
                "tickfont": {"size": 12, "color": strong},
                "thickness": 12,
                "outlinewidth": 0,
                "x": 1.01,
                "y": 1,
                "yanchor": "top",
                "len": min(280, figure.layout.height - margin.t - margin.b),
                "lenmode": "pixels",
            },
        },
    )


def _opacity_slider(figure: go.Figure, heats: list[int], style: Style, theme: Theme) -> None:
    """A slider below the panels that restyles the heat, which keeps the zoom."""
    if not heats:
        return
    strong, _ = _TEXT[theme]
    stops = sorted({*(step / 20 for step in range(21)), style.opacity})
    steps = [
        {
            "method": "restyle",
            "label": f"{100 * stop:.0f} %",
            "args": [{"opacity": stop}, heats],
            "value": f"{stop:g}",
        }
        for stop in stops
    ]
    figure.update_layout(
        sliders=[
            {
                "active": stops.index(style.opacity),
                "steps": steps,
                "currentvalue": {"prefix": "Opacity of the heat: ", "font": {"size": 13, "color": strong}},
                "x": 0,
                "len": 1,
                "lenmode": "fraction",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 14, "b": 0},
                "ticklen": 0,
                "minorticklen": 0,
                "font": {"size": 1, "color": "rgba(0,0,0,0)"},
                "bgcolor": "rgba(128,128,128,0.35)",
                "activebgcolor": "#3b82f6",
                "bordercolor": "rgba(128,128,128,0.6)",
                "borderwidth": 1,
            }
        ]
    )


def plotly_scale(name: str, threshold: float = 0.0) -> list[tuple[float, str]]:
    """One of `render.COLORMAPS` as a Plotly colour scale, transparent below `threshold`."""
    colours = ["rgb({},{},{})".format(*colour) for colour in render.colormap(name).tolist()]
    if not threshold:
        return [(place / 255, colour) for place, colour in enumerate(colours)]
    seen = [(place / 255, colour) for place, colour in enumerate(colours) if place / 255 > threshold]
    first = colours[round(threshold * 255)]
    clear = first.replace("rgb(", "rgba(").replace(")", ",0)")
    return [(0.0, clear), (threshold, clear), (threshold, first), *(seen or [(1.0, first)])]


def difference_figure(a: Heatmap, b: Heatmap, style: Style | None = None, *, theme: Theme = "light") -> go.Figure:
    """A − B of two maps of one photo: red where A has more heat, blue where B has.

    Raises: OptionError where the photos differ.
    """
    style = style or Style()
    render.check_style(style)
    height, width = a.photo.size
    grid = fit_within(a.photo.size, 160, 160)
    figure = _frame([a.photo.size], 1)
    _place_photo(figure, "", "", a, render.jpeg_uri(a.photo, _LONG_SIDE))
    step = width / grid[1], height / grid[0]
    strong, _ = _TEXT[theme]
    figure.add_trace(
        go.Heatmap(
            z=difference(a, b, style.scale, grid),
            x0=step[0] / 2,
            dx=step[0],
            y0=step[1] / 2,
            dy=step[1],
            zmin=-1,
            zmax=1,
            colorscale=plotly_scale("red-blue"),
            opacity=style.opacity,
            hovertemplate="A − B: %{z:.2f}<extra></extra>",
            colorbar={"thickness": 12, "outlinewidth": 0, "x": 1.01, "tickfont": {"color": strong, "size": 12}},
        )
    )
    for panel in (a, b):
        if hides_part_of_photo(panel.explanation.view):
            _outline(figure, "", panel)
    title = (
        f"<b>{_escape(captions.model_caption(a))}</b> (red) − <b>{_escape(captions.model_caption(b))}</b> (blue)"
    )
    note = "shares of each map's own maximum" if style.scale == "each" else "shares of one full scale"
    figure.update_layout(title={"text": f"{title}<br>{note}", "font": {"size": 14, "color": strong}, "x": 0.01})
    _opacity_slider(figure, [0], style, theme)
    return figure


# -------------------------------------------------------------------------------------------- for the viewer


def plotly_script() -> str:
    """plotly.js itself, about 4.8 MB, for a page that carries all it needs."""
    return get_plotlyjs()


def panel_plot(panel: Panel, heat: ScaledMap | None, style: Style) -> dict[str, Any]:
    """One panel as `data` and `layout` of Plotly, without the photo and the colours, which the viewer puts in.

    No trace where there is no map, or no positive evidence in it.
    """
    trace = None
    if isinstance(panel, Heatmap) and heat is not None and not heat.note:
        trace = _heat(panel, heat, style)
        trace.update(
            customdata=_percents(heat.values),
            hovertemplate="heat %{z:.3g}<br>%{customdata[0]} % of full colour<extra></extra>",
        )
    return _plot(panel.photo.size, trace, [panel])


def difference_plot(a: Heatmap, b: Heatmap, style: Style) -> dict[str, Any]:
    """A − B of two maps of one photo as `data` and `layout` of Plotly, as `panel_plot` does one.

    Raises: OptionError where the photos differ.
    """
    grid = fit_within(a.photo.size, 160, 160)
    apart = difference(a, b, style.scale, grid)
    scaled = scale_panels((a, b), style.scale)
    shares = [project_to_photo(scaled[panel].values, panel.explanation.view, grid) for panel in (a, b)]
    rows, columns = (np.flatnonzero(np.isfinite(apart).any(axis)) for axis in (1, 0))  # what both saw: a rectangle
    if not rows.size:
        return _plot(a.photo.size, None, [a, b])
    both = np.ix_(rows, columns)
    dx, dy = a.photo.size[1] / grid[1], a.photo.size[0] / grid[0]
    trace = go.Heatmap(
        z=apart[both],
        x0=(columns[0] + 0.5) * dx,
        dx=dx,
        y0=(rows[0] + 0.5) * dy,
        dy=dy,
        zmin=-1,
        zmax=1,
        zsmooth="best",
        showscale=False,
        customdata=_percents(*(share[both] for share in shares)),
        hovertemplate="A − B %{z:.2f}<br>A %{customdata[0]} %, B %{customdata[1]} %<extra></extra>",
    )
    return _plot(a.photo.size, trace, [a, b])


def _percents(*shares: Values) -> render.Pixels:
    """Shares of full colour as `[h, w, len(shares)]`, what a cell's hover text takes its numbers from."""
    return (100 * np.stack(shares, 2)).round().astype(np.uint8)


def _plot(size: tuple[int, int], trace: go.Heatmap | None, panels: Sequence[Panel]) -> dict[str, Any]:
    """A figure that fills its place to the edge: axes are photo pixels, square, y downwards."""
    height, width = size
    axis = {"visible": False, "constrain": "domain"}
    figure = go.Figure([trace] if trace else [], {"template": "none"})
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        hoverlabel={"bgcolor": "#141414", "bordercolor": "#f5f5f5", "font": {"size": 12, "color": "#ffffff"}},
        xaxis={**axis, "range": [0, width]},
        yaxis={**axis, "range": [height, 0], "scaleanchor": "x"},
    )
    for panel in panels:
        if isinstance(panel, Heatmap) and hides_part_of_photo(panel.explanation.view):
            _outline(figure, "", panel)
    return json.loads(figure.to_json() or "{}")


# ----------------------------------------------------------------------------------------------- predictions


def prediction_bars(explanation: Explanation, count: int = 5, *, theme: Theme = "light") -> go.Figure:
    """The most probable classes of one explanation as small bars with their probabilities as text."""
    top = explanation.top(count)
    strong, _ = _TEXT[theme]
    asked = {target.label for target in explanation.targets}
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in top],
            y=list(range(len(top))),
            orientation="h",
            text=[f"{_escape(shorten(label, 30))} · {percent(share)}" for label, share in top],
            customdata=[_escape(label) for label, _ in top],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 12, "color": strong},
            marker={"color": ["#2563eb" if label in asked else "#94a3b8" for label, _ in top]},
            hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
        )
    )
    figure.update_layout(
        height=16 + 26 * len(top),
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        xaxis={"visible": False, "range": [0, 2.4], "fixedrange": True},
        yaxis={"visible": False, "autorange": "reversed", "fixedrange": True},
        bargap=0.35,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
    )
    return figure


def weight_bars(alpha: NDArray[np.float32], *, theme: Theme = "light") -> go.Figure:
    """The weights α of all channels (eq. 1) as bars, from the largest to the smallest."""
    order = np.argsort(-alpha, kind="stable")
    strong, quiet = _TEXT[theme]
    figure = go.Figure(
        go.Bar(
            x=list(range(1, len(alpha) + 1)),
            y=alpha[order],
            customdata=order,
            marker={"color": ["#2563eb" if alpha[k] > 0 else "#b4552d" for k in order], "line": {"width": 0}},
            hovertemplate="map %{customdata}<br>α = %{y:.3g}<extra></extra>",
        )
    )
    axis = {"tickfont": {"size": 12, "color": strong}, "gridcolor": "rgba(128,128,128,0.25)", "fixedrange": True}
    figure.update_layout(
        height=240,
        bargap=0 if len(alpha) > 60 else 0.2,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        xaxis={
            **axis,
            "title": {"text": "maps by weight", "font": {"size": 12, "color": quiet}},
            "showgrid": False,
        },
        yaxis={**axis, "title": {"text": "α", "font": {"size": 13, "color": strong}}, "zerolinecolor": quiet},
    )
    return figure


def _escape(text: str) -> str:
    """Text that neither HTML nor Plotly's own markup can mistake for tags; quotes are no danger between tags."""
    return html.escape(text, quote=False)


def _folded(text: str, width: int) -> str:
    """Text escaped and broken into a few short lines for the middle of a panel."""
    return "<br>".join(map(_escape, textwrap.wrap(text, width, max_lines=6, placeholder=" …")))
