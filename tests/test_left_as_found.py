"""Whatever a forward changes in a model comes back, and a model in training is never seen in eval mode."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import textwrap
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import timm
import torch
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, register_module_forward_hook
from transformers import LevitConfig, LevitForImageClassification

from gradcam import heatmaps, resolve_target_layer
from gradcam.as_found import KEEP_NOTHING, clone_in_eval_mode
from gradcam.types import TargetLayer

LAYER = TargetLayer("conv", (8, 8), 4, "by hand")


class Caching(nn.Module):
    """Keeps whatever can be kept in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)
        self.bias_cache: dict[str, Any] = {}
        self.nested: dict[str, list[Tensor]] = {"seen": []}
        self.moved: list[list[str]] = [["one"], []]
        self.names = {"one"}
        self.count = 0
        self.last: Tensor | None = None
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("swapped", torch.zeros(4))
        self.total = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        if "bias" not in self.bias_cache:
            self.bias_cache["bias"] = self.fc.bias * 2
        maps = self.conv(x)
        self.moved[1].append(self.moved[0].pop())
        self.names.add("another")
        self.count += 1
        self.last = maps
        self.nested["seen"].append(maps)
        self.mean += 1
        self.swapped = maps.mean((0, 2, 3))
        self.total.add_(1)
        self.register_buffer("late", maps.sum())
        return self.fc(maps.mean((2, 3))) + self.bias_cache["bias"] + torch.rand(2)


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True])
def test_caches_counters_buffers_and_random_numbers_come_back(noise: Tensor, training: bool) -> None:
    model = Caching().train(training)
    buffer, random = model.swapped, torch.get_rng_state()
    for layer in (LAYER, "auto", "conv"):
        heatmaps(model, noise, 0, layer)
    assert model.bias_cache == {}
    assert model.nested == {"seen": []}
    assert model.moved == [["one"], []]
    assert model.names == {"one"}
    assert (model.count, model.last) == (0, None)
    assert model.swapped is buffer
    assert [tensor.tolist() for tensor in (model.mean, model.swapped, model.total)] == [[0.0] * 4, [0.0] * 4, [0.0]]
    assert torch.equal(torch.get_rng_state(), random)
    assert set(model.state_dict()) == set(Caching().state_dict())
    copy.deepcopy(model)


def test_it_comes_back_after_an_error_too(noise: Tensor) -> None:
    model = Caching().eval()
    model.fc = nn.Linear(5, 2)
    with pytest.raises(Exception, match="failed"):
        heatmaps(model, noise, 0, LAYER)
    assert (model.count, model.nested) == (0, {"seen": []})


TINY: dict[str, dict[str, Any]] = {
    "levit_128s": {
        "img_size": 64,
        "embed_dim": (16, 24, 32),
        "num_heads": (2, 2, 2),
        "depth": (1, 1, 1),
        "key_dim": 8,
    },
    "tiny_vit_5m_224": {"embed_dims": (16, 24, 32, 48), "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 3)},
    "efficientformerv2_s0": {"img_size": 64, "embed_dims": (16, 24, 32, 48), "depths": (1, 1, 1, 1)},
    "efficientvit_m0": {"img_size": 64, "embed_dim": (16, 24, 32), "key_dim": (8, 8, 8), "num_heads": (2, 2, 2)},
}


def tiny(name: str) -> nn.Module:
    if name != "transformers":
        return timm.create_model(name, num_classes=3, **TINY[name])
    sizes = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1]}
    options: dict[str, Any] = {"image_size": 64, "num_labels": 3, **sizes}
    return LevitForImageClassification(LevitConfig(**options))


def logits_of(output: Any) -> Tensor:
    return getattr(output, "logits", output)


@pytest.mark.parametrize("name", [*TINY, "transformers"])
@pytest.mark.parametrize("training", [False, True])
def test_a_model_that_caches_in_eval_mode_is_trained_and_copied_as_if_never_explained(
    name: str, training: bool
) -> None:
    model = tiny(name).train(training)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    heatmaps(model, x, 0)
    again = copy.deepcopy(model)
    with torch.no_grad():  # a step of training
        for weight in model.parameters():
            weight.mul_(1.5)
    fresh = tiny(name)
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        right = logits_of(fresh.eval()(x))
        assert torch.equal(logits_of(model.eval()(x)), right)
        assert not torch.equal(logits_of(again.eval()(x)), right)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()
        self.hidden = [self.norm]
        self.also = {"act": (self.act,)}
        self.step = self._step

    def _step(self, x: Tensor) -> Tensor:
        return self.hidden[0](self.conv(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.also["act"][0](self.step(x))


def trained(block: nn.Module) -> nn.Sequential:
    return nn.Sequential(block, nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).train()


def test_a_clone_in_eval_mode_computes_the_same_with_copied_weights_and_references_of_its_own(
    noise: Tensor,
) -> None:
    model = trained(Block())
    clone = clone_in_eval_mode(model)
    assert not set(model.modules()) & set(clone.modules())
    for mine, its in zip(model.state_dict().items(), clone.state_dict().items(), strict=True):
        assert mine[0] == its[0]
        assert torch.equal(mine[1], its[1])
        assert mine[1].data_ptr() != its[1].data_ptr()
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in clone.modules())
    assert torch.equal(clone(noise), copy.deepcopy(model).eval()(noise))
    assert model.state_dict()["0.norm.num_batches_tracked"] == 0


class Closing(Block):
    """Reaches its own modules through a closure, which no clone can follow."""

    def __init__(self) -> None:
        super().__init__()
        norm = self.norm
        self.step = lambda x: norm(self.conv(x))


@pytest.mark.parametrize("block", [Block, Closing])
def test_a_model_in_training_is_explained_in_eval_mode_and_keeps_its_mode_and_statistics(
    noise: Tensor, block: Callable[[], nn.Module]
) -> None:
    model = trained(block())
    seen: list[bool] = []
    model.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    expected = heatmaps(copy.deepcopy(model).eval(), noise, [0, 2], "0") if block is Block else None
    before = copy.deepcopy(model.state_dict())
    maps = heatmaps(model, noise, [0, 2], "0")
    assert expected is None or torch.equal(maps, expected)
    assert not any(seen)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_training_loop_in_another_thread_never_finds_eval_mode_nor_spoils_a_gradient(noise: Tensor) -> None:
    model = trained(Block())
    layer = resolve_target_layer(model, (8, 8))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    wrong: list[str] = []
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            if not all(module.training for module in model.modules()):
                wrong.append("eval mode")
            optimizer.zero_grad()
            model(noise).sum().backward()
            optimizer.step()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(60):
            assert heatmaps(model, noise, [0, 1, 2], layer).isfinite().all()
    finally:
        stop.set()
        thread.join()
    assert wrong == []


def changes(method: ast.AST) -> Iterator[str]:
    """What a method changes, apart from its own names."""
    collections = {*dir(list), *dir(dict), *dir(set)} - {*dir(tuple), "copy", "get", "items", "keys", "values"}
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield ast.unparse(node)
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            in_place = name.endswith("_") and not name.endswith("__")
            if in_place or name in collections or name in {"setattr", "vars"} or name.startswith("register_"):
                yield ast.unparse(node)


def modules_of(entry: str) -> list[type[nn.Module]]:
    """The class of this name, or all classes of modules in the file of this name."""
    try:
        file = import_module(entry)
    except ModuleNotFoundError:
        path, _, name = entry.rpartition(".")
        return [getattr(import_module(path), name)]
    kinds = [kind for kind in vars(file).values() if isinstance(kind, type) and kind.__module__ == entry]
    return [kind for kind in kinds if issubclass(kind, nn.Module)]


NEVER_IN_A_FORWARD = {
    "__init__": "builds",
    "_get_stage_args": "builds",
    "_initialize_weights": "builds",
    "_load_from_state_dict": "loads",
    "_make_layer": "builds",
    "as_sequential": "converts",
    "forward_intermediates": "is called in place of a forward",
    "init_weights": "builds",
    "over": "builds",
    "prune_intermediate_layers": "is called by hand",
    "reset": "is called by hand",
    "reset_classifier": "is called by hand",
    "reset_parameters": "builds",
    "set_grad_checkpointing": "is called by hand",
    "zero_init_last": "builds",
}


@pytest.mark.parametrize("entry", sorted(KEEP_NOTHING))
def test_no_forward_of_these_modules_changes_one(entry: str) -> None:
    kinds = modules_of(entry)
    assert kinds
    for kind in kinds:
        for base in kind.__mro__[: kind.__mro__.index(nn.Module)]:
            if base.__module__.startswith("torch.nn."):
                continue
            (source,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(source, ast.ClassDef)
            for method in source.body:
                if isinstance(method, ast.FunctionDef) and method.name not in NEVER_IN_A_FORWARD:
                    assert not [*changes(method)], f"{base.__qualname__}.{method.name}"
                    names = {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
                    assert not names & {*NEVER_IN_A_FORWARD}, f"{base.__qualname__}.{method.name}"


class Noting(nn.Module):
    """Keeps something on another module."""

    def __init__(self, on: nn.Module) -> None:
        super().__init__()
        self.on = [on]

    def forward(self, x: Tensor) -> Tensor:
        self.on[0].noted = x
        return x


def note_in_a_module(model: nn.Module, block: nn.Module) -> None:
    model.global_pool = nn.Sequential(model.get_submodule("global_pool"), Noting(block)).eval()


def note_in_a_hook(model: nn.Module, block: nn.Module) -> None:
    model.get_submodule("conv_head").register_forward_hook(
        lambda module, _, output: setattr(block, "noted", output)
    )


def note_in_a_forward(model: nn.Module, block: nn.Module) -> None:
    head = model.get_submodule("conv_head")
    forward = head.forward

    def noting(x: Tensor) -> Tensor:
        block.noted = head.noted = x
        return forward(x)

    head.forward = noting


def note_in_a_method(model: nn.Module, block: nn.Module) -> None:
    features: Any = model.forward_features

    def noting(x: Tensor) -> Tensor:
        block.noted = model.noted = x
        return features(x)

    model.forward_features = noting


def note_in_a_hook_on_all(model: nn.Module, block: nn.Module) -> None:
    register_module_forward_hook(lambda module, _, output: setattr(block, "noted", output))


def note_in_a_class(model: nn.Module, block: nn.Module) -> None:
    forward = type(block).forward

    @functools.wraps(forward)
    def noting(self: Any, x: Tensor) -> Tensor:
        self.noted = x
        return forward(self, x)

    type(block).forward = noting


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(DepthwiseSeparableConv, "forward", DepthwiseSeparableConv.forward)
    yield
    _global_forward_hooks.clear()


NOTES = [note_in_a_module, note_in_a_hook, note_in_a_hook_on_all]
NOTES += [note_in_a_forward, note_in_a_method, note_in_a_class]


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("note", NOTES)
def test_what_other_code_keeps_on_modules_of_a_library_goes(
    note: Callable[[nn.Module, nn.Module], None], inside: bool
) -> None:
    network = timm.create_model("tf_efficientnet_lite0").eval()
    model = nn.Sequential(network).eval() if inside else network
    block, images, layer = (
        network.get_submodule("blocks.0.0"),
        torch.randn(1, 3, 64, 64),
        "0.bn2" if inside else "bn2",
    )
    plain = heatmaps(model, images, 0, layer)
    note(network, block)
    model(images)
    assert "noted" in vars(block)  # this is where it is kept
    for module in model.modules():
        vars(module).pop("noted", None)
    assert torch.equal(heatmaps(model, images, 0, layer), plain)
    assert not [name for name, module in model.named_modules() if "noted" in vars(module)]
