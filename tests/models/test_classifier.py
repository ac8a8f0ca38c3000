"""A classifier runs where it is told to, laid out for speed, and counts as itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gradcam import (
    Classifier,
    ModelError,
    explain,
    heatmaps,
    load_classifier,
    resolve_target_layer,
    sample_photo,
)
from gradcam.models.devices import DEVICES, PointwiseConv2d, pick_device, to_device_layout
from gradcam.models.labels import numbered
from gradcam.types import TargetLayer

MODEL = "bundled/tf_efficientnet_lite0"


def test_the_fastest_kind_of_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # No such device is needed to choose one; maps on CUDA or MPS are not computed by this suite.
    for there, expected in ((("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")):
        for name in ("cuda", "mps"):
            monkeypatch.setitem(DEVICES, name, lambda name=name, there=there: name in there)
        assert pick_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    for name in ("cuda", "mps"):
        monkeypatch.setitem(DEVICES, name, lambda: False)
    with pytest.raises(ModelError, match=f"got '{device}'; use 'cpu'"):
        load_classifier(MODEL, device=device)


def test_a_word_that_is_no_device_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a device, got 'gpu'"):
        load_classifier(MODEL, device="gpu")


def test_the_faster_memory_layout_changes_no_map_by_more_than_rounding() -> None:
    fast = load_classifier(MODEL, device="cpu")
    module = copy.deepcopy(fast.module).to(memory_format=torch.contiguous_format)
    plain = Classifier(module, fast.preprocessing, fast.labels, fast.spec)
    photo, classes = sample_photo("cat and coffee"), ["Egyptian cat", "espresso"]
    expected = explain(plain, photo, classes).maps
    assert np.abs(explain(fast, photo, classes).maps - expected).max() <= 1e-5 * expected.max()
    assert fast.weights_sha256 == plain.weights_sha256


CPU = torch.device("cpu")


@pytest.mark.parametrize("stride", [1, 2, (1, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_wide_pointwise_convolution_gives_the_same_as_a_product(
    stride: int | tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1024, 1024, 1, stride, bias=bias)
    batch = torch.randn(2, 1024, 7, 6, requires_grad=True)
    expected = conv(batch)
    (slope,) = torch.autograd.grad(expected.square().sum(), batch)
    fast = to_device_layout(conv, CPU)
    assert isinstance(fast, PointwiseConv2d)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = fast(batch.contiguous(memory_format=layout))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.autograd.grad(found.square().sum(), batch)[0], slope, rtol=1e-4, atol=1e-4)
        assert found.is_contiguous(memory_format=torch.channels_last)


LAYER4 = TargetLayer("layer4", (3, 3), 2048, "by hand")


def test_an_exact_model_keeps_its_convolutions_and_a_fast_one_its_names_and_maps() -> None:
    plain, fast = (
        load_classifier("timm/resnet50", weights="random", device="cpu", exact=exact) for exact in (True, False)
    )
    kinds = [{name: type(module) for name, module in one.module.named_modules()} for one in (plain, fast)]
    assert kinds[0].keys() == kinds[1].keys()
    replaced = {name for name in kinds[0] if kinds[0][name] is not kinds[1][name]}
    assert {kinds[1][name] for name in replaced} == {PointwiseConv2d}
    assert PointwiseConv2d not in kinds[0].values()
    assert [*plain.module.state_dict()] == [*fast.module.state_dict()]
    assert plain.weights_sha256 == fast.weights_sha256
    batch = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    expected, found = (heatmaps(one.module.double(), batch, [3, 14], LAYER4) for one in (plain, fast))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.max()))


def test_a_model_that_is_passed_in_keeps_its_convolutions() -> None:
    wide = nn.Conv2d(1024, 1024, 1)
    model = nn.Sequential(nn.Conv2d(3, 1024, 32, 32), wide, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    bundled = load_classifier(MODEL, device="cpu")
    classifier = Classifier(model, bundled.preprocessing, numbered(1024), bundled.spec)
    explain(classifier, sample_photo("cat and coffee"), "#7", layer=TargetLayer("1", (7, 7), 1024, "by hand"))
    assert model[1] is wide
    assert type(wide) is nn.Conv2d


def test_a_convolution_in_two_places_is_one_afterwards() -> None:
    shared = nn.Conv2d(1024, 1024, 1)
    fast = to_device_layout(nn.Sequential(shared, nn.Sequential(shared)), CPU)
    assert isinstance(fast[0], PointwiseConv2d)
    assert fast[0] is fast[1][0]
    assert fast[0].weight is shared.weight


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(1024, 512, 1),
        nn.Conv2d(1024, 1024, 1, padding=1),
        nn.Conv2d(2048, 2048, 1, groups=2),
        nn.Conv2d(512, 512, 3),
        type("Own", (nn.Conv2d,), {})(1024, 1024, 1),
    ],
)
def test_any_other_convolution_stays_what_it_is(conv: nn.Conv2d) -> None:
    kind = type(conv)
    assert type(to_device_layout(conv, CPU)) is kind


def test_a_product_may_be_the_target_layer_before_an_activation_in_place() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 1024, 3),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    batch, classes = torch.randn(2, 3, 9, 9), [0, 7]
    expected = heatmaps(model, batch, classes, layer="1")
    fast = to_device_layout(model, CPU)
    assert isinstance(fast[1], PointwiseConv2d)
    found = heatmaps(fast, batch.contiguous(memory_format=torch.channels_last), classes, layer="1")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.max()))


def test_a_classifier_says_where_its_heatmaps_lie() -> None:
    classifier = load_classifier(MODEL)
    assert classifier.target_layer == resolve_target_layer(classifier.module, (224, 224))
    assert (classifier.target_layer.name, classifier.target_layer.grid) == ("bn2", (7, 7))
