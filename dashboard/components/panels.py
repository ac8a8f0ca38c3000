"""A comparison on the page: per photo a row of linked heatmaps, and under each what the model says.

On a wide window one figure holds a row, so that its panels zoom together; on a phone each model has a figure of its
own above its facts, so that panels stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from dashboard.components.layout import PAGE_WIDTH
from dashboard.components.messages import plain, say_error
from dashboard.components.viewport import is_narrow
from gradcam import Comparison, Explanation, Panel, Style
from gradcam.figures import PLOTLY_CONFIG, Theme, comparison_figure, prediction_bars
from gradcam.render import SCALE_WORDS, model_words, target_words

FIGURE_WIDTH = 1200  # that `comparison_figure` reckons with
LEFT, RIGHT, BELOW = 8, 112, 76  # margins of a row's figure: the colour bar stands to the right, the slider below

# Facts have the figure's own margins, so that they stand under their panels.
_CSS = f"""<style>
[class*="st-key-facts-"] .stAlert p {{ font-size: 0.875rem; }}
@media (min-width: 641px) {{ [class*="st-key-facts-"] {{ padding: 0 {RIGHT}px 0 {LEFT}px; }} }}
</style>"""


def show_comparison(comparison: Comparison, style: Style) -> None:
    """Every photo with its heatmaps, predictions, layers and failures."""
    st.html(_CSS)
    for place, photo in enumerate(comparison.photos):
        alone = _of_photo(comparison, place)
        st.subheader(plain(photo.name), anchor=False)
        if not is_narrow():
            _show_row(alone, style, f"figure-{place}")
        with st.container(key=f"facts-{place}"):
            for model, column in enumerate(st.columns(len(alone.models), gap=22)):
                with column:
                    panels = [alone.panel(0, model, question) for question in range(len(alone.questions))]
                    if is_narrow():
                        _show_stacked(panels, style, f"figure-{place}-{model}")
                    _show_facts(panels, f"bars-{place}-{model}")
    st.caption(SCALE_WORDS[style.scale])


def _of_photo(comparison: Comparison, place: int) -> Comparison:
    """The part of a comparison that belongs to one photo."""
    stride = len(comparison.models) * len(comparison.questions)
    panels = comparison.panels[place * stride : (place + 1) * stride]
    return Comparison((comparison.photos[place],), comparison.models, comparison.questions, panels)


def _show(figure: go.Figure, key: str, alt: str) -> None:
    st.plotly_chart(figure, key=key, config=PLOTLY_CONFIG, alt=alt)


def _show_row(alone: Comparison, style: Style, key: str) -> None:
    """One photo's panels side by side, no taller than the page's width needs."""
    figure = comparison_figure(alone, style, theme=_theme())
    drawn = figure.to_dict()["layout"]
    panels = drawn["height"] - drawn["margin"]["t"] - drawn["margin"]["b"]
    figure.update_layout(
        height=round(drawn["margin"]["t"] + panels * PAGE_WIDTH / FIGURE_WIDTH + BELOW),
        margin={"l": LEFT, "r": RIGHT, "b": BELOW, "autoexpand": False},
    )
    _show(figure, key, _alt(alone))


def _show_stacked(panels: Sequence[Panel], style: Style, key: str) -> None:
    """One model's panels for a phone: as wide as the window, and left alone by a finger that scrolls."""
    questions = tuple(panel.question for panel in panels)
    alone = Comparison((panels[0].photo,), (panels[0].model,), questions, tuple(panels))
    figure = comparison_figure(alone, style, theme=_theme())
    height, width = panels[0].photo.size
    figure.update_layout(height=round(160 + len(panels) * (58 + 330 * height / width)), dragmode=False)
    figure.update_layout(margin={"l": 0, "r": 0})
    figure.update_traces(marker_showscale=False, selector={"type": "scatter"})
    _show(figure, key, _alt(alone))


def _show_facts(panels: Sequence[Panel], key: str) -> None:
    """What one model says of one photo: predictions, layer, why that layer, time; and why a map is missing."""
    for reason in dict.fromkeys(panel.reason for panel in panels if panel.reason):
        say_error(reason)
    explanation = next((panel.explanation for panel in panels if panel.explanation), None)
    if explanation is None:
        return
    bars = prediction_bars(explanation, theme=_theme())
    _show(bars, key, f"{model_words(panels[0])} predicts {_said(explanation)}.")
    layer = explanation.layer
    st.markdown(f"`{layer.name}` · {layer.grid[0]}×{layer.grid[1]} grid · {explanation.seconds:.2f} s")
    st.caption(f"Why this layer: {plain(layer.rule)}.")


def _said(explanation: Explanation) -> str:
    return ", ".join(f"{label} {share:.0%}" for label, share in explanation.top())


def _alt(alone: Comparison) -> str:
    said = "; ".join(f"{model_words(panel)}: {target_words(panel)}" for panel in alone.panels)
    return f"Heatmaps over {alone.photos[0].name}. {said}."


def _theme() -> Theme:
    return "dark" if st.context.theme.type == "dark" else "light"
