"""Finished comparisons made by hand, for tests that need no model."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from gradcam.comparison import Comparison
from gradcam.types import (
    Explanation,
    Failure,
    Heatmap,
    ModelSpec,
    Numerics,
    Panel,
    Photo,
    ScoredTarget,
    Target,
    TargetLayer,
    Top,
    View,
)


def photo(height: int = 40, width: int = 60, name: str = "cat.jpg", grey: int | None = None) -> Photo:
    """A photo of one grey, or of gradients that differ in every channel."""
    if grey is not None:
        pixels = np.full((height, width, 3), grey, np.uint8)
    else:
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], 2).astype(np.uint8)
    return Photo(pixels, name, hashlib.sha256(pixels.tobytes() + name.encode()).hexdigest())


def whole(of: Photo) -> View:
    """A view that shows all of the photo."""
    height, width = of.size
    return View((0, 0, width, height), of.size, (8, 8), "squash")


def middle(of: Photo) -> View:
    """A view of the largest square in the middle of the photo."""
    height, width = of.size
    side = min(of.size)
    left, top = (width - side) / 2, (height - side) / 2
    return View((left, top, left + side, top + side), of.size, (8, 8), "crop")


def panel(
    of: Photo,
    heat: object,
    *,
    model: str = "bundled/a",
    view: View | None = None,
    method: str = "Grad-CAM",
    label: str = "tabby",
    untrained: bool = False,
    target: Target = Top(),
    numerics: Numerics = "eager",
) -> Heatmap:
    """A panel whose raw map is `heat` `[h, w]`; class 1 of 3 with probability 0.7."""
    raw: NDArray[np.float32] = np.asarray(heat, np.float32)
    source, _, name = model.partition("/")
    explanation = Explanation(
        photo=of,
        model=ModelSpec(source, name, "random" if untrained else None),
        targets=(ScoredTarget(1, label, 2.5, 0.7, 1),),
        maps=raw[None],
        logits=np.array([0.0, 2.5, 1.0], np.float32),
        probabilities=np.array([0.1, 0.7, 0.2], np.float32),
        labels=("dog", label, "espresso"),
        layer=TargetLayer("features.29", (raw.shape[0], raw.shape[1]), 4, "the last layer with a grid"),
        view=view or whole(of),
        seconds=0.12,
        method=method,
        numerics=numerics,
    )
    return Heatmap(of, model, method, target, explanation)


def failure(of: Photo, reason: str, *, model: str = "timm/b", target: Target = Top()) -> Failure:
    return Failure(of, model, "Grad-CAM", target, reason)


def comparison(*panels: Panel) -> Comparison:
    """A comparison of the panels of one photo and one target, a model each."""
    first = panels[0]
    models = tuple(panel.model for panel in panels)
    return Comparison((first.photo,), models, ("Grad-CAM",), (first.target,), panels)
