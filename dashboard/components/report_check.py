"""Checks whether a report still holds, by computing its maps again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from dashboard import library, uploads
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.session import ReportKey
from gradcam import GradcamError, Photo, Progress
from gradcam.config import settings
from gradcam.photo import SAMPLES
from gradcam.report import OUTCOMES, Replay, Report, replay


def replay_report(report: Report) -> None:
    """Compute every map again with the models at hand, and say of each whether it is the same."""
    st.header("Replay", anchor=False)
    st.caption(
        "Computes every map again with the models at hand and compares it, cell by cell, with the one in the "
        "report. Where the photos do not go along, samples and photos that you have uploaded are recognised."
    )
    shown, done = st.session_state.get(ReportKey.REPLAYED, (None, None))
    if st.button("Replay", icon=":material/replay:"):
        slot = st.empty()
        with slot.container(border=True):
            bar = st.progress(0.0, "Beginning")
            st.button("Cancel", key="_cancel_replay", icon=":material/close:")

        def show(progress: Progress) -> None:
            doing = "loading" if progress.photo is None else f"explaining {escape_markdown(progress.photo)}"
            bar.progress(progress.share, f"**{escape_markdown(progress.model)}** · {doing}")

        shown, done = st.session_state[ReportKey.REPLAYED] = None, None
        with show_errors():  # a photo in the report may be another than it says
            done = replay(
                report,
                photos=_at_hand(report),
                use=library.use,
                most_forwards=settings().limits.forwards,
                on_progress=show,
            )
            shown = report
            st.session_state[ReportKey.REPLAYED] = shown, done
        slot.empty()
    if done is not None and shown is report:
        _show_replay(done)


def _at_hand(report: Report) -> Sequence[Photo]:
    """Return the samples and this visitor's photos that the report is about."""
    hashes = {photo.sha256 for photo in report.photos}
    found: list[Photo] = []
    stretched = map(uploads.stretch, uploads.by_token()) if any(photo.stretched for photo in report.photos) else ()
    for token in (*SAMPLES, *uploads.by_token(), *stretched):
        with suppress(GradcamError):
            if (photo := library.photo(token)).sha256 in hashes:
                found.append(photo)
    return found


def _show_replay(done: Replay) -> None:
    all_same = done.count("same") == len(done.checks)
    say = st.success if all_same else st.warning
    say(f"{done}.", icon=":material/check:" if all_same else ":material/rule:")
    rows = sorted(done.checks, key=lambda check: -OUTCOMES.index(check.outcome))
    st.table(
        {
            "Result": [
                escape_markdown(check.statement) for check in rows
            ],  # first, for a phone shows the first two
            "Photo": [escape_markdown(check.photo) for check in rows],
            "Model": [escape_markdown(check.model) for check in rows],
            "Question": [escape_markdown(check.target) for check in rows],
        },
        border="horizontal",
        hide_index=True,
        alt="Every panel and what its replay says",
    )
    if done.environment:
        st.caption("This machine differs from the report's: " + escape_markdown("; ".join(done.environment)) + ".")
