"""Shows two reports side by side: their conclusions, what changed in words, and each map that changed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Protocol

import streamlit as st

from dashboard.components.messages import escape_markdown
from dashboard.components.report_read import HasReport
from gradcam.report import (
    Change,
    ChangedPanel,
    Report,
    changed_panels,
    conclusion,
    diff,
    draw_change,
    draw_finding,
    extent,
)
from gradcam.text import breakable

MOST_MAPS = 12
"""Changed maps shown at first; a switch shows the rest."""
SIDE = 560
"""Pixels of the longer side of a map's picture."""

_ALL = "_all_changed_maps"


class Named(HasReport, Protocol):
    """A report, and the name under which it is shown."""

    @property
    def name(self) -> str: ...


def show_changes(before: Named, after: Named) -> None:
    """Show the earlier report on the left and the later one on the right, section by section."""
    changes = diff(before.report, after.report)
    for column, opened, label in zip(st.columns(2), (before, after), ("Earlier", "Later"), strict=True):
        with column, st.container(border=True):
            _show_head(opened, label)
    if not changes:
        st.success("Both reports say the same.", icon=":material/check:")
        return
    st.header("What changed", anchor=False)
    for section, found in groupby(changes, key=lambda change: change.section):
        st.subheader(section, anchor=False)
        _show_section(section, list(found))
    if panels := changed_panels(before.report, after.report):
        st.header("Maps that changed", anchor=False)
        st.caption(
            "Earlier, later, and the difference: red where the later map has more heat, blue where the earlier one "
            "has, in full colour where they differ most."
        )
        shown = (
            panels if len(panels) <= MOST_MAPS or st.toggle(f"All {len(panels)}", key=_ALL) else panels[:MOST_MAPS]
        )
        for panel in shown:
            _show_pair(before.report, after.report, panel)


def _show_head(opened: Named, label: str) -> None:
    report = opened.report
    made = report.created.replace("T", " ").replace("Z", " UTC")
    st.markdown(
        f"{label}: **{escape_markdown(opened.name)}**  \n{escape_markdown(report.title)}  \n"
        f"**{escape_markdown(conclusion(report.verdict))}**"
    )
    st.caption(f"{extent(report)} · built {made}")


def _show_section(section: str, changes: Sequence[Change]) -> None:
    """Show values side by side, in full, and as sentences what came, went, or changed in maps."""
    if values := [change for change in changes if change.what]:
        st.html(values_html(section, values))
    if sentences := [change.statement for change in changes if not change.what]:
        st.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences))


def values_html(section: str, changes: Sequence[Change]) -> str:
    """Write a row for each changed value: its name, and the value in the earlier and in the later report."""
    rows = "".join(
        f'<tr><th scope="row">{breakable(escape(change.what))}</th>'
        + "".join(f"<td>{escape(value.strip()) or '–'}</td>" for value in (change.before, change.after))
        + "</tr>"
        for change in changes
    )
    return (
        f'<table class="changes" aria-label="{escape(section)}"><thead><tr><td></td>'
        f'<th scope="col">Earlier</th><th scope="col">Later</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _show_pair(before: Report, after: Report, panel: ChangedPanel) -> None:
    """Show one panel as each report has it, and the difference of the two."""
    st.markdown(f"**{escape_markdown(panel.title)}**: {escape_markdown(panel.statement)}")
    pictures = {
        "earlier": draw_finding(before, panel.before, SIDE),
        "later": draw_finding(after, panel.after, SIDE),
        "difference": draw_change(before, panel.before, after, panel.after, SIDE),
    }
    for column, (what, picture) in zip(st.columns(3), pictures.items(), strict=True):
        with column:
            if picture is None:
                st.info("No map.", icon=":material/hide_image:")
            else:
                st.image(picture, what.capitalize(), "stretch", alt=f"{panel.title}, {what}")
