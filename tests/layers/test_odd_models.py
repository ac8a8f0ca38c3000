"""Sane models of unusual build: each has a target layer, and a sentence says what to do where it has none."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import gradcam
from gradcam.capture import record
from gradcam.errors import LayerError, ModelError
from gradcam.layers import candidate_layers, find_layers, resolve_target_layer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Trunk(nn.Module):
    """A small CNN, 16 channels at a quarter of the input's size, whose head is a function."""

    def __init__(self, head: Any = lambda model, a: model.fc(a.mean((2, 3))), channels: int = 3) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.fc, self.head = nn.Linear(16, 5), head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self, self.f(x))


def images(height: int = 32, width: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


# How few places may be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pool",
    [lambda a: a.amax((2, 3)), lambda a: a.flatten(2).max(2)[0], lambda a: a.flatten(2).topk(2, 2)[0].mean(2)],
    ids=["amax", "max", "the two highest"],
)
def test_a_global_maximum_reads_few_places_by_nature(pool: Any) -> None:
    model = Trunk(lambda model, a: model.fc(pool(a))).eval()
    layer = resolve_target_layer(model, (256, 256))
    assert (layer.name, layer.grid) == ("f", (64, 64))
    assert gradcam.heatmaps(model, images(256, 256), [0]).any()
    assert resolve_target_layer(model, (256, 256), "f.1").grid == (128, 128)


def test_a_token_that_alone_is_read_is_no_global_maximum() -> None:
    model = Trunk(lambda model, a: model.fc(a[:, :, 3, 3])).eval()
    with pytest.raises(LayerError, match="found none"):
        resolve_target_layer(model, (256, 256))


def test_a_grid_of_one_row_is_a_grid() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)).eval()
    layer = resolve_target_layer(model, (32, 64))
    assert (layer.name, layer.grid, layer.layout) == ("1", (1, 2), "NCHW")
    assert gradcam.heatmaps(model, images(32, 64), [0, 1]).shape == (2, 2, 1, 2)


# Where blocks end ---------------------------------------------------------------------------------------------


class Packed(nn.Module):
    """A block that returns its features among other things."""

    def __init__(self, pack: Any) -> None:
        super().__init__()
        self.conv, self.norm, self.pack = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(x + self.norm(self.conv(x)))


Pair = namedtuple("Pair", "features size")


@pytest.mark.parametrize(
    "pack",
    [lambda x: (x, x.shape[-2:]), lambda x: [None, x], lambda x: Pair(x, 8), lambda x: (torch.ones(2).long(), x)],
    ids=["tuple", "list", "namedtuple", "after whole numbers"],
)
def test_a_block_that_returns_several_things_is_a_place(pack: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
            self.blocks = nn.ModuleList(Packed(pack) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for block in self.blocks:
                x = next(item for item in block(x) if isinstance(item, Tensor) and item.is_floating_point())
            return self.fc(x.mean((2, 3)))

    model, batch = Net().eval(), images()
    layer = resolve_target_layer(model, (32, 32))
    assert (layer.name, layer.grid) == ("blocks.1", (8, 8))
    recording = record(model, batch, layer)
    assert torch.equal(recording.logits.detach(), model(batch).detach())
    expected = model.fc.weight[3] / 64  # the gradient of a mean pooling
    (gradient,) = torch.autograd.grad(recording.logits[:, 3].sum(), recording.activation)
    torch.testing.assert_close(gradient, expected[None, :, None, None].expand_as(gradient))


def test_in_mvit_with_a_class_token_it_is_in_the_last_stage() -> None:
    with torch.device("meta"):
        model = timm.create_model("mvitv2_base_cls", num_classes=5)
    layer = resolve_target_layer(model)
    assert (layer.grid, layer.prefix) == ((7, 7), 1)
    assert layer.name.startswith("stages.3.")


def test_an_identity_that_alone_has_a_name_there_is_the_place() -> None:
    model = Trunk(lambda model, a: model.fc(model.here((a + 1).tanh()).mean((2, 3))))
    model.here = nn.Identity()
    assert resolve_target_layer(model.eval(), (32, 32)).name == "here"
    behind = nn.Sequential(Trunk().f, nn.Identity(), nn.Flatten(), nn.Linear(16 * 64, 5)).eval()
    assert resolve_target_layer(behind, (32, 32)).name == "0"


def test_the_block_is_named_that_ends_there_and_not_the_activation_it_shares() -> None:
    act = nn.SiLU()

    class Unit(nn.Module):
        def __init__(self, inputs: int) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(inputs, 8, 3, 2, 1), act

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.conv(x))

    model = nn.Sequential(Unit(3), Unit(8), Unit(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    layer = resolve_target_layer(model.eval(), (64, 64))
    assert (layer.name, layer.call) == ("2", 0)


def test_each_call_of_an_encoder_is_listed() -> None:
    class Siamese(Trunk):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc((self.f(x) - self.f(x * 0.5)).mean((2, 3)))

    model = Siamese().eval()
    listed = [(layer.name, layer.call) for layer in candidate_layers(model, (32, 32))]
    assert ("f", 0) in listed
    assert listed[-1] == ("f", 1)
    assert "f (call 0)" in resolve_target_layer(model, (32, 32)).rule


def test_a_hook_on_a_tensor_in_the_forward_is_no_obstacle() -> None:
    seen: list[Tensor] = []

    def head(model: Trunk, a: Tensor) -> Tensor:
        if a.requires_grad:
            a.register_hook(lambda gradient: seen.append(gradient))
        return model.fc(a.mean((2, 3)))

    model, plain = Trunk(head).eval(), Trunk().eval()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(gradcam.heatmaps(model, images(), [0]), gradcam.heatmaps(plain, images(), [0]))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.register_hook(lambda gradient: None),
        lambda x: x.retain_grad(),
        lambda x: x.grad_fn.name(),
        lambda x: torch.autograd.grad(x.sum(), x, retain_graph=True),
    ],
    ids=["register_hook", "retain_grad", "grad_fn", "grad"],
)
def test_a_forward_that_cannot_do_without_autograd_before_the_layer_is_no_obstacle(use: Any) -> None:
    class Net(Trunk):
        def forward(self, x: Tensor) -> Tensor:
            x = self.f[1](self.f[0](x))
            use(x)
            return self.head(self, self.f[3](self.f[2](x)))

    model, plain = Net().eval(), Trunk().eval()
    plain.load_state_dict(model.state_dict())
    for layer in ("auto", "f.0", "f.2", "f.3"):
        wanted = gradcam.heatmaps(plain, images(), [0, 3], "f.3" if layer == "auto" else layer)
        assert torch.allclose(gradcam.heatmaps(model, images(), [0, 3], layer), wanted)


# Which module is meant ----------------------------------------------------------------------------------------


def test_a_layer_may_be_the_module_itself() -> None:
    model = Trunk().eval()
    assert resolve_target_layer(model, (32, 32), model.f[1]) == resolve_target_layer(model, (32, 32), "f.1")
    assert resolve_target_layer(nn.DataParallel(model), (32, 32), model.f).name == "f"
    names = [layer.name for layer in find_layers(model, images(), [model.f[1], "f"])]
    assert names == ["f.1", "f"]
    assert torch.equal(gradcam.heatmaps(model, images(), [0], model.f), gradcam.heatmaps(model, images(), [0], "f"))


def test_what_is_no_layer_of_the_model_is_said_in_a_sentence() -> None:
    model = Trunk().eval()
    with pytest.raises(
        LayerError, match=r"^expected a module inside the model, got a Conv2d that is not part of it"
    ):
        resolve_target_layer(model, (32, 32), nn.Conv2d(3, 8, 1))
    with pytest.raises(LayerError, match="got the model itself"):
        resolve_target_layer(model, (32, 32), model)
    wrong: Any
    for wrong in (None, True, 2.0):
        with pytest.raises(LayerError, match=rf"^expected a layer, got {type(wrong).__name__}; pass"):
            resolve_target_layer(model, (32, 32), wrong)


@pytest.mark.parametrize("wrapped", ["module.f.3", "_orig_mod.f.3", "net.module.f.3"])
def test_a_name_from_within_a_wrapper_is_answered_with_the_plain_name(wrapped: str) -> None:
    with pytest.raises(LayerError, match=r"did you mean 'f\.3'\?"):
        resolve_target_layer(Trunk(), (32, 32), wrapped)


# Which size it takes ------------------------------------------------------------------------------------------


class Fixed(Trunk):
    """Takes one size only."""

    def __init__(self, side: int, channels: int = 3, **facts: Any) -> None:
        super().__init__(channels=channels)
        self.side = side
        for name, fact in facts.items():
            setattr(self, name, fact)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == self.side
        return super().forward(x)


@pytest.mark.parametrize(
    "facts",
    [
        {"pretrained_cfg": {"input_size": (3, 96, 96)}},
        {"default_cfg": {"input_size": (3, 96, 96)}},
        {"config": SimpleNamespace(image_size=96, num_channels=3)},
        {"config": SimpleNamespace(image_size=[96, 96])},
        {"image_size": 96},
        {"pretrained_cfg": {"input_size": (3, 64, 64)}, "img_size": (96, 96)},
    ],
)
def test_without_a_size_the_models_own_is_taken(facts: dict[str, Any]) -> None:
    assert resolve_target_layer(Fixed(96, **facts)).grid == (24, 24)
    assert candidate_layers(Fixed(96, **facts))[-1].grid == (24, 24)


@pytest.mark.parametrize("channels", [1, 4])
def test_without_a_size_the_models_own_channels_are_taken(channels: int) -> None:
    assert resolve_target_layer(Trunk(channels=channels)).grid == (56, 56)
    assert resolve_target_layer(Trunk(channels=channels), (32, 32)).grid == (8, 8)


def test_timm_names_resolve_at_their_own_size() -> None:
    for name, options, grid in [
        ("swinv2_cr_tiny_384", {}, (12, 12)),
        ("eca_botnext26ts_256", {}, (8, 8)),
        ("vit_tiny_patch16_224", {"img_size": 64, "in_chans": 1}, (4, 4)),
    ]:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=5, **options)
        assert resolve_target_layer(model).grid == grid


def test_what_autograd_cannot_differentiate_is_said_in_a_sentence() -> None:
    class Overwriting(Trunk):
        def forward(self, x: Tensor) -> Tensor:
            a = self.f(x)
            mixed = self.f[2](a)
            a.mul_(2)  # what the gradient of the convolution is made of
            return self.fc(mixed.mean((2, 3)) + a.mean((2, 3)))

    with pytest.raises(ModelError, match=r"that autograd can differentiate, got .*inplace.*; take what"):
        resolve_target_layer(Overwriting().eval(), (32, 32))


def test_a_reason_is_never_empty() -> None:
    def refuse(model: Trunk, a: Tensor) -> Tensor:
        raise AssertionError

    with pytest.raises(ModelError, match=r"failed on a batch \[2, 3, 32, 32\]: AssertionError without a reason"):
        resolve_target_layer(Trunk(refuse), (32, 32))


def test_a_model_tied_to_a_batch_of_one_is_resolved() -> None:
    reshaped = Trunk(lambda model, a: model.fc(a.reshape(1, 16, -1).mean(2))).eval()
    flat = nn.Sequential(Trunk().f, nn.Flatten(0), nn.Unflatten(0, (1, -1)), nn.Linear(16 * 64, 5)).eval()
    assert resolve_target_layer(reshaped, (32, 32)).name == "f"
    assert resolve_target_layer(flat, (32, 32)).name == "0"


# When it is searched anew -------------------------------------------------------------------------------------


def test_a_layer_is_searched_anew_when_a_setting_of_the_model_changed() -> None:
    model = timm.create_model("test_vit", num_classes=5, global_pool="avg").eval()
    assert resolve_target_layer(model, (160, 160)).name == "blocks"
    batch = images(160, 160)
    assert gradcam.heatmaps(model, batch, [0, 1]).any()
    model.global_pool = "token"
    assert gradcam.heatmaps(model, batch, [0, 1]).any()
    assert resolve_target_layer(model, (160, 160)).name == "blocks.5.norm1"


def test_a_function_that_was_exchanged_is_a_setting_too() -> None:
    model = Trunk(lambda model, a: model.fc(a.mean((2, 3)))).eval()
    assert resolve_target_layer(model, (32, 32)).name == "f"
    model.head = lambda model, a: model.fc(model.f[1](a.mean((2, 3))))
    model.f.insert(4, nn.Tanh())
    assert resolve_target_layer(model, (32, 32)).name == "f"
    model.forward = lambda x: model.fc(model.f[:2](x).mean((2, 3)))
    assert resolve_target_layer(model, (32, 32)).name == "f.1"


def test_a_stride_that_was_changed_is_a_setting_too() -> None:
    model = Trunk(lambda model, a: model.fc(a.mean((2, 3)))).eval()
    coarse = resolve_target_layer(model, (32, 32)).grid
    model.f[0].stride = (1, 1)
    assert resolve_target_layer(model, (32, 32)).grid == (2 * coarse[0], 2 * coarse[1])


def test_a_model_that_counts_its_calls_is_searched_once() -> None:
    class Counting(Trunk):
        calls, searched = 0, 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.last_size = x.shape
            Counting.searched += torch.is_grad_enabled()
            return super().forward(x)

    model = Counting().eval()
    for _ in range(4):
        resolve_target_layer(model, (32, 32))
        with torch.no_grad():
            model(images())
    assert Counting.searched <= 2


def test_the_layer_does_not_depend_on_the_first_picture() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 64, 5, bias=False),
    ).eval()  # fmt: skip
    black = torch.zeros(1, 3, 32, 32)
    assert gradcam.heatmaps(model, black, [0]).shape == (1, 1, 8, 8)
    assert find_layers(model, black)[0].name == "3"


@pytest.mark.parametrize("size", [None, (32, 32)])
def test_under_autocast_the_same_layer_is_found(size: Any) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert resolve_target_layer(Trunk().eval(), size).name == "f"
