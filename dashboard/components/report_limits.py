"""What a review must keep to pass in a build server: thresholds for the JUnit file, and what does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components.messages import escape_markdown
from dashboard.session import Draft, drafted
from gradcam.report import Report, Thresholds, check, read_thresholds

MOST_SHOWN = 10


def pick_thresholds(photos: Sequence[str]) -> Thresholds:
    """The thresholds that a visitor asks for; nothing is asked at first. Raises: OptionError."""
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
                "Most heat outside a photo's box",
                0.0,
                1.0,
                None,
                0.05,
                placeholder="any",
                help="A share of all heat, for the photos that have a box.",
                **drafted(Draft.MAX_OUTSIDE_BOX),
            )
        with st.container(horizontal=True):
            classes = st.text_area(
                "Classes that every model must predict first, one a line",
                height=84,
                placeholder=f"espresso\n{photos[0]}=Egyptian cat",
                help="A class, for every photo; or a photo, an equals sign and its class.",
                **drafted(Draft.EXPECT_CLASSES),
            )
            boxes = st.text_area(
                "Boxes, one a line",
                height=84,
                placeholder=f"{photos[0]}=10,20,200,180",
                help="A photo, an equals sign, then left, top, right and bottom in its pixels.",
                **drafted(Draft.BOXES),
            )
    return read_thresholds(
        photos, min_agreement=least, expect_classes=_lines(classes), max_outside_box=most, boxes=_lines(boxes)
    )


def show_failing(report: Report, thresholds: Thresholds | None) -> None:
    """Which of the JUnit file's checks do not hold, if any."""
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
