"""Lets the visitor pick models by typing, over the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import library, session
from dashboard.session import Key
from gradcam.measures import FEW_CLASSES
from gradcam.model_spec import architecture_of, checkpoint_name, is_checkpoint, untrained
from gradcam.models import has_weights

MOST = 8
VGG16 = "torchvision/vgg16@IMAGENET1K_V1"


def pick_models(default: Sequence[str] = library.DEFAULT_MODELS) -> tuple[str, ...]:
    """Let the visitor pick models, or type an id that the catalogue does not list; return the ids."""
    session.open_link(Key.MODELS, default, MOST)
    known = library.catalogue()

    def label(model: str) -> str:
        if is_checkpoint(model):
            return f"{checkpoint_name(model)} · yours"
        if model not in known:
            return model
        entry = known[model]
        knows = entry.label_set if entry.classes <= FEW_CLASSES else ""
        weights = entry.weights if entry.weights != "bundled" else ""
        return " · ".join(part for part in (model, knows, weights) if part)

    chosen = st.multiselect(
        "Models",
        list(dict.fromkeys([*session.custom_models(), *known, *st.session_state[Key.MODELS]])),
        format_func=label,
        key=Key.MODELS,
        persist_state="session",
        max_selections=MOST,
        select_all=False,
        accept_new_options=True,
        placeholder="Type a part of a name",
        label_visibility="collapsed",
    )
    st.caption(f"Type to search {len(known):,} models; *download* is done once.")
    _offer_own(chosen)
    _offer_vgg16(chosen)
    session.write_link(Key.MODELS, default)
    return tuple(chosen)


def _offer_own(chosen: Sequence[str]) -> None:
    """Offer to show nothing but the visitor's own models, if others are chosen beside them."""
    own = [model for model in chosen if model in session.custom_models()]
    if own and len(own) < len(chosen):
        st.button(
            "Show only mine",
            on_click=st.session_state.update,
            args=({Key.MODELS: own},),
            type="tertiary",
            icon=":material/filter_alt:",
        )


def _offer_vgg16(chosen: Sequence[str]) -> None:
    """Offer to add a model unlike the bundled ones, if none of its kind is chosen."""
    if len(chosen) < MOST and not any(architecture_of(model) == architecture_of(VGG16) for model in chosen):
        st.button(
            "Add VGG16",
            on_click=_add_vgg16,
            type="tertiary",
            icon=":material/add:",
            help="An older network of plain convolutions; untrained where its weights cannot be had.",
        )


def _add_vgg16() -> None:
    model = VGG16
    if not has_weights(VGG16):
        model = untrained(VGG16)
        st.toast(
            "The weights of VGG16 are not on this machine and their host does not answer, so it is added "
            "**untrained**: its heat is that of random weights.",
            icon=":material/info:",
        )
    st.session_state[Key.MODELS] = [*st.session_state[Key.MODELS], model]
