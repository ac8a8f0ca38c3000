"""Classifiers of transformers by id and from folders: twenty architectures, tiny, random and saved on disk."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForImageClassification

from gradcam import Classifier, Contrast, ModelError, Photo, WeightsError, explain, load_classifier
from gradcam.models import huggingface
from gradcam.models.ids import check_offered, parse_model_id
from gradcam.models.labels import imagenet
from gradcam.models.sources import SOURCES, configuration_of
from gradcam.preprocess import to_input, view_of
from gradcam.scores import first_tensor
from gradcam.types import ModelSpec, TargetLayer

Make = Callable[[], tuple[Any, Any]]

VIT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}


def square(kind: str, side: int, **more: Any) -> Any:
    """An image processor that squashes photos to a square."""
    return getattr(transformers, f"{kind}ImageProcessor")(size={"height": side, "width": side}, **more)


def cropped(kind: str, edge: int, side: int, **more: Any) -> Any:
    """One that scales the shorter edge and cuts a square."""
    crop = {"height": side, "width": side}
    return getattr(transformers, f"{kind}ImageProcessor")(size={"shortest_edge": edge}, crop_size=crop, **more)


def config(kind: str, architecture: str = "", **settings: Any) -> Any:
    made = getattr(transformers, f"{kind}Config")(**settings, id2label={0: "cat", 1: "dog", 2: "hen"})
    made.architectures = [architecture or f"{kind}ForImageClassification"]
    return made


MODELS: dict[str, Make] = {
    "vit": lambda: (config("ViT", **VIT), square("ViT", 32)),
    "deit": lambda: (config("DeiT", **VIT), transformers.DeiTImageProcessor(
        size={"height": 40, "width": 40}, crop_size={"height": 32, "width": 32})),
    "deit with a teacher": lambda: (config("DeiT", "DeiTForImageClassificationWithTeacher", **VIT),
                                    square("ViT", 32)),
    "beit": lambda: (config("Beit", **VIT), square("Beit", 32)),
    "data2vec": lambda: (config("Data2VecVision", **VIT), square("Beit", 32)),
    "dinov2": lambda: (config("Dinov2", **VIT, mlp_ratio=2), cropped("Bit", 40, 32)),
    "dinov2 with registers": lambda: (config("Dinov2WithRegisters", **VIT, mlp_ratio=2), cropped("Bit", 40, 32)),
    "clip": lambda: (config("CLIP", vision_config=VIT), cropped("CLIP", 32, 32)),
    "siglip": lambda: (config("Siglip", vision_config=VIT), square("Siglip", 32)),
    "swin": lambda: (config("Swin", image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2],
                            window_size=4), square("ViT", 32)),
    "swinv2": lambda: (config("Swinv2", image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2],
                              window_size=4), square("ViT", 32)),
    "convnext": lambda: (config("ConvNext", **STAGES),
                         transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875)),
    "convnextv2": lambda: (config("ConvNextV2", **STAGES),
                           transformers.ConvNextImageProcessor(size={"shortest_edge": 48}, crop_pct=0.9)),
    "resnet": lambda: (config("ResNet", **STAGES, embedding_size=8),
                       transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.95)),
    "regnet": lambda: (config("RegNet", **STAGES, embedding_size=8, groups_width=8),
                       transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875)),
    "mobilenet v1": lambda: (config("MobileNetV1", image_size=64, depth_multiplier=0.125),
                             cropped("MobileNetV1", 72, 64)),
    "mobilenet v2": lambda: (config("MobileNetV2", image_size=64, depth_multiplier=0.25),
                             cropped("MobileNetV2", 75, 64)),
    "mobilevit": lambda: (config("MobileViT", image_size=64, hidden_sizes=[16, 16, 16], num_attention_heads=2,
                                 neck_hidden_sizes=[8, 8, 8, 16, 16, 16, 16]),
                          cropped("MobileViT", 72, 64, do_flip_channel_order=False)),
    "pvt": lambda: (config("Pvt", num_labels=3, image_size=64, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1],
                           num_attention_heads=[1, 1, 2, 2]), square("Pvt", 64)),
    "poolformer": lambda: (config("PoolFormer", **STAGES), cropped("PoolFormer", 64, 64)),
    "segformer": lambda: (config("Segformer", **STAGES, num_attention_heads=[1, 1, 2, 2], sr_ratios=[2, 2, 1, 1],
                                 decoder_hidden_size=8), square("Segformer", 64)),
    "focalnet": lambda: (config("FocalNet", image_size=64, embed_dim=8, hidden_sizes=[8, 16], depths=[1, 1],
                                focal_levels=[1, 1], focal_windows=[3, 3]), cropped("Bit", 72, 64)),
    "bit": lambda: (config("Bit", **STAGES, embedding_size=8, num_groups=4), cropped("Bit", 64, 64)),
    "efficientnet": lambda: (config("EfficientNet", image_size=64, width_coefficient=0.25, depth_coefficient=0.1,
                                    hidden_dim=320), square("EfficientNet", 64)),
    "levit": lambda: (config("Levit", "LevitForImageClassificationWithTeacher", image_size=64, depths=[1, 1, 1],
                             hidden_sizes=[16, 16, 16], num_attention_heads=[2, 2, 2], key_dim=[4, 4, 4]),
                      cropped("Levit", 64, 64)),
    "hiera": lambda: (config("Hiera", image_size=[64, 64], patch_size=[7, 7], embed_dim=8, depths=[1, 1, 1],
                             num_heads=[1, 2, 4], embed_dim_multiplier=2.0, num_query_pool=2, query_stride=[2, 2],
                             masked_unit_size=[4, 4]), cropped("Bit", 64, 64)),
    "cvt": lambda: (config("Cvt", embed_dim=[8, 16, 16], num_heads=[1, 2, 2], depth=[1, 2, 3],
                           cls_token=[False, False, True], drop_path_rate=[0.0, 0.0, 0.0]),
                    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875)),
}  # fmt: skip
"""A tiny configuration and an image processor for each architecture."""


@cache
def saved(name: str, root: Path) -> Path:
    """The folder of a model with seeded random weights, and nothing in it that is zero."""
    made, processor = MODELS[name]()
    folder = root / name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = AutoModelForImageClassification.from_config(made)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    module.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


def photo(height: int = 83, width: int = 131) -> Photo:
    """Smooth colours and a bright spot, in middle tones."""
    down, across = np.mgrid[:height, :width]
    waves = np.stack([np.sin(down / 9), np.cos(across / 7), np.sin((down + across) / 11)], -1)
    pixels = (128 + 60 * waves).astype(np.uint8)
    pixels[20:40, 60:90] = (190, 80, 70)
    return Photo(pixels, "photo", "0" * 64)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_from_a_folder_is_the_librarys_own_and_its_maps_are_equation_two(name: str, root: Path) -> None:
    folder = saved(name, root)
    classifier = load_classifier(folder, device="cpu")
    assert str(classifier.spec) == f"hf:{folder}"
    assert classifier.labels.names == ("cat", "dog", "hen")

    own = AutoModelForImageClassification.from_pretrained(folder, num_labels=3).state_dict()
    assert all(torch.equal(own[key], tensor) for key, tensor in classifier.module.state_dict().items())

    processor = AutoImageProcessor.from_pretrained(folder)
    for picture in (photo(), photo(157, 90), photo(67, 70)):
        wanted = torch.from_numpy(np.asarray(processor(Image.fromarray(picture.pixels))["pixel_values"][0]))
        got = to_input(picture, view_of(picture.size, classifier.preprocessing), classifier.preprocessing)
        levels = (wanted - got).abs() * 255 * torch.tensor(classifier.preprocessing.std).view(3, 1, 1)
        assert (levels <= 1.02).float().mean() > 0.999
        assert levels.max() <= 2.02

    pairs = [(0, 1), (1, 2), (2, 0)]
    explanation = explain(classifier, photo(), [Contrast(of, other) for of, other in pairs])
    height, width = classifier.preprocessing.size
    grid = explanation.layer.grid
    assert height / width == grid[0] / grid[1]
    assert 2 <= grid[0] <= height // 4
    references = maps_in_float64(classifier, photo(), pairs, explanation.layer)
    peak = max(reference.max() for reference in references)
    assert peak > 0
    for found, reference in zip(explanation.maps, references, strict=True):
        assert found == pytest.approx(reference, abs=1e-4 * peak)


def maps_in_float64(
    classifier: Classifier, picture: Photo, pairs: list[tuple[int, int]], layer: TargetLayer
) -> list[NDArray[np.float64]]:
    """Equations 1 and 2 as they stand, by one plain backward in float64 for each pair of classes."""
    module = copy.deepcopy(classifier.module).double()
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _args: object, output: Any) -> None:
        first = first_tensor(output)
        assert first is not None
        kept.append(first)

    module.get_submodule(layer.name).register_forward_hook(keep)
    batch = to_input(picture, view_of(picture.size, classifier.preprocessing), classifier.preprocessing)
    logits = module(batch[None].double().requires_grad_()).logits[0]
    activation = by_place(kept[layer.call].detach()[0], layer)
    maps = []
    for of, other in pairs:
        (gradient,) = torch.autograd.grad(logits[of] - logits[other], kept[layer.call], retain_graph=True)
        weights = by_place(gradient[0], layer).mean((0, 1))
        maps.append((activation * weights).sum(-1).clamp(min=0).numpy())
    return maps


def by_place(tensor: Tensor, layer: TargetLayer) -> Tensor:
    """`[h, w, C]` whatever the layout."""
    if layer.layout == "NCHW":
        return tensor.movedim(0, -1)
    if layer.layout == "NHWC":
        return tensor
    return tensor[layer.prefix :][: np.prod(layer.grid)].unflatten(0, layer.grid)


# Ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "hf:acme/leaves",
        "hf:acme/leaves (untrained, seed 3)",
        "hf:./my models/leaves",
        "hf:/models/a.b",
        "hf:~/leaves",
    ],
)
def test_an_id_is_read_and_written_back(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam.models.ids._check_folder", lambda *_: None)
    assert str(parse_model_id(text)) == text


def test_a_model_does_not_change_when_its_file_is_written_anew(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("vit", root), tmp_path / "vit")
    classifier = load_classifier(folder, device="cpu")
    before = {key: tensor.clone() for key, tensor in classifier.module.state_dict().items()}
    file = folder / "model.safetensors"
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert all(torch.equal(before[key], tensor) for key, tensor in classifier.module.state_dict().items())


def test_a_folder_can_be_named_by_its_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved("vit", root)
    monkeypatch.chdir(root)
    named = [load_classifier(model) for model in (Path("vit"), "./vit", "hf:./vit", str(folder), f"hf:{folder}")]
    assert [str(one.spec) for one in named[:3]] == ["hf:./vit"] * 3
    assert len({one.weights_sha256 for one in named}) == 1


@pytest.mark.parametrize(
    "name", ["", "acme", "a..b/c", "-a/b", "a/" + "b" * 100, "a/\0", "./nowhere", "/dev", "~nobody/x"]
)
def test_a_name_that_is_neither_repository_nor_folder_is_a_sentence(name: str) -> None:
    with pytest.raises(ModelError, match=r"^expected a"):
        load_classifier(f"hf:{name}")
    with pytest.raises(ModelError, match=r"^expected a"):
        load_classifier(ModelSpec("hf", name))


@pytest.mark.parametrize(
    "text", ["hf:/etc", "/etc", "./x", "../x", "~/x", " hf:./x", "hf/./x", "hf:./x (untrained, seed 1)"]
)
@pytest.mark.parametrize("hubs", [True, False])
def test_a_server_never_looks_at_a_folder_for_a_visitor(
    text: str, hubs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", None)
    with pytest.raises(ModelError, match="expected a model that this server offers, got the folder"):
        check_offered(text, hubs)


@pytest.mark.parametrize("text", ["hf:acme/leaves", "hf-hub:acme/leaves", "hf-hub/acme/leaves", " hf:acme/leaves "])
def test_a_server_loads_from_hubs_only_where_this_is_allowed(text: str) -> None:
    check_offered(text, hubs=True)
    check_offered("timm/resnet18", hubs=False)
    with pytest.raises(ModelError, match=r"this server loads none from hubs; .* server\.hub_models"):
        check_offered(text, hubs=False)


# What a folder may say -------------------------------------------------------------------------------------------


def changed(root: Path, to: Path, config: Any = None, processor: Any = None, name: str = "vit") -> Path:
    """A copy of a saved model with other settings; None takes one out."""
    shutil.copytree(saved(name, root), to)
    for file, settings in ((huggingface.CONFIG, config), (huggingface.PROCESSOR, processor)):
        if isinstance(settings, dict):
            stored = json.loads((to / file).read_text()) | settings
            stored = {key: value for key, value in stored.items() if value is not None}
            (to / file).write_text(json.dumps(stored))
        elif settings is not None:
            (to / file).write_bytes(settings)
    return to


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "resnet18"}, r"got one of timm; name it 'hf-hub:"),
        ({"model_type": "timm_wrapper"}, r"got one of timm; name it 'hf-hub:"),
        ({"model_type": "nonsense"}, r"got what it cannot use \(ValueError"),
        ({"model_type": None}, r"got no model_type"),
        ({"architectures": ["ViTMAEForPreTraining"]}, r"expected a classifier of images .*ForImageClassification"),
        ({"problem_type": "regression"}, r"got a model for 'regression'"),
        ({"hidden_size": 10**9}, r"expected plain settings .*'hidden_size': 1000000000, which is out of bounds"),
        ({"hidden_size": 500_000}, r"expected a model of at most [\d,]+ numbers"),
        ({"num_hidden_layers": 10**6}, r"expected a model "),
        ({"patch_size": -8}, r"^expected"),
        ({"hidden_act": "os.system"}, r"^expected"),
        ({"id2label": {"0": "a", "2": "b"}}, r"expected names for classes from 0 on"),
        ({"id2label": {"0": "a" * 2000}}, r"expected names for classes from 0 on"),
        ({"id2label": None, "num_labels": 200_000}, r"expected at most 100,000 classes"),
        ({"num_channels": 1}, r"^expected"),
        ({"image_size": [0] * 2000}, r"which is out of bounds"),
        ({"depth": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}, r"which is out of bounds"),
        (b"{", r"expected a table in config.json"),
        (b"[" * 100_000, r"expected a table in config.json"),
        (b"\xff\xfe", r"expected a table in config.json"),
    ],
    ids=str,
)
def test_a_configuration_that_is_not_plain_or_no_classifiers_is_a_sentence(
    settings: Any, sentence: str, root: Path, tmp_path: Path
) -> None:
    folder = changed(root, tmp_path / "model", config=settings)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_classifier(folder)
    assert len(str(caught.value)) < 800


def test_settings_that_name_code_other_files_or_other_weights_are_left_out(root: Path, tmp_path: Path) -> None:
    orders = {
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"},
        "attn_implementation": "acme/kernels",
        "_attn_implementation": "acme/kernels",
        "quantization_config": {"quant_method": "awq"},
        "transformers_weights": "/etc/hostname",
        "dtype": "float16",
        "torch_dtype": "bfloat16",
        "output_attentions": True,
        "return_dict": False,
    }
    remote = {"auto_map": {"AutoImageProcessor": "evil.Processor"}}
    folder = changed(root, tmp_path / "model", config=orders, processor=remote)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    classifier = load_classifier(folder)
    assert classifier.dtype == torch.float32
    assert classifier.weights_sha256 == load_classifier(saved("vit", root)).weights_sha256
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("mobilevit", {"do_flip_channel_order": True}, "mixes or reorders"),
        ("clip", {"do_center_crop": False}, "expected photos brought to one size"),
        ("vit", {"do_resize": False}, "expected photos brought to one size"),
        ("vit", {"size": {"height": 10**6, "width": 10**6}}, "out of bounds"),
        ("vit", {"size": {"height": 2000, "width": 2000}}, "at most 1024 pixels"),
        ("vit", {"image_std": [0, 0, 0]}, "^expected"),
        ("vit", {"rescale_factor": -1}, "^expected"),
        ("vit", {"resample": 77}, "^expected"),
        ("convnext", {"crop_pct": 1e-9}, "out of bounds"),
        ("vit", b"3", "expected a table in preprocessor_config.json"),
    ],
)
def test_an_image_processor_that_cannot_be_followed_is_refused_with_the_reason(
    name: str, settings: Any, sentence: str, root: Path, tmp_path: Path
) -> None:
    folder = changed(root, tmp_path / "model", processor=settings, name=name)
    with pytest.raises(ModelError, match=sentence):
        load_classifier(folder)


@pytest.mark.parametrize("file", [huggingface.CONFIG, huggingface.PROCESSOR, huggingface.WEIGHTS])
def test_a_folder_without_one_of_the_files_says_which(file: str, root: Path, tmp_path: Path) -> None:
    folder = changed(root, tmp_path / "model")
    (folder / file).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is never read")
    with pytest.raises(ModelError, match=f"without {file}; save the model and its image processor"):
        load_classifier(folder)


def test_a_head_with_a_single_logit_has_two_classes(tmp_path: Path) -> None:
    settings = transformers.ViTConfig(**VIT, id2label={0: "defect"}, architectures=["ViTForImageClassification"])
    AutoModelForImageClassification.from_config(settings).save_pretrained(tmp_path)
    square("ViT", 32).save_pretrained(tmp_path)
    classifier = load_classifier(f"hf:{tmp_path}")
    assert classifier.labels.names == ("not defect", "defect")
    photo = Photo(np.full((32, 32, 3), 90, np.uint8), "grey.png", "")
    odds = explain(classifier, photo, ["not defect", "defect"]).probabilities
    assert odds.sum() == pytest.approx(1)


def test_a_head_that_was_never_trained_is_refused(root: Path, tmp_path: Path) -> None:
    folder = changed(root, tmp_path / "model")
    tensors = safetensors.torch.load_file(folder / huggingface.WEIGHTS)
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    safetensors.torch.save_file(rest, folder / huggingface.WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 2 of them or has them in another shape \('classifier.bias', "):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [("single_label_classification", "softmax"), ("multi_label_classification", "sigmoid"), (None, "softmax")],
)
def test_the_activation_is_what_the_configuration_was_trained_for(
    kind: str | None, activation: str, root: Path, tmp_path: Path
) -> None:
    folder = changed(root, tmp_path / "model", config={"problem_type": kind})
    assert SOURCES["hf"].activation(ModelSpec("hf", str(folder))) == activation


def test_the_thousand_classes_of_imagenet_have_the_names_that_other_libraries_give_them(
    root: Path, tmp_path: Path
) -> None:
    synonyms = ImageNetInfo("imagenet-1k").label_descriptions()
    folder = changed(
        root, tmp_path / "model", config={"id2label": {str(i): name for i, name in enumerate(synonyms)}}
    )
    assert SOURCES["hf"].labels(ModelSpec("hf", str(folder))) == imagenet()


def test_random_weights_follow_the_seed(root: Path) -> None:
    folder = saved("vit", root)
    one, same, other = (load_classifier(folder, weights="random", seed=seed) for seed in (1, 1, 2))
    assert one.weights_sha256 == same.weights_sha256 != other.weights_sha256
    assert str(one.spec) == f"hf:{folder} (untrained, seed 1)"


def test_a_report_is_told_the_settings_but_neither_names_nor_places(root: Path) -> None:
    told = configuration_of(ModelSpec("hf", str(saved("vit", root))))
    assert told["model_type"] == "vit"
    assert told["processor.size.height"] == 32
    assert not any("label" in name or "path" in name for name in told)


def test_without_the_extra_the_sentence_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved("vit", root)
    huggingface.described.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"install it with pip install 'gradcam\[transformers\]'"):
        load_classifier(folder)


def test_the_library_is_imported_when_it_is_first_needed() -> None:
    assert "transformers" not in vars(huggingface)


# The hub -------------------------------------------------------------------------------------------------------


def test_a_cached_repository_is_loaded_and_one_that_cannot_be_had_says_what_to_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for constants in ("constants", "file_download.constants"):
        monkeypatch.setattr(f"huggingface_hub.{constants}.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(
        WeightsError, match=r"hf/acme/leaves/config.json, .* connect to the network, or put the file"
    ):
        load_classifier("hf:acme/leaves")
    placed = changed(root, tmp_path / "own" / "hf" / "acme" / "leaves")
    by_hand = load_classifier("hf:acme/leaves")
    (placed / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"put the file .* at .*/own/hf/acme/leaves/model\.safetensors$"):
        load_classifier("hf:acme/leaves")
    shutil.rmtree(placed)
    repository = tmp_path / "hub" / "models--acme--leaves"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    folder = changed(root, repository / "snapshots" / "abc")
    classifier = load_classifier("hf:acme/leaves")
    assert str(classifier.spec) == "hf:acme/leaves"
    assert classifier.weights_sha256 == load_classifier(folder).weights_sha256 == by_hand.weights_sha256
    with pytest.raises(ModelError, match=r"got another library's model .*; name it 'hf:acme/leaves'"):
        load_classifier("hf-hub:acme/leaves")
