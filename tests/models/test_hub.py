"""Models of timm in repositories of the Hugging Face hub, named by their own id."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import timm
import torch

from gradcam import Heatmap, ModelError, PanelMemory, WeightsError, compare, load_classifier, sample_photo
from gradcam.models.ids import files_of, parse_model_id
from gradcam.models.pool import ModelPool
from gradcam.types import ModelSpec

CONFIG: dict[str, Any] = {
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
    return folder


def fill(folder: Path, config: object = CONFIG, arguments: Mapping[str, Any] = {"num_classes": 2}) -> Any:
    with torch.random.fork_rng(devices=[]):
        module = timm.create_model("test_resnet", **arguments)
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
    loaded: Any = classifier.module
    assert torch.equal(loaded.fc.weight, module.fc.weight)
    assert classifier.labels.names == ("healthy", "sick")
    assert classifier.preprocessing.size == (96, 96)
    assert str(classifier.spec) == "hf-hub:acme/leaves"


def test_a_repository_that_was_replaced_is_read_anew(repository: Path) -> None:
    fill(repository)
    load_classifier("hf-hub:acme/leaves")
    fill(repository, {**CONFIG, "label_names": ["wilted", "green"]})
    assert load_classifier("hf-hub:acme/leaves").labels.names == ("wilted", "green")


def test_the_files_of_an_id_are_known_once_all_of_them_are_there(repository: Path) -> None:
    assert files_of("hf-hub:acme/leaves") == ()
    fill(repository)
    assert [Path(path).name for path, *_ in files_of("hf-hub:acme/leaves")] == ["config.json", "model.safetensors"]
    assert files_of("no id") == files_of("checkpoint/timm/resnet18@mine~0123") == files_of("timm/nonsense") == ()


@pytest.mark.parametrize("replaced", ["config.json", "model.safetensors"])
def test_a_repository_that_was_replaced_while_its_model_is_in_memory_is_another_model(
    repository: Path, replaced: str
) -> None:
    fill(repository)
    pool, kept, photo = ModelPool(), PanelMemory(), sample_photo("coffee")

    def ask() -> Heatmap:
        (found,) = compare(["hf-hub:acme/leaves"], [photo], ["#1"], results=kept, use=pool.use).heatmaps
        return found

    with pool.use("hf-hub:acme/leaves") as before, pool.use("hf-hub:acme/leaves") as again:
        assert again is before
    first = ask()
    assert ask().explanation.seconds == first.explanation.seconds  # kept, not computed
    spare = repository / "spare"
    spare.mkdir()
    torch.manual_seed(1)
    fill(spare, {**CONFIG, "label_names": ["wilted", "green"]})
    (spare / replaced).replace(repository / replaced)
    second = ask()
    assert (second.scored.label == "green") == (replaced == "config.json")
    assert (second.map == first.map).all() == (replaced == "config.json")
    with pool.use("hf-hub:acme/leaves") as after:
        assert after is not before


def test_a_model_whose_files_are_gone_is_still_the_one_in_memory(repository: Path) -> None:
    fill(repository)
    pool = ModelPool()
    with pool.use("hf-hub:acme/leaves") as before:
        (repository / "model.safetensors").unlink()
    with pool.use("hf-hub:acme/leaves") as after:
        assert after is before


def test_without_network_and_cache_the_sentence_says_what_to_do() -> None:
    with pytest.raises(
        WeightsError, match=r"expected weights for hf-hub/acme/leaves/config.json, .* connect to the network, or"
    ):
        load_classifier("hf-hub:acme/leaves")


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertModel"]},
        {**CONFIG, "architecture": "nonsense"},
        {**CONFIG, "architecture": ["test_resnet"]},
        {**CONFIG, "num_classes": 0},
        {},
    ],
)
def test_another_kind_of_repository_is_a_sentence(repository: Path, config: object) -> None:
    fill(repository, config)
    with pytest.raises(ModelError, match="expected a classifier of timm at hf-hub:acme/leaves"):
        load_classifier("hf-hub:acme/leaves")


BAD_NAMES = [
    "acme",
    "acme/leaves/more",
    "../../etc",
    "a..b/c",
    "-a/b",
    "a/b-",
    "a/.b",
    "a--b/c",
    "a/b.git",
    "a/b@main",
    "ä/b",
    "a/" + "b" * 100,
    "a/" + "b" * 300,
    "a/b" * 100_000,
    "a/\0",
    "a/b\x1b[31m",
    "a/b\u202e",
    "a/\ud800",
    "a/b (untrained, seed ٣x)",
    "",
    "/",
    ":a/b",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_that_is_no_repository_is_one_short_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="expected a") as caught:
        load_classifier(f"hf-hub:{name}")
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a..b/c", "-a/b", "a/\0", "a" * 300 + "/b"])
def test_a_spec_made_by_hand_is_held_to_the_same_names(name: str) -> None:
    with pytest.raises(ModelError, match="expected a repository such as"):
        load_classifier(ModelSpec("hf-hub", name))


# What a repository may say of its model ------------------------------------------------------------------------

REFUSED_ARGUMENTS: list[dict[str, object]] = [
    {"checkpoint_path": "/etc/hostname"},
    {"stem_width": 20_000},
    {"stem_width": True},
    {"pretrained": True},
    {"pretrained_cfg": {"file": "/etc/hostname"}},
    {"pretrained_cfg_overlay": {"file": "/etc/hostname"}},
    {"cache_dir": "/tmp"},
    {"features_only": True},
    {"scriptable": True},
    {"exportable": True},
    {"block": "torchvision.ops.Conv2dNormActivation"},
    {"act_layer": "os.system"},
    {"global_pool": ""},
    {"num_classes": 10**9},
    {"num_classes": 3},
    {"in_chans": 1},
    {"img_size": 10**6},
    {"img_size": [96, 96, 96]},
    {"drop_rate": float("nan")},
    {"layers": [10**7] * 4},
    {"layers": [1] * 10_000},
    {"device": "cuda"},
    {"": 1},
    {"x" * 10_000: "y" * 10_000},
]


@pytest.mark.parametrize("arguments", REFUSED_ARGUMENTS, ids=lambda arguments: next(iter(arguments))[:30])
def test_arguments_that_are_not_plain_and_bounded_never_reach_a_builder(
    repository: Path, arguments: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(repository, {**CONFIG, "model_args": arguments})
    monkeypatch.setattr(timm, "create_model", None)
    with pytest.raises(ModelError, match=r"^expected (plain arguments|2 classes)") as caught:
        load_classifier("hf-hub:acme/leaves")
    assert len(str(caught.value)) < 700


def test_plain_arguments_reach_the_builder(repository: Path) -> None:
    arguments = {"drop_rate": 0.1, "stem_width": 16, "act_layer": "silu", "num_classes": 2, "in_chans": 3}
    module = fill(repository, {**CONFIG, "model_args": arguments | {"norm_layer": None}}, arguments=arguments)
    loaded: Any = load_classifier("hf-hub:acme/leaves").module
    assert type(loaded.act1) is torch.nn.SiLU
    assert torch.equal(loaded.conv1[0].weight, module.conv1[0].weight)


def test_a_model_that_is_larger_than_its_weights_is_refused_before_it_takes_memory(repository: Path) -> None:
    fill(repository, {**CONFIG, "model_args": {"stem_width": 8192}})
    before = psutil.Process().memory_info().rss
    with pytest.raises(ModelError, match=r"expected a model of at most [\d,]+ numbers, got one of [\d,]{11,}"):
        load_classifier("hf-hub:acme/leaves")
    assert psutil.Process().memory_info().rss - before < 200e6
    with pytest.raises(ModelError, match="expected a model of at most"):
        load_classifier("hf-hub:acme/leaves", weights="random")


PRETRAINED_OUT_OF_BOUNDS = [
    {"input_size": [3, 10**6, 10**6]},
    {"input_size": [1, 96, 96]},
    {"input_size": "big"},
    {"crop_pct": 0},
    {"crop_pct": 1e-300},
    {"crop_pct": 10**400},
    {"crop_mode": "spin"},
    {"interpolation": "random"},
    {"mean": [0.5]},
    {"std": [0, 0, 0]},
    {"std": [float("inf")] * 3},
    {"num_classes": 10**12},
    {"num_classes": "2"},
    {"label_names": ["one"]},
    {"label_names": ["one", ""]},
    {"label_names": ["one", 2]},
    {"label_names": ["one", "x" * 300]},
    {"label_names": "ab"},
]


@pytest.mark.parametrize("part", PRETRAINED_OUT_OF_BOUNDS, ids=str)
def test_a_configuration_out_of_bounds_is_a_sentence(repository: Path, part: dict[str, object]) -> None:
    config: dict = {"architecture": "test_resnet", "pretrained_cfg": CONFIG["pretrained_cfg"], "num_classes": 2}
    config["pretrained_cfg"] = {**config["pretrained_cfg"], **part}
    fill(repository, {**config, **part})
    with pytest.raises(ModelError, match=r"^expected .*hf-hub:acme/leaves"):
        load_classifier("hf-hub:acme/leaves")


@pytest.mark.parametrize(
    "text", [b"", b"3", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"num_classes": ' + b"9" * 5000 + b"}"], ids=range(6)
)
def test_a_configuration_that_is_no_table_is_a_sentence(repository: Path, text: bytes) -> None:
    fill(repository)
    (repository / "config.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"expected a table in config.json of hf-hub:acme/leaves"):
        load_classifier("hf-hub:acme/leaves")


def test_a_file_that_the_configuration_names_is_never_opened(repository: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # whoever opened it would wait for ever
    pretrained = {"file": str(fifo), "url": f"file://{fifo}", "source": "local-dir", "custom_load": True}
    module = fill(repository, {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], **pretrained}})
    loaded: Any = load_classifier("hf-hub:acme/leaves").module
    assert torch.equal(loaded.fc.weight, module.fc.weight)


def test_a_pickle_of_a_hub_runs_no_code(repository: Path, tmp_path: Path) -> None:
    fill(repository)
    (repository / "model.safetensors").unlink()
    torch.save({"fc.weight": Touching(tmp_path / "executed")}, repository / "pytorch_model.bin")
    with pytest.raises(ModelError, match="could run code"):
        load_classifier("hf-hub:acme/leaves")
    assert not (tmp_path / "executed").exists()


class Touching:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def test_a_pickle_of_a_hub_with_tensors_alone_is_loaded_without_a_copy_of_them_kept(repository: Path) -> None:
    module = fill(repository)
    (repository / "model.safetensors").unlink()
    torch.save(module.state_dict(), repository / "pytorch_model.bin")
    loaded: Any = load_classifier("hf-hub:acme/leaves").module
    assert torch.equal(loaded.fc.weight, module.fc.weight)
    assert "state_dict" not in loaded.pretrained_cfg


def test_a_configuration_that_was_mended_is_read_anew(repository: Path) -> None:
    fill(repository, {**CONFIG, "num_classes": 0})
    with pytest.raises(ModelError):
        load_classifier("hf-hub:acme/leaves")
    fill(repository)
    assert len(load_classifier("hf-hub:acme/leaves").labels) == 2
