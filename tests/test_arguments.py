"""What `heatmaps` and `explain` are given: batches, classes and photos in many forms, and numbers of few bits."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gradcam
from gradcam import (
    ClassError,
    Classifier,
    Comparison,
    Failure,
    GradcamError,
    Labels,
    ModelError,
    ModelSpec,
    PhotoError,
    Preprocessing,
    ReportError,
    explain,
    heatmaps,
    resolve_target_layer,
    sample_photo,
)
from gradcam.errors import OptionError
from gradcam.report import check
from tests.test_outputs import Net


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "classes",
    [
        0.9,
        [0.9, 3.7],
        True,
        [True, 1],
        [np.True_, 1],
        np.array([False, True]),
        torch.tensor([False, True, False, False, True]),
        torch.tensor([1.0]),
        "3",
        None,
    ],
)
def test_fractions_booleans_masks_and_text_are_no_class_indices(noise: Tensor, classes: Any) -> None:
    with pytest.raises(ClassError, match="expected whole numbers as class indices"):
        heatmaps(Net(), noise, classes)


@pytest.mark.parametrize(
    "classes",
    [
        np.int64(3),
        [np.int64(3)],
        (np.uint8(3),),
        np.array([3]),
        torch.tensor(3, dtype=torch.int32),
        [torch.tensor(3)],
        range(3, 4),
        [[3], [np.int32(3)]],
    ],
)
def test_whole_numbers_of_any_library_are_class_indices(noise: Tensor, classes: Any) -> None:
    assert torch.equal(heatmaps(Net(), noise, classes), heatmaps(Net(), noise, [3]))


def test_a_class_far_outside_is_refused(noise: Tensor) -> None:
    for wanted in (2**40, 2**63 + 1, -1):
        with pytest.raises(ClassError, match="from 0 to 4, got"):
            heatmaps(Net(), noise, wanted)


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps, self.fc = nn.Conv3d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean((2, 3, 4)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: (x * 50).to(torch.uint8), "got uint8; scale and normalise"),
        (lambda x: x.long(), "got int64; scale and normalise"),
        (lambda x: x.to(torch.complex64), "got complex64; scale"),
        (lambda x: x[:, :, None], r"got a tensor \[2, 3, 1, 8, 8\]"),
        (lambda x: x[0], r"got a tensor \[3, 8, 8\]; add the batch dimension"),
        (lambda x: list(x), r"got a tensor \[3, 8, 8\]; stack the images"),
        (lambda x: x[:0], r"got an empty one \[0, 3, 8, 8\]"),
        (lambda x: x[:, :2], r"failed on a batch \[2, 2, 8, 8\].*3 channels"),
        (lambda x: x.permute(0, 2, 3, 1), r"put the channels first with batch.permute\(0, 3, 1, 2\)"),
        (lambda x: x.double(), r"pass the batch in the model's type, batch.to\(torch.float32\)"),
        (lambda x: x.numpy().astype(str), "expected an array of numbers"),
        (lambda x: "photo.jpg", r"got str; pass a tensor, or a photo to explain\(\)"),
        (lambda x: None, "got NoneType; pass a tensor"),
    ],
)
def test_a_batch_that_is_none_is_refused_with_what_to_pass(noise: Tensor, change: Any, said: str) -> None:
    layer = resolve_target_layer(Net(), (8, 8))
    with pytest.raises(ModelError, match=said):
        heatmaps(Net(), change(noise), 0, layer)


def test_volumes_are_not_covered_and_it_is_said() -> None:
    with pytest.raises(ModelError, match="heatmaps of 3-D models are not covered"):
        heatmaps(Volumes().eval(), torch.zeros(1, 3, 4, 4, 4), 0)


def test_a_numpy_batch_of_any_float_is_taken(noise: Tensor) -> None:
    for dtype in (np.float32, np.float64):
        maps = heatmaps(Net(), noise.numpy().astype(dtype), [0, 3])
        assert torch.equal(maps, heatmaps(Net(), noise, [0, 3]))


def test_maps_are_float32_under_autocast(noise: Tensor) -> None:
    full = heatmaps(Net(), noise, [0, 3])
    with torch.autocast("cpu", torch.bfloat16):
        maps = heatmaps(Net(), noise, [0, 3])
    assert maps.dtype == torch.float32
    assert (maps - full).abs().max() <= 0.02 * full.max()


def test_gradients_too_small_for_float16_are_not_lost(noise: Tensor) -> None:
    # a weight of 1e-4 over 64 places is 1.6e-6 a place: float16 has steps of 6e-8 there
    model = Net()
    with torch.no_grad():
        model.fc.weight.mul_(1e-4)
    full = heatmaps(model, noise, [0, 3], "maps")
    half = heatmaps(model.half(), noise.half(), [0, 3], "maps")
    assert half.dtype == torch.float32
    assert (half - full).abs().max() <= 2e-3 * full.max()


class Pair(nn.Module):
    """Compares two images with one encoder; `more` is no image."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
            self.fc = nn.Linear(16, 4)
        self.eval()

    def forward(self, left: Tensor, right: Tensor, more: float = 1.0) -> Tensor:
        both = torch.cat([self.encoder(left).mean((2, 3)), self.encoder(right).mean((2, 3))], 1)
        return self.fc(both.tanh()) * more


def test_the_map_lies_on_the_input_that_is_named(noise: Tensor) -> None:
    model, right = Pair(), noise.flip(0) * 2
    leaves = [model.encoder(x).detach().requires_grad_() for x in (noise, right)]
    scores = model.fc(torch.cat([leaf.mean((2, 3)) for leaf in leaves], 1).tanh())[:, 1].sum()
    expected = [
        (gradient.mean((2, 3), keepdim=True) * leaf).sum(1).relu().detach()
        for leaf, gradient in zip(leaves, torch.autograd.grad(scores, leaves), strict=True)
    ]
    for number, name in enumerate(("left", "right")):
        by_place = heatmaps(model, (noise, right, 1.0), 1, input=number)[:, 0]
        by_name = heatmaps(model, {"left": noise, "right": right}, 1, input=name)[:, 0]
        assert torch.allclose(by_place, expected[number], atol=1e-7)
        assert torch.equal(by_place, by_name)
    assert torch.equal(heatmaps(model, (noise, right), 1)[:, 0], heatmaps(model, (noise, right), 1, input=0)[:, 0])
    with pytest.raises(OptionError, match="expected one of the model's inputs, got 'middle'"):
        heatmaps(model, {"left": noise, "right": right}, 1, input="middle")


def classifier(net: nn.Module, output: Any = None) -> Classifier:
    plain = Preprocessing((8, 8), (8, 8), interpolation="nearest", mean=(0.5,) * 3, std=(0.5,) * 3)
    return Classifier(net, plain, Labels(tuple("abcde")), ModelSpec("own", "net"), output=output)


def test_a_photo_may_be_an_array_an_image_a_path_or_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    encoded = io.BytesIO()
    image.save(encoded, "BMP")
    first, *others = (
        explain(classifier(Net()), photo, ["a", "d"])
        for photo in (pixels, image, tmp_path / "a.png", str(tmp_path / "a.png"), encoded.getvalue())
    )
    assert np.array_equal(first.photo.pixels, pixels)
    assert all(np.array_equal(other.maps, first.maps) for other in others)
    assert explain(classifier(Net()), pixels[:, :, 0]).photo.size == (8, 8)


@pytest.mark.parametrize(
    "photo",
    [np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3)), torch.zeros(3, 8, 8), None, np.zeros((0, 8, 3), "u1")],
)
def test_what_is_no_photo_is_refused_with_what_to_pass(photo: Any) -> None:
    with pytest.raises(PhotoError, match="pass"):
        explain(classifier(Net()), photo)


def test_a_classifier_says_which_output_are_its_scores_and_what_its_model_ends_in() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    plain = explain(classifier(Net()), pixels, ["a", "d"])
    pair = explain(classifier(Net(lambda e, y: (e, y)), output=1), pixels, ["a", "d"])
    assert np.array_equal(pair.maps, plain.maps)
    assert pair.layer.rule == plain.layer.rule + "; the scores are the model's output 1"
    soft = explain(classifier(Net(lambda e, y: y.softmax(1))), pixels, ["a", "d"], layer=plain.layer)
    assert np.allclose(soft.maps, plain.maps, atol=1e-7)
    assert np.allclose(soft.probabilities, plain.probabilities, atol=1e-6)
    assert np.allclose(soft.logits, plain.logits, atol=1e-6)
    assert soft.layer.rule.endswith("the model ends in a softmax, so the logits before it are explained")


@pytest.mark.parametrize("finish", [lambda e, y: y.sigmoid(), lambda e, y: 1 / (1 + torch.exp(-y))])
def test_a_head_that_ends_in_a_sigmoid_reports_its_own_probabilities(finish: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    plain = explain(classifier(Net()), pixels, ["a", "d"])
    found = explain(classifier(Net(finish)), pixels, ["a", "d"], layer=plain.layer)
    assert found.activation == "sigmoid"
    assert np.allclose(found.probabilities, 1 / (1 + np.exp(-plain.logits)), atol=1e-6)
    assert np.allclose(found.maps, plain.maps, atol=1e-7)
    assert found.layer.rule.endswith("the model ends in a sigmoid, so the logits before it are explained")


FACADE: dict[str, Callable[[Any], Any]] = {
    "explain": lambda wrong: gradcam.explain(wrong, "chelsea.png"),
    "explain_many": lambda wrong: list(gradcam.explain_many(wrong, ["chelsea.png"])),
    "batches": lambda wrong: list(
        gradcam.explain_many(classifier(Net().eval()), ["chelsea.png"], batch_size=wrong)
    ),
    "compare": lambda wrong: gradcam.compare([wrong], [sample_photo("chelsea")]),
    "comparing": lambda wrong: gradcam.compare(wrong, [sample_photo("chelsea")]),
    "batches to compare": lambda wrong: gradcam.compare(["x"], [sample_photo("chelsea")], batch_size=wrong),
    "factorise": lambda wrong: gradcam.factorise(wrong, "chelsea.png"),
    "heatmaps": lambda wrong: gradcam.heatmaps(wrong, np.zeros((1, 3, 8, 8)), 0),
    "candidate_layers": lambda wrong: gradcam.candidate_layers(wrong),
    "resolve_target_layer": lambda wrong: gradcam.resolve_target_layer(wrong, (8, 8)),
    "sizes": lambda wrong: gradcam.resolve_target_layer(Net(), wrong),
    "agreement": lambda wrong: gradcam.agreement(wrong),
    "agreement of several": lambda wrong: gradcam.agreement([wrong, wrong]),
    "measure": lambda wrong: gradcam.measure(wrong),
    "build_report": lambda wrong: gradcam.build_report(wrong),
    "write_report": lambda wrong: gradcam.write_report(wrong, "report.json"),
    "read_report": lambda wrong: gradcam.read_report(wrong),
    "sign_report": lambda wrong: gradcam.verify_report(wrong),
    "replay": lambda wrong: gradcam.replay(wrong),
    "diff": lambda wrong: gradcam.diff(wrong, wrong),
    "open_photo": lambda wrong: gradcam.open_photo(wrong),
    "sample_photo": lambda wrong: sample_photo(wrong),
    "search_models": lambda wrong: gradcam.search_models(wrong),
    "parse_target": lambda wrong: gradcam.parse_target(wrong),
    "load_classifier": lambda wrong: gradcam.load_classifier(wrong),
    "load_checkpoint": lambda wrong: gradcam.load_checkpoint(wrong),
    "figure": lambda wrong: _comparison().figure(wrong),
    "scaled": lambda wrong: _comparison().scaled(wrong),
    "save": lambda wrong: _comparison().save(wrong),
    "themes": lambda wrong: _comparison().figure(theme=wrong),
    "fits": lambda wrong: gradcam.compare(["x"], [sample_photo("chelsea")], fit=wrong),
    "activations": lambda wrong: gradcam.compare(["x"], [sample_photo("chelsea")], activation=wrong),
    "layers by id": lambda wrong: gradcam.compare(["x"], [sample_photo("chelsea")], layer={"y": wrong}),
    "measures": lambda wrong: gradcam.agreement([], wrong),
    "weights": lambda wrong: gradcam.load_classifier("bundled/tf_efficientnet_lite0", weights=wrong),
    "styles of a report": lambda wrong: gradcam.build_report(_comparison(), style=wrong),
    "verdicts": lambda wrong: gradcam.build_report(_comparison(), verdict=wrong),
    "notes": lambda wrong: gradcam.build_report(_comparison(), notes=wrong),
    "titles": lambda wrong: gradcam.build_report(_comparison(), title=wrong),
    "layers of a report": lambda wrong: gradcam.build_report(_one_failure(), layer=wrong),
    "fits of a report": lambda wrong: gradcam.build_report(_comparison(), fit=wrong),
    "times": lambda wrong: gradcam.build_report(_comparison(), now=wrong),
    "data sets": lambda wrong: gradcam.build_report(_comparison(), data_set=wrong),
    "names of files": lambda wrong: gradcam.write_report(gradcam.build_report(_comparison()), wrong),
    "thresholds": lambda wrong: check(gradcam.build_report(_comparison()), wrong),
    "photos of a replay": lambda wrong: gradcam.replay(gradcam.build_report(_comparison()), photos=wrong),
}
"""Every verb of the package, with one argument left open."""


def _comparison() -> Comparison:
    return Comparison((), (), (), (), ())


def _one_failure() -> Comparison:
    failure = Failure(sample_photo("chelsea"), "x", "Grad-CAM", 0, "it failed")
    return Comparison((failure.photo,), ("x",), ("Grad-CAM",), (0,), (failure,))


@pytest.mark.parametrize("wrong", [3.5, object(), [object()], {"a": 1}])
@pytest.mark.parametrize("verb", FACADE)
def test_a_value_of_another_kind_gets_one_sentence_from_every_verb(verb: str, wrong: object) -> None:
    with pytest.raises(GradcamError, match=r"^expected [^\n]+, [^\n]*got [^\n]+(; [^\n]+)?$"):
        FACADE[verb](wrong)


def test_what_people_hand_to_another_verb_gets_the_one_that_takes_it() -> None:
    with pytest.raises(ModelError, match=r"got 'timm/resnet18'; load one with load_classifier\(\)"):
        explain("timm/resnet18", "chelsea.png")  # pyright: ignore
    with pytest.raises(ModelError, match=r"got Net; load one .*, or give a bare module to heatmaps\(\)"):
        explain(Net(), "chelsea.png")  # pyright: ignore
    with pytest.raises(ModelError, match="got Classifier; pass one, such as `module` of a Classifier"):
        heatmaps(classifier(Net().eval()), np.zeros((1, 3, 8, 8)), 0)  # pyright: ignore
    with pytest.raises(ReportError, match=r"got 'review\.zip'; open its file with read_report\(\)"):
        gradcam.replay("review.zip")  # pyright: ignore
    with pytest.raises(OptionError, match="expected height and width in pixels, got \\(3, 8, 8\\)"):
        resolve_target_layer(Net(), (3, 8, 8))  # pyright: ignore


def test_settings_of_models_that_are_not_compared_are_refused_with_the_nearest_id() -> None:
    models, photos = [classifier(Net().eval())], [sample_photo("chelsea")]
    with pytest.raises(
        OptionError, match="expected layers by the ids of these models, got 'own/nat'; use 'own/net'"
    ):
        gradcam.compare(models, photos, layer={"own/nat": "maps"})
    with pytest.raises(OptionError, match="expected activations by the ids of these models, got 'net'"):
        gradcam.compare(models, photos, activation={"net": "sigmoid"})
    with pytest.raises(OptionError, match="expected an activation, got 'relu'; use 'softmax' or 'sigmoid'"):
        gradcam.compare(models, photos, activation={"own/net": "relu"})  # pyright: ignore
    assert len(gradcam.compare(models, photos, layer={"own/net": "maps"}).heatmaps) == 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("top", r"Top\(rank=1\)"),
        ("Top-3", r"Top\(rank=3\)"),
        ("a rather than b", r"Contrast\(of='a', rather_than='b'\)"),
    ],
)
def test_what_a_text_means_to_a_command_is_told_to_who_gives_it_to_python(text: str, meant: str) -> None:
    with pytest.raises(ClassError, match=rf"expected the name of a class, got '{text}'; pass {meant}, as parse_"):
        explain(classifier(Net().eval()), sample_photo("chelsea"), text)


def test_photos_to_compare_are_given_in_any_form(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "black.png")
    comparison = gradcam.compare(
        [classifier(Net().eval())], [tmp_path / "black.png", pixels, Image.fromarray(pixels)]
    )
    assert [photo.name for photo in comparison.photos] == ["black.png", "photo", "photo"]
    assert len(comparison.heatmaps) == 3
