"""The way in, `streamlit run dashboard/Home.py`: the server, made once, and a router, run for every visit."""  # noqa: N999 (the name that everybody types)

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from starlette.middleware import Middleware
from streamlit import runtime
from streamlit.starlette import App

from dashboard import serving
from dashboard.first_answers import FirstAnswers

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from another host
STYLE = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("page.js")


class Row(NamedTuple):
    """A page of the menu: its file in `app_pages`, which names it in the address, and the question it answers.

    later: whether it reads `serving.IMPORTED_LATER`.
    """

    file: str
    title: str
    icon: str
    question: str
    later: bool = False


# The first one opens where the address names none.
PAGES = (
    Row("compare_models", "Compare models", "compare", "What do several models look at in the same photo?"),
    Row(
        "compare_classes",
        "Compare classes",
        "category",
        "Where does each class find its evidence, and which class competes?",
    ),
    Row("layers", "Layers", "layers", "At which depth does a model see the class, and how finely?"),
    Row("methods", "Methods", "compare_arrows", "Would another method say the same?"),
    Row(
        "data_set",
        "Data set",
        "photo_library",
        "On which photos do models differ, and what does a class stand on?",
        later=True,
    ),
    Row("reports", "Reports", "draft", "What do we conclude, and can anybody check it?", later=True),
    Row(
        "reviews",
        "Reviews",
        "rate_review",
        "Who says what about which evidence, and who stands for it?",
        later=True,
    ),
    Row(
        "how_it_works",
        "How it works",
        "school",
        "How does Grad-CAM turn a prediction into a heatmap, in four steps?",
    ),
    Row("models", "Models", "deployed_code", "Which models are there, and how do I bring my own?"),
)


def pages() -> list[StreamlitPage]:
    """The pages as Streamlit's menu takes them."""
    return [
        st.Page(
            f"app_pages/{row.file}.py",
            title=row.title,
            icon=f":material/{row.icon}:",
            help=row.question,
            default=row is PAGES[0],
        )
        for row in PAGES
    ]


def outlines() -> dict[str, tuple[str, str]]:
    """Title and question of every page, by its name in the address."""
    return {row.file: (row.title, row.question) for row in PAGES} | {"": (PAGES[0].title, PAGES[0].question)}


def route() -> None:
    """Show the page that a visit asks for."""
    st.set_page_config(page_title="Grad-CAM", page_icon=ICON.as_posix(), layout="wide", initial_sidebar_state=330)
    # Streamlit takes away at every rerun what is style alone; with an empty word beside it, it stays.
    st.html(f"<style>{STYLE.read_text('utf-8')}</style><i></i>")
    st.html(f"<script>{SCRIPT.read_text('utf-8')}</script>", unsafe_allow_javascript=True)
    page = st.navigation(pages(), position="top")
    later = any(row.later for row in PAGES if row.file == page.url_path)
    if not serving.is_prepared(everything=later):
        _wait_with_skeleton(page.title, later)
    from dashboard import session  # which imports PyTorch
    from dashboard.components import let_in

    if let_in():
        session.turn_to(page.url_path)
        page.run()


def _wait_with_skeleton(title: str, everything: bool) -> None:
    """Show what the page will look like until what it reads is imported.

    Without a heading: the outline of `FirstAnswers` stays until the page itself has one.
    """
    outline = st.empty()
    with outline.container():
        st.caption(f"**Grad-CAM** · starting · {title}")
        st.skeleton(height=420)
    serving.wait_until_prepared(everything=everything)
    outline.empty()


def begin() -> None:
    """Begin to compute what the first page shows, before somebody asks for it."""
    from dashboard import results

    Thread(target=results.compute_first_page, name="begin", daemon=True).start()


if runtime.exists():
    route()
else:  # Streamlit imports this file for the server, before it runs it for a visit
    serving.check_settings()
    app = App(
        __file__,
        lifespan=serving.prepared(begin),
        middleware=[Middleware(serving.Guard), Middleware(FirstAnswers, outlines())],
    )
