"""Opens the report that a review is about, once in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components.messages import say_error
from gradcam import GradcamError
from gradcam.report import Verification, evidence_under_review
from gradcam.reviews import Review

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

MOST = 2
"""Reports that a session keeps: the one under review, and one beside it."""

_KEPT = "_evidence"


def open_evidence(store: ReviewStore, review: Review) -> Verification | None:
    """Return the report under review, opened anew once somebody signs its ZIP; else say why there is none."""
    if review.kind == "run":
        st.info("A run: its photos are judged on the page Data set.", icon=":material/dataset:")
        return None
    kept: dict[tuple[str, int], Verification] = st.session_state.setdefault(_KEPT, {})
    key = review.id, store.evidence_number(review)
    if key in kept:
        return kept[key]
    try:
        with st.spinner("Opening the evidence"):
            found = evidence_under_review(store, review)
    except GradcamError as error:
        say_error(str(error))
        return None
    if found is None:
        st.warning(
            "The report's file is not in this store; bring the same ZIP again to see its maps.",
            icon=":material/hide_image:",
        )
    else:
        while len(kept) >= MOST:
            del kept[next(iter(kept))]
        kept[key] = found
    return found
