"""Shows how far a run is, and lets its visitor cancel, resume or delete it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from dashboard import data_runs
from dashboard.components.messages import escape_markdown, say_error
from dashboard.data_runs import ListedRun
from dashboard.server_folders import without_folders
from dashboard.session import DataKey
from gradcam import GradcamError
from gradcam.runs import HostedRun, Status
from gradcam.text import count

SECONDS_BETWEEN_LOOKS = 2.0

_REASON = "_not_done"


def show_progress(listed: ListedRun) -> None:
    """Show a line about the run, and while it computes a bar that moves by itself."""
    if listed.is_active:
        st.fragment(run_every=SECONDS_BETWEEN_LOOKS)(_follow)(listed.name)
    else:
        _show_ended(listed)


def _follow(name: str) -> None:
    """Show a run that computes, and run the whole page again once it has ended."""
    try:
        listed = data_runs.opened(name)
    except GradcamError:
        st.rerun()
    hosted, status = listed.hosted, listed.status
    if not listed.is_active:
        st.rerun()
    _say_reason()
    with st.container(border=True):
        share = status.done / status.units if status and status.units else 0.0
        st.progress(share, f"**{escape_markdown(listed.title)}** · {_progress_text(hosted, status)}")
        with st.container(horizontal=True):
            if hosted:
                st.button("Cancel", on_click=_try, args=(data_runs.cancel, name), icon=":material/close:")
            if status and status.done and st.button("Show what there is", icon=":material/refresh:"):
                st.rerun()


def _progress_text(hosted: HostedRun | None, status: Status | None) -> str:
    if hosted and hosted.state == "waiting":
        return f"waits for {count(hosted.ahead, 'other run')}"
    if status is None:
        return "loading the models"
    text = f"{status.done:,} of {count(status.units, 'map')}"
    text += f", {status.failed:,} without a map" if status.failed else ""
    if status.rate and status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        text += f" · {status.rate:.3g} a second · {minutes}:{seconds:02} left"
    return text


def _show_ended(listed: ListedRun) -> None:
    hosted, status = listed.hosted, listed.status
    if hosted and hosted.reason:
        say_error(hosted.reason)
    _say_reason()
    state = "" if not status or status.state == "finished" else "stopped · "
    with st.container(horizontal=True, vertical_alignment="center"):
        if status:
            size = f"{count(status.photos, 'photo')} × {count(len(status.models), 'model')}"
            st.markdown(
                f"**{escape_markdown(listed.title)}** · {size} · {state}{_progress_text(hosted, status)}",
                width="content",
            )
        else:
            why = (
                "made by another version of gradcam, which alone reads it"
                if hosted and not hosted.is_readable
                else "nothing computed yet"
            )
            st.markdown(f"**{escape_markdown(listed.title)}** · {why}", width="content")
        if hosted:
            if hosted.state != "finished" and hosted.is_readable:
                st.button(
                    "Go on", on_click=_try, args=(data_runs.resume, listed.name), icon=":material/play_arrow:"
                )
            _offer_delete(listed.name, hosted)
    for sentence in hosted.messages if hosted else ():
        st.caption(escape_markdown(without_folders(sentence)))


def _offer_delete(name: str, hosted: HostedRun) -> None:
    day = datetime.fromtimestamp(hosted.expires, UTC)
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(f"It goes by itself on {day.day} {day:%B %Y}.")
        st.button("Delete this run for good", on_click=_try, args=(_delete, name))


def _delete(name: str) -> None:
    data_runs.delete(name)
    st.session_state[DataKey.RUN] = ""


def _try(do: Callable[[str], None], name: str) -> None:
    """Do something with a run, or keep the reason why it failed."""
    try:
        do(name)
    except GradcamError as error:
        st.session_state[_REASON] = str(error)


def _say_reason() -> None:
    if reason := st.session_state.pop(_REASON, ""):
        say_error(reason)
