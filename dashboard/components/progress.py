"""Running a comparison with its progress on the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import cache
from dashboard.components.messages import plain
from dashboard.components.question import Question
from gradcam import Comparison, Photo, Progress

_SHOWN = "_shown"


def run_comparison(models: Sequence[str], photos: Sequence[Photo], question: Question) -> Comparison:
    """Compare, with a bar that names the model at work; nothing is shown where everything is there already."""
    place, below = st.empty(), st.empty()

    def show(progress: Progress) -> None:
        doing = "Loading" if progress.photo is None else f"Explaining {plain(progress.photo)} with"
        place.progress(
            progress.done / progress.total,
            f"{doing} **{plain(progress.model)}** · model {models.index(progress.model) + 1} of {len(models)}",
        )

    if _SHOWN not in st.session_state:
        below.skeleton(height=420)
    comparison = cache.compared(
        models, photos, question.targets, fit=question.fit, layers=question.layers, on_progress=show
    )
    place.empty()
    below.empty()
    st.session_state[_SHOWN] = True
    return comparison
