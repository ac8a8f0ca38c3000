"""What is computed once: heatmaps, agreements, layers and steps.

These caches serve every visitor. So a key is a content (a photo's SHA-256, a model's weights), never a name, and a
value carries nothing of a visitor: the photo is taken out on the way in and put back on the way out. What is
computed with a model that a visitor brought stays in that visitor's session and ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import library
from gradcam import (
    Classifier,
    Comparison,
    Failure,
    ModelError,
    ModelKey,
    ModelSpec,
    Panel,
    PanelKey,
    PanelMemory,
    Photo,
    Progress,
    Target,
    TargetLayer,
    Top,
    candidate_layers,
    compare,
    sample_photo,
)
from gradcam.config import settings
from gradcam.forward_cache import ForwardCache
from gradcam.layer_tables import layer_row
from gradcam.measures import Measure, agreement
from gradcam.methods import GRADCAM
from gradcam.model_spec import is_checkpoint
from gradcam.models import files_of
from gradcam.targets import write_target
from gradcam.teaching import GradcamSteps, gradcam_steps
from gradcam.types import Fit

F = TypeVar("F", bound=Callable[..., Any])

_NO_PHOTO = Photo(np.zeros((1, 1, 3), np.uint8), "", "")


def _by_model(max_entries: int) -> Callable[[F], F]:
    """Cache a function whose first argument is a model: for all visitors, or for this one where it is their own.

    A model of the catalogue or a hub is another one once its files have changed: it is kept by both.
    """

    def decorate(function: F) -> F:
        @wraps(function)  # Streamlit reads there which arguments are no part of the key
        def by_files(*args: Any) -> Any:
            *asked, _files = args
            return function(*asked)

        shared = st.cache_data(max_entries=max_entries, show_spinner=False)(by_files)
        own = st.cache_data(max_entries=max_entries, show_spinner=False, scope="session")(function)
        _FORGETTING.append(own.clear)

        @wraps(function)
        def cached(model: str, *args: Any) -> Any:
            return own(model, *args) if is_checkpoint(model) else shared(model, *args, files_of(model))

        return cast(F, cached)

    return decorate


_FORGETTING: list[Callable[[], None]] = []


def forget_custom() -> None:
    """Compute anew what models of this visitor's own answer: one was brought again, or is gone."""
    for forget in _FORGETTING:
        forget()
    st.session_state.pop(_CUSTOM_PANELS, None)


@st.cache_resource(show_spinner=False)
def forward_cache() -> ForwardCache:
    """The last forwards of every classifier: another class of a photo costs its gradient only."""
    return ForwardCache()


@st.cache_resource(show_spinner=False)
def _shared_panels() -> PanelMemory:
    return PanelMemory(settings().limits.panels)


_CUSTOM_PANELS = "_custom_panels"


def _custom_panels() -> PanelMemory:
    return st.session_state.setdefault(_CUSTOM_PANELS, PanelMemory(settings().limits.panels))


class _Panels:
    """The `PanelStore` of this visitor: shared with all others but for the models that this one brought."""

    def model(self, id: str) -> ModelKey | None:
        return self._of(id).model(id)

    def learn(self, id: str, model: ModelKey) -> None:
        self._of(id).learn(id, model)

    def get(self, key: PanelKey) -> Panel | None:
        return self._of(key.model.id).get(key)

    def put(self, key: PanelKey, panel: Panel) -> None:
        self._of(key.model.id).put(key, panel)

    def _of(self, model: str) -> PanelMemory:
        return _custom_panels() if is_checkpoint(model) else _shared_panels()


def compared(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    *,
    methods: Sequence[str] = (GRADCAM.name,),
    fit: Fit = "crop",
    layers: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Comparison:
    """`gradcam.compare`, computing only the panels that nobody has asked for yet.

    Another model, photo or class computes what is new; another look computes nothing; a run that was interrupted
    keeps what it has finished.

    layers: by model, the name of the layer to draw on; the model's own target layer elsewhere.
    on_progress: called before each step that takes time, so never where everything is there already, and several
        times a second while a model loads.
    """
    latest: list[Progress] = []

    def say(progress: Progress) -> None:
        latest[:] = [progress]
        on_progress(progress)

    there = kept(models, photos, targets, methods=methods, fit=fit, layers=layers, reason=WAITING)
    missing = dict.fromkeys(panel.model for panel in there.failures if panel.reason == WAITING)
    loading = library.load_ahead(list(missing))

    @contextmanager
    def use_when_loaded(model: str) -> Iterator[Classifier]:
        if model in loading:
            library.wait_for(loading[model], lambda: on_progress(latest[0]))
        with library.use(model) as loaded:
            yield loaded

    return compare(
        models,
        photos,
        targets,
        methods=methods,
        fit=fit,
        layer=pinned_of(models, layers or {}),
        results=_Panels(),
        use=use_when_loaded,
        explainer=forward_cache().explain_each,
        on_progress=say,
    )


def pinned_of(models: Sequence[str], layers: Mapping[str, str]) -> dict[str, str]:
    """The pinned layers of these models: a visitor may have pinned layers of others, too."""
    return {model: layer for model, layer in layers.items() if model in models}


def compute_first_page() -> None:
    """Compute what a visitor sees who has chosen nothing, one model after the other."""
    photos = list(map(sample_photo, library.DEFAULT_PHOTOS))
    explainer = forward_cache().explain
    compare(
        library.DEFAULT_MODELS,
        photos,
        [Top(1)],
        results=_shared_panels(),
        use=library.pool().use,
        explainer=explainer,
    )


WAITING, CANCELLED = "waits for its turn", "cancelled before its turn; press Continue"
"""The reasons of a panel that nobody has computed yet, and of one that the visitor wants no more."""


def kept(
    models: Sequence[str],
    photos: Sequence[Photo],
    targets: Sequence[Target],
    *,
    methods: Sequence[str] = (GRADCAM.name,),
    fit: Fit = "crop",
    layers: Mapping[str, str] | None = None,
    reason: str,
) -> Comparison:
    """The panels of `compared` that are kept; every other panel is a failure with `reason`."""

    def load_nothing(model: str) -> NoReturn:
        raise ModelError(reason)

    return compare(
        models,
        photos,
        targets,
        methods=methods,
        fit=fit,
        layer=pinned_of(models, layers or {}),
        results=_Panels(),
        use=load_nothing,
    )


def agreements(panels: Sequence[Panel], measure: Measure) -> NDArray[np.float64]:
    """`gradcam.measures.agreement`, computed once: a change of look measures nothing."""
    maps = [_content(panel) for panel in panels]
    return _agreements(panels[0].photo.sha256, maps, measure.__name__, measure, panels)


def _content(panel: Panel) -> tuple[object, ...] | None:
    """What a measure reads of a panel: its map, and where this lies on the photo."""
    if isinstance(panel, Failure):
        return None
    return panel.map.tobytes(), panel.map.shape, *astuple(panel.explanation.view)


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
    with library.use(model) as loaded:
        return tuple(candidate_layers(loaded.module, loaded.preprocessing.size))


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

        def say(progress: Progress, depth: int = depth) -> None:
            on_progress(replace(progress, done=depth, total=total))

        panels += compare(
            [model], [photo], [target], fit=fit, layer=depth, results=_Panels(), use=library.use, on_progress=say
        ).panels
    return tuple(panels)


# For the pages *Models* and *How it works* --------------------------------------------------------------------


@dataclass(frozen=True)
class Located:
    """A model's target layer; `untrained` where its weights are not at hand, and shapes alone were looked at."""

    layer: TargetLayer
    untrained: bool


@_by_model(1000)
def located(model: str) -> Located:
    """Where the heatmap of a model lies: on the real model if its weights are at hand, else from its shapes.

    Nothing is downloaded. Raises: GradcamError.
    """
    entry = library.catalogue().get(model)
    if entry is None or files_of(model):
        with library.use(model) as loaded:
            return Located(loaded.target_layer, untrained=False)
    row = layer_row(str(ModelSpec(entry.source, entry.architecture)))
    if row.refused:
        raise ModelError(row.refused)
    height, _, width = row.grid.partition("×")
    layer = TargetLayer(row.layer, (int(height), int(width)), row.channels or 0, row.rule)
    return Located(layer, untrained=True)


def steps_of(model: str, photo: Photo, target: Target, fit: Fit, layer: str) -> GradcamSteps:
    """`gradcam.teaching.steps.gradcam_steps`, computed once. Raises: GradcamError."""
    kept = _steps_of(model, photo.sha256, write_target(target), fit, layer, photo, target)
    return replace(kept, explanation=replace(kept.explanation, photo=photo))


@_by_model(16)
def _steps_of(
    model: str, sha256: str, target_text: str, fit: Fit, layer: str, _photo: Photo, _target: Target
) -> GradcamSteps:
    with library.use(model) as loaded:
        found = gradcam_steps(loaded, _photo, _target, fit=fit, layer=layer)
    return replace(found, explanation=replace(found.explanation, photo=_NO_PHOTO))
