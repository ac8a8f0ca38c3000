"""The page *Models* without a browser: the catalogue, target layers, and a visitor's own model."""

from __future__ import annotations

import io
import json
from html import unescape
from typing import Any, cast

import pytest
import timm
import torch
import torchvision
from streamlit.testing.v1 import AppTest

from dashboard import library, serving
from gradcam.model_spec import display_name
from gradcam.models.guess import Guess
from tests.dashboard import first_page
from tests.opening import open_page
from tests.shapes import ARCHITECTURE, KINDS, trained

LITE0, LITE1, LITE2 = (f"bundled/tf_efficientnet_lite{n}" for n in range(3))


def rows(page: AppTest) -> list[dict]:
    return page.dataframe[0].value.to_dict("records")


def words(page: AppTest) -> str:
    said = "\n".join(
        cast(Any, element).value for kind in ("markdown", "caption") for element in page.main.get(kind)
    )
    return said.replace("\\", "")


def errors(page: AppTest) -> str:
    return " ".join(error.value for error in page.error).replace("\\", "")


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if label in button.label).click().run()


def tick(page: AppTest, *places: int) -> AppTest:
    page.session_state[str(page.dataframe[0].key)] = {
        "selection": {"rows": list(places), "columns": [], "cells": []}
    }
    return page.run()


def checkpoint(content: object = None) -> bytes:
    out = io.BytesIO()
    torch.save(trained().state_dict() if content is None else content, out)
    return out.getvalue()


def bring(page: AppTest, data: bytes | None = None, name: str = "shapes.pt", **fields) -> AppTest:
    """Fill in the form and send it; fields: its other entries, as somebody would make them."""
    page.file_uploader(key="_own-file-0").upload(name, checkpoint() if data is None else data, "application/x")
    page.run()
    names: Any = fields.pop("names", ("shapes.json", json.dumps(KINDS).encode()))
    if names:
        page.file_uploader(key="_own-names-0").upload(names[0], names[1], "text/plain")
    page.selectbox(key="_own-architecture-0").set_value(fields.pop("architecture", ARCHITECTURE))
    for field, value in {"size": 128, "crop": 1.0, **fields}.items():
        widget = {
            "size": page.number_input,
            "crop": page.number_input,
            "mean": page.text_input,
            "std": page.text_input,
        }
        cast(Any, widget.get(field, page.selectbox))(key=f"_own-{field}-0").set_value(value)
    page = press(page, "Add the model")
    assert not page.exception
    return page


def test_class_names_in_a_file_of_another_kind_are_refused_in_a_sentence() -> None:
    page = bring(open_page("models"), names=("names.docx", b"PK\x03\x04\xff"))
    assert "Expected 'names.docx' as UTF-8 text, got other bytes; save it" in page.error[0].value.replace("\\", "")


# The catalogue ------------------------------------------------------------------------------------------------


def test_first_sight_lists_every_model_with_its_facts() -> None:
    page = open_page("models")
    assert not page.error
    table = rows(page)
    assert len(table) > 1500
    assert table[0] == {
        "Model": LITE0,
        "Parameters": pytest.approx(4.65, abs=0.01),
        "Input": "224×224",
        "Label set": "imagenet-1k",
        "Weights": "bundled",
        "Download": pytest.approx(float("nan"), nan_ok=True),
    }
    vgg = next(row for row in table if row["Model"] == "torchvision/vgg16@IMAGENET1K_V1")
    assert vgg["Parameters"] == pytest.approx(138.36, abs=0.01)
    assert vgg["Weights"] == "cached" or vgg["Download"] == pytest.approx(553, abs=1)
    assert page.multiselect(key="models").value == [LITE0, LITE1, LITE2]


def test_the_search_the_source_and_the_place_narrow_the_table_and_stand_in_the_link() -> None:
    page = open_page("models")
    page.text_input(key="search").set_value("resnet 50").run()
    found = [row["Model"] for row in rows(page)]
    assert len(found) > 1
    assert [model for model in found if "resnet" not in model or "50" not in model] == []
    page.pills(key="sources").set_value(["torchvision"]).run()
    assert {row["Model"].partition("/")[0] for row in rows(page)} == {"torchvision"}
    assert rows(page)[0]["Model"] == "torchvision/resnet50@IMAGENET1K_V2"
    again = open_page("models", search="lite1", sources=["bundled"], at_hand="true")
    assert [row["Model"] for row in rows(again)] == [LITE1]


def test_a_misspelt_name_finds_similar_models_and_nonsense_is_told() -> None:
    page = open_page("models", search="resnett50")
    assert any("resnet50" in row["Model"] for row in rows(page))
    page.text_input(key="search").set_value("zzzzzz qqqq").run()
    assert "Try fewer words" in page.info[0].value
    assert "0 of 1," in words(page)


def test_what_is_on_this_machine_needs_no_download() -> None:
    page = open_page("models")
    page.toggle(key="at-hand").set_value(True).run()
    assert {row["Weights"] for row in rows(page)} <= {"bundled", "cached"}
    assert rows(page)


def test_ticked_models_are_taken_to_every_page() -> None:
    page = tick(open_page("models", search="torchvision squeezenet1"), 1)
    press(page, "Use 1 on every page")
    chosen = [LITE0, LITE1, LITE2, "torchvision/squeezenet1_1@IMAGENET1K_V1"]
    assert page.multiselect(key="models").value == chosen
    assert page.session_state["models"] == chosen


def test_ticked_models_can_be_taken_with_random_weights() -> None:
    page = tick(open_page("models", search="torchvision squeezenet1"), 1)
    press(page, "Use untrained")
    assert not page.exception
    assert page.session_state["models"][3:] == ["torchvision/squeezenet1_1 (untrained, seed 0)"]
    assert next(button for button in page.button if button.label == "Use untrained").disabled


def test_no_more_models_than_a_page_compares_are_taken() -> None:
    page = tick(open_page("models", search="torchvision resnet"), 0, 1, 2, 3, 4, 5)
    assert next(button for button in page.button if "on every page" in button.label).disabled
    assert "At most 8 at once" in words(page)


def test_target_layers_are_found_on_the_model_or_on_an_untrained_build() -> None:
    page = press(open_page("models"), "Find target layers of the 3 chosen")
    assert words(page).count("Found on the model itself") == 3
    assert "`bn2` · 7×7 grid · 1280 channels" in words(page)
    page = tick(open_page("models", search="torchvision/vgg16@"), 0)
    if library.catalogue()["torchvision/vgg16@IMAGENET1K_V1"].weights.startswith("download"):
        page = press(page, "Find target layers of the 1 ticked")
        assert "`features.29` · 14×14 grid · 512 channels" in words(page)
        assert "an untrained build, for want of weights" in words(page)


def test_a_model_that_is_none_says_so_where_its_layer_is_asked_for() -> None:
    page = press(open_page("models", models=["nonsense"]), "Find target layers of the 1 chosen")
    assert "expected a model id" in errors(page).lower()


def test_a_model_of_the_hub_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "may_use_hubs", lambda: True)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    page = open_page("models", models=["hf-hub:acme/leaves"])
    assert "hf-hub:organisation/name" in words(page)
    press(page, "Find target layers of the 1 chosen")
    assert "connect to the network" in errors(page)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("hf-hub:acme/leaves", "choose another, or have its operator set server.hub_models"),
        ("hf-hub/acme/leaves", "choose another, or have its operator set server.hub_models"),
        ("hf-hub:../etc/passwd", "choose another, or have its operator set server.hub_models"),
        ("hf:./folder", "Expected a model that this server offers, got the folder"),
        ("/etc", "Expected a model that this server offers, got the folder"),
    ],
)
def test_a_server_for_others_asks_no_hub_and_reads_no_folder(
    monkeypatch: pytest.MonkeyPatch, model: str, sentence: str
) -> None:
    monkeypatch.setattr(library, "load_classifier", lambda model: pytest.fail("loaded"))
    page = open_page("models", models=[model])
    assert "hf-hub:organisation/name" not in words(page)
    press(page, "Find target layers of the 1 chosen")
    assert sentence in errors(page)
    open_page("compare_models", models=[model])
    page.switch_page("app_pages/compare_models.py").run()
    assert not page.exception


# Bring your own -----------------------------------------------------------------------------------------------


def test_ones_own_model_is_chosen_on_every_page_and_explains() -> None:
    page = bring(open_page("models", models=[LITE0]))
    assert not page.error
    own = page.session_state["models"][1]
    assert own.startswith(f"checkpoint/{ARCHITECTURE}@shapes~")
    assert "2 classes: disc, cross · softmax · input 128×128" in words(page)
    assert any("shapes · yours" in option for option in page.multiselect(key="models").options)
    page.switch_page("app_pages/compare_models.py").run()
    assert not page.exception
    assert not page.error
    assert page.multiselect(key="models").value == [LITE0, own]
    assert {"disc", "cross", "tabby"} <= set(page.multiselect(key="classes").options)
    assert "4×4 grid" in first_page.words(page)
    page.switch_page("app_pages/layers.py").run()
    assert not page.exception


def test_a_multi_label_head_is_said_to_be_one_in_the_form() -> None:
    page = bring(open_page("models", models=[LITE0]), activation="sigmoid")
    assert not page.error
    (own,) = page.session_state["_own_models"].values()
    assert own.activation == "sigmoid"
    assert "sigmoid · input 128×128" in words(page)


def test_a_head_with_a_single_logit_takes_one_name_or_two() -> None:
    one = checkpoint(timm.create_model(ARCHITECTURE.partition("/")[2], num_classes=1).state_dict())
    page = bring(open_page("models", models=[LITE0]), one, names=("names.txt", b"defect"))
    assert not page.error
    assert "2 classes: not defect, defect · sigmoid · input" in words(page)
    page.switch_page("app_pages/compare_models.py").run()
    assert {"not defect", "defect"} <= set(page.multiselect(key="classes").options)
    refused = bring(open_page("models", models=[LITE0]), one, names=("names.txt", b"a\nb\nc"))
    assert "one class name or two, the negative class first, for a head with a single logit, got 3" in errors(
        refused
    )


def test_a_class_that_only_ones_own_model_has_is_said_in_the_other_panel() -> None:
    page = bring(open_page("models", models=[LITE0]))
    page.query_params["classes"] = ["cross"]
    page.switch_page("app_pages/compare_models.py").run()
    (reason,) = first_page.reasons(page)
    assert "expected a class of imagenet-1k, got 'cross'" in reason
    (panel,) = [panel for scene in first_page.scenes(page) for panel in scene["panels"]]
    assert (panel["title"], panel["reason"]) == ("shapes", "")
    assert panel["subtitle"].startswith("cross · ")  # the photo may well have nothing of a cross: then no heat


def test_ones_own_model_without_a_map_is_a_line_by_its_name_and_can_be_taken_out_but_not_be_untrained() -> None:
    page = bring(open_page("models", models=[LITE0]))
    own = page.session_state["models"][1]
    page.query_params["classes"] = ["tabby"]
    page.switch_page("app_pages/compare_models.py").run()
    (line,) = [text for found in page.get("html") if 'class="failed"' in (text := found.proto.body)]
    assert f'<b title="{own}">shapes</b> has no map: expected a class of ' in line
    assert "got 'tabby'" in unescape(line)
    assert f"_untrained-{own}" not in [button.key for button in page.button]
    page.button(key=f"_leave-{own}").click().run()
    assert page.multiselect(key="models").value == [LITE0]
    assert not first_page.reasons(page)


def test_two_visitors_never_see_each_others_models() -> None:
    first, second = bring(open_page("models", models=[LITE0])), open_page("models", models=[LITE0])
    own = first.session_state["models"][1]
    assert own not in str(second.multiselect(key="models").options)
    stranger = open_page("compare_models", models=[own])
    assert "got its id alone" in first_page.reasons(stranger)[0]
    assert "cross" not in str(stranger.multiselect(key="classes").options)


def test_the_same_weights_with_other_labels_take_the_place_of_the_first() -> None:
    page = bring(open_page("models", models=[LITE0]))
    page.switch_page("app_pages/compare_models.py").run()
    page.switch_page("app_pages/models.py").run()
    page.file_uploader(key="_own-file-1").upload("shapes.pt", checkpoint(), "application/x")
    page.file_uploader(key="_own-names-1").upload("names.txt", b"round\nstar", "text/plain")
    page.selectbox(key="_own-architecture-1").set_value(ARCHITECTURE)
    press(page, "Add the model")
    assert len(page.session_state["models"]) == 2
    assert "2 classes: round, star" in words(page)
    page.switch_page("app_pages/compare_models.py").run()
    said = json.dumps([found.proto.json for found in page.get("bidi_component")])
    assert "round" in said or "star" in said
    assert "disc" not in said


def test_a_model_is_removed_everywhere() -> None:
    page = press(bring(open_page("models", models=[LITE0])), "Remove")
    assert page.session_state["models"] == [LITE0]
    assert "Your models" not in [heading.value for heading in page.header]


def test_without_names_classes_are_numbered_and_a_known_set_can_be_named() -> None:
    assert "2 classes: class 0, class 1" in words(bring(open_page("models", models=[LITE0]), names=None))
    page = bring(open_page("models", models=[LITE0]), names=None, set="imagenet-1k")
    assert "expected 2 class names" in errors(page).lower()


def test_preprocessing_can_be_told() -> None:
    page = bring(
        open_page("models", models=[LITE0]),
        mean="0.5, 0.5, 0.5",
        std="0.5 0.5 0.5",
        interpolation="nearest",
        mode="squash",
    )
    (own,) = page.session_state["_own_models"].values()
    assert own.preprocessing.mean == own.preprocessing.std == (0.5, 0.5, 0.5)
    assert (own.preprocessing.interpolation, own.preprocessing.mode) == ("nearest", "squash")
    assert own.preprocessing.size == own.preprocessing.resize == (128, 128)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param({"data": checkpoint({"a": 1})}, "got none", id="no-tensors"),
        pytest.param({"data": b"hello"}, "damaged or of another kind", id="text"),
        pytest.param({"architecture": "timm/resnet18"}, "missing", id="other-architecture"),
        pytest.param({"names": ("a.json", b"[[")}, "no JSON", id="labels"),
        pytest.param({"names": ("a.txt", b"one\ntwo\nthree")}, "got 3", id="labels-count"),
        pytest.param({"mean": "grey"}, "three numbers", id="mean"),
        pytest.param({"std": "1, 0, 1"}, "three numbers from 0.001", id="std"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_and_the_form_stays(given: dict, sentence: str) -> None:
    page = bring(open_page("models", models=[LITE0]), **given)
    assert sentence in errors(page)
    assert page.session_state["models"] == [LITE0]
    assert not page.session_state["_own_models"]


def test_the_architecture_is_guessed_where_none_is_chosen() -> None:
    page = bring(open_page("models", models=[LITE0]), architecture=None)
    (own,) = page.session_state["_own_models"]
    assert own.startswith("checkpoint/timm/test_resnet@")


def choose(content: object) -> AppTest:
    """The page after a file was chosen."""
    page = open_page("models", models=[LITE0])
    page.file_uploader(key="_own-file-0").upload("a.pt", checkpoint(content), "application/x")
    page.run()
    assert not page.exception
    return page


def test_the_only_architecture_that_fits_a_file_is_chosen_and_first_in_the_list() -> None:
    page = choose(trained().state_dict())
    box = page.selectbox(key="_own-architecture-0")
    assert box.value == box.options[0] == ARCHITECTURE
    assert len(box.options) == len(set(box.options)) > 1000
    assert f"Its tensors fit **{ARCHITECTURE}** and no other" in words(page)
    page.file_uploader(key="_own-file-0").upload("b.pt", checkpoint({"w": torch.ones(2)}), "application/x")
    page.run()
    assert page.selectbox(key="_own-architecture-0").value is None
    assert "Its tensors are near no architecture of the list" in words(page)
    assert "What its tensors fit comes first" not in words(page)


def test_of_several_that_fit_none_is_chosen_and_the_likeliest_is_first() -> None:
    state = torchvision.models.resnet18(num_classes=3).state_dict()
    page = choose(state)
    box = page.selectbox(key="_own-architecture-0")
    assert box.value is None
    assert box.options[:2] == ["torchvision/resnet18", "timm/resnet18"]
    assert "**torchvision/resnet18** is the likeliest" in words(page)
    page = choose({"state_dict": state, "arch": "resnet18", "version": 2})
    assert page.selectbox(key="_own-architecture-0").value == "timm/resnet18"
    assert "The file names **timm/resnet18**" in words(page)


def test_a_file_that_cannot_be_used_is_a_sentence_as_soon_as_it_is_chosen() -> None:
    assert "could run code when opened" in errors(choose(trained()))


def test_a_file_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def guessed(data: bytes, name: str) -> Guess:
        looked.append(name)
        return Guess((ARCHITECTURE,))

    monkeypatch.setattr("dashboard.components.custom_model.guess_architecture", guessed)
    choose(trained().state_dict()).run().run()
    assert looked == ["a.pt"]


def test_nothing_given_asks_for_the_checkpoint() -> None:
    page = press(open_page("models", models=[LITE0]), "Add the model")
    assert "add a checkpoint" in errors(page)


def test_a_whole_pickled_model_is_refused_with_the_reason() -> None:
    page = bring(open_page("models", models=[LITE0]), checkpoint(trained()))
    assert "could run code when opened" in errors(page)


def test_no_more_than_four_models_of_ones_own_are_kept() -> None:
    page = open_page("models", models=[LITE0])
    for turn in range(5):
        changed = {key: value + turn * (key == "fc.bias") for key, value in trained().state_dict().items()}
        page.file_uploader(key=f"_own-file-{turn}").upload("shapes.pt", checkpoint(changed), "application/x")
        page.selectbox(key=f"_own-architecture-{turn}").set_value(ARCHITECTURE)
        press(page, "Add the model")
    assert len(page.session_state["_own_models"]) == 4
    assert "remove one first" in errors(page)
    called = [display_name(model) for model in page.session_state["_own_models"]]
    assert called == ["shapes", "shapes-2", "shapes-3", "shapes-4"]
