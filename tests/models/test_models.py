from __future__ import annotations

import hashlib
import http.server
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from gradcam.errors import ModelError, WeightsError
from gradcam.models import weights
from gradcam.models.catalogue import catalogue_entries, search_models
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.ids import parse_model_id
from gradcam.models.labels import make_labels
from gradcam.models.sources import SOURCES
from gradcam.models.timm_source import BUNDLED
from gradcam.models.weights import Location, fetch, find
from gradcam.photo import sample_photo
from gradcam.preprocess import to_input, view_of
from gradcam.types import ModelSpec, Preprocessing

SQUEEZENET_FILE = "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has downloaded nothing; returns the folder for hand-placed weights."""
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "own"


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def squeezenet(seed: int = 7) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torchvision.models.squeezenet1_1()


def place(file: Path, module: nn.Module) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        safetensors.torch.save_model(module, str(file))
    else:
        torch.save(module.state_dict(), file)
    return file


def same_state(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


# Ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("bundled/tf_efficientnet_lite0", ModelSpec("bundled", "tf_efficientnet_lite0")),
        ("torchvision/vgg16", ModelSpec("torchvision", "vgg16")),
        ("torchvision/vgg16@IMAGENET1K_V1", ModelSpec("torchvision", "vgg16", "IMAGENET1K_V1")),
        ("timm/resnet50.a1_in1k", ModelSpec("timm", "resnet50", "a1_in1k")),
        ("timm/resnet50", ModelSpec("timm", "resnet50")),
        ("torchvision/vgg16 (untrained, seed 3)", ModelSpec("torchvision", "vgg16", "random", 3)),
    ],
)
def test_an_id_is_read_and_written_back(text: str, spec: ModelSpec) -> None:
    assert parse_model_id(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vgg16", "try 'timm/vgg16' or 'torchvision/vgg16'"),
        ("", "expected a model id"),
        ("torchvision/", "expected a model id"),
        ("tim/resnet50", "expected a model source, got 'tim'.*try 'timm'"),
        ("torchvision/vg16", "expected a model of torchvision, got 'vg16'; try 'vgg16'"),
        ("torchvision/vgg16@IMAGENET1K_V2", "got 'IMAGENET1K_V2'; try 'IMAGENET1K_V1'"),
        ("torchvision/vgg16@IMAGENET1K_FEATURES", "got 'IMAGENET1K_FEATURES'; try 'IMAGENET1K_V1'"),
        ("torchvision/fcn_resnet50", "expected a model of torchvision"),
        ("timm/resnet50.a1_in1", "got 'a1_in1'; try 'a1_in1k'"),
        ("bundled/tf_efficientnet_lite3", "try 'tf_efficientnet_lite2'"),
        ("bundled/tf_efficientnet_lite0.in1k", "leave them out"),
    ],
)
def test_an_unknown_id_names_the_nearest(text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        parse_model_id(text)


@pytest.mark.parametrize("text", ["timm/vit_small_patch14_dinov2.lvd142m", "timm/resnet50_clip.openai"])
def test_a_backbone_without_classes_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ModelError, match=r"expected a classifier, got .*features without class scores; try 'timm/"):
        parse_model_id(text)


@pytest.mark.parametrize("name", SOURCES["torchvision"].names())
def test_every_torchvision_builder_says_how_it_wants_its_photos_and_what_it_knows(name: str) -> None:
    source = SOURCES["torchvision"]
    for entry in torchvision.models.get_model_weights(name):
        if not entry.meta["categories"]:
            continue
        spec = parse_model_id(f"torchvision/{name}@{entry.name}")
        preset = entry.transforms()
        assert source.preprocessing(spec).size == (preset.crop_size[0],) * 2
        assert source.preprocessing(spec).mean == tuple(preset.mean)
        assert len(source.labels(spec)) == source.classes(spec) == 1000
        assert source.location(spec).url == entry.url


def test_the_default_weights_are_the_librarys_own_default() -> None:
    assert SOURCES["torchvision"].weights("resnet50") == ("IMAGENET1K_V2", "IMAGENET1K_V1")
    default = timm.get_pretrained_cfg("resnet50")
    assert default is not None
    assert SOURCES["timm"].weights("resnet50")[0] == default.tag


@pytest.mark.parametrize(
    ("text", "size", "classes", "label"),
    [
        ("timm/resnet50.a1_in1k", (224, 224), 1000, "tench"),
        ("timm/convnext_tiny.fb_in22k", (224, 224), 21841, "organism"),
        ("timm/tf_efficientnet_b7.ns_jft_in1k", (600, 600), 1000, "tench"),
        ("timm/mvitv2_base_cls.fb_inw21k", (224, 224), 19168, "class 0"),
    ],
)
def test_timm_says_how_a_model_wants_its_photos_and_what_it_knows(
    text: str, size: tuple[int, int], classes: int, label: str
) -> None:
    spec = parse_model_id(text)
    assert SOURCES["timm"].preprocessing(spec).size == size
    assert SOURCES["timm"].classes(spec) == len(SOURCES["timm"].labels(spec)) == classes
    assert SOURCES["timm"].labels(spec).names[0] == label


# Loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_models_know_a_cat_and_an_espresso(name: str) -> None:
    classifier = load_classifier(f"bundled/{name}")
    assert top(classifier, "chelsea") in {"tabby", "tiger cat", "Egyptian cat"}
    assert top(classifier, "coffee") == "espresso"


def top(classifier: Classifier, sample: str) -> str:
    photo = sample_photo(sample)
    view = view_of(photo.size, classifier.preprocessing)
    with torch.no_grad():
        logits = classifier.module(to_input(photo, view, classifier.preprocessing)[None])
    return classifier.labels.names[int(logits.argmax())]


def test_a_loaded_model_is_frozen_and_says_where_it_comes_from() -> None:
    classifier = load_classifier("bundled/tf_efficientnet_lite0")
    assert not any(module.training for module in classifier.module.modules())
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    assert repr(classifier) == "Classifier(bundled/tf_efficientnet_lite0, 1000 classes)"
    assert (classifier.device, classifier.dtype) == (torch.device("cpu"), torch.float32)


def test_random_weights_follow_the_seed_say_so_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (
        load_classifier("torchvision/squeezenet1_1", weights="random", seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert one.weights_sha256 == same.weights_sha256 != other.weights_sha256
    assert one.spec.untrained
    assert str(one.spec) == "torchvision/squeezenet1_1 (untrained, seed 1)"
    assert load_classifier(str(one.spec)).weights_sha256 == one.weights_sha256


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_builders_with_auxiliary_heads_are_built_silently_and_answer_with_scores(name: str) -> None:
    classifier = load_classifier(f"torchvision/{name}", weights="random")
    assert classifier.module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)


def test_the_fingerprint_sees_one_changed_value_and_one_changed_name() -> None:
    def fingerprint(module: nn.Module) -> str:
        labels = make_labels(["ham", "spam"])
        spec = ModelSpec("own", "tiny")
        return Classifier(module, Preprocessing((8, 8), (8, 8)), labels, spec).weights_sha256

    head = nn.Linear(2, 2).to(torch.bfloat16)
    plain = nn.Sequential(head)
    before = fingerprint(plain)
    assert before == fingerprint(plain)
    renamed = nn.Sequential()
    renamed.add_module("head", head)
    assert fingerprint(renamed) != before
    with torch.no_grad():
        head.weight[0, 0] += 1
    assert fingerprint(plain) != before


# Where weights come from ----------------------------------------------------------------------------------------


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
    assert all(torch.equal(loaded[key], value) for key, value in module.state_dict().items() if key in loaded)


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


# Hashes that are known -------------------------------------------------------------------------------------------


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


# No network ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_the_error_says_what_was_tried_how_large_it_is_and_where_to_put_it(
    empty_caches: Path,
) -> None:
    with pytest.raises(WeightsError) as caught:
        load_classifier("torchvision/vgg16")
    sentence = str(caught.value)
    for part in ("torchvision/vgg16@IMAGENET1K_V1", "553 MB", "download.pytorch.org", "Network is unreachable"):
        assert part in sentence
    assert f"at {empty_caches / 'torchvision' / 'vgg16-397923af.pth'}" in sentence
    with pytest.raises(WeightsError, match=r"huggingface\.co.*timm/resnet50\.a1_in1k\.safetensors"):
        load_classifier("timm/resnet50")


def test_weights_that_nobody_offers_are_said_to_be_so() -> None:
    assert not timm.models.is_model_pretrained("darknet17")
    with pytest.raises(WeightsError, match=r"which nobody offers for download; put a weight file at .*darknet17"):
        load_classifier("timm/darknet17")


def test_a_host_that_accepts_and_never_answers_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEADLINE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(WeightsError, match=r"timed out|no answer within 0\.3 seconds"):
            fetch(Location("torchvision/x", url=f"http://127.0.0.1:{port}/x.pth"))
    assert time.monotonic() - started < 2


def test_a_name_that_never_resolves_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_arguments: object, **_options: object) -> None:
        released.wait(60)
        raise OSError("released")

    monkeypatch.setattr(weights, "DEADLINE", 0.3)
    monkeypatch.setattr(urllib.request, "urlopen", hang)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"no answer within 0\.3 seconds"):
        load_classifier("torchvision/vgg16")
    assert time.monotonic() - started < 2
    released.set()


def test_the_default_deadline_leaves_room_within_fifteen_seconds() -> None:
    assert weights.DEADLINE <= 12


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A loopback host that serves the folder `served`."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, directory=str(tmp_path / "served"), **options)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_lands_in_torch_hubs_cache_and_is_found_there_next_time(tmp_path: Path, host: str) -> None:
    (tmp_path / "served" / "model.pth").write_bytes(b"weights")
    location = Location("torchvision/model", url=f"{host}/model.pth")
    assert find(location) is None
    file = fetch(location)
    assert file == tmp_path / "torch" / "hub" / "checkpoints" / "model.pth" == find(location)
    assert file.read_bytes() == b"weights"


def test_a_damaged_download_is_refused_and_leaves_nothing_behind(tmp_path: Path, host: str) -> None:
    (tmp_path / "served" / "model-0123abcd.pth").write_bytes(b"weights")
    with pytest.raises(WeightsError, match="the file is damaged"):
        fetch(Location("torchvision/model", url=f"{host}/model-0123abcd.pth"))
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


def test_a_file_that_the_host_does_not_have_is_said_to_be_missing(host: str) -> None:
    with pytest.raises(WeightsError, match="File not found"):
        fetch(Location("torchvision/model", url=f"{host}/model.pth"))


# The catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_lists_every_id_once_and_quickly() -> None:
    entries = catalogue_entries()
    started = time.monotonic()
    assert catalogue_entries() == entries
    assert time.monotonic() - started < 2
    assert len({entry.id for entry in entries}) == len(entries) > 1400
    assert [entry.weights for entry in entries[:3]] == ["bundled"] * 3
    by_id = {entry.id: entry for entry in entries}
    vgg16 = by_id["torchvision/vgg16@IMAGENET1K_V1"]
    assert (vgg16.weights, vgg16.parameters, vgg16.input_size) == ("download 553 MB", 138357544, (224, 224))
    assert "timm/vit_small_patch14_dinov2.lvd142m" not in by_id


def test_every_id_of_the_catalogue_can_be_read() -> None:
    for entry in catalogue_entries()[::25]:
        assert str(parse_model_id(entry.id)) == entry.id


def test_a_model_whose_weights_are_here_is_listed_as_cached(empty_caches: Path) -> None:
    place(empty_caches / "torchvision" / SQUEEZENET_FILE, squeezenet())
    assert [entry.weights for entry in search_models("torchvision/squeezenet1_1")] == ["cached"]


def test_search_puts_the_exact_name_first_and_forgives_a_slip() -> None:
    assert [entry.id for entry in search_models("vgg16")[:2]] == [
        "torchvision/vgg16@IMAGENET1K_V1",
        "timm/vgg16.tv_in1k",
    ]
    assert {entry.architecture for entry in search_models("resnet50 timm")[:5]} == {"resnet50"}
    assert search_models("resnt50")[0].architecture == "resnet50"
    assert search_models("qqqqqqqq") == []
    assert search_models("") == catalogue_entries()


FAMILIES = (
    "test_vit",
    "test_convnext",
    "test_coatnet",
    "test_vit_relpos",
    "mobilevit_xxs",
    "efficientvit_m0",
    "levit_128s",
)
"""Names of some of timm's modules: with buffers, relative places, tensors that are renamed."""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_state_that_timm_made_comes_back_through_the_reader_of_this_package(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = timm.create_model(name).eval()
    torch.save(made.state_dict(), tmp_path / "made.pt")
    found = load_classifier(f"timm/{name}", weights=tmp_path / "made.pt", device="cpu")
    state = found.module.state_dict()
    assert state.keys() == made.state_dict().keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in made.state_dict().items())
    photo = torch.randn(1, 3, *found.preprocessing.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(found.module(photo), made(photo), atol=1e-5)


@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"])
def test_an_untrained_transformer_takes_photos_of_the_size_that_its_preprocessing_makes(name: str) -> None:
    spec, source = ModelSpec("torchvision", name, "random"), SOURCES["torchvision"]
    with torch.device("meta"):
        side = source.build(spec, None).image_size
    assert source.preprocessing(spec).size == (side, side)
