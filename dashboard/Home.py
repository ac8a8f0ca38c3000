"""The way in, `streamlit run dashboard/Home.py`: the server, made once, and a router, run for every visit."""  # noqa: N999 (the name that everybody types)

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit import runtime
from streamlit.starlette import App

from dashboard import serving

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from another host
STYLE = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("page.js")

PAGES = (
    partial(
        st.Page,
        "app_pages/compare_models.py",
        title="Compare models",
        icon=":material/compare:",
        help="What do several models look at in the same photo?",
        default=True,
    ),
    partial(
        st.Page,
        "app_pages/compare_classes.py",
        title="Compare classes",
        icon=":material/category:",
        help="Where does each class find its evidence, and which class competes?",
    ),
    partial(
        st.Page,
        "app_pages/layers.py",
        title="Layers",
        icon=":material/layers:",
        help="At which depth does a model see the class, and how finely?",
    ),
    partial(
        st.Page,
        "app_pages/methods.py",
        title="Methods",
        icon=":material/compare_arrows:",
        help="Would another method say the same?",
    ),
    partial(
        st.Page,
        "app_pages/data_set.py",
        title="Data set",
        icon=":material/photo_library:",
        help="On which photos do models differ, and what does a class stand on?",
    ),
    partial(
        st.Page,
        "app_pages/reports.py",
        title="Reports",
        icon=":material/draft:",
        help="What do we conclude, and can anybody check it?",
    ),
    partial(
        st.Page,
        "app_pages/reviews.py",
        title="Reviews",
        icon=":material/rate_review:",
        help="Who says what about which evidence, and who stands for it?",
    ),
    partial(
        st.Page,
        "app_pages/how_it_works.py",
        title="How it works",
        icon=":material/school:",
        help="How does Grad-CAM turn a prediction into a heatmap, in four steps?",
    ),
    partial(
        st.Page,
        "app_pages/models.py",
        title="Models",
        icon=":material/deployed_code:",
        help="Which models are there, and how do I bring my own?",
    ),
)


def route() -> None:
    """Show the page that a visit asks for."""
    st.set_page_config(page_title="Grad-CAM", page_icon=ICON.as_posix(), layout="wide", initial_sidebar_state=330)
    # Streamlit takes away at every rerun what is style alone; with an empty word beside it, it stays.
    st.html(f"<style>{STYLE.read_text('utf-8')}</style><i></i>")
    st.html(f"<script>{SCRIPT.read_text('utf-8')}</script>", unsafe_allow_javascript=True)
    page = st.navigation([page() for page in PAGES], position="top")
    if not serving.is_prepared():
        _wait_with_skeleton(page.title)
    from dashboard import session  # which imports PyTorch
    from dashboard.components import let_in

    if let_in():
        session.turn_to(page.url_path)
        page.run()


def _wait_with_skeleton(title: str) -> None:
    """Show what the page will look like until everything is imported."""
    outline = st.empty()
    with outline.container():
        st.caption("**Grad-CAM** · starting")
        st.title(title, anchor=False)
        st.skeleton(height=420)
    serving.wait_until_prepared()
    outline.empty()


if runtime.exists():
    route()
else:  # Streamlit imports this file for the server, before it runs it for a visit
    serving.check_settings()
    app = App(__file__, lifespan=serving.prepared, middleware=[Middleware(serving.Guard)])
