"""What is computed once: classifiers, photos, explanations and the catalogue.

These caches serve every visitor. So a key is a content (a photo's SHA-256, a model's id), never a name, and a value
carries nothing of a visitor: the photo is taken out of an explanation on the way in and put back on the way out.
A model that a visitor brought, and all that is computed with it, stays in that visitor's session and ends with it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, TypeVar, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import serving, session
from gradcam import (
    Classifier,
    Comparison,
    Failure,
    GradcamError,
    ModelError,
    OptionError,
    Panel,
    Photo,
    PhotoError,
    Progress,
    Target,
    TargetLayer,
    candidate_layers,
    compare,
    load_classifier,
    open_photo,
    resolve_target_layer,
    sample_photo,
)
from gradcam.config import settings
from gradcam.errors import quoted
from gradcam.forward_cache import ForwardCache
from gradcam.layers.layer_table import layer_row
from gradcam.measures import Measure, agreement
from gradcam.methods import GRADCAM
from gradcam.models.catalogue import CatalogueEntry
from gradcam.models.catalogue import catalogue as read_catalogue
from gradcam.models.ids import check_offered, is_listed
from gradcam.models.ids import class_names as known_class_names
from gradcam.models.pool import ModelPool
from gradcam.targets import write_target
from gradcam.teaching.steps import GradcamSteps, gradcam_steps
from gradcam.types import Fit

F = TypeVar("F", bound=Callable[..., Any])

SECONDS_BEFORE_RETRY = 60.0
"""How long a model that could not be loaded is not tried again."""
MOST_FAILURES = 200
"""Ids of models that could not be loaded, remembered for all visitors; the oldest is forgotten first."""
SECONDS_BETWEEN_WORDS = 0.25

_NO_PHOTO = Photo(np.zeros((1, 1, 3), np.uint8), "", "")


@st.cache_data(ttl=300, show_spinner=False)
def catalogue() -> dict[str, CatalogueEntry]:
    """Every model with weights, by id."""
    return {entry.id: entry for entry in read_catalogue()}


def _by_model(max_entries: int) -> Callable[[F], F]:
    """Cache a function whose first argument is a model: for all visitors, or for this one where it is their own."""

    def decorate(function: F) -> F:
        shared = st.cache_data(max_entries=max_entries, show_spinner=False)(function)
        own = st.cache_data(max_entries=max_entries, show_spinner=False, scope="session")(function)
        _FORGETTING.append(own.clear)

        @wraps(function)
        def cached(model: str, *args: Any) -> Any:
            return (own if session.is_custom(model) else shared)(model, *args)

        return cast(F, cached)

    return decorate


_FORGETTING: list[Callable[[], None]] = []


def forget_custom() -> None:
    """Compute anew what models of this visitor's own answer: one was brought again, or is gone."""
    for forget in _FORGETTING:
        forget()


def class_names(model: str) -> tuple[str, ...]:
    """The classes of a model, without loading it; none where it is no id, or a hub has not told yet."""
    if own := session.custom_models().get(model):
        return own.labels.names
    if is_listed(model):
        return _class_names(model)
    if model in pool().held:
        with suppress(GradcamError):  # a hub's model that this visitor may not use, or that has just been let go
            return classifier(model).labels.names
    return ()


_class_names = st.cache_data(max_entries=100, show_spinner=False)(known_class_names)


def photo(token: str) -> Photo:
    """The photo that a token stands for: a sample, or an upload of this visitor.

    Raises: PhotoError where this session has no such photo.
    """
    if not session.is_upload(token):
        return sample_photo(token)
    upload = session.uploads().get(session.stretch(token, on=False))
    if upload is None:
        name = session.photo_name(token)
        raise PhotoError(
            f"expected {quoted(name)}, which this link shows but does not carry; upload that file again"
        )
    return decoded(upload, stretch=session.is_stretched(token))


class _Photos:
    """Decoded photos by content, the least recently used leaving first. Nobody waits for another's file."""

    def __init__(self, most_bytes: float) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, bool], Photo] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, upload: session.Upload, stretch: bool) -> Photo:
        """Raises: PhotoError."""
        key = upload.sha256, stretch
        with self._guard:
            if kept := self._kept.get(key):
                self._kept.move_to_end(key)
                return replace(kept, name=upload.name)
        limits = settings().limits
        photo = open_photo(
            upload.data,
            name=upload.name,
            stretch=stretch,
            max_bytes=int(limits.photo_megabytes * 1e6),
            max_pixels=int(limits.photo_megapixels * 1e6),
        )
        with self._guard:
            self._kept[key] = replace(photo, name="")
            while sum(one.pixels.nbytes for one in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return photo


@st.cache_resource(show_spinner=False)
def _photos() -> _Photos:
    return _Photos(settings().limits.photos_gigabytes * 1e9)


def decoded(upload: session.Upload, *, stretch: bool = False) -> Photo:
    """An upload as a photo, decoded once for all visitors and kept without its name. Raises: PhotoError."""
    return _photos().open(upload, stretch)


class _Patient:
    """`load_classifier`, but a model that could not be loaded is not tried again for a while.

    What is remembered is a sentence. An exception would hold on to the frames that it went through, and with them
    to the photos of everybody who asked.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, type[GradcamError], str]] = OrderedDict()
        self._guard = threading.Lock()

    def __call__(self, model: str) -> Classifier:
        with self._guard:
            failed_at, kind, sentence = self._failures.get(model, (-math.inf, GradcamError, ""))
        if time.monotonic() - failed_at < SECONDS_BEFORE_RETRY:
            raise kind(sentence)
        try:
            return load_classifier(model)
        except GradcamError as error:
            self._remember(model, type(error), str(error))
            raise

    def _remember(self, model: str, kind: type[GradcamError], sentence: str) -> None:
        with self._guard:
            self._failures.pop(model, None)
            self._failures[model] = time.monotonic(), kind, sentence
            while len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)


@st.cache_resource(show_spinner=False)
def pool() -> ModelPool:
    """The classifiers that all visitors share, within the machine's memory."""
    return ModelPool(load=_Patient())


@st.cache_resource(show_spinner=False)
def forward_cache() -> ForwardCache:
    """The last forwards of every classifier: another class of a photo costs its gradient only."""
    return ForwardCache()


def use(model: str) -> AbstractContextManager[Classifier]:
    """A classifier for as long as the context lasts: this visitor's own, else one loaded once for all visitors.

    Raises: GradcamError as `load_classifier` does; a failure is remembered for `SECONDS_BEFORE_RETRY`. OptionError
        for a model that this visitor may not load.
    """
    if own := session.custom_models().get(model):
        return nullcontext(own)
    if refused := _refusal(model):
        raise OptionError(refused)
    return pool().use(model)


def _refusal(model: str) -> str:
    """Why this visitor may not load a model, whether or not it can be had; empty where they may."""
    if is_listed(model):
        return ""
    try:
        check_offered(model, hubs=serving.may_use_hubs())
    except GradcamError as error:
        return str(error)
    return ""


def classifier(model: str) -> Classifier:
    """What `use` lends, to look at without holding on to it."""
    with use(model) as lent:
        return lent


def _load_ahead(models: Sequence[str]) -> dict[str, Future[None]]:
    """Begin to load models side by side; whoever asks for one then waits for it, or hears why it cannot be had."""

    def load(model: str, done: Future[None]) -> None:
        try:
            with suppress(GradcamError), pool().use(model):
                pass
        finally:
            done.set_result(None)

    loading = {model: Future[None]() for model in models}
    for model, done in loading.items():
        # a daemon, because a server that is told to stop should not wait for a download
        threading.Thread(target=load, args=(model, done), name="load", daemon=True).start()
    return loading


def _await(loading: Future[None], say: Callable[[None], None]) -> None:
    """Wait for a model and keep saying so: where the page has been told to stop, saying it ends the wait."""
    while not loading.done():
        say(None)
        wait([loading], SECONDS_BETWEEN_WORDS)


class _NotYetError(LookupError):
    """Nobody has asked for this panel yet."""


@_by_model(settings().limits.panels)
def _kept(model: str, sha256: str, question: str, fit: Fit, layer: str | int, _panel: Panel | None = None) -> Panel:
    """The panel under this key; given one, keeps it. Raises: _NotYetError."""
    if _panel is None:
        raise _NotYetError
    return _with_photo(_panel, _NO_PHOTO)


def _with_photo(panel: Panel, photo: Photo) -> Panel:
    if isinstance(panel, Failure):
        return replace(panel, photo=photo)
    return replace(panel, photo=photo, explanation=replace(panel.explanation, photo=photo))


def compared(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    *,
    fit: Fit = "crop",
    layers: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Comparison:
    """`gradcam.compare`, computing only the panels that nobody has asked for yet.

    Another model, photo or class computes what is new; another look computes nothing; a run that was interrupted
    keeps what it has finished.

    layers: by model, the name of the layer to draw on; the model's own target layer elsewhere.
    on_progress: called before each step that takes time, so never where everything is there already.
    """
    layers = layers or {}
    total = len(models) * len(photos)

    def is_there(model: str) -> bool:
        layer = layers.get(model, "auto")
        return all(len(_recall(photo, model, targets, fit, layer)) == len(targets) for photo in photos)

    wanted = [model for model in models if not session.is_custom(model) and not _refusal(model)]
    loading = _load_ahead([model for model in wanted if not is_there(model)])
    cells: dict[tuple[int, int], list[Panel]] = {}
    for column, model in enumerate(models):
        for row, photo in enumerate(photos):
            step = partial(Progress, column * len(photos) + row, total, model)
            if model in loading:
                _await(loading[model], lambda of, step=step: on_progress(step(of)))
            cells[row, column] = _cell(
                photo,
                model,
                targets,
                fit,
                layers.get(model, "auto"),
                lambda of, step=step: on_progress(step(of)),
            )
    return _comparison(models, photos, targets, cells)


def kept(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    *,
    fit: Fit = "crop",
    layers: Mapping[str, str] | None = None,
    reason: str,
) -> Comparison:
    """What is there already of what `compared` would answer; the other panels say `reason`."""
    layers = layers or {}
    cells: dict[tuple[int, int], list[Panel]] = {}
    for column, model in enumerate(models):
        for row, photo in enumerate(photos):
            there = _recall(photo, model, targets, fit, layers.get(model, "auto"))
            cells[row, column] = [there.get(t) or Failure(photo, model, GRADCAM.name, t, reason) for t in targets]
    return _comparison(models, photos, targets, cells)


def _comparison(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    cells: Mapping[tuple[int, int], Sequence[Panel]],
) -> Comparison:
    panels = (panel for row in range(len(photos)) for column in range(len(models)) for panel in cells[row, column])
    return Comparison(tuple(photos), tuple(models), (GRADCAM.name,), tuple(targets), tuple(panels))


def agreements(panels: Sequence[Panel], measure: Measure) -> NDArray[np.float64]:
    """`gradcam.measures.agreement`, computed once: a change of look measures nothing."""
    maps = [_content(panel) for panel in panels]
    return _agreements(panels[0].photo.sha256, maps, measure.__name__, measure, panels)


def _content(panel: Panel) -> tuple[bytes, str] | None:
    """What a measure reads of a panel: its map, and where this lies on the photo."""
    if isinstance(panel, Failure):
        return None
    return panel.map.tobytes(), f"{panel.map.shape} {panel.explanation.view}"


@st.cache_data(max_entries=100, show_spinner=False)
def _agreements(
    sha256: str, maps: Sequence[object], name: str, _measure: Measure, _panels: Sequence[Panel]
) -> NDArray[np.float64]:
    return agreement(_panels, _measure)


@_by_model(100)
def depths(model: str) -> tuple[TargetLayer, ...]:
    """The layers of a model where a heatmap makes sense, from early to late; the last one is its target layer.

    Raises: GradcamError as loading the model and `candidate_layers` do.
    """
    with use(model) as lent:
        return tuple(candidate_layers(lent.module, lent.preprocessing.size))


def at_every_depth(
    model: str,
    photo: Photo,
    target: Target,
    *,
    fit: Fit = "crop",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Panel, ...]:
    """One class of one photo at each of `depths(model)`, one forward each, computing only what is not kept."""
    total = len(depths(model))
    panels: list[Panel] = []
    for depth in range(total):
        step = partial(Progress, depth, total, model)
        panels += _cell(photo, model, [target], fit, depth, lambda of, step=step: on_progress(step(of)))
    return tuple(panels)


def _cell(
    photo: Photo,
    model: str,
    targets: Sequence[Target],
    fit: Fit,
    layer: str | int,
    say: Callable[[str | None], None],
) -> list[Panel]:
    """The panels of one photo and one model: what is kept, and in one forward what is missing."""
    panels = _recall(photo, model, targets, fit, layer)
    if missing := [target for target in targets if target not in panels]:
        say(None)
        try:
            with use(model) as lent:
                say(photo.name)
                answers = compare(
                    [model],
                    [photo],
                    missing,
                    fit=fit,
                    layer=layer,
                    use=lambda _: nullcontext(lent),
                    explainer=forward_cache().explain,
                ).panels
        except GradcamError as error:  # not kept: the next run may find the weights
            answers = tuple(Failure(photo, model, GRADCAM.name, target, str(error)) for target in missing)
        else:
            for panel in answers:
                _kept(model, photo.sha256, write_target(panel.target), fit, layer, panel)
        panels |= {panel.target: panel for panel in answers}
    return [panels[target] for target in targets]


def _recall(photo: Photo, model: str, targets: Sequence[Target], fit: Fit, layer: str | int) -> dict[Target, Panel]:
    """The panels of one photo and one model that somebody has asked for already."""
    panels = {}
    for target in targets:
        with suppress(_NotYetError):
            panels[target] = _with_photo(_kept(model, photo.sha256, write_target(target), fit, layer), photo)
    return panels


# For the pages *Models* and *How it works* --------------------------------------------------------------------


@dataclass(frozen=True)
class Located:
    """A model's target layer; `untrained` where it was found from shapes alone, for want of weights."""

    layer: TargetLayer
    untrained: bool


@_by_model(1000)
def located(model: str) -> Located:
    """Where the heatmap of a model lies: on the real model if its weights are at hand, else from its shapes.

    Nothing is downloaded. Raises: GradcamError.
    """
    entry = catalogue().get(model)
    if entry is None or not entry.weights.startswith("download"):
        with use(model) as lent:
            return Located(resolve_target_layer(lent.module, lent.preprocessing.size), untrained=False)
    row = layer_row(f"{entry.source}/{entry.architecture}")
    if row.refused:
        raise ModelError(row.refused)
    height, _, width = row.grid.partition("×")
    layer = TargetLayer(row.layer, (int(height), int(width)), row.channels or 0, row.rule)
    return Located(layer, untrained=True)


def dissected(model: str, photo: Photo, target: Target, fit: Fit, layer: str) -> GradcamSteps:
    """`gradcam.teaching.steps.gradcam_steps`, computed once. Raises: GradcamError."""
    kept = _dissected(model, photo.sha256, write_target(target), fit, layer, photo, target)
    return replace(kept, explanation=replace(kept.explanation, photo=photo))


@_by_model(16)
def _dissected(
    model: str, sha256: str, question: str, fit: Fit, layer: str, _photo: Photo, _target: Target
) -> GradcamSteps:
    with use(model) as lent:
        found = gradcam_steps(lent, _photo, _target, fit=fit, layer=layer)
    return replace(found, explanation=replace(found.explanation, photo=_NO_PHOTO))
