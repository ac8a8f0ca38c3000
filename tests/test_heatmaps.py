"""Grad-CAM is what the paper's equations say, and asks nothing of the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import Tensor, nn

from gradcam import modules, running, signals
from gradcam._heatmaps import heatmaps
from gradcam.capture import record
from gradcam.errors import ClassError, LayerError, MapError, ModelError
from gradcam.layers.graph import edge_after_pooling, operation
from gradcam.layers.layouts import place_dims
from gradcam.types import Layout, TargetLayer

CLASSES = [243, 281, 7]


class Handmade(nn.Module):
    """Two feature maps: the red channel and the green one. Class 0 = 3·mean(red) − mean(green); class 1 = −that."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.Conv2d(3, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.pick.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None])
            self.head.weight.copy_(torch.tensor([[3.0, -1.0], [-3.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pick(x).mean((2, 3)))


RED = [[4.0, 0.0], [0.0, 2.0]]
GREEN = [[0.0, 4.0], [0.0, 2.0]]
HAND = torch.tensor([RED, GREEN, [[0.0, 0.0], [0.0, 0.0]]])[None]


def test_a_two_channel_network_gives_the_numbers_worked_out_by_hand() -> None:
    # Four places, so ∂y₀/∂red = 3/4 and ∂y₀/∂green = −1/4 everywhere: α = (3/4, −1/4).
    # Class 0: ReLU(3/4·red − 1/4·green); class 1: ReLU of minus that.
    maps = heatmaps(Handmade().eval(), HAND, [0, 1], "pick")
    assert torch.allclose(maps[0, 0], torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    assert torch.allclose(maps[0, 1], torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


def test_huge_heat_is_finite_though_its_sum_is_not() -> None:
    maps = heatmaps(Handmade().eval(), 0.8e38 * HAND, [0, 1], TargetLayer("pick", (2, 2), 2, "by hand"))
    assert maps.sum().isinf()
    assert torch.allclose(maps[0, 0], 0.8e38 * torch.tensor([[3.0, 0.0], [0.0, 1.0]]))


def test_a_linear_head_is_read_in_the_rows_that_are_asked_for() -> None:
    model = Handmade().eval()
    with torch.no_grad():
        model.head.weight[1] = torch.nan
    expected = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(heatmaps(model, HAND, 0, TargetLayer("pick", (2, 2), 2, "by hand"))[0, 0], expected)


def test_each_image_reads_the_rows_of_its_own_classes_and_no_score_those_of_another() -> None:
    model, layer = Handmade().eval(), TargetLayer("pick", (2, 2), 2, "by hand")
    maps = heatmaps(model, HAND.repeat(2, 1, 1, 1), [[0], [1]], layer)
    assert torch.allclose(maps[:, 0], torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]]))
    with torch.no_grad():
        model.head.weight[1] = torch.nan
    with pytest.raises(MapError, match=r"for class \[1\]"):
        heatmaps(model, HAND, [0, 1], layer)


def test_a_hook_on_the_scores_of_a_linear_head_still_counts() -> None:
    class Doubling(Handmade):
        def forward(self, x: Tensor) -> Tensor:
            scores = super().forward(x)
            if scores.requires_grad:
                scores.register_hook(lambda gradient: 2 * gradient)
            return scores

    assert torch.equal(
        heatmaps(Doubling().eval(), HAND, 0, "pick"), 2 * heatmaps(Handmade().eval(), HAND, 0, "pick")
    )


def test_the_modules_of_a_model_are_walked_once_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Handmade().eval()
    heatmaps(model, HAND, 0)  # finds the layer
    expected, walked = [one for one in model.modules() if one._modules], list[nn.Module]()
    walk = modules._add_below
    monkeypatch.setattr(modules, "_add_below", lambda one, found: (walked.append(one), walk(one, found))[1])
    monkeypatch.setattr(nn.Module, "modules", lambda module: pytest.fail("walked by names as well"))
    heatmaps(model, HAND, 0)
    assert walked == expected


def test_a_class_may_list_modules_that_it_does_not_register() -> None:
    hidden = nn.Dropout()

    class Listing(Handmade):
        def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
            yield from super().modules(remove_duplicate)
            yield hidden

    assert running.unwrapped(Listing())[1][-1] is hidden


@pytest.fixture(scope="module")
def vgg() -> nn.Module:
    """VGG16 with fewer hidden units: the 124 million weights of its own head take seconds and a gigabyte."""
    with torch.device("meta"):
        model = torchvision.models.vgg16()
    model.features.to_empty(device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer in model.features.children():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        model.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 1000)
        )
    return model.eval()


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(5))[..., :96, :96]


def step_by_step(model: Any, picture: Tensor, depth: int) -> Iterator[Tensor]:
    """Equations 1 and 2 before the ReLU, with plain autograd on VGG16, cut after `features[depth]`."""
    maps = model.features[: depth + 1](picture).detach().requires_grad_()
    scores = model.classifier(model.avgpool(model.features[depth + 1 :](maps)).flatten(1))
    for index in CLASSES:
        (gradient,) = torch.autograd.grad(scores[:, index].sum(), maps, retain_graph=True)
        alpha = gradient.mean(dim=(2, 3), keepdim=True)
        yield (alpha * maps).sum(dim=1).detach()


def captum(model: Any, picture: Tensor, depth: int) -> Iterator[Tensor]:
    for index in CLASSES:
        maps: Any = LayerGradCam(model, model.features[depth]).attribute(picture, index)
        yield maps[:, 0].detach()


@pytest.mark.parametrize("depth", [29, 30])
def test_vgg16_equals_the_formula_worked_step_by_step_and_captum(
    vgg: nn.Module, picture: Tensor, depth: int
) -> None:
    # The sum of eq. 2 has terms of both signs, so float32 rounding is relative to the sum before its ReLU.
    maps = heatmaps(vgg, picture, CLASSES, f"features.{depth}")
    assert maps.shape == {29: (2, 3, 6, 6), 30: (2, 3, 3, 3)}[depth]
    for reference in (step_by_step, captum):
        for k, expected in enumerate(reference(vgg, picture, depth)):
            assert (maps[:, k] - expected.relu()).abs().max() <= 1e-5 * expected.abs().max()


def test_in_double_precision_the_maps_equal_the_formula_relative_to_their_own_peak(
    vgg: nn.Module, picture: Tensor
) -> None:
    model, picture = deepcopy(vgg).double(), picture[:1, :, :64, :64].double()  # where convolutions are slow
    maps = heatmaps(model, picture, CLASSES, "features.29")
    for k, expected in enumerate(step_by_step(model, picture, 29)):
        assert (maps[:, k] - expected.relu()).abs().max() <= 1e-9 * expected.max()


def test_vgg16_finds_the_relu_after_its_last_convolution(vgg: nn.Module, picture: Tensor) -> None:
    assert torch.equal(heatmaps(vgg, picture, 243), heatmaps(vgg, picture, 243, "features.29"))


def small(head: nn.Module | None = None) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            head or nn.Linear(8, 5),
        ).eval()


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_every_image_may_have_its_own_classes(noise: Tensor) -> None:
    model = small()
    table = [[0, 1], [2, 3], [4, 0]]
    maps = heatmaps(model, noise, table, "2")
    for image, row in enumerate(table):
        alone = heatmaps(model, noise[image : image + 1], row, "2")
        assert torch.allclose(maps[image], alone[0], rtol=1e-5, atol=1e-7)


def test_an_in_place_relu_does_not_overwrite_the_layer_before_it(noise: Tensor) -> None:
    in_place, safe = small(), small()
    safe[2] = nn.ReLU(inplace=False)
    assert torch.equal(heatmaps(in_place, noise, [0, 1], "1"), heatmaps(safe, noise, [0, 1], "1"))


def test_frozen_parameters_and_no_grad_and_inference_mode_change_nothing(noise: Tensor) -> None:
    expected = heatmaps(small(), noise, [0, 1], "2")
    frozen = small().requires_grad_(False)
    assert torch.equal(heatmaps(frozen, noise, [0, 1], "2"), expected)
    with torch.no_grad():
        assert torch.equal(heatmaps(small(), noise, [0, 1], "2"), expected)
    model = small()
    with torch.inference_mode():
        assert torch.equal(heatmaps(model, noise.clone(), [0, 1], "2"), expected)


class Wrapped(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.body, self.wrap = small(), wrap

    def forward(self, x: Tensor) -> object:
        return self.wrap(self.body(x))


class WithLogits:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "wrap",
    [lambda y: (y.flatten(), y), lambda y: {"aux": y * 0, "logits": y}, WithLogits],
    ids=["tuple", "dict", "object with logits"],
)
def test_class_scores_are_found_in_whatever_the_model_returns(noise: Tensor, wrap: Any) -> None:
    assert torch.equal(heatmaps(Wrapped(wrap), noise, 3, "body.2"), heatmaps(small(), noise, 3, "2"))


def test_a_head_with_one_logit_has_one_class(noise: Tensor) -> None:
    model = small(nn.Sequential(nn.Linear(8, 1), nn.Flatten(0)))
    assert heatmaps(model, noise, 0, "2").shape == (3, 1, 8, 8)


LAY_OUT: dict[Layout, Callable[[Tensor], Tensor]] = {
    "NCHW": lambda maps: maps,
    "NHWC": lambda maps: maps.permute(0, 2, 3, 1),
    "tokens": lambda maps: maps.flatten(2).transpose(1, 2),
}


class Pooled(nn.Module):
    """A convolution laid out in some way, one way of reading it, and a head that is not linear."""

    def __init__(self, layout: Layout, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
        self.laid_out, self.lay_out, self.read = nn.Identity(), LAY_OUT[layout], read

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.laid_out(self.lay_out(self.body(x)))).tanh())


@pytest.mark.parametrize(
    ("layout", "read", "after"),
    [
        ("NCHW", lambda maps: maps.mean((2, 3)), "Mean"),
        ("NCHW", lambda maps: nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1), "Mean"),
        ("NHWC", lambda maps: maps.mean((-3, -2)), "Mean"),
        ("tokens", lambda tokens: tokens.mean(1), "Mean"),
        ("tokens", lambda tokens: tokens.mean(1).mean(1)[:, None].expand(-1, 8), "Mean"),
        ("NCHW", lambda maps: nn.functional.adaptive_avg_pool2d(maps, 3)[:, :, 1, 2], "AdaptiveAvgPool2D"),
        ("NCHW", lambda maps: nn.functional.max_pool2d(maps, 3, 2, 1).amax((2, 3)), "MaxPool2DWithIndices"),
        ("NCHW", lambda maps: nn.functional.max_pool2d(maps.clone(), 2).mean((2, 3)), "Mean"),
        (
            "NCHW",
            lambda maps: nn.functional.max_pool2d(maps, 2, dilation=2).relu().mean((2, 3)),
            "MaxPool2DWithIndices",
        ),
        ("NCHW", lambda maps: nn.functional.avg_pool2d(maps, 2, padding=1).mean((2, 3)), "Copy"),
        ("NHWC", lambda maps: nn.functional.max_pool2d(maps, (2, 1)).mean((1, 2)), None),
        ("NCHW", lambda maps: maps.mean(3).mean(2), "Copy"),
        ("NCHW", lambda maps: maps.relu().mean((2, 3)), "Copy"),
        ("NCHW", lambda maps: maps.mean((2, 3)) + maps.amax((2, 3)), "Copy"),
        ("tokens", lambda tokens: tokens.mean(1) + tokens[:, 0], None),
    ],
)
def test_the_gradient_is_read_after_the_poolings_that_keep_its_sum(
    layout: Layout, read: Callable[[Tensor], Tensor], after: str | None
) -> None:
    noise = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    model = Pooled(layout, read).double()
    layer = TargetLayer("laid_out", (8, 8), 8, "by hand", layout)
    recording = record(model, noise, layer)
    assert isinstance(recording.gradient_edge, Tensor)
    edge = edge_after_pooling(
        recording.gradient_edge, place_dims(layer, recording.activation.shape), recording.logits
    )
    assert (None if edge is None else operation(edge.node)) == after

    maps = heatmaps(model, noise, [0, 1, 2, 3, 4], layer)
    for index in range(5):
        seen = model.body(noise).detach().requires_grad_()
        score = model.head(model.read(model.lay_out(seen)).tanh())[:, index].sum()
        (gradient,) = torch.autograd.grad(score, seen)
        expected = (gradient.mean((2, 3), keepdim=True) * seen).sum(1).relu()
        assert torch.allclose(maps[:, index], expected, rtol=1e-9, atol=1e-12)


def pooled_to(size: int, turned: bool = False) -> nn.Sequential:
    """A linear head behind a pooling; `turned`: whether what was pooled is read columns first."""
    turn = [Transposed()] if turned else []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
        head = [nn.AdaptiveAvgPool2d(size), *turn, nn.Flatten(), nn.Dropout(), nn.Linear(8 * size * size, 5)]
        return nn.Sequential(*body, *head).double().eval()


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)


@pytest.mark.parametrize(
    ("model", "backwards"), [(pooled_to(1), 0), (pooled_to(2), 0), (pooled_to(1, True), 1), (pooled_to(2, True), 1)]
)
def test_the_weights_of_a_linear_head_right_after_the_pooling_are_its_gradient(
    monkeypatch: pytest.MonkeyPatch, model: nn.Sequential, backwards: int
) -> None:
    noise = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    expected = list(step_by_step_after(model, noise, 2))
    layer = TargetLayer("1", (8, 8), 8, "by hand")
    called: list[object] = []
    grad = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *args, **kwargs: (called.append(args), grad(*args, **kwargs))[1]
    )
    monkeypatch.delattr(signals, "one_hot")  # a linear layer's weights are read, not gradients of the logits
    maps = heatmaps(model, noise, [0, 1, 2, 3, 4], layer)
    assert len(called) == backwards
    for index, heat in enumerate(expected):
        assert torch.allclose(maps[:, index], heat, rtol=1e-9, atol=1e-12)


def step_by_step_after(model: nn.Sequential, pixels: Tensor, depth: int) -> Iterator[Tensor]:
    """The map of each class by autograd, for the activation after the first `depth` modules."""
    for index in range(5):
        seen = model[:depth](pixels).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model[depth:](seen)[:, index].sum(), seen)
        yield (gradient.mean((2, 3), keepdim=True) * seen).sum(1).relu()


class NoBatchingRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return torch.from_numpy(gradient.numpy() * 2)  # NumPy cannot see a batched gradient


class Tokens(nn.Module):
    """A convolution and a norm, whose places become tokens, as in the stem of a hybrid transformer."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), norm, nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.conv(x)).flatten(2).transpose(1, 2)
        return self.fc(tokens).square().mean(1)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True)], ids=["batch", "instance"])
def test_a_norm_before_tokens_gives_one_image_the_gradient_that_it_has_among_many(norm: nn.Module) -> None:
    """PyTorch's own gradient for a batch of one is another here; differences of the scores do not give it."""
    torch.manual_seed(0)
    model, images = Tokens(norm).double().eval(), torch.randn(2, 3, 9, 9, dtype=torch.float64)
    together, alone = (heatmaps(model, part, 1, "conv", method="HiResCAM") for part in (images, images[:1]))
    assert torch.allclose(alone, together[:1], rtol=0, atol=1e-6 * float(together.abs().max()))


def test_an_operation_that_cannot_be_batched_is_differentiated_class_by_class(noise: Tensor) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return NoBatchingRule.apply(x)

    model = small()
    odd = nn.Sequential(*list(model), Odd())
    assert torch.allclose(heatmaps(odd, noise, [0, 1, 2], "2"), 2 * heatmaps(model, noise, [0, 1, 2], "2"))


def state_of(model: nn.Module) -> tuple[object, ...]:
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        [tensor.clone().tolist() for tensor in model.state_dict().values()],
    )


@pytest.mark.parametrize("wanted", [0, 99], ids=["after success", "after an error"])
def test_the_model_is_left_exactly_as_found(noise: Tensor, wanted: int) -> None:
    model = small().train()
    model[0].eval()
    model[0].weight.requires_grad_(False)
    before, enabled = state_of(model), torch.is_grad_enabled()
    if wanted == 99:
        with pytest.raises(ClassError):
            heatmaps(model, noise, wanted, "2")
    else:
        heatmaps(model, noise, wanted, "2")
    assert state_of(model) == before
    assert torch.is_grad_enabled() == enabled


def test_a_model_that_raises_is_left_as_found_and_its_words_are_passed_on() -> None:
    model = small()
    before = state_of(model)
    layer = TargetLayer("2", (8, 8), 8, "by hand")
    with pytest.raises(ModelError, match=r"failed on a batch \[1, 4, 8, 8\].*4 channels"):
        heatmaps(model, torch.zeros(1, 4, 8, 8), 0, layer)
    assert state_of(model) == before


def test_threads_that_share_a_model_each_get_their_own_maps() -> None:
    model = small()
    batches = [torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    expected = [heatmaps(model, batch, [0, 3], "2") for batch in batches]
    wrong: list[str] = []

    def work(mine: int) -> None:
        for _ in range(25):
            if not torch.equal(heatmaps(model, batches[mine], [0, 3], "2"), expected[mine]):
                wrong.append(f"thread {mine}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert state_of(model) == state_of(small())


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (5, "from 0 to 4, got 5"),
        (-1, "from 0 to 4, got -1"),
        ([[0], [1]], r"for 3 image\(s\), got a table \[2, 1\]"),
        ([[0], [1, 2], [3]], "equally many"),
        ([], "got a table"),
    ],
)
def test_classes_that_make_no_sense_are_refused(noise: Tensor, classes: Any, message: str) -> None:
    with pytest.raises(ClassError, match=message):
        heatmaps(small(), noise, classes, "2")


def test_nan_is_an_error_that_names_the_layer_and_the_class(noise: Tensor) -> None:
    model = small()
    layer = TargetLayer("2", (8, 8), 8, "by hand")
    with torch.no_grad():
        model.get_parameter("5.weight")[2].fill_(float("nan"))
    with pytest.raises(MapError, match=r"layer '2'.*class \[2\]"):
        heatmaps(model, noise, 2, layer)


def test_a_target_layer_of_another_model_is_refused(noise: Tensor) -> None:
    with pytest.raises(LayerError, match=r"got 'features\.29'; name a module of it"):
        heatmaps(small(), noise, 0, TargetLayer("features.29", (14, 14), 512, "of VGG16"))


def test_a_layer_the_scores_do_not_depend_on_is_refused(noise: Tensor) -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.idle = small(), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.idle(x)
            return self.body(x)

    with pytest.raises(LayerError, match="do not depend on the target layer"):
        heatmaps(Idle().eval(), noise, 0, TargetLayer("idle", (8, 8), 4, "by hand"))


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["torch.compile", "DataParallel"])
def test_a_wrapper_that_shares_the_weights_is_taken_off(noise: Tensor, wrap: Callable[..., nn.Module]) -> None:
    model = small()
    assert torch.equal(heatmaps(wrap(model), noise, [0, 1]), heatmaps(model, noise, [0, 1]))


def compiled_in_place() -> nn.Module:
    model = small()
    model[5].compile()
    return model


def compiled_inside() -> nn.Module:
    model = small()
    return nn.Sequential(torch.compile(model[:3]), *model[3:])  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [compiled_in_place, compiled_inside])
def test_compiled_modules_within_a_model_run_as_plain_python(
    noise: Tensor, make: Callable[[], nn.Module], training: bool
) -> None:
    model = make().train(training)
    assert torch.equal(heatmaps(model, noise, [0, 1]), heatmaps(small(), noise, [0, 1]))
    assert torch.compiler.set_stance("default").prev.stance == "default"


def test_a_class_of_modules_may_compute_its_mode(noise: Tensor) -> None:
    class Frozen(nn.Sequential):
        training = property(lambda self: False, lambda self, mode: None)  # pyright: ignore

    model = small()
    assert torch.equal(heatmaps(Frozen(*model).eval(), noise, [0, 1]), heatmaps(model, noise, [0, 1]))


def test_a_network_that_is_only_ready_for_quantisation_is_plain(noise: Tensor) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.sum = nn.Conv2d(3, 3, 1), torch.ao.nn.quantized.FloatFunctional()

        def forward(self, x: Tensor) -> Tensor:
            return self.sum.add(x, self.body(x))

    model = nn.Sequential(Residual(), *small()).eval()
    assert heatmaps(model, noise, [0, 1]).shape == (3, 2, 8, 8)


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(small(), {nn.Linear})


def scripted() -> Any:
    return torch.jit.trace(small(), torch.zeros(1, 3, 8, 8))


def scripted_inside() -> nn.Module:
    model = small()
    start: Any = torch.jit.trace(model[:3], torch.zeros(1, 3, 8, 8))
    return nn.Sequential(start, *model[3:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (scripted, "the model is TorchScript, which cannot be hooked inside; pass the module it was made from"),
        (scripted_inside, "module '0' is TorchScript"),
        (quantised, "is quantised and has no gradient; pass the model before quantisation"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated")  # TorchScript, and this quantisation
def test_what_cannot_be_hooked_rightly_is_refused(
    noise: Tensor, make: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        heatmaps(make(), noise, 0)
