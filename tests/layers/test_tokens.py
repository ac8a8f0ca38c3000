"""Which tokens are places is measured: extra tokens, latents and tokens in another order are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradcam
from gradcam.errors import LayerError
from gradcam.layers import candidate_layers, resolve_target_layer
from gradcam.layers.layouts import place_dims, to_grid
from gradcam.types import TargetLayer
from tests.layers.small_networks import SIDE, Cnn, Vit, error_in_cells, images


def after(patches: Tensor, more: Tensor) -> Tensor:
    return torch.cat((patches, more), 1)


def amid(patches: Tensor, more: Tensor) -> Tensor:
    return torch.cat((patches[:, :32], more, patches[:, 32:]), 1)


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (lambda: Vit(4), 4),
        (lambda: Vit(4, after), 0),
        (lambda: Vit(1, after, lambda x: x[:, -1]), 0),
        (lambda: Vit(5, lambda p, m: torch.cat((m[:, :1], p, m[:, 1:]), 1), lambda x: x[:, 0]), 1),
        (lambda: Vit(1), 1),
    ],
    ids=["registers first", "registers last", "class token last", "class first, registers last", "class first"],
)
def test_patches_are_told_from_other_tokens_before_and_after_them(model: Callable[[], Vit], prefix: int) -> None:
    net = model().eval()
    layer = resolve_target_layer(net, (SIDE, SIDE))
    assert (layer.layout, layer.grid, layer.prefix) == ("tokens", (8, 8), prefix)
    assert layer.name.startswith("blocks.")
    assert error_in_cells(net, layer, images()) == 0
    assert gradcam.heatmaps(net, images(), [0], layer).shape == (2, 1, 8, 8)
    for candidate in candidate_layers(net, (SIDE, SIDE)):
        assert error_in_cells(net, candidate, images()) == 0


@pytest.mark.parametrize(
    "highest",
    [lambda x: x.amax(1), lambda x: x.max(1)[0], lambda x: x.topk(2, 1)[0].sum(1), lambda x: x.median(1)[0]],
    ids=["amax", "max", "top 2", "median"],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_class_token_is_not_hidden_by_the_highest_patches_beside_it(highest: Any, device: str) -> None:
    with torch.device(device):
        beside = Vit(1, read=lambda x: x[:, 0] + highest(x[:, 1:])).eval()
        alone = Vit(1, read=lambda x: highest(x[:, 1:])).eval()
    assert resolve_target_layer(beside, (SIDE, SIDE)).name == "blocks.1"
    assert resolve_target_layer(alone, (SIDE, SIDE)).name == "blocks.2"
    assert resolve_target_layer(beside, (SIDE, SIDE), "blocks.2").name == "blocks.2"


def test_tokens_after_the_patches_are_left_out_of_the_map() -> None:
    layer = TargetLayer("", (2, 2), 1, "", "tokens", 1)
    tokens = torch.tensor([9.0, 1, 2, 3, 4, 8, 8])[None, :, None]
    assert to_grid(tokens, layer).tolist() == [[[[1, 2], [3, 4]]]]
    assert place_dims(layer, tokens.shape) == ()
    assert place_dims(TargetLayer("", (2, 2), 1, "", "tokens"), (1, 4, 1)) == (1,)
    assert place_dims(TargetLayer("", (2, 2), 1, "", "tokens"), (1, 5, 1)) == ()


def queried(count: int) -> Callable[[Cnn, Tensor], Tensor]:
    """Learned queries that gather the whole map, as in a Perceiver or a Q-Former."""

    def head(model: Cnn, a: Tensor) -> Tensor:
        tokens = a.flatten(2).transpose(1, 2)
        queries = model.queries[:, :count].expand(len(a), -1, -1)
        return model.fc(model.mix(queries + model.attend(queries, tokens, tokens)[0]).mean(1))

    return head


def clustered(model: Cnn, a: Tensor) -> Tensor:
    tokens = model.mix(a.flatten(2).transpose(1, 2))
    assigned = (tokens @ model.queries[0, :16].T).softmax(1)
    return model.fc(model.mix(assigned.transpose(1, 2) @ tokens).mean(1))


def merged(model: Cnn, a: Tensor) -> Tensor:
    tokens = a.flatten(2).transpose(1, 2)  # 256, of which each even one is merged into one far away
    return model.fc(model.mix(tokens[:, 1::2] + tokens[:, ::2].roll(40, 1))[:, :121].mean(1))


def capsules(model: Cnn, a: Tensor) -> Tensor:
    """Sixteen capsules that all places vote for, routed by agreement."""
    votes = a.flatten(2).transpose(1, 2)[:, :, None] * model.queries[0, :16]  # [B, places, capsules, channels]
    agreement = votes.new_zeros(votes.shape[:3])
    for _ in range(3):
        found = model.mix((agreement.softmax(2)[..., None] * votes).sum(1))
        agreement = agreement + (votes * found[:, None]).sum(3)
    return model.fc(model.mix(found).mean(1))


def windowed(fold: Callable[[Tensor], Tensor]) -> Callable[[Cnn, Tensor], Tensor]:
    """Windows of 4×4 places `[B, down, across, 4, 4, C]`, folded as given and never put back."""

    def head(model: Cnn, a: Tensor) -> Tensor:
        windows = a.unflatten(3, (4, 4)).unflatten(2, (4, 4)).permute(0, 2, 4, 3, 5, 1)
        folded = model.mix(fold(windows))
        return model.fc(folded.reshape(len(a), -1, folded.shape[-1]).mean(1))

    return head


@pytest.mark.parametrize(
    "head",
    [
        lambda model, a: model.fc(model.norm(a.flatten(2)).mean(2)),
        lambda model, a: model.fc(model.conv1d(a.flatten(2)).mean(2)),
        queried(16),
        queried(64),
        clustered,
        merged,
        capsules,
        windowed(lambda windows: windows.flatten(1, 4)),
        windowed(lambda windows: windows.flatten(3, 4).flatten(1, 2)),
        windowed(lambda windows: windows.flatten(0, 2).flatten(1, 2)),
        windowed(lambda windows: windows.flatten(0, 2)),
    ],
    ids=[
        *("BatchNorm1d", "Conv1d", "16 queries", "64 queries", "clusters", "merged tokens", "capsules"),
        *("windows as tokens", "windows as a map", "windows in the batch", "windows in the batch as maps"),
    ],
)
def test_what_is_no_place_is_passed_over(head: Any) -> None:
    model = Cnn(head).eval()
    for target in (resolve_target_layer(model, (SIDE, SIDE)), *candidate_layers(model, (SIDE, SIDE))):
        assert target.grid in {(32, 32), (16, 16)}
        assert error_in_cells(model, target, images()) <= 1


def test_as_many_latents_as_patches_are_no_places() -> None:
    class Perceiver(Cnn):
        def forward(self, x: Tensor) -> Tensor:
            tokens = self.mix(self.f(x)[:, :, ::2, ::2].flatten(2).transpose(1, 2))  # 64 patches, 64 latents
            latents = self.queries.expand(len(x), -1, -1)
            return self.fc(self.mix(latents + self.attend(latents, tokens, tokens)[0]).mean(1))

    layer = resolve_target_layer(Perceiver().eval(), (SIDE, SIDE))
    assert (layer.name, layer.call) != ("mix", 1)


def test_rows_of_pixels_are_no_patches() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm, self.head = nn.Linear(3 * SIDE, 32), nn.LayerNorm(32), nn.Linear(32, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.embed(x.transpose(1, 2).flatten(2))).mean(1))

    with pytest.raises(LayerError, match=r"answer to their own part of the image, found none"):
        resolve_target_layer(Rows().eval(), (SIDE, SIDE))
    with pytest.raises(LayerError, match="answer to their own part"):
        resolve_target_layer(Rows().eval(), (SIDE, SIDE), "norm")


def test_tokens_column_by_column_are_not_read_row_by_row() -> None:
    model = Vit(order=lambda x: x.transpose(1, 2)).eval()
    layer = resolve_target_layer(model, (SIDE, SIDE))
    assert (layer.name, layer.layout) == ("embed", "NHWC")
    assert error_in_cells(model, layer, images()) == 0
    with pytest.raises(LayerError, match="another order"):
        resolve_target_layer(model, (SIDE, SIDE), "blocks.2")
