"""Lets a reviewer go on with a report: another verdict and other notes on the same evidence."""

from __future__ import annotations

import streamlit as st

from dashboard.components.report_build import offer_continued
from dashboard.components.report_read import Opened
from dashboard.components.report_write import write_notes, write_verdict
from gradcam.report import comparison_of


def continue_report(opened: Opened) -> None:
    """Let the visitor go on writing a reopened report, and take it with the new words."""
    report = opened.report
    st.header("Continue this report", anchor=False)
    st.caption(
        "Other words on the same evidence: photos, maps, numbers and the time of the report stay as they are."
    )
    box = st.expander(
        "Notes and verdict", icon=":material/edit_note:", on_change="rerun", key=f"_continue-{opened.id}"
    )
    if box.open:
        with box:
            before = [photo.note for photo in report.photos]
            notes = write_notes(comparison_of(report), report.style, before, of=opened.id)
            verdict = write_verdict(report.verdict, of=opened.id)
            offer_continued(report, verdict, notes, opened.id)
