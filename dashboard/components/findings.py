"""Shows what a report keeps of a photo: a picture of each map, with its model and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components.messages import escape_markdown
from gradcam.draw import panel_width
from gradcam.report import Finding, Report, draw_finding, panel_title, target_title

SIDE = 640
"""Pixels of the longer side of a map's picture."""
LEAST, MOST = 2, 4
"""Pictures that a row has room for: one alone would fill the screen."""


def show_findings(report: Report, findings: Sequence[Finding]) -> None:
    """Show findings of one photo beside each other."""
    with st.grid(min(max(len(findings), LEAST), MOST), min_column_width=panel_width(len(report.models))):
        for finding in findings:
            name, shown = report.model_names[finding.model], panel_title(finding)
            with st.container(gap="xxsmall"):
                picture = draw_finding(report, finding, SIDE)
                if picture is None:
                    st.info("No map.", icon=":material/hide_image:")
                else:
                    question = target_title(report.targets[finding.target].target)
                    st.image(picture, width="stretch", alt=f"Heatmap of {name} for {question}")
                st.caption(f"{escape_markdown(name)}  \n{escape_markdown(shown)}")
