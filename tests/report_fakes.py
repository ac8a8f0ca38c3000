"""Small reports made by hand, for tests that need no model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pypdf

from gradcam.comparison import Comparison
from gradcam.report import Report, build_report, render_report
from gradcam.types import Panel, Photo, Target, Top
from tests import fakes

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HEAT = np.array([[0, 1], [2, 4]], np.float32)


def comparison(
    photos: Sequence[Photo],
    models: Sequence[str] = ("x/a", "x/b"),
    targets: Sequence[Target] = (Top(),),
    heat: object = HEAT,
    **about: Any,
) -> Comparison:
    """Every photo × model × target with the same map, turned round for every second model."""
    panels: list[Panel] = []
    for photo in photos:
        for place, model in enumerate(models):
            turned = np.asarray(heat)[:: -1 if place % 2 else 1]
            panels += [fakes.panel(photo, turned, model=model, target=target, **about) for target in targets]
    return Comparison(tuple(photos), tuple(models), ("Grad-CAM",), tuple(targets), tuple(panels))


def report(*photos: Photo, **options: Any) -> Report:
    """Two models on the photos, or on one, at noon."""
    made = comparison(photos or (fakes.photo(),))
    return build_report(made, **{"now": NOON, **options})


def pdf_text(made: Report) -> str:
    """What a reader can select in the report's PDF, in one line."""
    document = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf")))
    return " ".join(" ".join(page.extract_text() for page in document.pages).split())
