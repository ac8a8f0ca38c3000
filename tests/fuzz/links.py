"""Links to the dashboard: every page with every choice, in values that nobody means. No model is run."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from unittest import mock

from streamlit.testing.v1 import AppTest

from dashboard import library
from dashboard.session import Key
from gradcam.errors import GradcamError
from tests.fuzz.kind import Kind, wrong_sentence
from tests.fuzz.mutate import NUMBERS, TEXTS

HOME = Path(__file__).parents[2] / "dashboard" / "Home.py"
PAGES = (
    "compare_models",
    "compare_classes",
    "layers",
    "methods",
    "data_set",
    "reports",
    "reviews",
    "how_it_works",
    "models",
)
_SCAN = "streamlit.components.v2.manifest_scanner.scan_component_manifests"
LITE0 = "bundled/tf_efficientnet_lite0"
_DIGITS = ("9" * 5000, "prediction " + "9" * 5000, "#" + "9" * 5000)
USUAL = {
    Key.PHOTOS: ("chelsea", "coffee", "mine.png~0123456789abcdef", "a~0-stretched", "-stretched", "~", "~~"),
    Key.MODELS: (
        LITE0,
        "bundled/x",
        "hf-hub:a..b/c",
        "hf:/etc",
        "checkpoint/x@y~z",
        "timm/",
        "torchvision/vgg16@X",
    ),
    Key.CLASSES: ("tabby", "#281", "281", "Top prediction", "prediction 0", "a rather than a", *_DIGITS),
    Key.CLASS: ("tabby", "#281", "rather than", "top-0", "tabby rather than a rather than b", *_DIGITS),
    Key.LAYERS: (f"{LITE0}~blocks.2", "~", "a~", "~a", f"{LITE0}~\u202e", "a~b~c"),
    Key.FIT: ("pad", "squash", "PAD"),
    Key.COLORMAP: ("inferno", "jet", "INFERNO"),
    Key.BLEND: ("even", "evidence", "Even"),
    Key.TASK: ("Reopen", "Compare", "reopen"),
    Key.SOURCES: ("timm", "hf-hub"),
    Key.AT_HAND: ("true", "false", "True"),
    Key.SEARCH: ("resnet 50", "[", "(?:", "\\"),
    Key.DEPTH: ("blocks.2", "blocks.99"),
}

_TEXTS = [text.encode("utf-8", "replace").decode() for text in TEXTS]  # an address is UTF-8


def make(random: Random) -> tuple[str, dict[Key, list[str]], bool]:
    """A page, a link, and whether the whole page is to run: that takes long, so for one in thirty."""
    keys = random.sample(list(Key), random.choice((1, 2, 4, 8)))
    return random.choice(PAGES), {key: _values(key, random) for key in keys}, random.random() < 0.03


def _values(key: Key, random: Random) -> list[str]:
    odd = random.choice((*USUAL.get(key, ("true",)), random.choice(_TEXTS), str(random.choice(NUMBERS))))
    also = random.choice((*USUAL.get(key, ("0",)), random.choice(_TEXTS)))
    return random.choice(([odd], [odd], [odd, also], [odd] * 2, [also, odd, ""], [f"{odd}{n}" for n in range(40)]))


def meet(given: tuple[str, dict[Key, list[str]], bool]) -> None:
    page, link, whole = given
    run = AppTest.from_file(str(HOME), default_timeout=60) if whole else AppTest.from_function(_read_link)
    if whole:
        run.switch_page(f"app_pages/{page}.py")
    for key, values in link.items():
        run.query_params[key] = values
    # Streamlit reads what every installed package says of components, at every run: most of the time, and no link.
    with mock.patch.object(library, "load_classifier", _not_here), mock.patch(_SCAN, list):
        run.run()
    assert not run.exception, [one.value for one in run.exception]
    for one in run.error:
        problem = wrong_sentence(one.value)
        assert problem is None, problem


def _not_here(model: str) -> None:
    raise GradcamError("expected a model, but none is run here; that is right")


def _read_link() -> None:
    """Everything that reads the link, without what a page shows."""
    import streamlit as st

    from dashboard import library, session
    from dashboard.components.messages import escape_markdown, show_errors
    from dashboard.components.request import read_targets
    from gradcam.model_spec import checkpoint_name

    session.turn_to("page")
    for key in (session.Key.PHOTOS, session.Key.MODELS, session.Key.COMPETING):
        session.open_link(key, ("chelsea",), 8)
        session.write_link(key, ("chelsea",))
    session.keep_look(session.look())
    session.write_pins()
    for key in (session.Key.CLASSES, session.Key.CLASS, session.Key.COMPETING):
        st.write(len(read_targets(st.query_params.get_all(key)[:8], st.session_state[session.Key.MODELS])))
    for token in st.session_state[session.Key.PHOTOS]:
        with show_errors():
            st.write(escape_markdown(library.photo(token).name))
    for model in {*st.session_state[session.Key.MODELS], *session.pinned()}:
        with show_errors():
            st.write(escape_markdown(checkpoint_name(model)), len(library.class_names(model)))
            library.classifier(model)


logging.getLogger("streamlit").setLevel(logging.CRITICAL)  # which says of every run that there is no server
KIND = Kind("links", make, meet, seconds=10, megabytes=800)
