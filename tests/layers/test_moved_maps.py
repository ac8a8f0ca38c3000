"""Maps whose places were moved on the way are caught by measuring; those that only mix widely are not refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcam.errors import LayerError
from gradcam.layers import candidate_layers, resolve_target_layer
from gradcam.layers.find import measure_target
from gradcam.models.classifier import load_classifier
from tests.layers.small_networks import SIDE, Cnn, Vit, error_in_cells, images


@pytest.mark.parametrize("width", [32, 30])
def test_channels_first_is_known_by_measuring_where_strides_are_unequal(width: int) -> None:
    model = Cnn(stride=(2, 1), width=width).eval()
    layer = resolve_target_layer(model, (128, 128))
    assert (layer.name, layer.layout, layer.grid, layer.channels) == ("f", "NCHW", (32, 128), width)


def test_as_many_channels_as_rows_hide_no_unequal_strides() -> None:
    model = Cnn(stride=(1, 2), width=64).eval()  # [B, 64, 64, 16], where the first two sides are those of the input
    layer = resolve_target_layer(model, (64, 64))
    assert (layer.name, layer.layout, layer.grid, layer.channels) == ("f", "NCHW", (64, 16), 64)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, (2, 4), 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)
    )
    layer = resolve_target_layer(model.eval(), (64, 64))
    assert (layer.layout, layer.grid, layer.channels) == ("NCHW", (32, 16), 32)


def test_channels_last_is_known_by_measuring_where_strides_are_unequal() -> None:
    model = Cnn(lambda model, a: model.fc(model.mix(a.permute(0, 2, 3, 1)).mean((1, 2))), stride=(2, 1), width=32)
    layer = resolve_target_layer(model.eval(), (128, 128))
    assert (layer.name, layer.layout, layer.grid, layer.channels) == ("mix", "NHWC", (32, 128), 32)


@pytest.mark.parametrize(
    "before",
    [
        lambda x: x.flip(3),
        lambda x: x.flip(2),
        lambda x: x.rot90(1, (2, 3)),
        lambda x: x.transpose(2, 3),
        lambda x: x.roll(16, 3),
        lambda x: x.roll(4, 3),
        lambda x: nn.functional.pad(x[..., : SIDE // 2, : SIDE // 2], (SIDE // 2, 0, SIDE // 2, 0)),
        lambda x: nn.functional.pad(x, (16, 16, 16, 16)),
        lambda x: nn.functional.pad((x - 0.5) / 0.25, (16, 0, 0, 0)),
        lambda x: nn.functional.pad(x, (8, 8, 8, 8), mode="reflect"),
        lambda x: x[..., 8:-8, 8:-8],
        lambda x: nn.functional.interpolate(x[..., :48, :48], (SIDE, SIDE), mode="bilinear"),
        lambda x: x[..., torch.randperm(SIDE, generator=torch.Generator().manual_seed(3))],
    ],
    ids=[
        *("mirrored", "upside down", "turned", "transposed", "rolled", "rolled by one cell", "corner moved"),
        *("padded", "padded on the left", "reflected", "cropped", "zoomed", "columns mixed up"),
    ],
)
def test_a_forward_that_moves_the_image_is_refused_with_a_sentence(before: Any) -> None:
    with pytest.raises(LayerError, match="the model moves, turns or re-orders what it sees"):
        resolve_target_layer(Cnn(before=before).eval(), (SIDE, SIDE))
    with pytest.raises(LayerError):
        resolve_target_layer(Cnn(before=before).eval(), (SIDE, SIDE), "f.1")
    with pytest.raises(LayerError):
        candidate_layers(Cnn(before=before).eval(), (SIDE, SIDE))


def test_a_map_turned_on_its_way_is_taken_before_its_turn() -> None:
    class Net(Cnn):
        def __init__(self) -> None:
            super().__init__()
            self.g = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.g(self.f(x).flip(3)).mean((2, 3)))

    layer = resolve_target_layer(Net().eval(), (SIDE, SIDE))
    assert layer.name == "f"
    assert "the places of g, which is later, answer to other parts of the image" in layer.rule


class Between(Cnn):
    """Something happens to the map between two convolutions."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between
        self.g = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.g(self.between(self.f(x))).mean((2, 3)))


@pytest.mark.parametrize(
    "between",
    [
        lambda a: a[..., 4:12, 4:12],
        lambda a: a[..., 3:13, 3:13][..., ::2, ::2],
        lambda a: nn.functional.pad(a, (8,) * 4),
    ],
    ids=["the middle half", "the middle, thinned", "as much border as image"],
)
def test_a_map_cut_out_or_framed_about_its_middle_is_taken_before_that(between: Callable[[Tensor], Tensor]) -> None:
    model = Between(between).eval()
    layer = resolve_target_layer(model, (SIDE, SIDE))
    assert layer.name == "f"
    assert "the places of g, which is later, answer to other parts of the image" in layer.rule
    assert error_in_cells(model, layer, images()) <= 1


@pytest.mark.parametrize("size", [8, 32])
def test_a_map_that_is_only_resized_keeps_its_places(size: int) -> None:
    model = Between(lambda a: nn.functional.interpolate(a, (size, size), mode="bilinear")).eval()
    layer = resolve_target_layer(model, (SIDE, SIDE))
    assert (layer.name, layer.grid) == ("g", (size, size))


def test_of_test_time_augmentation_the_call_that_sees_the_image_as_it_is_is_taken() -> None:
    class Net(Cnn):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + super().forward(x.flip(3))

    model = Net().eval()
    layer = resolve_target_layer(model, (SIDE, SIDE))
    assert (layer.name, layer.call) == ("f", 0)
    assert error_in_cells(model, layer, images()) <= 1
    assert all(error_in_cells(model, other, images()) <= 1 for other in candidate_layers(model, (SIDE, SIDE)))


@pytest.mark.parametrize(
    ("before", "side"),
    [
        (lambda x: nn.functional.interpolate(x, (96, 96), mode="bilinear"), 24),
        (lambda x: nn.functional.interpolate(x, (32, 32), mode="nearest"), 8),
        (lambda x: nn.functional.pad((x - 0.5) / 0.25, (0, 1, 0, 1)), 17),
        (lambda x: x[:, [2, 1, 0]], 16),
        (lambda x: x.clamp(0, 1).sqrt(), 16),
    ],
    ids=["enlarged", "made small", "padded by a pixel", "BGR", "gamma"],
)
def test_an_image_changed_in_the_forward_but_not_moved_keeps_its_places(before: Any, side: int) -> None:
    layer = resolve_target_layer(Cnn(before=before).eval(), (SIDE, SIDE))
    assert (layer.name, layer.grid) == ("f", (side, side))


@pytest.mark.parametrize("lite", [0, 1, 2])
def test_in_trained_networks_the_places_are_confirmed(lite: int) -> None:
    layer, measurement = measure_target(load_classifier(f"bundled/tf_efficientnet_lite{lite}").module)
    assert (layer.name, measurement.verdict) == ("bn2", "confirmed")
    assert measurement.correlation > 0.95
    assert measurement.off < 0.5


# Sane networks that cannot be measured ------------------------------------------------------------------------


def test_a_network_that_mixes_widely_is_not_refused_for_that_alone() -> None:
    class Mixing(Cnn):
        def forward(self, x: Tensor) -> Tensor:
            a = self.f(x)
            return self.fc((a * 1e-3 + a.mean((2, 3), keepdim=True)).relu().mean((2, 3)))

    assert resolve_target_layer(Mixing().eval(), (SIDE, SIDE)).grid == (16, 16)
    with torch.no_grad():
        constant = Cnn()
        constant.f[0].weight.zero_()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    assert resolve_target_layer(constant.eval(), (SIDE, SIDE)).name == "f"


def test_tokens_that_mix_widely_are_those_measured_earlier() -> None:
    model = Vit().eval()
    with torch.no_grad():
        for block in model.blocks:
            block.self_attn.out_proj.weight *= 200  # pyright: ignore[reportAttributeAccessIssue, reportOperatorIssue]
    layer = resolve_target_layer(model, (SIDE, SIDE))
    assert (layer.name, layer.layout) == ("blocks.2", "tokens")


def test_on_the_meta_device_shapes_are_believed() -> None:
    with torch.device("meta"):
        model = Cnn(before=lambda x: x.flip(3))
    assert resolve_target_layer(model, (SIDE, SIDE)).name == "f"
