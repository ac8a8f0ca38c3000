"""Shows models that have no map at all as one line each, so that the grid has no holes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import streamlit as st

from dashboard import library, results
from dashboard.components.progress import waiting_models
from dashboard.session import Key
from gradcam import Comparison, ModelError
from gradcam.model_spec import display_name, untrained


def show_failed(comparison: Comparison) -> Comparison:
    """Say of each model without a map why, in a line that opens; return the comparison of the others.

    The lines are open where there is nothing else to see. What was cancelled is said where it can be continued.
    """
    mapped = {panel.model for panel in comparison.heatmaps} | set(waiting_models(comparison))
    for model in comparison.models:
        reasons = dict.fromkeys(panel.reason for panel in comparison.failures if panel.model == model)
        reasons.pop(results.CANCELLED, None)
        if reasons and model not in mapped:
            _show_line(model, "; ".join(reasons), is_open=not mapped)
    return comparison.with_models(mapped)


@contextmanager
def show_failure(model: str) -> Iterator[None]:
    """Say in such a line why a model cannot be used, if this block raises a `ModelError`, and go on after it."""
    try:
        yield
    except ModelError as error:
        _show_line(model, str(error), is_open=True)


def _show_line(model: str, reason: str, *, is_open: bool) -> None:
    entry = library.catalogue().get(model)
    key = f"_failed-{model}"  # which style.css knows
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=key):
        st.html(failed_html(model, reason, is_open=is_open), width="stretch")
        if entry and entry.weights.startswith("download"):
            st.button(
                "Use untrained",
                key=f"_untrained-{model}",
                type="tertiary",
                on_click=_replace,
                args=(model, [untrained(model)]),
                help="The same architecture with random weights, labelled so wherever it is shown",
            )
        st.button("Remove", key=f"_leave-{model}", type="tertiary", on_click=_replace, args=(model, []))


def failed_html(model: str, reason: str, *, is_open: bool = False) -> str:
    """Write in one line, which opens, why a model has no map."""
    name = f'<b title="{escape(model)}">{escape(display_name(model))}</b>'
    opened = " open" if is_open else ""
    return f'<details{opened} class="failed"><summary>{name} has no map: {escape(reason)}</summary></details>'


def _replace(model: str, others: list[str]) -> None:
    """Choose other models in a model's place."""
    chosen = [other for one in st.session_state[Key.MODELS] for other in (others if one == model else [one])]
    st.session_state[Key.MODELS] = list(dict.fromkeys(chosen))
