"""What was found in a model loaded by id is kept on disk, and does no harm there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch

from gradcam.layers import candidate_layers, resolve_target_layer
from gradcam.layers.disk_cache import SHIPPED
from gradcam.layers.find import _memories
from gradcam.loaded_modules import state_sha256
from gradcam.models.classifier import Classifier, load_classifier
from tests.another_process import said_elsewhere
from tests.layers.shipped import searched

RANDOM = "timm/test_resnet"

SECOND = f"""
import torch
from gradcam.layers import candidate_layers, resolve_target_layer
from gradcam.loaded_modules import state_sha256
from gradcam.models.classifier import load_classifier
classifier = load_classifier("{RANDOM}", weights="random")
forwards = []
classifier.module.register_forward_hook(lambda *_: forwards.append(1))
print(resolve_target_layer(classifier.module).name, len(candidate_layers(classifier.module)), len(forwards))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "layers"


def loaded() -> Classifier:
    return load_classifier(RANDOM, weights="random")


def searches(classifier: Classifier) -> int:
    """How many forwards it costs to find the target layer."""
    forwards: list[int] = []
    with_counter = classifier.module.register_forward_hook(lambda *_: forwards.append(1))
    assert resolve_target_layer(classifier.module).name == "layer4"
    with_counter.remove()
    return len(forwards)


def second_process() -> list[str]:
    return said_elsewhere(SECOND).split()


def test_a_second_process_does_not_search_again(folder: Path) -> None:
    here = loaded()
    assert searches(here) > 0
    found = [resolve_target_layer(here.module).name, str(len(candidate_layers(here.module)))]
    assert second_process() == [*found, "0"]
    assert len([*folder.glob("*.json")]) == 2


def test_the_same_is_answered_from_disk(folder: Path) -> None:
    first, second = loaded(), loaded()
    assert searches(first) > 0
    assert searches(second) == 0
    assert resolve_target_layer(first.module) == resolve_target_layer(second.module)
    found = candidate_layers(first.module)
    assert candidate_layers(loaded().module) == found


def test_another_size_setting_or_weight_is_searched_for_itself(folder: Path) -> None:
    searches(loaded())
    other_weights = load_classifier(RANDOM, weights="random", seed=1)
    assert searches(other_weights) > 0
    changed = loaded()
    with torch.no_grad():
        changed.module.get_parameter("fc.bias").add_(1)
    assert searches(changed) > 0
    set_otherwise = loaded()
    set_otherwise.module.drop_rate = 0.5
    assert searches(set_otherwise) > 0
    assert resolve_target_layer(loaded().module, (96, 64)).grid != resolve_target_layer(loaded().module).grid
    in_double = loaded()
    in_double.module.double()
    assert searches(in_double) > 0


def test_nothing_is_kept_of_modules_that_were_not_loaded_by_id(folder: Path) -> None:
    resolve_target_layer(timm.create_model("test_resnet").eval())
    made = loaded()
    by_hand = Classifier(timm.create_model("test_vit").eval(), made.preprocessing, made.labels, made.spec)
    resolve_target_layer(by_hand.module)
    assert not folder.exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[null]",
        b'[{"name": "layer4"}]',
        "another name",
        "no grid",
        "a fraction",
        "another layout",
        "one field more",
    ],
)
def test_a_damaged_file_costs_a_search_and_is_mended(folder: Path, damage: bytes | str) -> None:
    searches(loaded())
    (file,) = folder.glob("*.json")
    whole = file.read_bytes()
    if isinstance(damage, str):
        (row,) = json.loads(whole)
        row |= {
            "another name": {"name": "layer9"},
            "no grid": {"grid": 7},
            "a fraction": {"channels": 1.5},
            "another layout": {"layout": "CHWN"},
            "one field more": {"more": 1},
        }[damage]
        damage = json.dumps([row]).encode()
    file.write_bytes(damage)
    assert searches(loaded()) > 0
    assert file.read_bytes() == whole
    assert searches(loaded()) == 0


def test_a_folder_that_cannot_be_written_costs_a_search(folder: Path) -> None:
    folder.write_text("a file in its place", encoding="utf-8")
    assert searches(loaded()) > 0
    assert searches(loaded()) > 0


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    classifier = loaded()
    monkeypatch.delenv("GRADCAM_WEIGHTS", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert searches(classifier) > 0


def test_the_hash_of_a_state_is_computed_anew_once_it_changed() -> None:
    module = torch.nn.Linear(2, 2)
    before = state_sha256(module)
    assert state_sha256(module) == before
    with torch.no_grad():
        module.weight.add_(1)
    after = state_sha256(module)
    assert after != before
    module.weight = torch.nn.Parameter(module.weight.detach() + 1)
    assert state_sha256(module) not in {before, after}


def test_memory_goes_before_the_disk(folder: Path) -> None:
    classifier = loaded()
    searches(classifier)
    for file in folder.glob("*.json"):
        file.unlink()
    assert searches(classifier) == 0
    assert classifier.module in _memories


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_dogs"])
def test_the_layers_that_come_along_are_those_that_a_search_finds(folder: Path, name: str) -> None:
    """If this fails because the search has changed: `python -m tests.layers.shipped`, and raise `FORMAT`."""
    answers = searched([name])
    assert len(answers) == 2
    assert answers.items() <= json.loads(SHIPPED.read_bytes()).items()


def test_a_bundled_model_is_not_searched(folder: Path) -> None:
    classifier = load_classifier("bundled/tf_efficientnet_lite0")
    classifier.module.register_forward_hook(lambda *_: pytest.fail("searched"))
    assert classifier.target_layer.name == "bn2"
    assert not folder.exists()
