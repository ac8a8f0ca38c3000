"""The weights of a layer's feature maps as bars."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gradcam.draw.figures.parts import TEXT, Theme

_FOR, _AGAINST = "#d6604d", "#4393c3"
"""Red and blue, as values above and below zero are coloured everywhere."""


def weight_bars(alpha: NDArray[np.float32], *, theme: Theme = "light") -> go.Figure:
    """The weights α of all channels (eq. 1) as bars, from the largest to the smallest."""
    order = np.argsort(-alpha, kind="stable")
    strong, quiet = TEXT[theme]
    figure = go.Figure(
        go.Bar(
            x=list(range(1, len(alpha) + 1)),
            y=alpha[order],
            customdata=order,
            marker={"color": [_FOR if alpha[k] > 0 else _AGAINST for k in order], "line": {"width": 0}},
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
