"""Bars: the most probable classes of an explanation, and the weights of a layer's feature maps."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gradcam.draw.figures.parts import TEXT, Theme, escape
from gradcam.text import percent, shorten
from gradcam.types import Explanation


def prediction_bars(explanation: Explanation, count: int = 5, *, theme: Theme = "light") -> go.Figure:
    """The most probable classes of one explanation as small bars with their probabilities as text."""
    top = explanation.top(count)
    strong, _ = TEXT[theme]
    targets = {target.label for target in explanation.targets}
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in top],
            y=list(range(len(top))),
            orientation="h",
            text=[f"{escape(shorten(label, 30))} · {percent(share)}" for label, share in top],
            customdata=[f"{escape(label)}: {percent(share)}" for label, share in top],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 12, "color": strong},
            marker={"color": ["#2563eb" if label in targets else "#94a3b8" for label, _ in top]},
            hovertemplate="%{customdata}<extra></extra>",
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
    strong, quiet = TEXT[theme]
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
