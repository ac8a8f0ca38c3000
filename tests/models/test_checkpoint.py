"""Somebody's own checkpoint: what fits is explained, and what does not is said in words."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from gradcam import ModelError, OptionError, compare, explain
from gradcam.geometry import project_to_photo
from gradcam.models.checkpoint import load_checkpoint, preprocessing_for
from gradcam.models.ids import parse_model_id
from gradcam.models.labels import make_labels
from gradcam.models.sources import SOURCES
from tests.shapes import ARCHITECTURE, KINDS, load, photo, saved, state, trained


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("x", "y"), [(32, 32), (96, 40), (64, 96)])
def test_the_heat_of_a_model_trained_on_shapes_lies_on_the_shape(kind: str, x: int, y: int) -> None:
    explanation = explain(load(state(), labels=make_labels(KINDS)), photo(kind, x, y))
    assert explanation.targets[0].label == kind
    heat = project_to_photo(explanation.maps[0], explanation.view)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - y) <= 32, "one cell of the grid"
    assert abs(column - x) <= 32
    around = heat[max(0, y - 32) : y + 32, max(0, x - 32) : x + 32].sum() / heat.sum()
    assert around > 0.5, "a quarter of the photo holds most of the heat"


def test_safetensors_and_pickled_tensors_are_one_model_by_the_hash_of_their_weights(tmp_path: Path) -> None:
    file = tmp_path / "my shapes.safetensors"
    safetensors.torch.save_model(trained(), str(file))
    (tmp_path / "my shapes.pt").write_bytes(saved(state()))
    one, two = (load_checkpoint(tmp_path / f"my shapes.{kind}", ARCHITECTURE) for kind in ("safetensors", "pt"))
    assert str(one.spec) == str(two.spec) == f"checkpoint/{ARCHITECTURE}@my-shapes~{one.weights_sha256[:16]}"
    changed = {key: value + (key == "fc.bias") for key, value in state().items()}
    assert load(changed).weights_sha256 != one.weights_sha256


def test_the_number_of_classes_is_read_from_the_head_and_may_be_checked() -> None:
    assert load(state()).labels.names == ("class 0", "class 1")
    assert len(load(state(), classes=2).labels) == 2
    with pytest.raises(ModelError, match=r"expected a head of 5 classes in 'shapes.pt', got one of 2; ask for 2"):
        load(state(), classes=5)


@pytest.mark.parametrize(
    "architecture", ["torchvision/squeezenet1_1", "torchvision/regnet_y_400mf", "timm/vit_tiny_patch16_224"]
)
def test_the_head_is_found_in_any_architecture(architecture: str) -> None:
    source, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = SOURCES[source].build_with_classes(name, 7)
    classifier = load_checkpoint(saved(module.state_dict()), architecture, name="seven.pth")
    assert len(classifier.labels) == 7
    assert classifier.preprocessing.size == (224, 224)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state},
        lambda state: {"model_state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"model.backbone.{key}": value for key, value in state.items()}},
        lambda state: {**{f"net.{key}": value for key, value in state.items()}, "loss.weight": torch.ones(3)},
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
        lambda state: {"state_dict": state, "model_ema": {}},
    ],
)
def test_what_training_scripts_wrap_around_a_state_is_taken_off(wrap) -> None:
    wrapped = saved(wrap(OrderedDict(state())))
    assert torch.equal(load(wrapped).module.fc.weight, trained().fc.weight)


def test_half_precision_becomes_single() -> None:
    assert (
        load({key: value.half() if value.is_floating_point() else value for key, value in state().items()}).dtype
        is torch.float32
    )


def test_tensors_that_do_not_fit_are_listed_in_words() -> None:
    changed = dict(state())
    del changed["layer1.0.conv1.weight"]
    changed["neck.weight"] = torch.ones(2)
    changed["conv1.0.weight"] = torch.ones(3, 3, 7, 7)
    first = next(iter(state()))
    changed[first] = torch.ones(5)
    with pytest.raises(ModelError) as caught:
        load(changed)
    said = str(caught.value)
    assert said.startswith(
        f"expected the tensors of {ARCHITECTURE} in 'shapes.pt', got 1 missing (layer1.0.conv1.weight)"
    )
    assert "neck.weight" in said
    assert f"{first} 5 instead of " in said
    assert "name the architecture that was trained" in said


def test_another_architectures_tensors_are_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"expected the tensors of timm/resnet18 in 'shapes.pt', got \d+ missing"):
        load_checkpoint(saved(state()), "timm/resnet18", name="shapes.pt")


def test_a_checkpoint_without_its_head_names_the_missing_head() -> None:
    backbone = {key: value for key, value in state().items() if not key.startswith("fc.")}
    with pytest.raises(ModelError, match=r"got 2 missing \(fc.weight, fc.bias\)"):
        load(backbone)


@pytest.mark.parametrize("architecture", ["resnet18", "timm/resnt18", "nowhere/resnet18", ""])
def test_an_unknown_architecture_names_the_nearest(architecture: str) -> None:
    with pytest.raises(ModelError, match="try '"):
        load_checkpoint(saved(state()), architecture, name="shapes.pt")


def test_an_id_alone_does_not_bring_the_file() -> None:
    with pytest.raises(ModelError, match="expected the file of a checkpoint, got its id alone"):
        parse_model_id(str(load(state()).spec))


def test_complex_numbers_are_no_weights() -> None:
    turned = {key: value.to(torch.complex64) if key == "fc.bias" else value for key, value in state().items()}
    with pytest.raises(ModelError, match=r"got 1 missing \(fc.bias\)"):
        load(turned)


def test_preprocessing_is_the_architectures_own_but_for_what_is_given() -> None:
    own = preprocessing_for("torchvision/vgg16")
    assert (own.size, own.resize, own.interpolation) == ((224, 224), (256, 256), "bilinear")
    other = preprocessing_for("torchvision/vgg16", size=100, crop=0.5, mode="squash", mean=(0, 0, 0), std=(1, 1, 1))
    assert (other.size, other.resize, other.mode) == ((100, 100), (200, 200), "squash")
    assert (other.mean, other.std, other.interpolation) == ((0, 0, 0), (1, 1, 1), "bilinear")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 7}, "16 to 1024 pixels"),
        ({"crop": 0.0}, "a share from 0.1 to 1 as crop"),
        ({"mean": (1.0, 2.0)}, "three numbers"),
        ({"mean": (123.7, 116.3, 103.5)}, "of pixels between 0 and 1"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "three numbers"),
        ({"mean": "grey"}, "got 'grey'; write them as 0.5, 0.5, 0.5"),
        ({"std": (1.0, 0.0, 1.0)}, "three numbers from 0.001"),
        ({"std": "0.5"}, "three numbers from 0.001"),
        ({"mode": "corner"}, "center, squash, border"),
        ({"interpolation": "cubic"}, "bicubic"),
    ],
)
def test_what_no_photo_can_be_prepared_with_is_a_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        preprocessing_for("torchvision/vgg16", **given)


def test_models_of_different_label_sets_are_compared_by_class_name() -> None:
    own = load(state(), labels=make_labels(["Egyptian cat", "gizmo"]))
    comparison = compare(["bundled/tf_efficientnet_lite0", own], [photo("disc", 64, 64)], ["Egyptian cat", "gizmo"])
    (lacking,) = comparison.failures
    assert [panel.scored.label for panel in comparison.heatmaps] == ["Egyptian cat", "Egyptian cat", "gizmo"]
    assert comparison.panels.index(lacking) == 1
    assert "expected a class of imagenet-1k, got 'gizmo'" in lacking.reason
