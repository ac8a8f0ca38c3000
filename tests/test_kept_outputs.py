"""A layer's output that somebody keeps and reads again counts with all that is read of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradcam import LayerError, heatmaps
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


def test_a_buffer_that_is_filled_with_the_maps_counts_as_the_maps() -> None:
    class Filling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
            self.register_buffer("kept", torch.zeros(2, 4, 6, 6))
            self.fills = True

        def forward(self, x: Tensor) -> Tensor:
            maps = self.maps(x)
            return self.fc((self.kept.copy_(maps) if self.fills else maps).mean((2, 3)))

    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = Filling().eval()
    found = heatmaps(model, x, [0, 3])
    assert not model.kept.any()
    assert not model.kept.requires_grad
    model.fills = False
    assert torch.equal(found, heatmaps(model, x, [0, 3]))


def test_a_layer_that_passes_its_input_on_leaves_the_batch_of_the_caller_alone() -> None:
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.randn(2, 3, 8, 8)
    before = x.clone()
    heatmaps(model, x, 0, TargetLayer("0", (8, 8), 3, "by hand"))
    assert not x.requires_grad
    assert x.grad_fn is None
    assert torch.equal(x, before)


class Shared(nn.Module):
    """A net whose layer gives `pack(maps)`, of which `read` makes what the head sees; they may share memory."""

    def __init__(self, pack: Callable[[Tensor], Any], read: Callable[[Shared, Any], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.mix, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
            self.layer = Gives(pack)
        self.read = read
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.read(self, self.layer(self.stem(x)))).pow(2).mean((2, 3)))


class Gives(nn.Module):
    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.pack = nn.Conv2d(4, 4, 3, 1, 1), pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(self.conv(x))


def pushed(model: nn.Module, x: Tensor, channel: int, by: float) -> Tensor:
    """The scores when all places of a channel of the layer's output are that much larger, in its own memory."""

    def push(_module: nn.Module, _args: Any, output: Any) -> None:
        (output[0] if isinstance(output, tuple) else output)[:, channel].add_(by)

    handle = model.get_submodule("layer").register_forward_hook(push)
    with torch.no_grad():
        scores = model(x)
    handle.remove()
    return scores


def by_differences(model: nn.Module, x: Tensor) -> Tensor:
    """Maps of all classes by differences of scores, without autograd. The model must be in float64."""
    values: list[Tensor] = []
    handle = model.get_submodule("layer").register_forward_hook(
        lambda _module, _args, output: values.append(
            (output[0] if isinstance(output, tuple) else output).detach().clone()
        )
    )
    with torch.no_grad():
        model(x)
    handle.remove()
    slopes = [(pushed(model, x, channel, 1e-6) - pushed(model, x, channel, -1e-6)) / 2e-6 for channel in range(4)]
    (maps,) = values
    return torch.einsum("bkc,bkhw->bchw", torch.stack(slopes, 1) / 64, maps).relu()


def changed(tensor: Tensor, other: Tensor) -> Tensor:
    """`other`, once the tensor is changed in place."""
    tensor.mul_(3).sigmoid_()
    return other


@pytest.mark.parametrize(
    ("pack", "read"),
    [
        (lambda maps: (maps.view(maps.shape), maps), lambda self, found: changed(found[1], found[0])),
        (lambda maps: (maps.view(maps.shape), maps), lambda self, found: changed(found[0], found[1])),
        (lambda maps: (maps.transpose(2, 3), maps.flatten(2)), lambda self, found: changed(found[1], found[0])),
        (lambda maps: (maps.transpose(2, 3), maps), lambda self, found: changed(found[0], found[0])),
        (lambda maps: (maps, maps[:, :2]), lambda self, found: changed(found[1], found[0])),
        (lambda maps: (maps, maps.detach().clone(), maps), lambda self, found: found[0] + found[2] ** 2),
        (lambda maps: maps.permute(0, 1, 3, 2), lambda self, maps: maps.add_(1).tanh()),
        (lambda maps: maps.permute(0, 1, 3, 2), lambda self, maps: maps.permute(0, 1, 3, 2).mul_(3).tanh()),
        (lambda maps: maps, lambda self, maps: torch.vmap(lambda one: one.tanh() * one.mean())(maps)),
        (lambda maps: maps, lambda self, maps: checkpoint(self.mix, maps, use_reentrant=False)),
        (lambda maps: maps, lambda self, maps: nn.Sequential(nn.Tanh(), self.mix, self.mix)[:2](maps)),
    ],
)
def test_memory_that_is_shared_and_changed_in_place_counts_wherever_it_is_read(pack: Any, read: Any) -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    right = by_differences(Shared(pack, read).double(), x.double())
    model = Shared(pack, read)
    entered: list[None] = []
    model.register_forward_pre_hook(lambda *_: entered.append(None))
    for _ in range(2):
        entered.clear()
        maps = heatmaps(model, x, [0, 1, 2], TargetLayer("layer", (8, 8), 4, "by hand"))
        assert (maps - right).abs().max() <= 1e-5 * right.max()
    assert len(entered) == 1


def test_a_layer_that_is_frozen_under_no_grad_is_explained() -> None:
    def frozen(self: Shared, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = self.layer(self.stem(x))
        return self.fc(self.mix(maps).pow(2).mean((2, 3)))

    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    layer = TargetLayer("layer", (8, 8), 4, "by hand")
    model = Shared(lambda maps: maps, lambda self, maps: maps)
    right = heatmaps(model, x, [0, 1], layer)
    model.forward = MethodType(frozen, model)
    assert torch.allclose(heatmaps(model, x, [0, 1], layer), right, atol=1e-7)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (
            lambda self, x: torch.cat([self.layer(self.stem(one[None])) for one in x]),
            "for 2 .* got 1; pass one",
        ),
        (lambda self, x: self.layer(self.stem(torch.cat([x, x.flip(3)])))[: len(x)], "for 2 image.* got 4"),
        (lambda self, x: self.layer(self.stem(x)).detach(), "do not depend on .* detach, no_grad"),
        (torch.inference_mode()(lambda self, x: self.layer(self.stem(x))), "runs under torch.inference_mode"),
    ],
)
def test_a_layer_without_maps_or_gradients_for_each_image_is_refused(read: Any, said: str) -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    model = Shared(lambda maps: maps, lambda self, maps: maps)
    model.forward = MethodType(lambda self, x: self.fc(read(self, x).mean((2, 3))), model)
    with pytest.raises(LayerError, match=said):
        heatmaps(model, x, 0, TargetLayer("layer", (8, 8), 4, "by hand"))
