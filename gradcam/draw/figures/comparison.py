"""A whole comparison as one Plotly figure: panels of a photo zoom together, the pointer reads values."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import cache, partial

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from gradcam.comparison import Comparison
from gradcam.draw import captions, render
from gradcam.draw.figures.parts import TEXT, Theme, escape, heat_trace, mark_shapes, outline_shapes
from gradcam.kinds import expect_one_of
from gradcam.text import shorten
from gradcam.types import Blend, Failure, Heatmap, Panel, Photo, ScaledMap, Style

_LONG_SIDE = 640
_WIDTH, _GAP, _TITLE = 1200, 24, 58
"""Nominal width, gap between columns and room for a panel's title, in pixels."""


def comparison_figure(comparison: Comparison, style: Style | None = None, *, theme: Theme = "light") -> go.Figure:
    """The comparison as one Plotly figure: a row for each photo and target, a column for each model.

    Axes are photo pixels, y downwards; the panels of one photo zoom and pan together. A slider in the figure sets
    the opacity and keeps the zoom. Show it with `PLOTLY_CONFIG`.

    Raises: OptionError where the style or the theme is outside its choices, MapError where a map is not finite.
    """
    style = style or Style()
    render.check_style(style)
    expect_one_of(TEXT, theme, "a theme")
    scaled = comparison.scaled(style)
    rows, columns = list(comparison.rows()), len(comparison.models)
    figure = _frame([row.photo.size for row in rows], columns)
    image = cache(partial(render.jpeg_uri, long_side=_LONG_SIDE))
    by_method = len(comparison.methods) > 1
    first: dict[Photo, str] = {}
    heats: list[int] = []
    for number, row in enumerate(rows, start=1):
        for column, panel in enumerate(row.panels, start=1):
            axis = _axis(figure, number, column)
            signed = isinstance(panel, Heatmap) and scaled[panel].signed
            photo = image(row.photo, in_grey=signed)
            _place_photo(figure, axis, first.setdefault(row.photo, axis), panel, photo)
            _title(figure, axis, panel, columns, theme, by_method)
            if isinstance(panel, Failure):
                _notice(figure, axis, "<b>No map</b><br>" + _folded(panel.reason, _room(columns)), panel.reason)
                continue
            if not scaled[panel].note:
                heats.append(len(figure.data))  # pyright: ignore[reportArgumentType]
            _place_heat(figure, axis, panel, scaled[panel], style)
    figure.add_trace(_colour_bar(figure, style, scaled, theme))
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
    look = {
        "colorscale": plotly_scale(style.colormap, style.threshold, style.blend, signed=heat.signed),
        "opacity": 0 if heat.note else style.opacity,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
    }
    figure.add_trace(heat_trace(panel, heat, style) | look)
    if heat.note:
        _notice(figure, axis, heat.note)
    for shape in outline_shapes(panel, axis) + mark_shapes(panel.photo, axis):
        figure.add_shape(shape)


def _notice(figure: go.Figure, axis: str, text: str, more: str = "") -> None:
    """Words over the middle of a panel, dark behind them so that they can be read on any photo."""
    figure.add_annotation(
        text=text,
        hovertext=escape(more),
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


def _title(figure: go.Figure, axis: str, panel: Panel, columns: int, theme: Theme, by_method: bool) -> None:
    """Model, target and probability above a panel, and the method where there are several."""
    room = _room(columns)
    target = captions.target_caption(panel)
    about = captions.model_caption(panel), f"{target} · {panel.method}" if by_method else target
    lines = [shorten(line, room) for line in about]
    if isinstance(panel, Heatmap) and panel.explanation.model.untrained and "untrained" not in lines[0]:
        lines[0] = shorten(panel.model, max(8, room - 12)) + " (untrained)"
    strong, quiet = TEXT[theme]
    figure.add_annotation(
        text=f"<b>{escape(lines[0])}</b><br><span style='color:{quiet}'>{escape(lines[1])}</span>",
        hovertext=escape("\n".join(filter(None, (captions.model_caption(panel), captions.layer_caption(panel))))),
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


def _colour_bar(figure: go.Figure, style: Style, scaled: Mapping[Heatmap, ScaledMap], theme: Theme) -> go.Scatter:
    """A trace without points that carries the colour bar of all panels."""
    bar = captions.colour_bar(style, scaled)
    shares = captions.BAR_SHARES[bar.signed]
    strong, quiet = TEXT[theme]
    margin = figure.layout.margin
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        hoverinfo="skip",
        marker={
            "color": [0],
            "cmin": shares[0],
            "cmax": 1,
            "colorscale": plotly_scale(style.colormap, style.threshold, signed=bar.signed),
            "showscale": True,
            "colorbar": {
                "title": {
                    "text": escape(bar.title).replace(" of ", " of<br>"),
                    "side": "right",
                    "font": {"size": 12, "color": quiet},
                },
                "tickvals": shares,
                "ticktext": bar.numbers,
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
    strong, _ = TEXT[theme]
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


def plotly_scale(
    name: str, threshold: float = 0.0, blend: Blend = "even", *, signed: bool = False
) -> list[tuple[float, str]]:
    """One of `render.COLORMAPS` as a Plotly colour scale, transparent below `threshold`; see `render.colourise`.

    signed: red and blue around zero, which is in the middle of the scale.
    """
    if signed:
        heat = _stops(render.colormap("red-blue")[128:], threshold, blend)
        cold = _stops(render.colormap("red-blue")[127::-1], threshold, blend)
        return [
            *(((1 - place) / 2, colour) for place, colour in reversed(cold)),
            *(((1 + place) / 2, colour) for place, colour in heat),
        ]
    return _stops(render.colormap(name), threshold, blend)


def _stops(colours: render.Pixels, threshold: float, blend: Blend) -> list[tuple[float, str]]:
    """Colours `[levels, 3]` as Plotly's stops from 0 to 1."""
    table, most = colours.tolist(), len(colours) - 1

    def colour(value: float, alpha: float | None = None) -> str:
        red, green, blue = table[round(most * value)]
        alpha = (value if blend == "evidence" else 1) if alpha is None else alpha
        return f"rgb({red},{green},{blue})" if alpha == 1 else f"rgba({red},{green},{blue},{alpha:.4g})"

    values = [level / most for level in range(most + 1)]
    if not threshold:
        return [(value, colour(value)) for value in values]
    first, clear = colour(threshold), colour(threshold, 0)
    seen = [(value, colour(value)) for value in values if value > threshold]
    return [(0.0, clear), (threshold, clear), (threshold, first), *(seen or [(1.0, first)])]


def _folded(text: str, width: int) -> str:
    """Text escaped and broken into a few short lines for the middle of a panel."""
    return "<br>".join(map(escape, textwrap.wrap(text, width, max_lines=6, placeholder=" …")))
