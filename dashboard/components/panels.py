"""A comparison on the page: per photo its linked heatmaps, and under each what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import library, results, session
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_html
from dashboard.components.panel_dialog import offer_large
from dashboard.components.viewer import view_photo, view_tools
from gradcam import Comparison, Explanation, Failure, Heatmap, Panel, Style
from gradcam.draw import PLOTLY_CONFIG, Theme, model_caption, prediction_bars
from gradcam.text import dimensions

GAP = 22
"""Pixels between panels in the viewer's own grid: facts wrap where heatmaps do, and so stand under them."""


def panel_width(models: int) -> int:
    """Pixels below which panels wrap, chosen so that rows come out even: six models as 3 + 3, eight as 4 + 4."""
    return {6: 320, 7: 240, 8: 240}.get(models, 208)


def show_comparison(comparison: Comparison, style: Style, key: str = "photo") -> Style:
    """Every photo with its heatmaps, predictions, layers and failures; returns the style as set in the toolbar.

    key: differs between the pages that show a comparison.
    """
    base = session.settled_look(style, what_is_shown(comparison, key))
    scaled = comparison.scaled(base)
    chosen = view_tools(comparison.heatmaps, base, f"{key}-tools", scaled, markable=True)
    for index, photo in enumerate(comparison.photos):
        st.header(escape_markdown(photo.name), anchor=False)
        view_photo(comparison, photo, base, f"{key}-{index}", least=panel_width(len(comparison.models)) / 16)
        with st.grid(len(comparison.models), min_column_width=panel_width(len(comparison.models)), gap=GAP):
            for number, model in enumerate(comparison.models):
                with st.container(gap="xsmall"):
                    panels = comparison.of(photo=photo, model=model)
                    show_facts(panels, f"{key}-{index}-{number}")
                    offer_large(panels, scaled, chosen, f"{key}-{index}-{number}")
    session.keep_look(chosen)
    return chosen


def what_is_shown(comparison: Comparison, key: str) -> object:
    """What `session.settled_look` is told of a comparison: its photos, and whether a difference joins them."""
    return key, [photo.sha256 for photo in comparison.photos], len(comparison.models) > 1


def show_facts(panels: Sequence[Panel], key: str, lead: str = "") -> None:
    """What one model says of one photo, after a leading sentence: predictions, layer, why that layer, time.

    What failed is said in the viewer.
    """
    found = [panel.explanation for panel in panels if isinstance(panel, Heatmap)]
    explanation = max(found, key=lambda one: one.layer is not None, default=None)  # the first that tells the layer
    st.html(name_html(model_caption(panels[0]), panels[0].model))
    if explanation is None:
        waits = all(isinstance(panel, Failure) and panel.reason == results.WAITING for panel in panels)
        st.caption("Not computed yet." if waits else "No predictions, for the reason given above.")
        return
    if lead:
        st.markdown(lead)
    bars = prediction_bars(explanation, theme=theme())
    alt = f"{model_caption(panels[0])} predicts {_predictions_text(explanation)}."
    st.plotly_chart(bars, key=key, config={**PLOTLY_CONFIG, "displayModeBar": False}, alt=alt)
    if knows := library.knows(panels[0].model):
        st.caption(f"Knows {escape_markdown(knows)} and nothing else; this photo may show none.")
    layer, numbers = explanation.layer, f"{dimensions(*explanation.grid)} grid · {explanation.seconds:.2f} s"
    if layer is None:
        st.caption(f"No layer · {numbers}")
        return
    why = f"pinned on the page Layers, {layer.rule}" if panels[0].model in session.pinned() else layer.rule
    facts = f"<code>{escape(layer.name)}</code> · {numbers}"
    st.html(f'<details class="why"><summary>{facts}</summary><p>Why this layer: {escape(why)}.</p></details>')


def _predictions_text(explanation: Explanation) -> str:
    return ", ".join(f"{label} {share:.0%}" for label, share in explanation.top())


def theme() -> Theme:
    """The theme that the visitor's browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"
