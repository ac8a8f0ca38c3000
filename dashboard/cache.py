"""What is computed once: classifiers, photos, explanations and the catalogue.

These caches serve every visitor. So a key is a content (a photo's SHA-256, a model's id), never a name, and a value
carries nothing of a visitor: the photo is taken out of an explanation on the way in and put back on the way out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import streamlit as st

from dashboard import state
from gradcam import (
    Classifier,
    Comparison,
    GradcamError,
    Panel,
    Photo,
    PhotoError,
    Progress,
    Target,
    compare,
    load_classifier,
    open_photo,
    sample_photo,
)
from gradcam.types import Fit
from gradcam.zoo import SOURCES, CatalogueEntry, parse_model_id
from gradcam.zoo import catalogue as read_catalogue

KEPT_CLASSIFIERS = 6
KEPT_PANELS = 1000
KEPT_PHOTOS = 32
SECONDS_BEFORE_RETRY = 60.0
"""How long a model that could not be loaded is not tried again."""

_NO_PHOTO = Photo(np.zeros((1, 1, 3), np.uint8), "", "")


@st.cache_data(ttl=300, show_spinner=False)
def catalogue() -> dict[str, CatalogueEntry]:
    """Every model with weights, by id."""
    return {entry.id: entry for entry in read_catalogue()}


@st.cache_data(max_entries=100, show_spinner=False)
def class_names(model: str) -> tuple[str, ...]:
    """The classes of a model, without loading it; none where the id is not one."""
    try:
        spec = parse_model_id(model)
    except GradcamError:
        return ()
    return SOURCES[spec.source].labels(spec).names


def photo(token: str) -> Photo:
    """The photo that a token stands for: a sample, or an upload of this visitor.

    Raises: PhotoError where this session has no such photo.
    """
    if not state.is_upload(token):
        return sample_photo(token)
    upload = state.uploads().get(token)
    if upload is None:
        name = state.photo_name(token)
        raise PhotoError(f"expected {name!r}, which this link shows but does not carry; upload that file again")
    return replace(_decoded(upload.sha256, upload.data), name=upload.name)


@st.cache_resource(max_entries=KEPT_PHOTOS, show_spinner=False)
def _decoded(sha256: str, _data: bytes) -> Photo:
    return open_photo(_data, name="photo")


@dataclass(frozen=True)
class _Loaded:
    """A classifier, or why there is none and when that was found."""

    classifier: Classifier | None
    error: GradcamError | None
    at: float


def _still_good(loaded: _Loaded) -> bool:
    return loaded.error is None or time.monotonic() - loaded.at < SECONDS_BEFORE_RETRY


@st.cache_resource(max_entries=KEPT_CLASSIFIERS, validate=_still_good, show_spinner=False)
def _loaded(model: str) -> _Loaded:
    try:
        return _Loaded(load_classifier(model), None, time.monotonic())
    except GradcamError as error:
        return _Loaded(None, error, time.monotonic())


def classifier(model: str) -> Classifier:
    """A classifier by id, loaded once for all visitors; the least recently used is let go.

    Raises: GradcamError as `load_classifier` does; a failure is remembered for `SECONDS_BEFORE_RETRY`.
    """
    loaded = _loaded(model)
    if loaded.classifier is None:
        assert loaded.error is not None
        raise loaded.error
    return loaded.classifier


class _NotYetError(LookupError):
    """Nobody has asked for this panel yet."""


@st.cache_data(max_entries=KEPT_PANELS, show_spinner=False)
def _kept(sha256: str, model: str, question: str, fit: Fit, layer: str, _panel: Panel | None = None) -> Panel:
    """The panel under this key; given one, keeps it. Raises: _NotYetError."""
    if _panel is None:
        raise _NotYetError
    return _with_photo(_panel, _NO_PHOTO)


def _with_photo(panel: Panel, photo: Photo) -> Panel:
    explanation = panel.explanation and replace(panel.explanation, photo=photo)
    return replace(panel, photo=photo, explanation=explanation)


def compared(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    *,
    fit: Fit = "crop",
    layer: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Comparison:
    """`gradcam.compare`, computing only the panels that nobody has asked for yet.

    Another model, photo or class computes what is new; another look computes nothing; a run that was interrupted
    keeps what it has finished.

    on_progress: called before each step that takes time, so never where everything is there already.
    """
    total = len(models) * len(photos)
    cells: dict[tuple[int, int], list[Panel]] = {}
    for column, model in enumerate(models):
        for row, photo in enumerate(photos):
            step = partial(Progress, column * len(photos) + row, total, model)
            cells[row, column] = _cell(
                photo, model, targets, fit, layer, lambda of, step=step: on_progress(step(of))
            )
    panels = (panel for row in range(len(photos)) for column in range(len(models)) for panel in cells[row, column])
    return Comparison(tuple(photos), tuple(models), tuple(targets), tuple(panels))


def _cell(
    photo: Photo, model: str, targets: Sequence[Target], fit: Fit, layer: str, say: Callable[[str | None], None]
) -> list[Panel]:
    """The panels of one photo and one model: what is kept, and in one forward what is missing."""
    kept: dict[Target, Panel] = {}
    for target in targets:
        with suppress(_NotYetError):
            kept[target] = _with_photo(_kept(photo.sha256, model, str(target), fit, layer), photo)
    if missing := [target for target in targets if target not in kept]:
        say(None)
        try:
            loaded = classifier(model)
        except GradcamError as error:  # not kept: the next run may find the weights
            return [kept.get(target) or Panel(photo, model, target, reason=str(error)) for target in targets]
        say(photo.name)
        for panel in compare([model], [photo], missing, fit=fit, layer=layer, load=lambda _: loaded).panels:
            kept[panel.question] = panel
            _kept(photo.sha256, model, str(panel.question), fit, layer, panel)
    return [kept[target] for target in targets]
