"""Lets people share their own models with a project, and use those that others share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard import identity, session
from dashboard.components.custom_model import keep_custom_model
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.components.names import name_markdown
from gradcam.config import settings
from gradcam.errors import OptionError
from gradcam.models import is_file_of, load_shared, write_options
from gradcam.reviews import Project, SharedModel

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

_FILE = "_shared_file"


def show_models(store: ReviewStore, project: Project) -> None:
    """Show the models of a project, and let the visitor use one, or share one of their own."""
    shared = store.shared_models(project)
    for model in shared:
        _show_model(store, model)
    if not shared:
        st.caption(
            "None yet. Whoever brought a model on the page *Models* can share it here, for a replay or for more."
        )
    own = [model for model in session.custom_models() if model not in {one.name for one in shared}]
    if own:
        _offer_to_share(store, project, own)


def _show_model(store: ReviewStore, model: SharedModel) -> None:
    st.markdown(f"**{name_markdown(model.name)}** · {escape_markdown(model.by)}, {model.at[:10]}")
    own = session.custom_models().get(model.name)
    has_it = own is not None and write_options(own) == store.shared_options(model)
    if st.button("In use" if has_it else "Use it here", key=f"_use-{model.id}", disabled=has_it):
        with show_errors(), st.spinner("Loading it"):
            keep_custom_model(load_shared(store.shared_file(model), store.shared_options(model)))
            st.rerun()


def _offer_to_share(store: ReviewStore, project: Project, own: list[str]) -> None:
    model = st.selectbox("Share a model of yours", own, format_func=name_markdown)
    file = st.file_uploader(
        "Its file once more",
        max_upload_size=settings().limits.upload_megabytes,
        key=_FILE,
        help="A session keeps no files. Who reads the project can then use the model; it stays there for good.",
    )
    if st.button("Share it", disabled=file is None) and file is not None and model:
        with show_errors():
            _share(store, project, model, file.getvalue())
            st.rerun()


def _share(store: ReviewStore, project: Project, model: str, data: bytes) -> None:
    """Keep a model with its file in the project. Raises: OptionError for another file."""
    classifier = session.custom_models()[model]
    if not is_file_of(classifier, data):
        raise OptionError("expected the file that this model was loaded from, got another; choose that one")
    store.share_model(project, model, write_options(classifier), data, identity.known_actor().name)
