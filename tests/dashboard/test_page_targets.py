"""Class boxes and links on the pages, without a browser: every class comes back as what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from html import unescape

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import library
from dashboard.components.class_box import replace_typed
from dashboard.components.competing_classes import write_contrast
from dashboard.components.request import class_options, known_classes
from dashboard.session import Key
from gradcam import Contrast, Top, parse_target
from gradcam.models.classifier import Classifier
from gradcam.models.labels import make_labels
from tests import plain

ODD = ["10", "0", "top", "top-1", "prediction 2", "A rather than B", "A", "B", "#5", "a, b", "٣", '"quoted"']
NET = plain.classifier(ODD, [[index, 1, 0] for index in range(len(ODD))], name="odd")
DETECTOR = plain.detector(make_labels(["defect"]).with_negative)
MODELS = {
    f"checkpoint/plain/{name}@{name}~0123456789abcdef": net for name, net in (("odd", NET), ("one", DETECTOR))
}
ODD_ID, ONE_ID = MODELS


@pytest.fixture(autouse=True)
def _own_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both stand where a visitor's own models do, and the sample photo is small work for them."""
    monkeypatch.setattr("dashboard.session.custom_models", lambda: MODELS)
    monkeypatch.setattr(library, "use", lambda model: nullcontext[Classifier](MODELS[model]))
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


def opened(page: str, **link: list[str]) -> AppTest:
    app = AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
    app.switch_page(f"app_pages/{page}.py")
    for key, value in ({"photos": ["coffee"], "models": [ODD_ID]} | link).items():
        app.query_params[key.replace("_", "-")] = value
    app.run()
    assert not app.exception
    return app


def shown(app: AppTest) -> list[str]:
    """The titles of the heatmaps, or the reasons why there are none."""
    viewers = [found for found in app.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    panels = [panel for viewer in viewers for panel in json.loads(viewer.proto.json).get("panels", ())]
    lines = [found.proto.body for found in app.get("html") if 'class="failed"' in found.proto.body]
    told = [f"no map: {unescape(line.partition(' has no map: ')[2])}" for line in lines]
    return [*told, *(f"no map: {panel['reason']}" if panel["reason"] else panel["title"] for panel in panels)]


def test_every_class_can_be_chosen_from_the_list() -> None:
    known = known_classes([ODD_ID])
    options = class_options([ODD_ID])
    assert len(options) == 3 + len(ODD)
    assert [parse_target(text, known) for text in options] == [Top(1), Top(2), Top(3), *ODD]
    pairs = [(a, b) for a in options for b in options if a != b]
    contrasts = [parse_target(write_contrast(a, b, known), known) for a, b in pairs]
    assert contrasts == [Contrast(parse_target(a, known), parse_target(b, known)) for a, b in pairs]  # pyright: ignore


@pytest.mark.parametrize("name", ODD)
def test_a_class_chosen_from_the_list_is_explained_and_its_link_reopens_it(name: str) -> None:
    option = class_options([ODD_ID])[3 + ODD.index(name)]
    app = opened("compare_classes", rivals=[option])
    assert shown(app) == [name]
    assert app.multiselect(key="rivals").value == [option]
    assert app.query_params["rivals"] in (option, [option])


def test_typed_text_is_a_name_first_and_a_hash_makes_an_index() -> None:
    typed = ["10", "#10", "top", "A rather than B", "#top", "A rather than #0", "top prediction"]
    app = opened("compare_classes")
    app.multiselect(key="rivals").set_value(typed[:6]).run()
    assert shown(app) == ["10", "٣", "top", "A rather than B", ODD[-1], "A rather than 10"]
    assert app.query_params["rivals"] == [typed[0], ODD[10], *typed[2:6]]
    app.multiselect(key="rivals").set_value(["7"]).run()
    (panel,) = shown(app)
    assert "write '#7' for the index" in panel


@pytest.mark.parametrize(("asked", "offered"), [(ODD[10], True), ("7", False)])
def test_pictures_and_pages_are_offered_where_there_is_a_map_alone(asked: str, offered: bool) -> None:
    app = opened("compare_classes", rivals=[asked])
    assert shown(app)[0].startswith("no map") is not offered
    labels = {button.proto.label for button in app.get("download_button")}
    assert ({"PNG", "HTML"} <= labels) is offered
    assert offered or not labels


def test_a_single_logit_has_two_classes_in_the_list_and_on_the_page() -> None:
    assert class_options([ONE_ID])[3:] == ["not defect", "defect"]
    app = opened("compare_classes", models=[ONE_ID])
    first, second, contrast = shown(app)
    assert {first, second} == {"defect", "not defect"}
    assert contrast == f"{first} rather than {second}"
    said = "\n".join(element.value for element in app.markdown).replace("\\", "")
    assert f"**{first}** leads **{second}**" in said


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "#" + "9" * 5000,
        "-3",
        "top-999999999999999999999",
        "1e5",
        "top-0",
        "#99",
        "top-99",
        " rather than ",
        "\0",
    ],
)
@pytest.mark.parametrize("page", ["compare_models", "layers"])
def test_a_number_that_is_no_class_is_a_sentence(page: str, text: str) -> None:
    key = "classes" if page == "compare_models" else "class"
    app = opened(page, **{key: [text]})
    sentences = [
        *(error.value for error in app.error),
        *(words for words in shown(app) if words.startswith("no map")),
    ]
    assert any("expected" in sentence.lower() for sentence in sentences)
    assert all(len(sentence) < 700 for sentence in sentences)


LITES = [f"bundled/tf_efficientnet_lite{number}" for number in range(2)]


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("bull mastif", "bull mastiff"),
        ("243", "bull mastiff"),
        ("#243", "bull mastiff"),
        ("n02108422", "bull mastiff"),
        ("qqqqqq", "qqqqqq"),
        ("tabby rather than pug", "tabby rather than pug"),
    ],
)
def test_what_is_typed_becomes_the_nearest_real_class_in_boxes_of_one_and_of_several(
    typed: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.session.custom_models", dict)
    monkeypatch.setattr(st, "session_state", {Key.CLASS: typed, Key.CLASSES: [typed, "tabby"]})
    for key in (Key.CLASS, Key.CLASSES):
        replace_typed(key, LITES)
    assert st.session_state[Key.CLASS] == taken
    assert st.session_state[Key.CLASSES] == [taken, "tabby"]


def test_a_page_says_which_class_it_took_for_one_that_is_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.session.custom_models", dict)
    app = opened("compare_models", photos=["none"], models=LITES)  # so that nothing is computed
    app.multiselect(key="classes").set_value(["bull mastif", "#243"]).run()
    assert not app.exception
    assert app.session_state["classes"] == ["bull mastiff"]

    def said() -> list[str]:
        return [caption.value for caption in app.caption if "was taken" in caption.value]

    (sentence,) = said()
    assert "*bull mastif* is no class; the nearest, **bull mastiff**, was taken" in sentence
    app.run()  # as after each model that is computed
    assert said() == [sentence]
    app.multiselect(key="classes").set_value(["bull mastiff", "tabby"]).run()
    assert said() == []
