"""Loads a visitor's own checkpoint for a known architecture into the session, and keeps it nowhere else."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import results, session
from dashboard.components.messages import escape_markdown, say_error
from dashboard.components.models import MOST
from dashboard.components.names import name_markdown
from dashboard.session import Key
from gradcam import Classifier, GradcamError, OptionError, load_checkpoint
from gradcam.config import settings
from gradcam.model_spec import display_name
from gradcam.models import (
    CROPS,
    INPUT,
    INTERPOLATIONS,
    LABEL_SETS,
    MAX_SIZE,
    MIN_CROP,
    SUFFIXES,
    Guess,
    architecture_names,
    guess_architecture,
    preprocessing_for,
    read_labels,
)
from gradcam.text import first_few
from gradcam.types import ACTIVATIONS, Activation

MAX_CUSTOM_MODELS = 4

ACTIVATION_LABELS: dict[Activation, str] = {"softmax": "softmax: one class", "sigmoid": "sigmoid: multi-label"}

_REFUSED, _ADDED, _TURN, _GUESS = "_own-refused", "_own-added", "_own-turn", "_own-guess"


def offer_custom_model() -> None:
    """Take a file and ask what it does not say; choose the model for every page once it is loaded."""
    file = st.file_uploader(
        "Checkpoint",
        max_upload_size=settings().limits.upload_megabytes,
        key=_key("file"),
        help=f"The tensors of a state_dict, best as .safetensors ({', '.join(SUFFIXES)}). A file with more in it, "
        "such as a whole pickled model, could run code when opened and is refused.",
    )
    guess, refused = _guessed(file)
    if refused:
        say_error(refused)
    with st.form("own", enter_to_submit=False):
        _ask_for_architecture(guess, is_read=file is not None and not refused)
        _ask_for_classes()
        _ask_for_names()
        with st.expander("Preprocessing, where it differs from the architecture's own"):
            _ask_for_preprocessing()
        st.form_submit_button("Add the model", on_click=_add, icon=":material/add:")
    for sentence in st.session_state.pop(_REFUSED, ()):
        if sentence != refused:  # which stands at the file
            say_error(sentence)
    if added := st.session_state.pop(_ADDED, None):
        st.toast(f"Added **{name_markdown(added)}**. Every page can use it now.", icon=":material/check:")
    st.caption(
        "Your model and what is computed with it stay in this session: no other visitor can see or use them, and "
        "they are gone when it ends, unless you take the model through a run on the page *Data set* or share it "
        "with a project on the page *Reviews*. A link names the file and the hash of its weights, but carries "
        "neither."
    )


def _ask_for_architecture(guess: Guess, *, is_read: bool) -> None:
    st.selectbox(
        "Architecture",
        dict.fromkeys((*guess.fitting, *guess.near, *architecture_names())),
        index=None,
        placeholder="Guessed from the file; or type a part of its name",
        filter_mode="fuzzy",
        key=_key("architecture"),
        help="What the checkpoint was trained as: those that its tensors fit come first, then those that are "
        "near. The number of classes is read from its head.",
    )
    st.caption(_guess_statement(guess, is_read=is_read))


def _ask_for_classes() -> None:
    """Ask what the classes are called, and how their scores become probabilities."""
    names, known, activation = st.columns([3, 2, 2])
    names.file_uploader(
        "Class names, one for each class of the head",
        max_upload_size=5,
        key=_key("names"),
        help="A name a line; a table with columns index and name (.csv, .tsv); or JSON (.json): a list, or "
        '{"0": "cat"}. A head '
        "with a single logit has two classes, the negative one first; one name is the positive one's.",
    )
    known.selectbox(
        "Or a known set of classes",
        LABEL_SETS,
        index=None,
        placeholder="None: the file, else numbers",
        key=_key("set"),
    )
    activation.selectbox(
        "Activation",
        ACTIVATIONS,
        format_func=ACTIVATION_LABELS.__getitem__,
        key=_key("activation"),
        help="How scores become probabilities. Softmax: one class of many. Sigmoid: each class for itself, as "
        "in a multi-label head. A head with a single logit always has a sigmoid.",
    )


def _ask_for_names() -> None:
    """Ask what the model is called, and which network of the file it is."""
    st.text_input(
        "Name",
        placeholder="The file's name",
        max_chars=40,
        key=_key("name"),
        help="What the model is called in headings, tables and files; a space or sign in it becomes a dash. "
        "The commands that a report prints expect the file under this name.",
    )
    st.text_input(
        "Network in the file, where it holds several",
        placeholder="The trained one; or such as state_dict_ema",
        max_chars=200,
        key=_key("prefix"),
    )


def _guessed(file: UploadedFile | None) -> tuple[Guess, str]:
    """Find out once what the file may be for; choose an architecture if it is the only one that fits.

    Returns: the guess, and a sentence if the file cannot be read.
    """
    if file is None or file.size > _most_bytes():
        return Guess(()), ""
    known: tuple[str, Guess, str] = st.session_state.get(_GUESS, ("", Guess(()), ""))
    if known[0] != file.file_id:
        guess, refused = Guess(()), ""
        try:
            with st.spinner("Looking at the names and shapes of its tensors"):
                guess = guess_architecture(file.getvalue(), PurePath(file.name).name)
        except GradcamError as error:
            refused = str(error)
        known = st.session_state[_GUESS] = (file.file_id, guess, refused)
        st.session_state[_key("architecture")] = guess.only
    return known[1:]


def _guess_statement(guess: Guess, *, is_read: bool) -> str:
    """Say how many architectures fit the file. is_read: whether there is one."""
    if guess.is_named:
        return f"The file names **{escape_markdown(guess.fitting[0])}**, and its tensors fit."
    if guess.only:
        return f"Its tensors fit **{escape_markdown(guess.only)}** and no other architecture."
    if guess.fitting:
        first = f"**{escape_markdown(guess.fitting[0])}** is the likeliest"
        return f"Its tensors fit {len(guess.fitting)} architectures, the first in the list; {first}. Choose one."
    if guess.near:
        return (
            f"Its tensors fit no architecture; **{escape_markdown(guess.near[0])}**, the first in "
            "the list, is nearest."
        )
    if is_read:
        return "Its tensors are near no architecture of the list. Choose the one that it was trained as."
    return "What its tensors fit comes first in the list, once a file is chosen."


def _most_bytes() -> float:
    return settings().limits.upload_megabytes * 1e6


def _ask_for_preprocessing() -> None:
    size, crop, mode, interpolation = st.columns(4)
    size.number_input("Input size, pixels", 16, MAX_SIZE, None, placeholder="own", key=_key("size"))
    crop.number_input("Crop, share", MIN_CROP, 1.0, None, 0.005, format="%.3f", placeholder="own", key=_key("crop"))
    mode.selectbox("Fit", CROPS, index=None, placeholder="own", key=_key("mode"))
    interpolation.selectbox(
        "Interpolation", INTERPOLATIONS, index=None, placeholder="own", key=_key("interpolation")
    )
    mean, std = st.columns(2)
    mean.text_input("Mean of R, G, B", placeholder="0.485, 0.456, 0.406", key=_key("mean"))
    std.text_input("Standard deviation of R, G, B", placeholder="0.229, 0.224, 0.225", key=_key("std"))


def _key(field: str) -> str:
    return f"_own-{field}-{st.session_state.setdefault(_TURN, 0)}"


def _add() -> None:
    """Load what the form holds, keep it in the session and choose it; else say why not and keep the form."""
    form = {
        field: st.session_state[_key(field)]
        for field in ("file", "architecture", "name", "prefix", "names", "set", "activation", *INPUT)
    }
    try:
        model = _load(form["file"], form["architecture"], form["names"], form["set"], form)
    except GradcamError as error:
        st.session_state[_REFUSED] = [str(error)]
        return
    chosen = st.session_state[Key.MODELS]
    if model not in chosen and len(chosen) < MOST:
        st.session_state[Key.MODELS] = [*chosen, model]
    st.session_state[_ADDED] = model
    st.session_state[_TURN] += 1


def _load(
    file: UploadedFile | None,
    architecture: str | None,
    names: UploadedFile | None,
    known: str | None,
    form: dict[str, Any],
) -> str:
    """Load the model into the session; return its id. Raises: GradcamError."""
    if file is None:
        raise OptionError("expected a checkpoint, got no file; add a checkpoint")
    if file.size > _most_bytes():
        raise OptionError(f"expected at most {_most_bytes() / 1e6:.0f} MB, got {file.size / 1e6:.0f} MB; halve it")
    labels = read_labels(names.getvalue(), names.name) if names else known
    data, name, prefix = file.getvalue(), PurePath(file.name).name, form["prefix"] or None
    if architecture is None:
        architecture = guess_architecture(data, name, prefix).only
    told = {field: form[field] for field in INPUT}
    preprocessing = None if architecture is None else preprocessing_for(architecture, **told)
    suffix = PurePath(name).suffix
    stem = (form["name"] or "").strip() or name.removesuffix(suffix)

    def load(called: str) -> Classifier:
        return load_checkpoint(
            data,
            architecture,
            name=called + suffix,
            prefix=prefix,
            labels=labels,
            preprocessing=preprocessing,
            activation=form["activation"] or "softmax",
        )

    classifier, number = load(stem), 1
    while _is_name_taken(str(classifier.spec)):
        number += 1
        classifier = load(f"{stem}-{number}")
    return keep_custom_model(classifier)


def keep_custom_model(classifier: Classifier) -> str:
    """Keep a checkpoint in the session; return its id. Raises: OptionError where the visitor has enough."""
    own, model = session.custom_models(), str(classifier.spec)
    if model not in own and len(own) == MAX_CUSTOM_MODELS:
        raise OptionError(f"expected at most {MAX_CUSTOM_MODELS} models of your own at once; remove one first")
    own[model] = classifier
    results.forget_custom()
    return model


def _is_name_taken(model: str) -> bool:
    """Return whether another model of this visitor has the same name."""
    return display_name(model) in {display_name(other) for other in session.custom_models() if other != model}


def show_custom_models() -> None:
    """Show the visitor's own models, each with a button that removes it."""
    own = session.custom_models()
    if not own:
        return
    st.header("Your models", anchor=False)
    for model, classifier in own.items():
        names, note = classifier.labels.names, classifier.spec.file.note if classifier.spec.file else ""
        size = "×".join(map(str, classifier.preprocessing.size))
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{name_markdown(model)}** · `{classifier.spec.architecture}`  \n"
                f"{len(names)} classes: {escape_markdown(first_few(names, 5))} "
                f"· {classifier.activation} · input {size} "
                f"· weights `{classifier.weights_sha256[:16]}`{note and ' · '}{escape_markdown(note)}"
            )
            st.button("Remove", key=f"_remove-{model}", on_click=_remove, args=(model,), icon=":material/delete:")


def _remove(model: str) -> None:
    session.custom_models().pop(model, None)
    st.session_state[Key.MODELS] = [one for one in st.session_state[Key.MODELS] if one != model]
    results.forget_custom()
