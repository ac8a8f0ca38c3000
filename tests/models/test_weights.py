"""Weights on this machine: where they are found, and which are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from gradcam.errors import ModelError, WeightsError
from gradcam.models import weights
from gradcam.models.classifier import load_classifier
from gradcam.models.sources import SOURCES
from gradcam.models.weights import Location, fetch, find
from gradcam.types import ModelSpec
from tests.models.small_network import SQUEEZENET_FILE, place, same_state, squeezenet

pytestmark = pytest.mark.usefixtures("empty_caches")


@pytest.mark.parametrize("name", [SQUEEZENET_FILE, "squeezenet1_1@IMAGENET1K_V1.safetensors"])
def test_a_hand_placed_torchvision_file_is_loaded(empty_caches: Path, name: str) -> None:
    module = squeezenet()
    place(empty_caches / "torchvision" / name, module)
    classifier = load_classifier("torchvision/squeezenet1_1")
    assert same_state(classifier.module, module)
    assert str(classifier.spec) == "torchvision/squeezenet1_1@IMAGENET1K_V1"


def test_a_file_in_torch_hubs_cache_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_digest", lambda *_: "b8a52dc0")  # as if these were the real weights
    module = squeezenet()
    place(tmp_path / "torch" / "hub" / "checkpoints" / SQUEEZENET_FILE, module)
    assert same_state(load_classifier("torchvision/squeezenet1_1").module, module)


def test_a_hand_placed_file_wins_over_a_cached_one(tmp_path: Path, empty_caches: Path) -> None:
    place(tmp_path / "torch" / "hub" / "checkpoints" / SQUEEZENET_FILE, squeezenet(1))
    placed = squeezenet(2)
    place(empty_caches / "torchvision" / SQUEEZENET_FILE, placed)
    assert same_state(load_classifier("torchvision/squeezenet1_1").module, placed)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_hand_placed_timm_file_is_loaded(empty_caches: Path, suffix: str) -> None:
    module = timm.create_model("test_resnet")
    place(empty_caches / "timm" / f"test_resnet.r160_in1k.{suffix}", module)
    classifier = load_classifier("timm/test_resnet")
    assert same_state(classifier.module, module)
    assert str(classifier.spec) == "timm/test_resnet.r160_in1k"


def test_a_file_in_the_hugging_face_cache_is_loaded(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet")
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    place(repository / "snapshots" / "abc" / "model.safetensors", module)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert same_state(load_classifier("timm/test_resnet.r160_in1k").module, module)


def test_a_weight_file_can_be_named_and_is_named_in_the_spec(tmp_path: Path) -> None:
    file = place(tmp_path / "mine.pth", squeezenet())
    classifier = load_classifier("torchvision/squeezenet1_1", weights=file)
    assert str(classifier.spec) == "torchvision/squeezenet1_1@mine.pth"
    with pytest.raises(ModelError, match=r"nowhere\.pth', which does not exist"):
        load_classifier("torchvision/squeezenet1_1", weights="nowhere.pth")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("googlenet", {"init_weights": False}),  # a pretrained one swaps its input's normalisation
        ("mnasnet0_5", {}),  # refuses a state without its version
        ("densenet121", {}),
    ],
)
def test_a_builder_does_all_it_does_for_its_own_weights(
    tmp_path: Path, name: str, options: dict[str, bool]
) -> None:
    with torch.random.fork_rng(devices=[]):
        module = torchvision.models.get_model(name, weights=None, **options)
    classifier = load_classifier(f"torchvision/{name}", weights=place(tmp_path / "mine.pth", module))
    assert getattr(classifier.module, "transform_input", None) == (True if name == "googlenet" else None)
    loaded = classifier.module.state_dict()
    state = module.state_dict()  # with the auxiliary heads, which are not built
    assert all(torch.equal(state[key], value) for key, value in loaded.items())


def test_a_training_checkpoint_is_opened(tmp_path: Path) -> None:
    module = squeezenet()
    torch.save({"model": module.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth")
    classifier = load_classifier("torchvision/squeezenet1_1", weights=tmp_path / "checkpoint.pth")
    assert same_state(classifier.module, module)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "torchvision/resnet18",
            r"missing tensors \(conv1.weight, .*, 52 unexpected tensors \(features.0.weight",
        ),
        ("timm/resnet18", r"\d+ missing tensors .*, \d+ unexpected tensors"),
        ("bundled/tf_efficientnet_lite0", "expected 296 tensors of the model's shapes in mine.pth, got 52"),
        ("torchvision/squeezenet1_0", "tensors of another shape"),
    ],
)
def test_a_file_of_another_model_is_refused_in_words(tmp_path: Path, text: str, sentence: str) -> None:
    file = place(tmp_path / "mine.pth", squeezenet())
    with pytest.raises(ModelError, match=sentence):
        load_classifier(text, weights=file)


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_code_in_a_weight_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Malicious()}, "bad.pth")
    for text in ("torchvision/squeezenet1_1", "timm/test_resnet", "bundled/tf_efficientnet_lite0"):
        with pytest.raises(ModelError, match="could run code"):
            load_classifier(text, weights="bad.pth")
    assert not Path("executed").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.pth").write_text("hello")
    with pytest.raises(ModelError, match=r"in 'notes\.pth', got a file that is damaged"):
        load_classifier("torchvision/squeezenet1_1", weights=tmp_path / "notes.pth")


def stated(folder: Path, data: bytes = b"weights") -> tuple[Path, Location]:
    """A file in torch.hub's cache under a name that states its hash."""
    digest = hashlib.sha256(data).hexdigest()
    file = folder / "torch" / "hub" / "checkpoints" / f"model-{digest[:8]}.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file, Location("torchvision/model", url=f"https://example.org/{file.name}")


def test_a_cached_file_with_one_flipped_bit_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    file, location = stated(tmp_path)
    assert fetch(location) == file
    file.write_bytes(b"weighus")
    with pytest.raises(WeightsError, match=r"got [0-9a-f]{16}: .* damaged .*; delete it to download") as caught:
        fetch(location)
    assert str(file) in str(caught.value)
    file.write_bytes(b"weights")
    assert fetch(location) == file


def test_other_weights_under_a_name_with_a_hash_are_not_used(tmp_path: Path) -> None:
    place(tmp_path / "torch" / "hub" / "checkpoints" / SQUEEZENET_FILE, squeezenet())
    with pytest.raises(WeightsError, match=r"with a hash that begins with b8a52dc0, got"):
        load_classifier("torchvision/squeezenet1_1")


def test_a_file_is_read_through_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, location = stated(tmp_path, b"read once")
    fetch(location)
    monkeypatch.setattr(hashlib, "file_digest", None)
    fetch(location)


@pytest.mark.parametrize("kind", ["sha256", "git"])
def test_a_damaged_file_of_the_hubs_cache_is_refused(tmp_path: Path, kind: str) -> None:
    data = b"what the hub holds"
    content = hashlib.sha256(data) if kind == "sha256" else hashlib.sha1(b"blob %d\0" % len(data) + data)
    repository = tmp_path / "hub" / "models--acme--leaves"
    blob = repository / "blobs" / content.hexdigest()
    link = repository / "snapshots" / "abc" / "model.safetensors"
    for folder in (blob.parent, link.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    blob.write_bytes(data)
    link.symlink_to(blob)
    location = Location("hf-hub/acme/leaves", hub="acme/leaves")
    assert fetch(location) == link
    blob.write_bytes(b"What the hub holds")
    with pytest.raises(WeightsError, match=f"in {blob}, .*; delete it to download it again"):
        fetch(location)
    blob.unlink()
    assert find(location) is None


def test_a_damaged_bundled_file_is_refused(tmp_path: Path) -> None:
    whole = SOURCES["bundled"].location(ModelSpec("bundled", "tf_efficientnet_lite0")).bundled
    assert whole is not None
    assert fetch(Location("bundled/whole", bundled=whole)) == whole
    damaged = tmp_path / whole.name
    damaged.write_bytes(whole.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match="install its package again"):
        fetch(Location("bundled/damaged", bundled=damaged))
