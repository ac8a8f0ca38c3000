"""Boxes: how a measure is spread over photos, model by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from gradcam.draw.figures.parts import TEXT, Theme, escape
from gradcam.text import shorten

COLOURS = ("#2563eb", "#b4552d", "#5b7f2b", "#7a4fa3", "#a8761c", "#3d5a9e", "#9e3d64", "#4a7f74")
MOST_POINTS = 500
"""Values of one model that are drawn one by one; of more, only those far from the others."""


def measure_boxes(
    values: Mapping[str, Sequence[float]],
    means: Mapping[str, tuple[float, float, float]],
    title: str,
    *,
    theme: Theme = "light",
) -> go.Figure:
    """A box for each model over its values, with a diamond at the mean and a bar for the interval of the mean.

    means: mean, low end and high end, by model. title: what is measured.
    """
    strong, _ = TEXT[theme]
    figure = go.Figure()
    for number, (name, found) in enumerate(values.items()):
        mean, low, high = means[name]
        colour, label = COLOURS[number % len(COLOURS)], escape(shorten(name, 30))
        points = "all" if len(found) <= MOST_POINTS else "outliers"
        figure.add_box(
            x=list(found),
            name=label,
            boxpoints=points,
            jitter=0.5,
            pointpos=0,
            line={"color": colour},
            marker={"size": 3},
        )
        figure.add_scatter(
            x=[mean],
            y=[label],
            mode="markers",
            marker={"symbol": "diamond", "size": 11, "color": strong},
            error_x={"type": "data", "array": [high - mean], "arrayminus": [mean - low], "color": strong},
            hovertemplate=f"{label}: mean %{{x:.3f}}<extra></extra>",
        )
    axis = {
        "tickfont": {"size": 12, "color": strong},
        "fixedrange": True,
    }  # as a page's theme has it faint
    figure.update_layout(
        height=90 + 70 * len(values),
        margin={"l": 4, "r": 12, "t": 8, "b": 44},
        xaxis={
            **axis,
            "title": {"text": title, "font": {"size": 13, "color": strong}},
            "gridcolor": "rgba(128,128,128,0.25)",
        },
        yaxis={**axis, "autorange": "reversed"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
    )
    return figure
