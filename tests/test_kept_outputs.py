"""A layer's output that somebody keeps and reads again counts with all that is read of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcam import heatmaps
from gradcam.types import TargetLayer


@dataclass
class Held:
    name: str
    maps: Tensor


Pack = Callable[["Keep", Tensor], Any]


class Keep(nn.Module):
    """A convolution; `pack` keeps something of its output and says what is returned."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.conv, self.pack = nn.Conv2d(3, 8, 3, 2, 1), pack
        self.kept: Any = None

    def forward(self, x: Tensor) -> Any:
        return self.pack(self, self.conv(x))


class Net(nn.Module):
    """Reads what its layer returns, and once more what the layer has kept."""

    def __init__(self, pack: Pack, change: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.keep, self.mix, self.fc = Keep(pack), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.change = change
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        found = self.keep(x)
        maps = found.maps if isinstance(found, Held) else found[0] if isinstance(found, (tuple, list)) else found
        if isinstance(found, dict):
            maps = found["maps"]
        mixed = self.mix(self.change(maps))
        kept = self.keep.kept
        return self.fc((mixed + (0 if kept is None else 3 * kept.reshape(mixed.shape))).mean((2, 3)))


def keeps(self: Keep, maps: Tensor) -> Tensor:
    self.kept = maps
    return maps


def keeps_a_view(self: Keep, maps: Tensor) -> Tensor:
    self.kept = maps.flatten(2)
    return maps


def keeps_the_view_it_returns(self: Keep, maps: Tensor) -> Tensor:
    self.kept = maps.permute(0, 1, 3, 2).permute(0, 1, 3, 2)
    return self.kept


def keeps_in_a_list(self: Keep, maps: Tensor) -> Tensor:
    held = [maps]
    self.kept = held[0]
    return maps


def expected(pack: Pack, change: Callable[[Tensor], Tensor], x: Tensor, index: int) -> Tensor:
    values: list[Tensor] = []

    def noting(self: Keep, maps: Tensor) -> Any:
        found = pack(self, maps)
        maps = found.maps if isinstance(found, Held) else found
        maps = maps["maps"] if isinstance(maps, dict) else maps[0] if isinstance(maps, (tuple, list)) else maps
        values.append(maps.detach().clone())
        edges.append(torch.autograd.graph.get_gradient_edge(maps))
        return found

    edges: list[Any] = []
    scores = Net(noting, change).double()(x.double().requires_grad_())
    (gradient,) = torch.autograd.grad(scores[:, index].sum(), edges[0])
    return (gradient.mean((2, 3), keepdim=True) * values[0]).sum(1).relu()


@pytest.mark.parametrize(
    "pack",
    [
        lambda self, maps: maps,
        keeps,
        keeps_a_view,
        keeps_in_a_list,
        lambda self, maps: (keeps(self, maps), None),
        lambda self, maps: ["first", keeps(self, maps)][1:],
        lambda self, maps: {"name": "x", "maps": keeps(self, maps)},
        lambda self, maps: Held("x", keeps(self, maps)),
    ],
)
@pytest.mark.parametrize("change", [torch.relu, torch.relu_], ids=["copied", "in place"])
def test_the_map_is_that_of_autograd_through_everything_that_reads_the_output(
    pack: Pack, change: Callable[[Tensor], Tensor]
) -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    model = Net(pack, change)
    maps = heatmaps(model, x, [0, 1, 2], TargetLayer("keep", (8, 8), 8, "by hand"))
    for index in range(3):
        right = expected(pack, change, x, index)
        assert (maps[:, index] - right).abs().max() <= 1e-5 * right.max()
    assert model.keep.kept is None


def test_a_view_is_kept_or_changed_in_place() -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    layer = TargetLayer("keep", (8, 8), 8, "by hand")

    def gives_a_view(self: Keep, maps: Tensor) -> Any:
        return maps.transpose(2, 3), maps

    for pack, change in ((keeps_the_view_it_returns, torch.relu), (gives_a_view, torch.relu_)):
        right = expected(pack, torch.relu, x, 0)
        assert (heatmaps(Net(pack, change), x, 0, layer)[:, 0] - right).abs().max() <= 1e-5 * right.max()


def test_a_layer_that_passes_its_input_on_leaves_the_batch_of_the_caller_alone() -> None:
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.randn(2, 3, 8, 8)
    before = x.clone()
    heatmaps(model, x, 0, TargetLayer("0", (8, 8), 3, "by hand"))
    assert not x.requires_grad
    assert x.grad_fn is None
    assert torch.equal(x, before)
