"""Shows models that have no map at all as one line each, so that the grid has no holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape

import streamlit as st

from dashboard import library, results
from dashboard.components.progress import waiting_models
from dashboard.session import Key
from gradcam import Comparison, ModelError
from gradcam.draw import request_caption
from gradcam.model_spec import display_name, untrained
from gradcam.text import listed

_PASSING = {results.CANCELLED, results.WAITING}
"""Why a panel has no map yet."""


def show_failed(comparison: Comparison) -> Comparison:
    """Say of models and classes without a map why, in lines that open; return the comparison of the others.

    Models share a line where they share a reason. The lines are open where there is nothing else to see. What was
    cancelled is said where it can be continued.
    """
    mapped = {panel.model for panel in comparison.heatmaps} | set(waiting_models(comparison))
    by_reason: dict[str, list[str]] = {}
    for model in comparison.models:
        reasons = dict.fromkeys(panel.reason for panel in comparison.failures if panel.model == model)
        reasons.pop(results.CANCELLED, None)
        if reasons and model not in mapped:
            by_reason.setdefault("; ".join(reasons), []).append(model)
    for reason, models in by_reason.items():
        if len(models) == 1:
            _show_line(models[0], reason, is_open=not mapped)
        else:  # what all of them lack is in the question, so no other model is offered
            st.html(failed_html(models, reason, is_open=not mapped), width="stretch")
    return _show_lost(comparison.with_models(mapped))


def _show_lost(comparison: Comparison) -> Comparison:
    """Say of classes that no model has a map of why, a line each; return the comparison of the others."""
    mapped, kept = {panel.target for panel in comparison.heatmaps}, []
    for target in comparison.targets:
        reasons = dict.fromkeys(panel.reason for panel in comparison.failures if panel.target == target)
        if target in mapped or not mapped or _PASSING & reasons.keys():
            kept.append(target)
        else:
            st.html(_line_html([f"<b>{escape(request_caption(target))}</b>"], "; ".join(reasons)))
    return comparison.with_targets(kept)


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
        st.html(failed_html([model], reason, is_open=is_open), width="stretch")
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


def failed_html(models: Sequence[str], reason: str, *, is_open: bool = False) -> str:
    """Write in one line, which opens, why models have no map."""
    names = [f'<b title="{escape(model)}">{escape(display_name(model))}</b>' for model in models]
    return _line_html(names, reason, is_open=is_open)


def _line_html(names: Sequence[str], reason: str, *, is_open: bool = False) -> str:
    """Write why what is named has no map. names: HTML."""
    have, opened = "has" if len(names) == 1 else "have", " open" if is_open else ""
    said = f"{listed(names)} {have} no map: {escape(reason)}"
    return f'<details{opened} class="failed"><summary>{said}</summary></details>'


def _replace(model: str, others: list[str]) -> None:
    """Choose other models in a model's place."""
    chosen = [other for one in st.session_state[Key.MODELS] for other in (others if one == model else [one])]
    st.session_state[Key.MODELS] = list(dict.fromkeys(chosen))
