"""Shows how far the models agree on one photo: in numbers, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import library, results, session
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_html, name_markdown
from dashboard.components.panels import what_is_shown
from dashboard.components.single_choice import pick_one
from dashboard.components.viewer import view_difference
from dashboard.session import Key
from gradcam import Comparison, Heatmap, Panel, Style
from gradcam.draw import DIFFERS, model_caption, request_caption
from gradcam.measures import comparable, iou_of_hottest, rank_correlation
from gradcam.model_spec import display_name, short_name
from gradcam.text import minus_sign, percent

UNSAID = "–"
"""Stands for a number that two maps do not have: one of them is missing, or has no contrast."""


def show_agreement(comparison: Comparison, style: Style, key: str = "photo") -> None:
    """Show a table of how far every two models agree, and the difference of any two.

    key: as given to `show_comparison`, which comes before.
    """
    st.header("How far the models agree", anchor=False)
    if len(comparison.models) < 2:
        st.caption("Add a second model in the sidebar to see where the two agree and where they differ.")
        return
    photo = comparison.photos[pick_one("Photo", [photo.name for photo in comparison.photos], Key.SHOWN_PHOTO)]
    requests = [request_caption(target) for target in comparison.targets]
    target = comparison.targets[pick_one("Class", requests, Key.SHOWN_CLASS)]
    method = comparison.methods[pick_one("Method", comparison.methods, Key.SHOWN_METHOD)]
    panels = comparable(comparison.of(photo=photo, method=method, target=target))
    left_out = [model for model in comparison.models if model not in {panel.model for panel in panels}]
    if left_out:
        st.info(_why_left_out(left_out, panels), icon=":material/filter_alt:")
    if len(panels) < 2:
        return
    mapped = [panel for panel in panels if isinstance(panel, Heatmap)]
    if len(mapped) < 2:
        st.caption("Nothing to compare: fewer than two models have a heatmap.")
        return
    _show_tables(panels)
    base = session.settled_look(style, what_is_shown(comparison, key))
    _show_difference(mapped, base, f"{key}-difference")


def _why_left_out(models: Sequence[str], kept: Sequence[Panel]) -> str:
    """Say why the predictions of these models are not compared with the others', and what all could be asked."""
    who = "; ".join(f"**{name_markdown(model)}**, which knows {library.knows(model)} only" for model in models)
    names = [library.class_names(model) for model in (*models, *(panel.model for panel in kept))]
    common = [name for name in names[0] if all(name in other for other in names)]
    advice = f"Ask for a class that all know, such as *{escape_markdown(common[0])}*." if common else ""
    what = "What it predicts is" if len(models) == 1 else "What they predict is"
    return f"Left out: {who}. {what} no answer to the same question. {advice}".strip()


def _show_tables(panels: Sequence[Panel]) -> None:
    correlations = results.agreements(panels, rank_correlation)
    overlaps = results.agreements(panels, iou_of_hottest)
    names = [model_caption(panel) for panel in panels]
    st.markdown(_summary(names, correlations))
    if not _pairs(correlations):
        return
    pinned = [name for name, panel in zip(names, panels, strict=True) if panel.model in session.pinned()]
    if pinned:
        st.warning(
            f"{escape_markdown(' and '.join(pinned))} {'is' if len(pinned) == 1 else 'are'} drawn on a pinned "
            "layer: these "
            "numbers compare layers as well as models. Unpin in the sidebar to compare the models' own layers.",
            icon=":material/keep:",
        )
    with st.grid(2, min_column_width=320, gap="medium"):
        st.html(matrix_html("Rank correlation", names, correlations))
        st.html(matrix_html("Overlap of the hottest fifths", names, overlaps))
    st.caption(
        "Measured on the photo's own pixels that both models saw. *Rank correlation* (Spearman): 1 where two maps "
        "put all pixels in the same order, 0 where the orders have nothing in common, −1 where they are opposite. "
        "*Overlap*: intersection over union of the hottest fifth of the pixels of each, from 0 to 1. "
        f"*{UNSAID}*: one of the two has no map, or one without contrast."
    )


def _summary(names: Sequence[str], table: NDArray[np.float64]) -> str:
    """Say in a sentence which two models agree most and which least."""
    pairs = _pairs(table)
    if not pairs:
        return "How far they agree cannot be said: fewer than two of them have a map with contrast."
    least, most = (choose(pairs, key=pairs.__getitem__) for choose in (min, max))

    def sentence(pair: tuple[int, int]) -> str:
        a, b = (f"**{escape_markdown(names[model])}**" for model in pair)
        return f"{a} and {b}, rank correlation\N{NO-BREAK SPACE}{_number(pairs[pair])}"

    if len(pairs) == 1:
        return f"{sentence(least)}."
    return f"Most alike: {sentence(most)}. Least alike: {sentence(least)}."


def _pairs(table: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """The numbers that two models have, by their places in the table."""
    return {(a, b): table[a, b] for b in range(len(table)) for a in range(b) if np.isfinite(table[a, b])}


def matrix_html(title: str, names: Sequence[str], table: NDArray[np.float64]) -> str:
    """Write a symmetric table of numbers with its names, tinted by size: blue above zero, red below."""
    numbers = range(1, len(names) + 1)
    head = "".join(
        f'<th scope="col" title="{escape(name)}">{number}</th>' for number, name in zip(numbers, names, strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row">{name_html(f"{number} {short_name(name)}", name)}</th>'
        + "".join(_cell(value, itself=index == number - 1) for index, value in enumerate(row))
        + "</tr>"
        for number, name, row in zip(numbers, names, table, strict=True)
    )
    return (
        f'<div class="sideways" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="agreement" style="--columns: {len(names)}">'
        f"<caption>{escape(title)}</caption>"
        f'<thead><tr><th scope="col">Model</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(value: float, itself: bool) -> str:
    if itself:
        return '<td class="itself"></td>'
    if np.isnan(value):
        return f"<td>{UNSAID}</td>"
    tint = "58, 123, 240" if value >= 0 else "226, 84, 62"
    return f'<td style="background: rgba({tint}, {0.45 * min(abs(value), 1):.2f})">{_number(value)}</td>'


def _number(value: float) -> str:
    return minus_sign(f"{value:.2f}")


def _show_difference(panels: Sequence[Heatmap], style: Style, key: str) -> None:
    """Show A − B of two panels that the visitor picks, between A and B; at first of those that agree least."""
    st.subheader("Where two of them differ", anchor=False)
    names = [panel.model for panel in panels]
    pairs = _pairs(results.agreements(panels, rank_correlation))
    first, second = (names[place] for place in (min(pairs, key=pairs.__getitem__) if pairs else (0, 1)))
    with st.grid(3, min_column_width=280, vertical_alignment="bottom"):
        a = _pick("A", names, Key.DIFFERENCE_A, first)
        others = [name for name in names if name != a]
        b = _pick("B", others, Key.DIFFERENCE_B, second if second != a else first)
        fade = st.toggle(
            "Show only where they differ",
            help="Fades the photo where both models put the same heat. Nothing is faded where their heats are "
            f"{percent(DIFFERS, 0)} of full colour apart, or more.",
            **session.linked(Key.FADE),
        )
    view_difference(panels[names.index(a)], panels[names.index(b)], style, key, fade=fade)


def _pick(label: str, names: Sequence[str], key: Key, at_first: str) -> str:
    if st.session_state.get(key) not in (None, *names):
        del st.session_state[key]
    return st.selectbox(label, names, names.index(at_first), format_func=display_name, **session.linked(key))
