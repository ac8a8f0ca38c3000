"""Lets the visitor pick what every model is to explain: classes, methods, and how the photo is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, get_args

import streamlit as st

from dashboard import library, session
from dashboard.components.class_box import replace_typed, say_replaced
from dashboard.components.messages import say_error
from dashboard.components.methods import pick_methods
from dashboard.components.pins import pick_layers
from dashboard.session import Key
from gradcam import GradcamError, Target, Top, parse_target
from gradcam.methods import GRADCAM
from gradcam.targets import known_names, write_target
from gradcam.types import Fit

DEFAULT = (Top(1),)
MOST = 5

HELP = (
    "*Top prediction* is each model's own. A class can be named, or given by its index, such as *#281*; "
    "*tabby rather than tiger cat* asks for the difference. A name in quotes is always a name."
)

FIT_LABELS: dict[Fit, str] = {
    "crop": "the model's own evaluation crop",
    "squash": "the whole photo, its aspect lost",
    "pad": "the whole photo, with bars",
}


@dataclass(frozen=True)
class Request:
    """The targets, the fit of a photo to the model's input, the pinned layers by model, and the methods."""

    targets: tuple[Target, ...]
    fit: Fit
    layers: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = (GRADCAM.name,)

    @property
    def options(self) -> Options:
        """All but the targets, as `results.compared` takes them."""
        return {"methods": self.methods, "fit": self.fit, "layers": self.layers}


class Options(TypedDict):
    """The arguments of `results.compared` that a request holds."""

    methods: tuple[str, ...]
    fit: Fit
    layers: Mapping[str, str]


def pick_request(models: Sequence[str]) -> Request:
    """Let the visitor pick classes by the models' own labels, methods and a fit; add the pinned layers."""
    targets = pick_classes(models)
    methods = pick_methods(Key.METHODS, (GRADCAM.name,), models, len(targets))
    return Request(targets, pick_fit(), pick_layers(), methods)


def pick_classes(models: Sequence[str]) -> tuple[Target, ...]:
    """Let the visitor pick targets; each model's own top prediction if none is picked."""
    typed = st.multiselect(
        "Classes",
        class_options(models),
        default=[write_target(target, known_classes(models)) for target in DEFAULT],
        max_selections=MOST,
        select_all=False,
        accept_new_options=True,
        placeholder="Type a part of a name",
        help=HELP,
        on_change=replace_typed,
        args=(Key.CLASSES, models),
        **session.linked(Key.CLASSES),
    )
    say_replaced(Key.CLASSES)
    return read_targets(typed, models) or DEFAULT


def class_options(models: Sequence[str], predictions: int = 3) -> list[str]:
    """Return the models' own predictions, then every class that one of them has, each once, for `read_targets`."""
    known = known_classes(models)
    tops = (Top(rank + 1) for rank in range(predictions))
    names = (name for model in models for name in library.class_names(model))
    return list(dict.fromkeys(write_target(target, known) for target in (*tops, *names)))


def known_classes(models: Sequence[str]) -> frozenset[str]:
    """Return the names that text typed for these models may mean."""
    return known_names(name for model in models for name in library.class_names(model))


def read_targets(typed: Iterable[str], models: Sequence[str]) -> tuple[Target, ...]:
    """Read the typed targets, each once; show a sentence for text that names no target."""
    known = known_classes(models)
    return tuple(dict.fromkeys(target for text in typed if (target := _read(text, known)) is not None))


def _read(text: str, known: frozenset[str]) -> Target | None:
    try:
        return parse_target(text, known)
    except GradcamError as error:
        say_error(str(error))
        return None


def pick_fit() -> Fit:
    """Let the visitor pick how a photo is fitted to the model's input."""
    fit = st.radio(
        "Fit",
        get_args(Fit),
        horizontal=True,
        help="How the photo meets the model's square input. "
        + "; ".join(f"*{fit}*: {words}" for fit, words in FIT_LABELS.items())
        + ".",
        **session.linked(Key.FIT),
    )
    return fit or "crop"
