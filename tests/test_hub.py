"""Models of timm in repositories of the Hugging Face hub, named by their own id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from gradcam import ModelError, WeightsError, load_classifier
from gradcam.models import sources
from gradcam.models.ids import parse_model_id
from gradcam.types import ModelSpec

CONFIG = {
    "architecture": "test_resnet",
    "num_classes": 2,
    "label_names": ["healthy", "sick"],
    "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3},
}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `hf-hub:acme/leaves` in a cache that has nothing else, on a machine without network."""
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    models = tmp_path / "hub" / "models--acme--leaves"
    (models / "refs").mkdir(parents=True)
    (models / "refs" / "main").write_text("abc")
    folder = models / "snapshots" / "abc"
    folder.mkdir(parents=True)
    sources._hub_configuration.cache_clear()
    return folder


def fill(folder: Path, config: object = CONFIG) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        module = timm.create_model("test_resnet", num_classes=2)
    safetensors.torch.save_model(module, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config))
    return module


def test_an_id_of_the_hub_is_read_and_written_back() -> None:
    spec = parse_model_id("hf-hub:acme/leaves")
    assert spec == ModelSpec("hf-hub", "acme/leaves")
    assert str(spec) == "hf-hub:acme/leaves"
    dotted = "hf-hub:timm/resnet18.a1_in1k"
    assert str(parse_model_id(dotted)) == dotted


def test_a_cached_repository_is_loaded_with_its_own_labels_and_preprocessing(repository: Path) -> None:
    module = fill(repository)
    classifier = load_classifier("hf-hub:acme/leaves")
    assert torch.equal(classifier.module.fc.weight, module.fc.weight)
    assert classifier.labels.names == ("healthy", "sick")
    assert classifier.preprocessing.size == (96, 96)
    assert str(classifier.spec) == "hf-hub:acme/leaves"


def test_without_network_and_cache_the_sentence_says_what_to_do() -> None:
    with pytest.raises(
        WeightsError, match=r"expected weights for hf-hub/acme/leaves, .* connect to the network, or"
    ):
        load_classifier("hf-hub:acme/leaves")


@pytest.mark.parametrize(
    "config",
    [{"architectures": ["BertModel"]}, {**CONFIG, "architecture": "nonsense"}, {**CONFIG, "num_classes": 0}, 3],
)
def test_another_kind_of_repository_is_a_sentence(repository: Path, config: object) -> None:
    fill(repository, config)
    with pytest.raises(ModelError, match="expected a classifier of timm at hf-hub:acme/leaves"):
        load_classifier("hf-hub:acme/leaves")


@pytest.mark.parametrize("name", ["hf-hub:acme", "hf-hub:acme/leaves/more", "hf-hub:../../etc"])
def test_a_name_that_is_no_repository_is_a_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="expected a"):
        parse_model_id(name)
