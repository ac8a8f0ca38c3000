"""What each source knows of its models, and how they are loaded."""

from __future__ import annotations

import gc
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
import torchvision
from torch import nn

from gradcam.models import sources
from gradcam.models.bundled_source import BUNDLED
from gradcam.models.catalogue import catalogue_entries
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.ids import parse_model_id
from gradcam.models.labels import make_labels
from gradcam.models.sources import SOURCES
from gradcam.photo import sample_photo
from gradcam.preprocess import to_input, view_of
from gradcam.types import ModelSpec, Preprocessing

pytestmark = pytest.mark.usefixtures("empty_caches")


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


@pytest.mark.parametrize("collects", [True, False])
def test_nobody_looks_for_garbage_in_a_library_that_is_imported(
    monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    looked_for: list[bool] = []

    def import_module(name: str) -> ModuleType:
        looked_for.append(gc.isenabled())
        return import_really(name)

    import_really = sources.import_module
    monkeypatch.setattr(sources, "import_module", import_module)
    try:
        if not collects:  # whoever uses the package may have turned it off
            gc.disable()
        assert SOURCES["timm"].names()
        assert looked_for == [False]
        assert gc.isenabled() == collects
    finally:
        gc.enable()


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


@pytest.mark.parametrize("name", [name for name, row in BUNDLED.items() if not row.subject])
def test_the_bundled_models_know_a_cat_and_an_espresso(name: str) -> None:
    classifier = load_classifier(f"bundled/{name}")
    assert top(classifier, "chelsea") in {"tabby", "tiger cat", "Egyptian cat"}
    assert top(classifier, "coffee") == "espresso"


def test_the_bundled_dogs_are_19_breeds_that_line_up_with_imagenet() -> None:
    dogs, imagenet = (load_classifier(f"bundled/{name}") for name in ("mobilenetv2_dogs", "tf_efficientnet_lite0"))
    assert (dogs.labels.source, len(dogs.labels)) == ("19 dog breeds", 19)
    assert dogs.labels.wnids
    for breed, wnid in zip(dogs.labels.names, dogs.labels.wnids, strict=True):
        assert imagenet.labels.index(breed) == imagenet.labels.index(wnid)
    assert imagenet.labels.index("bull mastiff") == 243
    assert dogs.preprocessing == Preprocessing(
        (160, 160), (160, 160), "squash", "bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    entry = next(entry for entry in catalogue_entries() if entry.id == "bundled/mobilenetv2_dogs")
    assert (entry.label_set, entry.weights) == ("19 dog breeds", "bundled")
    assert entry.parameters == sum(parameter.numel() for parameter in dogs.module.parameters())


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
