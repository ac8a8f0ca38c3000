"""Shows a comparison: the linked heatmaps of each photo, and under each what the model says."""

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
from gradcam.draw import Theme, model_caption, panel_width
from gradcam.text import dimensions, percent

GAP = 22
"""Pixels between panels in the viewer's own grid: facts wrap where heatmaps do, and so stand under them."""


def show_comparison(comparison: Comparison, style: Style, key: str = "photo", *, titled: bool = True) -> Style:
    """Show every photo with its heatmaps, predictions, layers and failures; return the style as set in the toolbar.

    What one model says stands beside its heatmaps, and what each of several says below its own.
    key: differs between the pages that show a comparison. titled: whether each photo's name stands above it.
    """
    base = session.settled_look(style, what_is_shown(comparison, key))
    scaled = comparison.scaled(base)
    chosen = view_tools(comparison.heatmaps, base, f"{key}-tools", scaled, markable=True)
    alone = len(comparison.models) == 1
    for index, photo in enumerate(comparison.photos):
        if titled:
            st.header(escape_markdown(photo.name), anchor=False)
        pictures, words = st.columns(2, gap="medium") if alone else (st.container(), st.container())
        with pictures:
            view_photo(comparison, photo, base, f"{key}-{index}")
        with words, st.grid(len(comparison.models), min_column_width=panel_width(len(comparison.models)), gap=GAP):
            for number, model in enumerate(comparison.models):
                with st.container(gap="xsmall"):
                    panels = comparison.of(photo=photo, model=model)
                    show_facts(panels, named=not alone)
                    offer_large(panels, scaled, chosen, f"{key}-{index}-{number}")
    session.keep_look(chosen)
    return chosen


def what_is_shown(comparison: Comparison, key: str) -> object:
    """Return what tells `session.settled_look` one comparison from another: photos, and one model or several."""
    return key, [photo.sha256 for photo in comparison.photos], len(comparison.models) > 1


def show_facts(panels: Sequence[Panel], lead: str = "", *, named: bool = True) -> None:
    """Show what one model says of one photo: its name, a leading sentence, predictions, layer and why that layer.

    What failed, and how long it took, is said in the viewer.
    """
    found = [panel.explanation for panel in panels if isinstance(panel, Heatmap)]
    explanation = max(found, key=lambda one: one.layer is not None, default=None)  # the first that tells the layer
    if named:
        st.html(name_html(model_caption(panels[0]), panels[0].model))
    if explanation is None:
        waits = all(isinstance(panel, Failure) and panel.reason == results.WAITING for panel in panels)
        st.caption("Not computed yet." if waits else "No predictions, for the reason given above.")
        return
    if lead:
        st.markdown(lead)
    st.html(predictions_html(explanation, f"{model_caption(panels[0])} predicts"))
    if knows := library.knows(panels[0].model):
        st.caption(f"Knows {escape_markdown(knows)} and nothing else; this photo may show none.")
    layer, grid = explanation.layer, f"{dimensions(*explanation.grid)} grid"
    if layer is None:
        st.caption(f"No layer · {grid}")
        return
    why = f"pinned on the page Layers, {layer.rule}" if panels[0].model in session.pinned() else layer.rule
    facts = f"<code>{escape(layer.name)}</code> · {grid}"
    st.html(f'<details class="why"><summary>{facts}</summary><p>Why this layer: {escape(why)}.</p></details>')


def predictions_html(explanation: Explanation, title: str) -> str:
    """The most probable classes with their probabilities, each over a bar; those that were asked for in blue."""
    targets = {target.label for target in explanation.targets}
    rows = "".join(
        f'<li{" class=asked" if label in targets else ""}><span style="background-size: {100 * share:.1f}% 100%">'
        f"{escape(label)}</span> <b>{percent(share)}</b></li>"
        for label, share in explanation.top()
    )
    return f'<ol class="predictions" aria-label="{escape(title)}">{rows}</ol>'


def theme() -> Theme:
    """Return the theme that the visitor's browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"
