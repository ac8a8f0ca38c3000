"""Places are measured, not believed: what moves, turns or mixes them is caught, whatever the shapes say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradcam
from gradcam.capture import record
from gradcam.cli._main import main
from gradcam.errors import LayerError
from gradcam.layer_tables.measured import models_to_measure
from gradcam.layers import candidate_layers, resolve_target_layer
from gradcam.layers.find import measure_target
from gradcam.layers.layouts import place_dims, to_grid
from gradcam.layers.placement import NOTHING, Measurement, judge, orbit
from gradcam.models.classifier import load_classifier
from gradcam.types import TargetLayer

SIDE, PATCH, WIDTH = 64, 8, 32


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(height: int = SIDE, width: int = SIDE) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def error_in_cells(model: nn.Module, layer: TargetLayer, batch: Tensor) -> float:
    """How far from each changed cell of the image the activation changes most, at worst, in cells."""
    (height, width), (rows, columns) = layer.grid, batch.shape[-2:]
    worst = 0.0
    for row, column in orbit(layer.grid):
        changed = batch[:1].clone()
        down = slice(row * rows // height, -(-(row + 1) * rows // height))
        changed[..., down, column * columns // width : -(-(column + 1) * columns // width)] *= -3
        before, after = (record(model, image, layer).activation.detach() for image in (batch[:1], changed))
        at = int(to_grid((after - before).abs(), layer)[0].sum(0).argmax())
        worst = max(worst, abs(at // width - row), abs(at % width - column))
    return worst


# The measurement itself, by hand ------------------------------------------------------------------------------


def test_the_places_touch_the_first_and_last_rows_and_columns() -> None:
    cells = orbit((7, 7))
    assert len(cells) == 8
    assert {row for row, _ in cells} == {column for _, column in cells} == {0, 2, 4, 6}
    assert all(row in (0, 6) or column in (0, 6) for row, column in cells)
    assert orbit((1, 2)) == [(0, 0), (0, 1)]
    assert sorted(orbit((2, 2))) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def maps_at(cells: list[tuple[int, int]], side: int = 7, common: float = 0.0) -> Tensor:
    maps = torch.full((len(cells), side, side), common / side**2, dtype=torch.float64)
    for image, (row, column) in enumerate(cells):
        maps[image, row, column] += 1 - common
    return maps


def judged(seen: Callable[[int, int], tuple[int, int]], common: float = 0.0) -> Measurement:
    cells = orbit((7, 7))
    return judge(maps_at([seen(*cell) for cell in cells], common=common), torch.tensor(cells, dtype=torch.float64))


def test_places_felt_at_themselves_are_confirmed_and_by_how_much_is_their_own() -> None:
    assert judged(lambda row, column: (row, column)) == Measurement(1.0, pytest.approx(1.0), 0.0)
    mixed = judged(lambda row, column: (row, column), common=0.95)
    assert (mixed.verdict, mixed.own) == ("confirmed", pytest.approx(0.05))


@pytest.mark.parametrize(
    "seen",
    [
        lambda row, column: (row, 6 - column),
        lambda row, column: (6 - row, column),
        lambda row, column: (column, row),
        lambda row, column: (column, 6 - row),
        lambda row, column: (row, (column + 1) % 7),
        lambda row, column: ((row * 7 + column - 1) % 49 // 7, (row * 7 + column - 1) % 7),
        lambda row, column: (row, 3),
        lambda row, column: ((row * 7 + column) * 5 % 49 // 7, (row * 7 + column) * 5 % 7),
    ],
    ids=["mirrored", "upside down", "transposed", "turned", "rolled", "shifted tokens", "rows", "another order"],
)
def test_places_felt_elsewhere_are_contradicted(seen: Callable[[int, int], tuple[int, int]]) -> None:
    assert judged(seen).verdict == "contradicted"
    assert judged(seen, common=0.95).verdict == "inconclusive"


def test_where_nothing_is_felt_nothing_is_concluded() -> None:
    cells = torch.tensor(orbit((7, 7)), dtype=torch.float64)
    assert judge(torch.zeros(8, 7, 7).double(), cells) == NOTHING
    assert judge(torch.full((8, 7, 7), float("nan")).double(), cells).verdict == "inconclusive"
    assert judge(torch.ones(8, 7, 7).double(), cells).verdict == "inconclusive"


# Tokens -------------------------------------------------------------------------------------------------------


class Vit(nn.Module):
    """Linear patches; extra tokens stand where `join` puts them; the head reads the patches."""

    def __init__(self, extra: int = 0, join: Any = None, read: Any = None, order: Any = None) -> None:
        super().__init__()
        self.join = join or (lambda patches, more: torch.cat((more, patches), 1))
        self.read = read or (lambda x: x.mean(1))
        self.order = order or (lambda x: x)
        self.embed = nn.Sequential(nn.Linear(3 * PATCH * PATCH, WIDTH), nn.LayerNorm(WIDTH))
        self.more = nn.Parameter(torch.randn(1, extra, WIDTH))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, dropout=0.0) for _ in range(3)
        )
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5).flatten(3)
        x = self.order(self.embed(x)).flatten(1, 2)
        x = self.join(x, self.more.expand(len(x), -1, -1))
        for block in self.blocks:
            x = block(x)
        return self.head(self.read(x))


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


class Cnn(nn.Module):
    """A small CNN; `before` changes the image, `head` reads the map."""

    def __init__(self, head: Any = None, before: Any = None, stride: Any = 2, width: int = 16) -> None:
        super().__init__()
        self.before, self.head = before or (lambda x: x), head or (lambda model, a: model.fc(a.mean((2, 3))))
        self.f = nn.Sequential(
            nn.Conv2d(3, width, 3, stride, 1), nn.ReLU(), nn.Conv2d(width, width, 3, stride, 1), nn.ReLU()
        )
        self.norm, self.fc = nn.BatchNorm1d(width), nn.Linear(width, 5)
        self.conv1d = nn.Conv1d(width, width, 1)
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)
        self.queries = nn.Parameter(torch.randn(1, 64, width))
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self, self.f(self.before(x)))


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


# Maps ---------------------------------------------------------------------------------------------------------


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


# The table of measurements ------------------------------------------------------------------------------------


def test_a_measuring_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "measured.csv"
    assert main(["layers", "--measure", "timm/test_resnet", "--out", str(out)]) == 0
    assert "1 confirmed, 0 inconclusive, 0 contradicted, 0 failed" in capsys.readouterr().out
    out.write_text(out.read_text(encoding="utf-8").replace("confirmed", "inconclusive"), encoding="utf-8")
    assert main(["layers", "--measure", "timm/test_resnet", "timm/test_vit", "--out", str(out)]) == 0
    assert "1 confirmed, 1 inconclusive, 0 contradicted, 0 failed" in capsys.readouterr().out
    assert main(["layers", "--measure"]) == 2


def test_one_model_of_each_family_is_measured() -> None:
    models = models_to_measure()
    assert sum(model.startswith("torchvision/") for model in models) == 80
    assert "timm/test_resnet" in models
    assert len(models) == len(set(models))
