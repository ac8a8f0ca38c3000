"""Lets the visitor set the thresholds of the JUnit file, and shows which checks do not hold."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components.messages import escape_markdown
from dashboard.session import Draft, drafted
from gradcam import Photo
from gradcam.report import Report, Thresholds, check, read_thresholds

MOST_SHOWN = 10


def pick_thresholds(photos: Sequence[Photo]) -> Thresholds:
    """Let the visitor set thresholds; none is set at first. Raises: OptionError."""
    names = [photo.name for photo in photos]
    with st.container(border=True):
        st.caption(
            "What must hold for the JUnit file to pass, besides a map in every panel; leave out what need not."
        )
        with st.container(horizontal=True):
            least = st.number_input(
                "Least agreement of any two models",
                -1.0,
                1.0,
                None,
                0.05,
                placeholder="any",
                help="Rank correlation of their maps: 1 the same order, 0 none, -1 the opposite.",
                **drafted(Draft.MIN_AGREEMENT),
            )
            most = st.number_input(
                "Most heat outside a photo's box or mark",
                0.0,
                1.0,
                None,
                0.05,
                placeholder="any",
                help="A share of all heat, for photos with a box below, or else with a mark on the object.",
                **drafted(Draft.MAX_OUTSIDE_BOX),
            )
        with st.container(horizontal=True):
            classes = st.text_area(
                "Classes that every model must predict first, one a line",
                height=84,
                placeholder=f"espresso\n{names[0]}=Egyptian cat",
                help="A class, for every photo; or a photo, an equals sign and its class.",
                **drafted(Draft.EXPECT_CLASSES),
            )
            boxes = st.text_area(
                "Boxes, one a line",
                height=84,
                placeholder=f"{names[0]}=10,20,200,180",
                help="A photo, an equals sign, then left, top, right and bottom in its pixels.",
                **drafted(Draft.BOXES),
            )
    return read_thresholds(
        names,
        min_agreement=least,
        expect_classes=_lines(classes),
        max_outside_box=most,
        boxes=_lines(boxes),
        marked=any(photo.region for photo in photos),
    )


def show_failing(report: Report, thresholds: Thresholds | None) -> None:
    """Show which of the JUnit file's checks do not hold."""
    checks = check(report, thresholds)
    failing = [one for one in checks if one.failure is not None]
    if not failing:
        st.success(f"All {len(checks)} checks of the JUnit file hold.", icon=":material/check:")
        return
    lines = [
        f"- {escape_markdown(one.photo)} · {escape_markdown(one.name)}: {escape_markdown(one.failure or '')}"
        for one in failing[:MOST_SHOWN]
    ]
    more = f"\n- and {len(failing) - MOST_SHOWN} more" if len(failing) > MOST_SHOWN else ""
    st.warning(
        f"{len(failing)} of {len(checks)} checks of the JUnit file do not hold:\n\n" + "\n".join(lines) + more,
        icon=":material/rule:",
    )


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]
