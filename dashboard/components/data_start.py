"""Lets the visitor choose a run: their own, one that is shown to all, or a new one on their photos."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data_runs, session
from dashboard.components.messages import say_error, show_errors
from dashboard.components.names import name_markdown
from dashboard.data_runs import ListedRun
from dashboard.session import DataKey
from gradcam import GradcamError
from gradcam.config import settings
from gradcam.runs import LABEL
from gradcam.text import count

NEW = ""
"""Stands for a new run in the list of runs."""
SAMPLE, UPLOAD = "Sample set", "Upload"
TARGETS = {"Top prediction": ["top"], "Its label": [LABEL], "Both": ["top", LABEL]}
"""What is asked of each photo, by how it reads on the page."""

_UPLOADER, _FROM, _TARGETS, _REASON = "_set_uploader", "_set_from", "_set_targets", "_set_reason"


def pick_run() -> ListedRun | None:
    """Let the visitor pick a run; return None for a new one. The link carries its name."""
    if session.went_back() or DataKey.RUN not in st.session_state:
        st.session_state[DataKey.RUN] = st.query_params.get(DataKey.RUN, NEW)
    found = None
    with show_errors():
        if name := st.session_state[DataKey.RUN]:
            found = data_runs.opened(name)
    titles = {NEW: "Start a new run", **data_runs.titles()}
    if found is None:
        st.session_state[DataKey.RUN] = NEW
    st.selectbox(
        "Run",
        list(titles),
        format_func=lambda name: titles.get(name, str(name)),
        key=DataKey.RUN,
        persist_state="session",
        on_change=_begin_at_its_gallery,
        label_visibility="collapsed",
    )
    _write_link(found)
    return found


def _begin_at_its_gallery() -> None:
    """Go back to the gallery, as another run has other photos."""
    st.session_state[DataKey.OPENED] = None
    st.session_state.pop(DataKey.PAGE, None)


def _write_link(found: ListedRun | None) -> None:
    if found is None:
        st.query_params.pop(DataKey.RUN, None)
    elif st.query_params.get(DataKey.RUN) != found.name:
        st.query_params[DataKey.RUN] = found.name


def offer_start(models: tuple[str, ...]) -> None:
    """Let the visitor choose photos and a question, and start a run of these models over them."""
    limits = settings().runs
    st.session_state.setdefault(_UPLOADER, 0)
    with st.container(border=True):
        source = st.radio("Photos", [SAMPLE, UPLOAD, *_offered()], key=_FROM, horizontal=True)
        if source == UPLOAD:
            st.file_uploader(
                "A ZIP, or many photos",
                accept_multiple_files=True,
                max_upload_size=limits.upload_megabytes,
                key=f"{_UPLOADER}-{st.session_state[_UPLOADER]}",
                help="In a ZIP, folders are labels. A CSV beside the photos, with a column *path*, can say "
                "*label*, *box* and whatever you want to slice by.",
            )
            st.caption(f"At most {limits.upload_megabytes:,} MB and {limits.photos:,} photos.")
        elif source == SAMPLE:
            st.caption("24 small photos of a cat's head or a cup before drawn scenes, with labels and boxes.")
        st.radio(
            "Class",
            list(TARGETS),
            key=_TARGETS,
            horizontal=True,
            help="Which class each heatmap is for. *Its label* needs labels that are classes of every model.",
        )
        for model in _own(models):
            st.file_uploader(
                f"The file of {name_markdown(model)} once more",
                max_upload_size=settings().limits.upload_megabytes,
                key=_file_key(model),
                help="A session keeps no files. The run keeps this one for itself, until the run is deleted.",
            )
        st.button(
            "Start the run",
            on_click=_start,
            args=(source, models),
            disabled=not models,
            icon=":material/play_arrow:",
        )
        if not models:
            st.info("Choose a model in the sidebar to start a run.", icon=":material/west:")
        if reason := st.session_state.pop(_REASON, ""):
            say_error(reason)
        days = f"{limits.days:g} day{'' if limits.days == 1 else 's'}"
        st.caption(
            f"It computes on the server while you are away: keep the address of this page, which opens the run "
            f"again. It is deleted after {days}."
            + (f" {count(len(models), 'model')} chosen in the sidebar." if models else "")
        )


def _own(models: Sequence[str]) -> list[str]:
    """Those of the models that the visitor brought."""
    return [model for model in models if model in session.custom_models()]


def _file_key(model: str) -> str:
    return f"{_UPLOADER}-{st.session_state[_UPLOADER]}-{model}"


def _offered() -> dict[str, str]:
    """The names of the operator's data sets by how they read beside the two sources that are always there."""
    return {f"{name} of this server" if name in (SAMPLE, UPLOAD) else name: name for name in data_runs.data_sets()}


def _start(source: str, models: tuple[str, ...]) -> None:
    files = st.session_state.get(f"{_UPLOADER}-{st.session_state[_UPLOADER]}") or ()
    uploads = [(file.name, file) for file in files]
    title = source if source != UPLOAD else uploads[0][0] if len(uploads) == 1 else f"{len(uploads)} files"
    data = {SAMPLE: None, UPLOAD: uploads, **_offered()}.get(source, source)
    brought = {model: st.session_state.get(_file_key(model)) for model in _own(models)}
    try:
        name = data_runs.start(title, data, models, TARGETS[st.session_state[_TARGETS]], brought)
    except GradcamError as error:
        st.session_state[_REASON] = str(error)
    else:
        st.session_state[DataKey.RUN] = name
        st.session_state[_UPLOADER] += 1
