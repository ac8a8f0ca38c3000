"""Methods for transformers are what their papers say, however attention is computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from weakref import ReferenceType, ref

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torchvision.models import VisionTransformer, resnet18

import gradcam.attention
import gradcam.gradients
from gradcam import MethodError, TargetLayer, heatmaps
from gradcam.capture import Ends, Trace
from gradcam.gradients import differentiate
from gradcam.methods import METHODS
from gradcam.signals import LayerSignals
from tests.methods.nets import Blocks, Tokens, images, net

Maps = NDArray[np.float64]
NAMES = [name for name, method in METHODS.items() if "attention" in method.needs]
CLASSES = [3, 1]


@dataclass(frozen=True)
class Transformer:
    """A small transformer in float64, with random weights.

    blocks: by name. end: the scores made of what leaves a block. read: the tokens that the scores read.
    """

    model: nn.Module
    layer: TargetLayer
    blocks: list[str]
    end: Callable[[Tensor], Tensor]
    read: slice


def layer(name: str, prefix: int) -> TargetLayer:
    return TargetLayer(name, (4, 4), 16, "by hand", "tokens", prefix)


def of_timm(name: str, prefix: int, **options: object) -> Transformer:
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 4}
    model = timm.create_model(name, **size, **options)
    names = ["blocks.0", "blocks.1"]
    read = slice(0, 2 if "distilled" in name else 1)
    return Transformer(
        model, layer("blocks.1.norm1", prefix), names, lambda z: model.forward_head(model.norm(z)), read
    )


def of_torchvision() -> Transformer:
    model = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=4)
    nn.init.normal_(model.heads.head.weight)
    names = [f"encoder.layers.encoder_layer_{number}" for number in range(2)]
    return Transformer(
        model, layer(f"{names[1]}.ln_1", 1), names, lambda z: model.heads(model.encoder.ln(z)[:, 0]), slice(0, 1)
    )


def of_hugging_face() -> Transformer:
    import transformers  # takes seconds, which no other test of this file needs

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=32, patch_size=8, num_labels=4, **sizes)
    )
    names = ["vit.layers.0", "vit.layers.1"]
    return Transformer(
        model,
        layer("vit.layers.1.layernorm_before", 1),
        names,
        lambda z: model.classifier(model.vit.layernorm(z)[:, 0]),
        slice(0, 1),
    )


def of_beit() -> Transformer:
    """Its mask, a bias for each pair of places, has a gradient: PyTorch does not fuse such attention."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 4}
    model = timm.create_model("beit_base_patch16_224", **sizes)
    nn.init.normal_(model.head.weight)
    return Transformer(
        model, layer("blocks.1.norm1", 1), ["blocks.0", "blocks.1"], model.forward_head, slice(1, None)
    )


def of_our_own() -> Transformer:
    model = net(Blocks)
    names = ["blocks.0", "blocks.1", "blocks.2"]
    return Transformer(
        model, model.layer, names, lambda z: model.head(model.norm(z)[:, 2:].mean(1)), slice(2, None)
    )


KINDS: dict[str, Callable[[], Transformer]] = {
    "our own": of_our_own,
    "timm ViT": lambda: of_timm("vit_tiny_patch16_224", 1),
    "timm ViT with registers": lambda: of_timm("vit_tiny_patch16_224", 5, reg_tokens=4),
    "DeiT": lambda: of_timm("deit_tiny_distilled_patch16_224", 2),
    "BEiT": of_beit,
    "torchvision ViT": of_torchvision,
    "Hugging Face ViT": of_hugging_face,
}


@pytest.fixture(scope="module", params=KINDS)
def transformer(request: pytest.FixtureRequest) -> Transformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = KINDS[request.param]()
    found.model.double().eval().requires_grad_(request.param == "BEiT")
    return found


def walked(found: Transformer, batch: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The attention `[B, heads, N, N]` and the output of every block, and the scores; attention is written out."""
    attention: list[Tensor] = []
    outputs: list[Tensor] = []

    def attend(
        q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, *_: object, **__: object
    ) -> Tensor:
        scores = q @ k.mT / q.shape[-1] ** 0.5
        attention.append((scores if attn_mask is None else scores + attn_mask).softmax(-1).requires_grad_())
        return attention[-1] @ v

    with pytest.MonkeyPatch.context() as patch, ExitStack() as hooks:
        patch.setattr(nn.functional, "scaled_dot_product_attention", attend)
        for name in found.blocks:
            module = found.model.get_submodule(name)
            hooks.callback(module.register_forward_hook(lambda *call: outputs.append(call[2])).remove)
        scores = found.model(batch.clone().requires_grad_())
    return attention, outputs, scores if isinstance(scores, Tensor) else scores.logits


def gradients(score: Tensor, attention: list[Tensor]) -> list[Maps]:
    return [one.numpy() for one in torch.autograd.grad(score, attention, retain_graph=True)]


def on_grid(found: Transformer, tokens: Maps) -> Maps:
    """The places of `[N]` tokens."""
    return tokens[found.layer.prefix :].reshape(found.layer.grid)


def rollout(found: Transformer, attention: list[Maps]) -> Maps:
    joint = np.eye(attention[0].shape[-1])
    for one in attention:
        joint = (one.mean(0) + np.eye(len(joint))) / 2 @ joint
    return on_grid(found, joint[found.read].mean(0))


def generic(found: Transformer, attention: list[Maps], slopes: list[Maps]) -> Maps:
    relevance = np.eye(attention[0].shape[-1])
    for one, slope in zip(attention, slopes, strict=True):
        relevance = relevance + np.maximum(slope * one, 0).mean(0) @ relevance
    return on_grid(found, (relevance - np.eye(len(relevance)))[found.read].mean(0))


def legrad(found: Transformer, own: list[Maps]) -> Maps:
    return on_grid(found, np.mean([np.maximum(one, 0).mean((0, 1)) for one in own], axis=0))


def test_each_map_is_the_papers_step_by_step(transformer: Transformer) -> None:
    batch = images(size=12 if isinstance(transformer.model, Blocks) else 32)
    names = ["Attention rollout", "Generic attention", "LeGrad"]
    found = heatmaps(transformer.model, batch, CLASSES, transformer.layer, method=names)
    attention, outputs, scores = walked(transformer, batch)
    values = [one.detach().numpy() for one in attention]
    ends = [transformer.end(output) for output in outputs]
    assert torch.allclose(ends[-1], scores)
    for k, target in enumerate(CLASSES):
        slopes = gradients(scores[:, target].sum(), attention)
        own = [gradients(end[:, target].sum(), [one])[0] for end, one in zip(ends, attention, strict=True)]
        for image in range(len(batch)):
            expected = (
                rollout(transformer, [one[image] for one in values]),
                generic(transformer, [one[image] for one in values], [one[image] for one in slopes]),
                legrad(transformer, [one[image] for one in own]),
            )
            for name, maps, reference in zip(names, found, expected, strict=True):
                assert maps[image, k].numpy() == pytest.approx(reference, abs=1e-9 * reference.max()), name


def test_legrad_of_a_function_takes_its_gradient_at_what_each_block_ends_in() -> None:
    found, batch = of_our_own(), images()

    def evidence(logits: Tensor) -> Tensor:
        return logits.log_softmax(-1)[0]

    maps = heatmaps(found.model, batch, evidence, found.layer, method="LeGrad")
    attention, outputs, _ = walked(found, batch)
    pairs = [
        (found.end(output).log_softmax(-1)[:, 0].sum(), one) for output, one in zip(outputs, attention, strict=True)
    ]
    own = [gradients(score, [one])[0] for score, one in pairs]
    for image in range(len(batch)):
        expected = legrad(found, [one[image] for one in own])
        assert maps[image, 0].numpy() == pytest.approx(expected, abs=1e-9 * expected.max())


class Reshaped(Blocks):
    """Its end remembers how many images came in, so that it takes no further ones."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.leading.expand(len(x), -1, -1), self.patches(x).flatten(2).mT], 1)
        return self.head(self.norm(self.blocks(tokens))[:, 2:].reshape(len(x), -1, 8).mean(1))


@pytest.mark.parametrize(("kind", "forwards"), [(Blocks, 3), (Reshaped, 6)])  # the ends of all blocks, or of each
def test_legrad_takes_the_ends_of_all_blocks_from_one_forward_where_it_can(
    kind: type[Blocks], forwards: int
) -> None:
    model, batch = net(kind), images()
    expected = heatmaps(net(Blocks), batch, CLASSES, model.layer, method="LeGrad")
    heatmaps(model, batch, CLASSES, model.layer)  # what is learnt of a model once
    ran: list[object] = []
    model.patches.register_forward_hook(lambda *call: ran.append(len(call[2])))
    found = heatmaps(model, batch, CLASSES, model.layer, method="LeGrad")
    assert torch.allclose(found, expected, rtol=0, atol=1e-9 * float(expected.max()))
    assert len(ran) == forwards


def test_legrad_drops_the_forward_of_each_block_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    made, alive, traced = list[ReferenceType[Trace]](), list[int](), LayerSignals._traced

    def counted(signals: LayerSignals, ends: Ends | None) -> Trace:
        alive.append(sum(one() is not None for one in made))
        found = traced(signals, ends)
        made.append(ref(found))
        return found

    monkeypatch.setattr(LayerSignals, "_traced", counted)
    model = net(Reshaped)
    heatmaps(model, images(), CLASSES, model.layer, method="LeGrad")
    assert alive == [0, 1, 1, 1, 1]  # the model's own, that of all blocks, which fails, and that of each


@pytest.mark.parametrize("name", ["Generic attention", "LeGrad"])
def test_gradients_of_many_classes_are_in_memory_a_few_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def counted(start: Tensor, cotangents: Tensor, ends: list[GradientEdge]) -> list[Tensor]:
        counts.append(len(cotangents))
        return differentiate(start, cotangents, ends)

    monkeypatch.setattr(gradcam.attention, "differentiate", counted)
    model, batch = net(Blocks), images(1)
    together = heatmaps(model, batch, [3, 1, 0], model.layer, method=name)
    assert max(counts) == 3
    counts.clear()
    monkeypatch.setattr(gradcam.gradients, "LEAST_CHUNK", 1)
    one_by_one = heatmaps(model, batch, [3, 1, 0], model.layer, method=name)
    assert max(counts) == 1
    assert torch.allclose(one_by_one, together, rtol=0, atol=1e-9 * float(together.max()))


@pytest.mark.parametrize("name", ["SmoothGrad(Grad-CAM)", "Generic attention", "LeGrad", "FullGrad"])
def test_every_forward_of_a_method_runs_in_the_callers_autocast(name: str) -> None:
    model, computed_in = net(Blocks).float(), set[torch.dtype]()
    model.head.register_forward_hook(lambda *call: computed_in.add(call[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        maps = heatmaps(model, images(1).float(), 0, model.layer, method=name)
    assert maps.dtype == torch.float32
    assert computed_in == {torch.bfloat16}


def test_attention_that_a_model_writes_out_is_read_too() -> None:
    """The `Tokens` net has one block, whose softmax is a function of one head."""
    model, batch = net(Tokens), images()
    (rolled, generic) = heatmaps(model, batch, [1], model.layer, method=["Attention rollout", "Generic attention"])
    tokens = torch.cat([model.token.expand(2, -1, -1), model.patches(batch).flatten(2).mT], 1)
    q, k, v = model.qkv(model.norm(tokens)).chunk(3, -1)
    attention = (q @ k.mT / 8**0.5).softmax(-1).requires_grad_()
    (slopes,) = torch.autograd.grad(model.head((tokens + attention @ v)[:, 0])[:, 1].sum(), attention)
    assert torch.allclose(rolled.flatten(1), attention[:, 0, 1:] / 2)
    assert torch.allclose(generic.flatten(1), (slopes * attention).relu()[:, 0, 1:])


def test_a_rollout_adds_up_to_what_the_scores_read_of_the_photo(transformer: Transformer) -> None:
    batch = images(size=12 if isinstance(transformer.model, Blocks) else 32)
    maps = heatmaps(transformer.model, batch, 0, transformer.layer, method="attention rollout")
    assert (maps > 0).all()
    assert (maps.sum((2, 3)) < 1).all()  # the rest is read of the class token or registers


def of_class_attention() -> nn.Module:
    """A CaiT of one block, whose class attention, one row of all tokens, is written out."""
    sizes = {"img_size": 56, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 4}
    model = timm.create_model("cait_xxs24_224", **sizes)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return model


class Mixed(Blocks):
    """Three tokens, each made of the whole photo: no layer has a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * 12 * 12, 3 * 8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.flatten(1)).unflatten(1, (3, 8))
        return self.head(self.norm(self.blocks(tokens))[:, 0])


@pytest.mark.parametrize("name", NAMES)
def test_another_layer_of_the_same_grid_gives_the_same_map(name: str) -> None:
    model, batch = net(Blocks), images()
    late, early = (
        heatmaps(model, batch, CLASSES, replace(model.layer, name=f"blocks.{number}.norm"), method=name)
        for number in (2, 0)
    )
    assert torch.equal(late, early)
    assert late.max() > 0
    assert not METHODS[name].reads_layer


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_a_target_layer_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(
        MethodError, match=r"expected a model with a target layer, .* got one that has none; use RISE"
    ):
        heatmaps(net(Mixed), images(), CLASSES, method=name)


def test_nothing_of_the_model_is_switched_meanwhile() -> None:
    found = of_timm("vit_tiny_patch16_224", 1)
    fused = {
        name: module.fused_attn for name, module in found.model.named_modules() if hasattr(module, "fused_attn")
    }
    used: set[object] = set()
    for name in fused:
        module = found.model.get_submodule(name)
        module.register_forward_hook(lambda module, *_: used.add((module.fused_attn, module.training)))
    found.model.eval()
    heatmaps(found.model, images(1, size=32).float(), 0, found.layer, method=NAMES)
    assert used == {(True, False)}
    assert all(found.model.get_submodule(name).fused_attn for name in fused)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("build", "grid", "words"),
    [
        (lambda: resnet18(num_classes=4), TargetLayer("layer4", (2, 2), 512, "by hand"), "got one that has none"),
        (
            lambda: timm.create_model(
                "swin_tiny_patch4_window7_224", img_size=56, window_size=7, num_classes=4, depths=(2,), embed_dim=12
            ),
            TargetLayer("norm", (14, 14), 12, "by hand", "NHWC"),
            "such as within windows",
        ),
        (of_class_attention, TargetLayer("blocks.0.norm1", (7, 7), 16, "by hand", "tokens"), "or between fewer"),
    ],
    ids=["ResNet", "Swin", "CaiT"],
)
def test_a_model_without_such_attention_is_refused_in_a_sentence(
    build: Callable[[], nn.Module], grid: TargetLayer, words: str, name: str
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
    with pytest.raises(MethodError, match=words):
        heatmaps(model, images(1, size=56).float(), 0, grid, method=name)
