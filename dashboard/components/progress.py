"""Running a comparison with its progress on the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import cache
from dashboard.components.messages import plain
from dashboard.components.question import Question
from gradcam import Comparison, Photo, Progress


def run_comparison(models: Sequence[str], photos: Sequence[Photo], question: Question) -> Comparison:
    """Compare, with a bar that names the model at work; nothing is shown where everything is there already."""
    place = st.empty()
    seen: list[str] = []

    def show(progress: Progress) -> None:
        seen.extend({progress.model} - set(seen))
        doing = "Loading" if progress.photo is None else f"Explaining {plain(progress.photo)} with"
        place.progress(
            progress.done / progress.total,
            f"{doing} **{plain(progress.model)}** · model {models.index(progress.model) + 1} of {len(models)}",
        )

    comparison = cache.compared(models, photos, question.targets, fit=question.fit, on_progress=show)
    place.empty()
    return comparison
