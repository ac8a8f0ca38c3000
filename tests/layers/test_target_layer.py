"""The target layer of hand-made models, whose right answer is known by construction."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from gradcam._heatmaps import heatmaps
from gradcam.errors import LayerError, ModelError
from gradcam.layers import candidate_layers, find_layer, resolve_target_layer
from gradcam.text import article
from gradcam.types import TargetLayer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(height: int = 32, width: int = 32, count: int = 1) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def small_cnn() -> nn.Sequential:
    """conv 32×32, ReLU, pool, conv 16×16, ReLU (module 4), pool, linear, ReLU, linear."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 8 * 8, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A vision transformer with any number of prefix tokens, read from the first of them or from all patches."""

    def __init__(self, prefix: int = 1, depth: int = 3, pool: bool = False, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 8, stride=8)
        self.tokens = nn.Parameter(torch.randn(1, prefix, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)
        self.pool = pool

    def features(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, x: Tensor) -> Any:
        x = self.features(x)
        return self.head(x.mean(dim=1) if self.pool else x[:, 0])


# What is found ------------------------------------------------------------------------------------------------


def test_in_vgg16_it_is_the_last_relu_before_the_last_pooling() -> None:
    with torch.device("meta"):
        vgg = torchvision.models.vgg16()
    layer = resolve_target_layer(vgg)
    assert (layer.name, layer.grid, layer.channels) == ("features.29", (14, 14), 512)


def test_in_a_resnet_it_is_the_last_stage() -> None:
    layer = resolve_target_layer(torchvision.models.resnet18())
    assert (layer.name, layer.grid, layer.layout) == ("layer4", (7, 7), "NCHW")


def test_in_a_sequential_without_names_it_is_found_by_number() -> None:
    layer = resolve_target_layer(small_cnn(), (32, 32))
    assert layer == TargetLayer("4", (16, 16), 8, layer.rule)
    assert layer.rule == "the last place with a 16×16 layout that every path to the class scores passes through"


@pytest.mark.parametrize(
    ("grid", "written"),
    [("7×7", "a"), ("8×8", "an"), ("11×7", "an"), ("18×18", "an"), ("80×80", "an"), ("110×110", "a"), ("1×8", "a")],
)
def test_a_grid_is_written_with_the_article_that_it_is_read_with(grid: str, written: str) -> None:
    assert article(grid) == written


def test_the_rule_of_an_eight_by_eight_grid_says_an() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 2))
    assert resolve_target_layer(model, (8, 8)).rule.startswith("the last place with an 8×8 layout that")


def test_a_class_map_that_is_only_pooled_is_passed_over() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 5, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    assert resolve_target_layer(model, (32, 32)).name == "1"


@pytest.mark.parametrize("prefix", [1, 2, 3, 5, 9])
def test_patches_are_taken_where_they_last_reach_the_class_token(prefix: int) -> None:
    layer = resolve_target_layer(Transformer(prefix), (32, 48))
    assert layer == TargetLayer("blocks.2.norm1", (4, 6), 8, layer.rule, "tokens", prefix)
    assert layer.rule.endswith(
        "blocks.2.norm1, because the class scores do not read the patches that leave blocks.2"
    )


def test_a_transformer_of_one_block_is_read_before_its_attention() -> None:
    assert resolve_target_layer(Transformer(depth=1), (32, 32)).name == "blocks.0.norm1"


def test_pooled_patches_are_taken_at_the_last_norm() -> None:
    assert resolve_target_layer(Transformer(pool=True), (32, 32)).name == "norm"


def test_tokens_of_torchs_own_encoder_are_found() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 8, stride=8)
            block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
            self.token, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x).flatten(2).transpose(1, 2)
            return self.head(self.encoder(torch.cat([self.token.expand(len(x), -1, -1), x], dim=1))[:, 0])

    model = Net()
    layer = resolve_target_layer(model, (32, 32))
    assert (layer.name, layer.grid, layer.prefix) == ("encoder.layers.1.norm1", (4, 4), 1)
    assert heatmaps(model, images(), 0, layer).shape == (1, 1, 4, 4)


def test_a_module_called_several_times_is_told_by_its_call() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.act, self.head = nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.second(self.act(self.first(x))))
            return self.head(self.act(x.mean(dim=(2, 3))))

    layer = resolve_target_layer(Net(), (16, 16))
    assert (layer.name, layer.call, layer.grid) == ("act", 1, (16, 16))


def test_parallel_branches_are_named_in_the_rule() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
            self.right = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.left(x).mean((2, 3)), self.right(x).mean((2, 3))], dim=1))

    layer = resolve_target_layer(Net(), (16, 16))
    assert (layer.name, layer.grid) == ("right", (8, 8))
    assert "parallel branches end at left" in layer.rule


def test_channels_last_is_told_from_channels_first() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.stem(x).permute(0, 2, 3, 1)).mean(dim=(1, 2)))

    model = Net()
    layer = resolve_target_layer(model, (24, 40))
    assert layer == TargetLayer("norm", (6, 10), 8, layer.rule, "NHWC")
    assert heatmaps(model, images(24, 40), [0, 1], layer).shape == (1, 2, 6, 10)


# How models differ --------------------------------------------------------------------------------------------


class Wrapped(nn.Module):
    """A backbone whose scores come out in another container."""

    def __init__(self, pack: Any) -> None:
        super().__init__()
        self.backbone, self.pack = small_cnn(), pack

    def forward(self, pixel_values: Tensor) -> Any:
        return self.pack(self.backbone(pixel_values))


@pytest.mark.parametrize(
    "pack",
    [
        lambda scores: (scores, scores.argmax(1)),
        lambda scores: {"loss": None, "logits": scores},
        lambda scores: SimpleNamespace(logits=scores, hidden_states=None),
    ],
    ids=["tuple", "dict", "object"],
)
def test_scores_are_found_in_what_the_model_returns(pack: Any) -> None:
    assert resolve_target_layer(Wrapped(pack), (32, 32)).name == "backbone.4"


def test_a_module_in_the_style_of_hugging_face_is_resolved() -> None:
    class Layer(Block):
        def forward(self, x: Tensor) -> Any:
            return (super().forward(x),)

    class Net(Transformer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(Layer(8) for _ in range(3))

        def forward(self, x: Tensor) -> Any:
            x = self.embed(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.tokens.expand(len(x), -1, -1), x], dim=1)
            for block in self.blocks:
                x = block(x)[0]
            return SimpleNamespace(logits=self.head(self.norm(x)[:, 0]))

    layer = resolve_target_layer(Net(), (32, 32))
    assert (layer.name, layer.grid, layer.prefix) == ("blocks.2.norm1", (4, 4), 1)


def test_one_logit_is_enough() -> None:
    model = nn.Sequential(*small_cnn()[:-1], nn.Linear(16, 1), nn.Flatten(0))
    assert resolve_target_layer(model, (32, 32)).name == "4"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_precision_is_resolved(dtype: torch.dtype) -> None:
    assert resolve_target_layer(small_cnn().to(dtype), (32, 32)).name == "4"
    assert resolve_target_layer(Transformer().to(dtype), (32, 32)).name == "blocks.2.norm1"


def test_a_head_that_starts_at_zero_does_not_hide_the_layer() -> None:
    model = small_cnn()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    assert resolve_target_layer(model, (32, 32)).name == "4"


def test_input_changed_in_place_is_no_obstacle() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_cnn()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5))

    batch = images()
    before = batch.clone()
    assert find_layer(Net(), batch).name == "net.4"
    assert torch.equal(batch, before)


@pytest.mark.parametrize("build", [small_cnn, Transformer])
def test_shapes_alone_give_the_same_layer(build: Any) -> None:
    real = resolve_target_layer(build(), (32, 32))
    with torch.device("meta"):
        model = build()
    assert resolve_target_layer(model, (32, 32)) == real


def test_the_model_is_left_as_found() -> None:
    model = nn.Sequential(small_cnn(), nn.Dropout(0.5))
    model.train()
    model[0][0].weight.requires_grad_(False)
    with torch.inference_mode():
        assert resolve_target_layer(model, (32, 32)).name == "0.4"
    assert all(module.training for module in model.modules())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 7
    assert all(parameter.grad is None for parameter in model.parameters())


# Choosing by name and number ----------------------------------------------------------------------------------


def test_a_layer_can_be_chosen_by_name() -> None:
    layer = resolve_target_layer(small_cnn(), (32, 32), "1")
    assert layer == TargetLayer("1", (32, 32), 4, "chosen by name; its layout is 32×32")


def test_candidates_run_from_early_to_late_one_for_each_stage() -> None:
    candidates = candidate_layers(torchvision.models.resnet18())
    assert [layer.name for layer in candidates] == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert [layer.grid for layer in candidates] == [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]


def test_candidates_are_blocks_where_the_grid_stays_the_same() -> None:
    model = Transformer(depth=3)
    assert [layer.name for layer in candidate_layers(model, (32, 32))] == ["blocks.0", "blocks.1", "blocks.2.norm1"]


def test_a_block_of_a_residual_and_a_convolution_is_one_candidate() -> None:
    """As in ConvMixer, where the residual inside each block is a place that every path passes through too."""

    class Residual(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    def block() -> nn.Module:
        return nn.Sequential(Residual(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()), nn.Conv2d(8, 8, 1), nn.GELU())

    trunk = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Sequential(*(block() for _ in range(3))))
    model = nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    assert [layer.name for layer in candidate_layers(model, (32, 32))] == ["1.0", "1.1", "1"]


def test_a_layer_can_be_chosen_by_its_place_among_the_candidates() -> None:
    model = Transformer(depth=3)
    assert find_layer(model, images(), 1).name == "blocks.1"
    assert find_layer(model, images(), -1) == find_layer(model, images())
    with pytest.raises(LayerError, match="expected a candidate layer from 0 to 2, got 3"):
        find_layer(model, images(), 3)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(LayerError, match=r"got 'layer5'; did you mean 'layer4'"):
        resolve_target_layer(torchvision.models.resnet18(), layer="layer5")


def test_a_name_that_is_near_no_layer_is_answered_with_some_and_none_is_said_to_be_meant() -> None:
    with pytest.raises(
        LayerError, match=r"got 'zzzz'; none is spelt like it: name a module, such as '0', '1' or '2'"
    ):
        find_layer(nn.Sequential(nn.Conv2d(3, 8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5)), images(), "zzzz")


def test_a_layer_without_places_is_refused_with_the_nearest_that_has_them() -> None:
    with pytest.raises(LayerError, match="layout in space, got '7'; use '5'"):
        resolve_target_layer(small_cnn(), (32, 32), "7")


def test_a_layer_whose_patches_nobody_reads_is_refused() -> None:
    with pytest.raises(LayerError, match=r"got 'blocks.2', whose gradient is zero there; use 'blocks.2.norm1'"):
        resolve_target_layer(Transformer(), (32, 32), "blocks.2")


def test_tokens_in_another_order_are_refused() -> None:
    class Windows(Transformer):
        """Keeps the four tokens of a window together, as Hiera does until it pools them."""

        def features(self, x: Tensor) -> Tensor:
            x = self.embed(x).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # rows, 2, columns, 2
            x = x.permute(0, 2, 4, 3, 5, 1).flatten(1, 4)
            for block in self.blocks:
                x = block(x)
            return self.norm(x)

    model = Windows(pool=True)
    assert resolve_target_layer(model, (64, 64)).name == "embed"
    with pytest.raises(
        LayerError, match=r"row by row, got 'blocks.1', which has them in another order; use 'embed'"
    ):
        resolve_target_layer(model, (64, 64), "blocks.1")


# What is refused ----------------------------------------------------------------------------------------------


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(ModelError, match="without a head"):
        resolve_target_layer(timm.create_model("test_resnet", num_classes=0), (96, 96))
    with pytest.raises(ModelError, match=r"expected class scores \[batch, classes\]"):
        resolve_target_layer(small_cnn()[:4], (32, 32))


@pytest.mark.parametrize("shape", [(-1, 8, 1, 1), (-1, 1, 1, 8)])
def test_a_layer_of_one_place_has_no_layout_in_space(shape: tuple[int, ...]) -> None:
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1))
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8), nn.Unflatten(1, shape[1:]))
    model = nn.Sequential(features, pooled, nn.Flatten(), nn.Linear(8, 5))
    with pytest.raises(LayerError, match="output has a layout in space, got '1'; use '0'"):
        resolve_target_layer(model, (32, 32), "1")
    with pytest.raises(LayerError, match=r"expected a layer whose output has a layout in space .* found none"):
        resolve_target_layer(nn.Sequential(nn.Conv2d(3, 8, 32), nn.Flatten(), nn.Linear(8, 5)), (32, 32))


def test_scores_cut_off_from_the_pixels_are_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_cnn()

        def forward(self, x: Tensor) -> Tensor:
            return self.net[5:](self.net[:5](x).detach())

    with pytest.raises(LayerError, match="cut off"):
        resolve_target_layer(Net(), (32, 32))


def test_a_model_without_layout_is_refused() -> None:
    with pytest.raises(LayerError, match="found none"):
        resolve_target_layer(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5)), (16, 16))


def test_tokens_before_the_batch_are_refused() -> None:
    class Net(Transformer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3))

        def features(self, x: Tensor) -> Tensor:
            x = self.embed(x).flatten(2).permute(2, 0, 1)
            for block in self.blocks:
                x = block(x)
            return x.transpose(0, 1)

    with pytest.raises(LayerError, match="batch_first"):
        resolve_target_layer(Net(), (32, 32))


# What it costs ------------------------------------------------------------------------------------------------


def test_a_model_is_searched_once_for_each_size_and_head() -> None:
    model, runs = small_cnn(), []
    model.register_forward_hook(lambda *_: runs.append(1))
    for size in [(32, 32), (32, 32)]:
        resolve_target_layer(model, size)
    assert len(runs) == 1
    model[-1] = nn.Linear(16, 7)
    resolve_target_layer(model, (32, 32))
    assert len(runs) == 2


def test_many_threads_search_once() -> None:
    model, runs = small_cnn(), []
    model.register_forward_hook(lambda *_: runs.append(1))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(find_layer(model, images()).name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["4"] * 4
    assert len(runs) == 1


def test_a_searched_model_is_freed() -> None:
    class Watched(nn.Sequential):
        alive = 0

        def __del__(self) -> None:
            Watched.alive -= 1

    model = Watched(*small_cnn())
    Watched.alive += 1
    resolve_target_layer(model, (32, 32))
    del model
    gc.collect()
    assert Watched.alive == 0
