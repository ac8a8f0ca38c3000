"""Lets the reviewer write a note and a status for each photo, then the verdict on the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from itertools import repeat
from typing import cast

import streamlit as st

from dashboard.components.failed import failed_html
from dashboard.components.messages import escape_markdown
from dashboard.session import Draft, drafted
from gradcam import Comparison, Failure, Heatmap, Photo, Style
from gradcam.draw import draw_panel, even_columns, model_caption, request_caption
from gradcam.geometry import fit_within
from gradcam.model_spec import short_name
from gradcam.report import STATUSES, Note, Status, Verdict
from gradcam.scaling import full_scales

THUMBNAIL, LEAST_THUMBNAIL = 150, 110
"""Pixels across where there is room, and at least; twice as many are sent, for fine screens."""
LEAST_BESIDE, MOST_BESIDE = 3, 4
"""Thumbnails that a row has room for: one alone does not stand in the middle."""
MOST_TEXT = 20_000
MARKDOWN = "Markdown: \\*\\*bold\\*\\*, \\*italic\\*, lists with -, links to a site."


def write_notes(
    comparison: Comparison, style: Style, before: Sequence[Note] | None = None, *, of: str = ""
) -> tuple[Note, ...]:
    """Let the reviewer write a note on each photo, beside its heatmaps for the first question that has some.

    before: the notes to begin with, those of the report that is continued. of: as in `session.drafted`.
    """
    full_of = full_scales(comparison.panels, style.scale)
    notes: list[Note] = []
    mapped = {panel.target for panel in comparison.heatmaps}
    first = next((target for target in comparison.targets if target in mapped), comparison.targets[0])
    count = len(comparison.targets)
    if count > 1:
        st.caption(
            f"Shown here: *{escape_markdown(request_caption(first))}*. The report shows all {count} questions."
        )
    for photo, note in zip(comparison.photos, before or repeat(Note()), strict=False):
        panels = comparison.of(photo=photo, target=first)
        with st.container(border=True):
            st.markdown(f"**{escape_markdown(photo.name)}**")
            pictures, words = st.columns([11, 9])
            with pictures:
                heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
                with st.grid(_columns(len(heatmaps)), min_column_width=LEAST_THUMBNAIL):
                    for panel in heatmaps:
                        _show_small(panel, style, full_of, by_method=len(comparison.methods) > 1)
                failures = [panel for panel in panels if isinstance(panel, Failure)]
                for reason in dict.fromkeys(panel.reason for panel in failures):
                    models = dict.fromkeys(panel.model for panel in failures if panel.reason == reason)
                    st.html(failed_html(list(models), reason))
            with words:
                notes.append(_write_note(photo, note, of))
    return tuple(notes)


def _columns(thumbnails: int) -> int:
    """How many stand in a row: seven as 4 + 3."""
    return max(LEAST_BESIDE, even_columns(thumbnails, MOST_BESIDE))


def _show_small(panel: Heatmap, style: Style, full_of: Mapping[Heatmap, float], *, by_method: bool) -> None:
    name = short_name(model_caption(panel)) + f" · {panel.method}" * by_method
    with st.container(width=THUMBNAIL, gap="xxsmall"):
        size = fit_within(panel.photo.size, 2 * THUMBNAIL, 2 * THUMBNAIL)
        picture = draw_panel(panel, style, full_of[panel] or None, size)
        st.image(picture, width="stretch", alt=f"Heatmap of {name} for {panel.scored}")
        st.caption(f"{escape_markdown(name)}  \n{escape_markdown(str(panel.scored))}")


def _write_note(photo: Photo, before: Note, of: str) -> Note:
    status = st.segmented_control(
        "Status of this photo",
        STATUSES,
        default=before.status,
        required=True,
        wrap=True,
        **drafted(Draft.NOTE_STATUS, photo, of=of),
    )
    text = st.text_area(
        "Note",
        before.text,
        height=84,
        max_chars=MOST_TEXT,
        placeholder="What is right or odd in these heatmaps?",
        help=MARKDOWN,
        **drafted(Draft.NOTE, photo, of=of),
    )
    return Note(cast(Status, status or Note.status), (text or "").strip())


def write_verdict(before: Verdict | None = None, *, of: str = "") -> Verdict:
    """Let the reviewer write the verdict on the whole.

    before: the verdict to begin with, that of the report that is continued. of: as in `session.drafted`.
    """
    before = before or Verdict()
    with st.container(border=True):
        status = st.segmented_control(
            "Status", STATUSES, default=before.status, required=True, wrap=True, **drafted(Draft.STATUS, of=of)
        )
        with st.container(horizontal=True):
            reviewer = st.text_input(
                "Reviewer",
                before.reviewer,
                max_chars=200,
                placeholder="Your name",
                **drafted(Draft.REVIEWER, of=of),
            )
            when = _pick_date(before.date, of)
        with st.grid(2, min_column_width=480):
            summary = st.text_area(
                "Summary",
                before.summary,
                height=120,
                max_chars=MOST_TEXT,
                placeholder="What did the models look at, and may they be used?",
                help=MARKDOWN,
                **drafted(Draft.SUMMARY, of=of),
            )
            questions = st.text_area(
                "Open questions, one a line",
                "\n".join(before.questions),
                height=120,
                max_chars=MOST_TEXT,
                **drafted(Draft.QUESTIONS, of=of),
            )
    lines = tuple(line.strip() for line in (questions or "").splitlines() if line.strip())
    who, what = ((text or "").strip() for text in (reviewer, summary))
    return Verdict(cast(Status, status or Verdict.status), who, when, what, lines)


def _pick_date(before: str, of: str) -> str:
    """Let the reviewer pick a day, `2026-11-22`; other words of a continued report stay until then."""
    day = None
    with suppress(ValueError):
        day = date.fromisoformat(before)
    picked = st.date_input(
        "Date",
        day,
        min_value=date(2000, 1, 1),
        max_value=date(2100, 1, 1),
        format="YYYY-MM-DD",
        help=f"The report says: {escape_markdown(before)}" if before and day is None else None,
        **drafted(Draft.DATE, of=of),
    )
    return picked.isoformat() if isinstance(picked, date) else before if day is None else ""
