"""Runs a comparison: shows its progress by model, lets the visitor stop it, and says what finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import library, results
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_markdown
from dashboard.components.request import Request
from gradcam import Comparison, Failure, Photo, Progress, Target
from gradcam.text import count

WORTH_A_TOAST = 2.0
"""Seconds: what takes longer may have been left alone, and says when it is there."""

AT_ONCE = 0.5
"""Seconds: what is computed within them appears together, for a run of the page takes part of a second itself."""

AHEAD = 2
"""Models that load at the same time: the one whose turn it is, and the next. More would make both slower."""

_SHOWN, _CANCELLED, _STARTED, _FAILED = "_shown", "_cancelled", "_started", "_failed"


def run_comparison(models: Sequence[str], photos: Sequence[Photo], request: Request) -> Comparison:
    """Compare, with a bar for each model; nothing is shown where everything is there already.

    *Cancel* needs no thread: a click reruns the page, and that ends this run at its next word, which comes before
    each explanation, before every few forwards of a method that needs many, and several times a second while a
    model loads. `results` keeps what has finished. A model, which everybody shares, goes on loading for the next
    visitor who asks.
    """
    run_key = (tuple(models), tuple(photo.sha256 for photo in photos), request)
    if st.session_state.get(_CANCELLED) == run_key:
        return _what_finished(models, photos, request)
    slot, below = st.empty(), st.empty()
    bars = _Bars(slot, models, len(photos), run_key)
    if _SHOWN not in st.session_state:
        below.skeleton(height=420)
    comparison = results.compared(models, photos, request.targets, **request.options, on_progress=bars.show)
    slot.empty()
    below.empty()
    st.session_state[_SHOWN] = True
    bars.say_what_finished(comparison)
    return comparison


def begin_comparison(
    models: Sequence[str], photos: Sequence[Photo], request: Request
) -> tuple[Comparison, Callable[[], None]]:
    """Return what is there of a comparison, and a function that computes the next models and runs the page again.

    Call the function at the end of the page: so each model appears as soon as it is ready, while the others load.
    Models that are there and take no time appear together.
    """
    run_key = (tuple(models), tuple(photo.sha256 for photo in photos), request)
    if st.session_state.get(_CANCELLED) == run_key:
        return _what_finished(models, photos, request), lambda: None
    slot = st.empty()
    here = results.kept(models, photos, request.targets, **request.options, reason=results.WAITING)
    comparison = _with_failures(here, run_key)
    waiting = waiting_models(comparison)
    if not waiting:
        _say_what_finished(comparison, run_key)
        return comparison, lambda: None
    if not comparison.heatmaps:
        st.skeleton(height=420)

    def go_on() -> None:
        if st.session_state.get(_STARTED, (None, 0.0))[0] != run_key:
            st.session_state[_STARTED] = run_key, time.monotonic()
        bars = _Bars(slot, models, len(photos), run_key)
        ends = time.monotonic() + AT_ONCE
        for position, model in enumerate(waiting):
            loading = library.load_ahead(waiting[position : position + AHEAD])
            found = results.compared([model], photos, request.targets, **request.options, on_progress=bars.show)
            _keep_failures(found, run_key)
            if time.monotonic() > ends or not all(load.done() for load in loading.values()):
                break
        st.rerun()

    return comparison, go_on


def waiting_models(comparison: Comparison) -> list[str]:
    """Return the models of which something has not been computed yet."""
    return list(dict.fromkeys(panel.model for panel in comparison.failures if panel.reason == results.WAITING))


def _place(panel: Failure) -> tuple[str, str, str, Target]:
    return panel.photo.sha256, panel.model, panel.method, panel.target


def _keep_failures(comparison: Comparison, run_key: object) -> None:
    """Keep the reasons of what could not be computed until this run ends."""
    known = st.session_state.get(_FAILED, (None, 0.0, {}))
    failed = known[2] if known[0] == run_key else {}
    failed |= {_place(panel): panel.reason for panel in comparison.failures}
    st.session_state[_FAILED] = run_key, time.monotonic(), failed


def _with_failures(comparison: Comparison, run_key: object) -> Comparison:
    """Add the reasons of what could not be computed in this run, which nothing else keeps."""
    known, at, failed = st.session_state.get(_FAILED, (None, 0.0, {}))
    is_old = time.monotonic() - at > library.SECONDS_BEFORE_RETRY and _STARTED not in st.session_state
    if known != run_key or is_old:
        return comparison
    panels = (
        replace(panel, reason=failed.get(_place(panel), panel.reason)) if isinstance(panel, Failure) else panel
        for panel in comparison.panels
    )
    return replace(comparison, panels=tuple(panels))


def _say_what_finished(comparison: Comparison, run_key: object) -> None:
    """Say at the end of a run that took a while what it computed."""
    known, started = st.session_state.pop(_STARTED, (None, 0.0))
    if known == run_key and time.monotonic() - started >= WORTH_A_TOAST:
        _toast(comparison.models, comparison)


def _toast(models: Sequence[str], comparison: Comparison) -> None:
    mapped = {panel.model for panel in comparison.heatmaps}  # perhaps not for each class, which the page says
    done = [name_markdown(model) for model in models if model in mapped]
    left = [name_markdown(model) for model in models if model not in mapped]
    if done:
        st.toast(f"Finished: {', '.join(done)}", icon=":material/check:")
    if left:
        st.toast(f"Without a map: {', '.join(left)}; the page says why", icon=":material/error:")


def _what_finished(models: Sequence[str], photos: Sequence[Photo], request: Request) -> Comparison:
    """Return what a cancelled comparison has, and offer to go on with it."""
    comparison = results.kept(models, photos, request.targets, **request.options, reason=results.CANCELLED)
    mapped = {panel.model for panel in comparison.heatmaps}
    left = ", ".join(f"**{name_markdown(model)}**" for model in models if model not in mapped)
    st.info(
        f"Cancelled. {len(comparison.heatmaps)} of {count(len(comparison.panels), 'heatmap')} had finished"
        + (" and are kept." if mapped else ".")
        + (f" Without one: {left}." if mapped and left else ""),
        icon=":material/cancel:",
    )
    st.button("Continue", on_click=st.session_state.pop, args=(_CANCELLED, None), icon=":material/play_arrow:")
    return comparison


def _cancel(run_key: object) -> None:
    st.session_state[_CANCELLED] = run_key


class _Bars:
    """A bar for each model and the button that stops them, drawn at the first word of progress."""

    def __init__(self, slot: DeltaGenerator, models: Sequence[str], photos: int, run_key: object) -> None:
        self._slot, self._models, self._steps, self._run_key = slot, models, photos + 1, run_key
        self._bars: dict[str, DeltaGenerator] = {}
        self._started = time.monotonic()
        self._worked: list[str] = []

    def show(self, progress: Progress) -> None:
        if not self._bars:
            with self._slot.container(border=True):
                self._bars = {
                    model: st.progress(0.0, f"{name_markdown(model)} · waiting") for model in self._models
                }
                st.button("Cancel", on_click=_cancel, args=(self._run_key,), icon=":material/close:")
        if progress.model not in self._worked:
            self._worked.append(progress.model)
            for model in self._models[: self._models.index(progress.model)]:
                self._bars[model].progress(1.0, f"{name_markdown(model)} · done")
        done, total = progress.forwards or (0, 1)
        share = (progress.done % self._steps + done / total) / self._steps  # the first is loading
        doing = "loading" if progress.photo is None else f"explaining {escape_markdown(progress.photo)}"
        doing += f" · {done:,} of {total:,} forwards" if progress.forwards else ""
        self._bars[progress.model].progress(share, f"**{name_markdown(progress.model)}** · {doing}")

    def say_what_finished(self, comparison: Comparison) -> None:
        if time.monotonic() - self._started < WORTH_A_TOAST:
            return
        _toast(self._worked, comparison)
