"""Everything a visitor has chosen or brought, in one typed place.

A choice lives under a `Key`, in the session and in the link: a copied link reopens the same view, and every page
finds the same choices.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypedDict, get_args

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import uploads
from gradcam import Classifier, OptionError, Photo, Style
from gradcam.draw import SEQUENTIAL
from gradcam.regions import read_region, write_region
from gradcam.types import Blend, Region


class Key(StrEnum):
    """The choices: their keys in the session and their names in the link."""

    PHOTOS = "photos"
    MODELS = "models"
    CLASSES = "classes"
    METHODS = "methods"
    METHODS_BESIDE = "methods-beside"
    WRAPPER = "wrapper"
    FIT = "fit"
    COLORMAP = "colormap"
    OPACITY = "opacity"
    BLEND = "blend"
    THRESHOLD = "threshold"
    SCALE = "scale"
    COMPETING = "rivals"
    RIVALS_SCALE = "rivals-scale"
    CLASS = "class"
    DEPTH = "depth"
    DEPTH_SCALE = "depth-scale"
    SHOWN_PHOTO = "photo"
    SHOWN_MODEL = "model"
    SHOWN_CLASS = "of-class"
    SHOWN_METHOD = "of-method"
    DIFFERENCE_A = "a"
    DIFFERENCE_B = "b"
    FADE = "differing"
    LAYERS = "layers"
    REGIONS = "regions"
    TASK = "task"
    SEARCH = "search"
    SOURCES = "sources"
    AT_HAND = "at-hand"
    STEP = "step"
    LINE = "line"
    PROJECT = "project"
    REVIEWS = "reviews"
    REVIEW = "review"
    SUBJECT = "subject"


class DataKey(StrEnum):
    """The choices of the page *Data set*, in no other page's link: whoever has a run's name has the run."""

    RUN = "run"
    PART = "part"
    RANKING = "by"
    MAPS = "maps"
    PAIR = "pair"
    LABEL = "label"
    PREDICTED = "predicted"
    COLUMN = "column"
    VALUE = "value"
    CONFIDENCE = "confidence"
    VERDICT = "verdict"
    PAGE = "page"
    OPENED = "opened"
    MODEL = "of-model"
    MEASURE = "measure"
    OF_LABEL = "of-label"
    CANDIDATE = "candidate"


PHOTO_PAGE = "_photo_page"
"""Which photos are shown, where more are chosen than fit: in no link, for only uploads are so many."""

_FILLED = "_filled"
_PAGE, _LINK = "_page_shown", "_link"
_WORN = {Key.COLORMAP, Key.OPACITY, Key.BLEND, Key.THRESHOLD, Key.LAYERS, Key.REGIONS}
"""What no widget carries: kept by `look`, `pinned` and `regions`."""


class Linked(TypedDict):
    """The arguments that tie a widget to its key, in the session and in the link."""

    key: str
    bind: Literal["query-params"]


def linked(key: Key | DataKey) -> Linked:
    """Arguments for a widget whose options read in the link as they read on the page."""
    return {"key": key.value, "bind": "query-params"}


def turn_to(page: str) -> None:
    """Carry every choice over to the page that runs next; call it before every run of a page.

    The menu's links say nothing, so of a visitor's own link only what its page draws would be left: the rest is put
    into the link of every page until it is drawn. And where two pages draw one choice, the second would begin anew,
    so its value is set again.
    """
    if went_back():
        _take_from_link()
    if st.session_state.get(_PAGE) == page:
        return
    uploads.forget_refused()
    if _PAGE not in st.session_state:
        st.session_state[_LINK] = {key: st.query_params.get_all(key) for key in Key if key in st.query_params}
        look()
        pinned()
        _regions()
    from_link: dict[str, list[str]] = st.session_state[_LINK]
    rest = {
        key: values for key, values in from_link.items() if key not in {*st.session_state, *st.query_params, *_WORN}
    }
    if rest:
        st.query_params.update(rest)
        st.rerun()  # for widgets read a link as a run begins
    for key in (*Key, *DataKey):
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]
    keep_look(look())
    write_pins()
    write_regions()
    st.session_state[_PAGE] = page


def open_page(name: str) -> NoReturn:
    """Turn to another page, as its entry in the menu does.

    Streamlit by itself would refuse to leave a link that a widget has written into.
    """
    st.switch_page(f"app_pages/{name}.py", query_params={})


_TURNS = "_turns"


def went_back() -> bool:
    """Whether this run shows a link that the visitor went back to in the browser's history, or forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def turns() -> int:
    """How often the visitor has gone back or forward: what a viewer was told before is no choice any more."""
    return st.session_state.get(_TURNS, 0)


def _take_from_link() -> None:
    """Forget what no widget carries, so that the link says it again, as it stood there."""
    st.session_state[_TURNS] = turns() + 1
    for key in (_LOOK, _SETTLED, *PICKED_LOOK, _PINS, _REGIONS):
        st.session_state.pop(key, None)


def open_link(key: Key, default: Sequence[str], most: int) -> None:
    """Fill a list from the link, else with the page's default, which takes the place of another page's default.

    For a widget whose options read otherwise on the page than in the link: call it before the widget, which gets
    `key=` alone, and `write_link` after.
    """
    if went_back():
        for state in (st.session_state, st.session_state.get(_FILLED, {})):
            state.pop(key, None)
    if key not in st.session_state and key in st.query_params:
        written = dict.fromkeys(st.query_params.get_all(key))
        st.session_state[key] = [value for value in written if value][:most]  # of none, `write_link` leaves a name
    elif is_untouched(key):
        st.session_state[key] = list(default)
        st.session_state.setdefault(_FILLED, {})[key] = list(default)
    else:
        return
    st.session_state.setdefault(_CAME_WITH, {})[key] = list(st.session_state[key])


def is_untouched(key: Key) -> bool:
    """Whether a list still is what `open_link` filled it with, so that nobody has chosen it."""
    return st.session_state.get(key) == st.session_state.get(_FILLED, {}).get(key)


_CAME_WITH = "_came_with"


def came_with(key: Key) -> Sequence[str]:
    """What a list held before the visitor chose anything of it: what its link said, or a page's default."""
    return st.session_state.get(_CAME_WITH, {}).get(key, ())


_KNOWN = "_known_names"


def just_added(key: Key | DataKey, names: Sequence[str], at_first: Sequence[str] | None = None) -> str | None:
    """The last of the names that were not there when this choice was last shown.

    at_first: those that were there before it was ever shown; all of them if None.
    """
    known: dict[Key | DataKey, Sequence[str]] = st.session_state.setdefault(_KNOWN, {})
    before = known.get(key, names if at_first is None else at_first)
    known[key] = list(names)
    return next((name for name in reversed(names) if name not in before), None)


def write_link(key: Key, default: Sequence[str]) -> None:
    """Put a list into the link, unless it is the default."""
    values = list(st.session_state[key])
    if values == list(default):
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != (values or [""]):
        st.query_params[key] = values or [""]


# Look: set in the viewer, so no widget carries it ----------------------------------------------------------------

_LOOK, _SETTLED = "_look", "_settled_look"
PICKED_LOOK = "_look_colormap", "_look_opacity"
"""The keys of widgets that set the look where there is no viewer to set it in."""


def look() -> Style:
    """The colour map, opacity, blend and threshold as last set, else as the link says, else the default."""
    if _LOOK not in st.session_state:
        st.session_state[_LOOK] = Style(
            colormap=_one_of(SEQUENTIAL, st.query_params.get(Key.COLORMAP), Style.colormap),
            opacity=_share(st.query_params.get(Key.OPACITY), Style.opacity),
            blend=_one_of(get_args(Blend), st.query_params.get(Key.BLEND), Style.blend),
            threshold=_share(st.query_params.get(Key.THRESHOLD), Style.threshold),
        )
    return st.session_state[_LOOK]


def _one_of(choices: Collection[str], value: str | None, default: Any) -> Any:
    return value if value in choices else default


def _share(percent: str | None, default: float) -> float:
    return int(percent) / 100 if percent and re.fullmatch(r"\d\d?|100", percent, re.ASCII) else default


def settled_look(style: Style, shown: object) -> Style:
    """`style`, with the look that viewers of `shown` were made with.

    A viewer that is sent its own new look would be built anew, under the visitor's hand; so it is sent the old one,
    until something else is shown.
    """
    before, base = st.session_state.get(_SETTLED, (None, style))
    if before != shown:
        base = style
    st.session_state[_SETTLED] = shown, base
    return replace(base, scale=style.scale)


def keep_look(style: Style) -> None:
    """Remember a look, and put what is not the default into the link."""
    st.session_state[_LOOK] = style
    in_link, usual = _in_link(style), _in_link(Style())
    for key, value in in_link.items():
        if value == usual[key]:
            st.query_params.pop(key, None)
        elif st.query_params.get(key) != value:
            st.query_params[key] = value


def _in_link(style: Style) -> dict[Key, str]:
    percents = {Key.OPACITY: style.opacity, Key.THRESHOLD: style.threshold}
    names = {Key.COLORMAP: style.colormap, Key.BLEND: style.blend}
    return names | {key: f"{100 * share:.0f}" for key, share in percents.items()}


# Pinned layers ------------------------------------------------------------------------------------------------

_PINS = "_pins"
_AT = "~"
MOST_PINS = 20


def pinned() -> dict[str, str]:
    """The layers that the visitor has pinned, by model; at first those of the link, `model~layer` each."""
    if _PINS not in st.session_state:
        pins = (pin.rpartition(_AT) for pin in st.query_params.get_all(Key.LAYERS)[:MOST_PINS])
        st.session_state[_PINS] = {model: layer for model, _, layer in pins if model}
    return st.session_state[_PINS]


def pin(model: str, layer: str) -> None:
    """Draw on this layer of this model from now on, on every page; the oldest of too many pins makes way."""
    unpin(model)
    st.session_state[_PINS] = dict([*pinned().items(), (model, layer)][-MOST_PINS:])


def unpin(model: str) -> None:
    """Draw on the model's own target layer again."""
    st.session_state[_PINS] = {other: layer for other, layer in pinned().items() if other != model}


def write_pins() -> None:
    """Put the pins into the link."""
    pins = [f"{model}{_AT}{layer}" for model, layer in pinned().items()]
    if pins and st.query_params.get_all(Key.LAYERS) != pins:
        st.query_params[Key.LAYERS] = pins
    elif not pins:
        st.query_params.pop(Key.LAYERS, None)


# Where the object is ------------------------------------------------------------------------------------------

_REGIONS = "_regions"
MOST_REGIONS = 20
_DIGITS = 16
"""Of a photo's SHA-256, which tell it from others in a link."""


def _regions() -> dict[str, Region]:
    """What the visitor has marked, by photo; at first what the link says, `photo~10,20,200,180` each."""
    if _REGIONS not in st.session_state:
        marks: dict[str, Region] = {}
        for text in st.query_params.get_all(Key.REGIONS)[:MOST_REGIONS]:
            photo, _, corners = text.partition(_AT)
            with suppress(OptionError):  # somebody may have typed it
                marks[photo] = read_region(corners)
        st.session_state[_REGIONS] = marks
    return st.session_state[_REGIONS]


def region(sha256: str) -> Region | None:
    """Where the visitor has marked the object on a photo."""
    return _regions().get(sha256[:_DIGITS])


def mark(sha256: str, region: Region | None) -> None:
    """Mark a part of a photo, on every page, or nothing; the oldest of too many marks makes way."""
    marks = {photo: other for photo, other in _regions().items() if photo != sha256[:_DIGITS]}
    if region is not None:
        marks[sha256[:_DIGITS]] = region
    st.session_state[_REGIONS] = dict([*marks.items()][-MOST_REGIONS:])


def marked() -> bool:
    """Whether anything is marked on any photo."""
    return bool(_regions())


def keep_marks(photos: Collection[str]) -> None:
    """Forget the marks on all photos but these. photos: their SHA-256, or the first 16 digits of it."""
    kept = {photo[:_DIGITS] for photo in photos}
    st.session_state[_REGIONS] = {photo: region for photo, region in _regions().items() if photo in kept}


def write_regions() -> None:
    """Put the marks into the link."""
    marks = [f"{photo}{_AT}{write_region(region)}" for photo, region in _regions().items()]
    if marks and st.query_params.get_all(Key.REGIONS) != marks:
        st.query_params[Key.REGIONS] = marks
    elif not marks:
        st.query_params.pop(Key.REGIONS, None)


# Models of one's own --------------------------------------------------------------------------------------------

_OWN = "_own_models"


def custom_models() -> dict[str, Classifier]:
    """The models that this visitor brought, by id, oldest first. They live in the session and nowhere else."""
    return st.session_state.setdefault(_OWN, {})


# Reviews --------------------------------------------------------------------------------------------------------

OWN_NAME = "_own_name"
"""The name that a visitor types where nobody signs in."""


def own_name() -> str:
    """Who the visitor says they are, on a server where nobody signs in; empty if they have not said it yet."""
    return " ".join(str(st.session_state.get(OWN_NAME) or "").split())


# Reports --------------------------------------------------------------------------------------------------------


class Draft(StrEnum):
    """What a visitor writes into a report: it outlives a change of page, and no link carries it."""

    TITLE = "_title"
    STATUS = "_status"
    REVIEWER = "_reviewer"
    DATE = "_date"
    SUMMARY = "_summary"
    QUESTIONS = "_open_questions"
    NOTE = "_note"
    NOTE_STATUS = "_note_status"
    EMBEDDED = "_embedded"
    FORMATS = "_formats"
    MIN_AGREEMENT = "_min_agreement"
    EXPECT_CLASSES = "_expect_classes"
    MAX_OUTSIDE_BOX = "_max_outside_box"
    BOXES = "_boxes"


class ReportKey(StrEnum):
    """The reports that a visitor has at hand, each under its key in the session."""

    BUILT = "_built"
    REOPENED = "_reopened"
    CONTINUED = "_continued"
    BEFORE = "_before"
    AFTER = "_after"
    REPLAYED = "_replayed"

    @property
    def in_link(self) -> str:
        """The report's name in the link of its page, and of no other: so that a reload can ask for its file."""
        return self.value.lstrip("_")


class Drafted(TypedDict):
    """The arguments that tie a widget to a draft."""

    key: str
    persist_state: Literal["session"]


def drafted(draft: Draft, photo: Photo | None = None, *, of: str = "") -> Drafted:
    """Arguments for a widget that a visitor writes a draft in: of the whole report, or of one photo.

    of: which report is continued; empty for the one that is written of what is compared now.
    """
    whose = f"-{photo.sha256[:16]}" if photo else ""
    return {"key": f"{draft.value}{whose}{of and f'~{of}'}", "persist_state": "session"}
