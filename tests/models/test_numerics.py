"""BatchNorm is folded where that is proved safe, on a copy that nobody sees, and nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional

from gradcam import (
    Classifier,
    PanelMemory,
    Top,
    compare,
    explain,
    explain_many,
    heatmaps,
    load_classifier,
    sample_photo,
)
from gradcam._compare import FEW
from gradcam.inputs import Inputs
from gradcam.models import onednn
from gradcam.models.classifier import ModelSpec, Preprocessing
from gradcam.models.devices import to_device_layout
from gradcam.models.labels import numbered
from gradcam.models.numerics import bytes_beside, numerics_for, runner_for
from gradcam.panel_key import ModelKey
from gradcam.running import unwrapped
from gradcam.types import Explanation, Numerics, TargetLayer

PHOTO = sample_photo("cat and coffee")
MODELS = ("bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite1", "bundled/tf_efficientnet_lite2")


M = TypeVar("M", bound=nn.Module)


def seeded(model: M) -> M:
    """With weights and statistics by which every BatchNorm does something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.ndim:
                    tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return model.eval().requires_grad_(False)


class Net(nn.Module):
    """Two pairs of convolution and BatchNorm, a third convolution that is the target layer, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.last, self.fc = nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)))

    def first(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv1(x)))

    def second(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn2(self.conv2(x)))

    def head(self, x: Tensor) -> Tensor:
        return self.fc(self.last(x).relu().mean((2, 3)))


LAST = TargetLayer("last", (16, 16), 6, "by hand")
BATCH = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def run(model: nn.Module, layer: TargetLayer = LAST, most: Numerics = "folded") -> tuple[Tensor, set[str]]:
    """Maps of what is run in the model's place, and the norms that it does without."""
    model, modules = unwrapped(model)
    runner = runner_for(model, modules, Inputs.of(BATCH, model), (layer,), most)
    norms = left_out(model, runner.module)
    assert (runner.numerics == "eager") == (runner.module is model) == (not norms)
    return heatmaps(runner.module, BATCH, [0, 3], layer), norms


def left_out(model: nn.Module, copy: nn.Module) -> set[str]:
    """The names of the model's modules that a copy of it does without."""
    return {*dict(model.named_modules())} - {*dict(copy.named_modules())}


def check(model: nn.Module, folded: set[str], layer: TargetLayer = LAST) -> None:
    """What is run has these norms folded, and gives the maps of the model in float64."""
    exact = copy.deepcopy(model).double()
    expected = heatmaps(exact, BATCH.double(), [0, 3], layer)
    found, norms = run(model, layer)
    assert norms == folded
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * float(expected.max()))


# ---------------------------------------------------------------------------------------------- real models


@cache
def both(model: str = MODELS[0]) -> tuple[Classifier, Classifier]:
    """The model as it is loaded by default, and exact."""
    fast, exact = (load_classifier(model, device="cpu", exact=exact) for exact in (False, True))
    return fast, exact


@pytest.mark.parametrize("model", MODELS)
def test_maps_of_the_bundled_models_are_those_of_float64_however_they_are_computed(model: str) -> None:
    fast, exact = both(model)
    double = replace(exact, module=copy.deepcopy(exact.module).double())
    expected = explain(double, PHOTO, [Top(1), "espresso"], layer=exact.target_layer)
    numerics_used = set[str]()
    for classifier in (exact, replace(fast, numerics="folded"), fast):
        found = explain(classifier, PHOTO, [Top(1), "espresso"])
        assert np.abs(found.maps - expected.maps).max() <= 1e-5 * expected.maps.max()
        assert found.targets[0].label == expected.targets[0].label
        numerics_used.add(found.numerics)
    assert numerics_used == {"eager", "folded", fast.numerics}


def test_a_fast_model_keeps_its_names_state_layer_and_hash() -> None:
    fast, exact = both()
    before = {name: (type(module), dict(vars(module))) for name, module in fast.module.named_modules()}
    explain(fast, PHOTO)
    after = {name: (type(module), dict(vars(module))) for name, module in fast.module.named_modules()}
    assert after == before
    assert [*fast.module.state_dict()] == [*exact.module.state_dict()]
    assert fast.weights_sha256 == exact.weights_sha256
    assert fast.target_layer == exact.target_layer
    assert explain(fast, PHOTO).layer == explain(exact, PHOTO).layer


def test_panels_are_filed_under_how_they_were_computed() -> None:
    fast, exact = both()
    assert ModelKey.of(fast) != ModelKey.of(exact)
    assert ModelKey.of(fast) == replace(ModelKey.of(exact), numerics=fast.numerics)


@pytest.mark.parametrize(("width", "differs"), [(1024, True), (512, False)])
def test_a_model_without_a_norm_is_filed_apart_only_where_it_computes_otherwise(width: int, differs: bool) -> None:
    plain, device, keys = nn.Sequential(nn.Conv2d(width, width, 1)), torch.device("cpu"), set[str]()
    for exact in (False, True):
        module = to_device_layout(copy.deepcopy(plain), device, fast=not exact)
        computes = numerics_for(module, device, exact=exact)
        keys.add(ModelKey.of(replace(both()[1], module=module, numerics=computes)).digest)
    assert len(keys) == 1 + differs


@pytest.mark.parametrize("layer", ["auto", "0"])
def test_an_explanation_says_of_products_what_its_classifier_is_filed_under(layer: str) -> None:
    built = seeded(nn.Sequential(nn.Conv2d(3, 1024, 8, 8), nn.ReLU(), nn.Conv2d(1024, 1024, 1)))
    plain = nn.Sequential(*built, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 4)).eval()
    device, said = torch.device("cpu"), list[Numerics]()
    for exact in (False, True):
        module = to_device_layout(copy.deepcopy(plain), device, fast=not exact)
        computes = numerics_for(module, device, exact=exact)
        spec, preprocessing = ModelSpec("hand", "made"), Preprocessing((32, 32), (32, 32))
        made = Classifier(module, preprocessing, numbered(4), spec, numerics=computes)
        said += [made.numerics, explain(made, PHOTO, layer=layer).numerics]
    assert said == ["folded", "folded", "eager", "eager"]


def test_copies_hold_no_more_than_the_weights_of_their_convolutions() -> None:
    fast = load_classifier(MODELS[0], device="cpu")
    assert bytes_beside(fast.module) == 0
    explain(fast, PHOTO)
    list(explain_many(fast, [PHOTO] * 3, batch_size=1))
    convolutions = [module for module in fast.module.modules() if isinstance(module, nn.Conv2d)]
    most = sum(conv.weight.nbytes + 4 * conv.out_channels for conv in convolutions)
    assert 0.5 * most < bytes_beside(fast.module) <= most


def test_another_layer_than_the_models_own_is_explained_by_the_model_itself() -> None:
    # Gradients through many layers with kinks magnify rounding: to 1e-3 of the peak at blocks.1.
    fast, exact = both()
    for layer in ("bn1", "blocks.3.1.conv_dw", 1, "blocks.4 + blocks.5"):
        found, expected = (explain(one, PHOTO, "espresso", layer=layer) for one in (fast, exact))
        assert found.numerics == "eager"
        np.testing.assert_array_equal(found.maps, expected.maps)


def test_many_photos_are_explained_by_copies_in_every_thread() -> None:
    fast, exact = both()
    expected = explain(exact, PHOTO).maps
    for found in explain_many(fast, [PHOTO] * 9, batch_size=2):
        assert isinstance(found, Explanation)
        assert found.numerics == fast.numerics
        assert np.abs(found.maps - expected).max() <= 1e-5 * expected.max()


@pytest.mark.parametrize(("photos", "numerics"), [(FEW - 1, "eager"), (FEW, "packed")])
@pytest.mark.skipif(not onednn.can_pack(), reason="PyTorch without oneDNN packs no weights")
def test_few_photos_are_compared_by_the_model_itself_and_filed_as_many(photos: int, numerics: Numerics) -> None:
    kept = PanelMemory(1000)
    many = [replace(PHOTO, sha256=f"{number:064x}") for number in range(photos)]
    found = compare(MODELS[:1], many, batch_size=8, results=kept)
    assert {panel.explanation.numerics for panel in found.heatmaps} == {numerics}
    again = compare(MODELS[:1], many, results=kept, explainer=refuse)
    assert len(again.heatmaps) == photos


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError


def test_half_precision_is_computed_by_the_model_itself() -> None:
    fast, _ = both()
    assert explain(fast, PHOTO, precision="bfloat16").numerics == "eager"


def test_a_classifier_made_by_hand_is_run_as_it_is() -> None:
    model = seeded(Net())
    spec, labels = ModelSpec("hand", "made"), numbered(4)
    found = explain(Classifier(model, Preprocessing((16, 16), (16, 16)), labels, spec), PHOTO, layer=LAST)
    assert found.numerics == "eager"


# ---------------------------------------------------------------------------------------------- what is safe


def test_both_pairs_before_the_target_layer_are_folded() -> None:
    check(seeded(Net()), {"bn1", "bn2"})


@pytest.mark.parametrize(
    ("name", "folded"),
    [("conv1", set()), ("bn1", set()), ("conv2", {"bn1"}), ("bn2", {"bn1"}), ("last", {"bn1", "bn2"})],
)
def test_folding_ends_before_the_layer_that_is_asked_for(name: str, folded: set[str]) -> None:
    layer = TargetLayer(name, (16, 16), 8 if name != "last" else 6, "by hand")
    check(seeded(Net()), folded, layer)


class ReadTwice(Net):
    def first(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.bn1(x) + x


class ReadDetached(Net):
    def first(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.bn1(x) * (x.detach() > 0)


class ReadAsData(Net):
    def first(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.bn1(x) + x.data


class ConvTwice(Net):
    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.bn2(self.conv2(x)))


class NormTwice(Net):
    def second(self, x: Tensor) -> Tensor:
        return self.bn2(self.bn2(self.conv2(x)))


class SharedNorm(Net):
    def second(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv2(x))


class FunctionalConv(Net):
    def second(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x)) + functional.conv2d(x, self.conv2.weight, padding=1)


class FunctionalNorm(Net):
    def second(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x)) * self.bn2.weight[:, None, None]


class ChangedInPlace(Net):
    def first(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv1(x).relu_())


class Between(Net):
    def first(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv1(x).abs())


@pytest.mark.parametrize(
    ("kind", "folded"),
    [
        (ReadTwice, {"bn2"}),
        (ReadDetached, {"bn2"}),
        (ReadAsData, {"bn2"}),
        (ChangedInPlace, {"bn2"}),
        (Between, {"bn2"}),
        (ConvTwice, {"bn1"}),
        (NormTwice, {"bn1"}),
        (SharedNorm, set()),
        (FunctionalConv, {"bn1"}),
        (FunctionalNorm, {"bn1"}),
    ],
)
def test_a_convolution_that_somebody_else_reads_keeps_its_norm(kind: type[Net], folded: set[str]) -> None:
    check(seeded(kind()), folded)


class Choosing(Net):
    def first(self, x: Tensor) -> Tensor:
        x = super().first(x)
        return x if x.mean() > 0 else -x


def test_a_way_that_depends_on_numbers_keeps_all_norms() -> None:
    check(seeded(Choosing()), set())


class OwnNorm(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).tanh()


class OwnConv(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).tanh()


def _with(change: Callable[[Net], object]) -> nn.Module:
    model = Net()
    change(model)
    return seeded(model)


@pytest.mark.parametrize(
    ("change", "folded"),
    [
        (lambda net: setattr(net, "bn1", OwnNorm(8)), {"bn2"}),
        (lambda net: setattr(net, "conv1", OwnConv(3, 8, 3, padding=1)), {"bn2"}),
        (lambda net: setattr(net, "bn1", nn.BatchNorm2d(8, track_running_stats=False)), {"bn2"}),
        (lambda net: setattr(net, "bn1", nn.BatchNorm2d(8, affine=False)), {"bn1", "bn2"}),
        (lambda net: setattr(net.conv1, "padding_mode", "reflect"), {"bn1", "bn2"}),
        (lambda net: setattr(net.bn1, "forward", lambda x: x.tanh()), {"bn2"}),
        (lambda net: setattr(net.bn2, "weight", net.bn1.weight), set()),
    ],
)
def test_only_plain_modules_with_weights_of_their_own_are_folded(
    change: Callable[[Net], object], folded: set[str]
) -> None:
    model = _with(change)
    expected = heatmaps(copy.deepcopy(model).double(), BATCH.double(), [0], LAST)
    found = runner_for(*unwrapped(model), Inputs.of(BATCH, model), (LAST,), "folded")
    assert left_out(model, found.module) == folded
    maps = heatmaps(found.module, BATCH, [0], LAST).double()
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.max()))


class Activated(nn.Module):
    """A convolution, its norm, an activation behind the norm or within it, the target layer, and a head."""

    def __init__(self, activation: Callable[..., nn.Module], *, within: bool = False) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = BatchNormAct2d(8, act_layer=activation) if within else nn.BatchNorm2d(8)
        self.act = nn.Identity() if within else activation()
        self.last, self.fc = nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.last(self.middle(self.bn(self.conv(x)))).relu().mean((2, 3)))

    def middle(self, x: Tensor) -> Tensor:
        return self.act(x)


def computed_with_convolutions(model: nn.Module, layer: TargetLayer = LAST) -> set[str]:
    """The modules that the packed copy does without; its maps are those of the model in float64."""
    expected = heatmaps(copy.deepcopy(model).double(), BATCH.double(), [0, 3], layer)
    runner = runner_for(*unwrapped(model), Inputs.of(BATCH, model), (layer,), "packed")
    assert runner.numerics == "packed"
    found = heatmaps(runner.module, BATCH, [0, 3], layer).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.max()))
    return left_out(model, runner.module)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU])
def test_an_activation_is_computed_with_the_convolution_before_it(
    kind: Callable[..., nn.Module], inplace: bool
) -> None:
    behind, within = (seeded(Activated(partial(kind, inplace=inplace), within=within)) for within in (False, True))
    assert computed_with_convolutions(behind) == {"conv", "bn", "act"}
    assert computed_with_convolutions(within) == {"conv", "bn", "bn.drop", "bn.act", "act"}


class AsksItsNorm(Activated):
    def middle(self, x: Tensor) -> Tensor:
        return self.act(x) * self.bn.num_features


def test_a_copy_whose_code_asks_more_of_modules_than_to_be_called_has_them_all() -> None:
    assert computed_with_convolutions(seeded(AsksItsNorm(nn.ReLU))) == set()


class SharedActivation(Activated):
    def middle(self, x: Tensor) -> Tensor:
        return self.act(self.act(x) - 0.5)


class NormReadTwice(Activated):
    def middle(self, x: Tensor) -> Tensor:
        return self.act(x) + x


class OwnReLU(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + 1


@pytest.mark.parametrize(
    "model", [SharedActivation(nn.ReLU), NormReadTwice(nn.ReLU), Activated(OwnReLU), Activated(nn.Mish)]
)
def test_an_activation_that_may_compute_more_is_left_as_it_is(model: nn.Module) -> None:
    assert computed_with_convolutions(seeded(model)) == {"conv", "bn"}


def test_an_activation_within_a_norm_that_drops_is_left_as_it_is() -> None:
    model = Activated(nn.ReLU, within=True)
    model.bn.drop = nn.Hardtanh()
    assert computed_with_convolutions(seeded(model)) == {"conv", "act"}


def test_an_activation_that_is_the_target_layer_is_left_as_it_is() -> None:
    layer = TargetLayer("act", (16, 16), 8, "by hand")
    assert computed_with_convolutions(seeded(Activated(nn.ReLU)), layer) == {"conv", "bn"}


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), ((5, 2), (2, 3), 1), (3, 2, 2)])
def test_padding_as_tensorflow_does_is_computed_with_the_convolution(
    kernel: Any, stride: Any, dilation: int
) -> None:
    model = Activated(nn.ReLU)
    model.conv = Conv2dSame(3, 8, kernel, stride, dilation=dilation)
    size = model.conv(BATCH[..., :15]).shape[2:]
    layer = TargetLayer("last", (size[0], size[1]), 6, "by hand")
    for images in (BATCH, BATCH[..., :15]):
        runner = runner_for(*unwrapped(seeded(model)), Inputs.of(images, model), (layer,), "packed")
        assert runner.numerics == "packed"
        torch.testing.assert_close(runner.module(images), model(images))


def test_a_model_that_is_watched_or_trained_is_run_itself_and_its_hooks_are_called() -> None:
    model = seeded(Net())
    run(model)
    seen: list[object] = []
    handle = model.bn1.register_forward_hook(lambda module, args, output: seen.append(output))
    assert run(model)[1] == set()
    assert seen
    handle.remove()
    assert run(model)[1] == {"bn1", "bn2"}
    model.bn1.train()
    assert run(model)[1] == set()


def test_a_model_whose_weights_or_settings_change_is_folded_anew() -> None:
    model = seeded(Net())
    for change in (
        lambda: model.conv1.weight.mul_(2),
        lambda: model.load_state_dict({**model.state_dict(), "bn2.running_mean": torch.ones(8)}),
        lambda: setattr(model.bn1, "eps", 0.5),
        lambda: setattr(model, "conv2", nn.Conv2d(8, 8, 1).eval().requires_grad_(False)),
    ):
        check(model, {"bn1", "bn2"})
        change()
        check(model, {"bn1", "bn2"})


def test_a_copy_that_gives_other_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # The proof cannot see a forward that reaches the original's modules past the copy's: the numbers can.
    model = seeded(Net())
    conv = model.conv1
    monkeypatch.setattr(Net, "first", lambda self, x: functional.relu(self.bn1(conv(x))))
    found, norms = run(model)
    assert norms == set()
    torch.testing.assert_close(found, heatmaps(model, BATCH, [0, 3], LAST))


def test_without_onednns_operators_weights_are_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_classifier(MODELS[0], device="cpu")
    monkeypatch.setattr(onednn, "packed", _refuse)
    assert explain(model, PHOTO).numerics == "folded"
    monkeypatch.setattr(onednn, "can_pack", lambda: False)
    assert load_classifier(MODELS[0], device="cpu").numerics == "folded"


def _refuse(*_given: object) -> Iterator[Tensor]:
    raise RuntimeError("no such operator")
