"""The photos and models that pages work with: what a visitor brought, and what all visitors share.

What all share is kept by its content (a photo's SHA-256, a model's id), never by a name that somebody gave it. A
model that a visitor brought stays in that visitor's session and ends with it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from types import MappingProxyType

import streamlit as st

from dashboard import serving, session, uploads
from dashboard.server_folders import without_folders
from gradcam import (
    Classifier,
    GradcamError,
    OptionError,
    Photo,
    PhotoError,
    load_classifier,
    open_photo,
    sample_photo,
)
from gradcam.config import settings
from gradcam.errors import quoted
from gradcam.measures import FEW_CLASSES
from gradcam.model_spec import is_checkpoint
from gradcam.models import (
    CatalogueEntry,
    Labels,
    ModelPool,
    catalogue_entries,
    check_offered,
    is_listed,
    labels_of,
)

DEFAULT_MODELS = ("bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite1", "bundled/tf_efficientnet_lite2")
DEFAULT_PHOTOS = ("cat and coffee",)
"""What a visitor sees who has chosen nothing. Of the sample photos and twenty others it is the one on which the
bundled ImageNet models look in places furthest apart: two of them at the cat and one at the cup, with rank
correlations of 0.89, −0.74 and −0.69. On the cat alone they are 0.68 to 0.87, on the cup alone 0.83 to 0.96, with
the two changed over −0.72, −0.62 and 0.93."""
SECONDS_BEFORE_RETRY = 60.0
"""How long a model that could not be loaded is not tried again."""
MOST_FAILURES = 200
"""Ids of models that could not be loaded, remembered for all visitors; the oldest is forgotten first."""
SECONDS_BETWEEN_UPDATES = 0.25


@st.cache_resource(ttl=300, show_spinner=False)  # not `cache_data`: every run of every page would copy all
def catalogue() -> Mapping[str, CatalogueEntry]:
    """Every model with weights, by id."""
    return MappingProxyType({entry.id: entry for entry in catalogue_entries()})


def class_names(model: str) -> tuple[str, ...]:
    """The classes of a model, without loading it; none where it is no id, or a hub has not told yet."""
    found = labels(model)
    return found.names if found else ()


def labels(model: str) -> Labels | None:
    """The labels of a model, without loading it; None where it is no id, or a hub has not told yet."""
    if own := session.custom_models().get(model):
        return own.labels
    if is_listed(model):
        return labels_of(model)
    if model in pool().loaded:
        with suppress(GradcamError):  # a hub's model that this visitor may not use, or that has just been let go
            return classifier(model).labels
    return None


def knows(model: str) -> str:
    """What a model with few classes knows, such as `19 dog breeds`; empty for one with many."""
    names = class_names(model)
    if not 0 < len(names) <= FEW_CLASSES:
        return ""
    entry = catalogue().get(model)
    return entry.label_set if entry else f"{len(names)} classes"


def photo(token: str) -> Photo:
    """The photo that a token stands for: a sample, or an upload of this visitor.

    Raises: PhotoError where this session has no such photo.
    """
    if not uploads.is_upload(token):
        return sample_photo(token)
    upload = uploads.by_token().get(uploads.stretch(token, on=False))
    if upload is None:
        name = uploads.photo_name(token)
        raise PhotoError(
            f"expected {quoted(name)}, which this link shows but does not carry; upload that file again"
        )
    return decoded(upload, stretch=uploads.is_stretched(token))


class _Photos:
    """Decoded photos by content, the least recently used leaving first. Nobody waits for another's file."""

    def __init__(self, most_bytes: float) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, bool], Photo] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, upload: uploads.Upload, stretch: bool) -> Photo:
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


def decoded(upload: uploads.Upload, *, stretch: bool = False) -> Photo:
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
            sentence = without_folders(str(error))  # for it goes into reports, too
            self._remember(model, type(error), sentence)
            raise type(error)(sentence) from error

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


def use(model: str) -> AbstractContextManager[Classifier]:
    """A classifier for as long as the context lasts: this visitor's own, else one loaded once for all visitors.

    Raises: GradcamError as `load_classifier` does; a failure is remembered for `SECONDS_BEFORE_RETRY`. OptionError
        for a model that this visitor may not load.
    """
    if own := session.custom_models().get(model):
        return nullcontext(own)
    check_may_use(model)
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


def check_may_use(model: str) -> None:
    """Raises: OptionError for a model that this visitor may not load."""
    if refused := _refusal(model):
        raise OptionError(refused)


def classifier(model: str) -> Classifier:
    """The classifier of `use`, to look at; the pool may unload it at any time."""
    with use(model) as loaded:
        return loaded


def load_ahead(models: Sequence[str]) -> dict[str, Future[None]]:
    """Begin to load models and search their layers, side by side.

    Whoever asks for one then waits for it, or hears why it cannot be had.

    Left out are models that this visitor brought or may not load.
    """
    models = [model for model in models if not is_checkpoint(model) and not _refusal(model)]

    def load(model: str, done: Future[None]) -> None:
        try:
            with suppress(GradcamError), pool().use(model) as loaded:
                _ = loaded.target_layer  # remembered: a search takes longer than loading
        finally:
            done.set_result(None)

    loading = {model: Future[None]() for model in models}
    for model, done in loading.items():
        # a daemon, because a server that is told to stop should not wait for a download
        threading.Thread(target=load, args=(model, done), name="load", daemon=True).start()
    return loading


def wait_for(loading: Future[None], say: Callable[[], None]) -> None:
    """Wait for a model, and call `say` meanwhile, which raises where the page was told to stop."""
    while not loading.done():
        say()
        wait([loading], SECONDS_BETWEEN_UPDATES)
