"""A backward that skips the rows of zeros in a gradient gives what autograd gives, from fewer products."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradcam import gradients, heatmaps, zero_rows
from gradcam.gradients import differentiate
from gradcam.zero_rows import SkippingZeroRows


class Products(TorchDispatchMode):
    """Counts the multiplications in products of matrices, the rows of queries in backwards of attention, and the
    numbers in those of activation functions and normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.queries = self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mm.default:
            self.products += args[0].numel() * args[1].shape[1]
        if func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
            self.queries += args[1].shape[2]
        if func in (torch.ops.aten.gelu_backward.default, torch.ops.aten.native_layer_norm_backward.default):
            self.numbers += args[0].numel()
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_skipped() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "may_skip", lambda start, cotangents: False)
        yield


def transformer(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "img_size": 96,
        "patch_size": 8,
        "embed_dim": 96,
        "depth": 2,
        "num_heads": 3,
        "num_classes": 6,
    }
    return timm.create_model("vit_tiny_patch16_224", **size, **options).eval().requires_grad_(False)


IMAGES = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def backward(model: nn.Module, precision: torch.dtype) -> tuple[Tensor, Products]:
    """The gradients of three logits at the input of the last block's attention, and what they took."""
    model, kept = model.to(precision), list[Tensor]()

    def keep(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    with model.get_submodule("blocks.1.norm1").register_forward_hook(keep):
        logits = model(IMAGES.to(precision))
    cotangents = torch.eye(6, dtype=precision)[:3, None].expand(3, 2, 6)
    with Products() as counted:
        (found,) = differentiate(logits, cotangents, kept)
    return found, counted


@pytest.mark.parametrize("options", [{}, {"init_values": 0.5}], ids=["plain", "layer scale"])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_behind_the_last_attention_only_the_class_token_is_multiplied(
    precision: torch.dtype, options: dict[str, Any]
) -> None:
    model = transformer(**options)
    with nothing_skipped():
        expected, whole = backward(model, precision)
    found, few = backward(model, precision)
    close = 1e-5 if precision is torch.float32 else 1e-13
    assert torch.allclose(found, expected, rtol=0, atol=close * float(expected.abs().max()))
    assert (whole.queries > 0, few.queries) == (True, 0)
    assert few.products < whole.products / 100
    assert few.numbers == whole.numbers / 145


class Separate(nn.Module):
    """A block of attention whose queries, keys and values come of matrices of their own, and a head behind."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.ways = scale, nn.ModuleList(nn.Linear(96, 96) for _ in range(4))
        self.pooler, self.head = nn.Linear(96, 96), nn.Linear(96, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        *sources, out = self.ways
        heads = [way(tokens).view(2, 145, 3, 32).transpose(1, 2) for way in sources]
        mixed = nn.functional.scaled_dot_product_attention(*heads, scale=self.scale)
        tokens = tokens + out(mixed.transpose(1, 2).reshape(2, 145, 96))
        return self.head(self.pooler(tokens[:, 0]).tanh())


@pytest.mark.parametrize("scale", [None, 0.7])
def test_keys_and_values_of_their_own_matrices_are_outer_products_too(scale: float | None) -> None:
    model, tokens = Separate(scale).double().requires_grad_(False), TOKENS.double().requires_grad_()
    cotangents = torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    with Products() as few:
        (found,) = differentiate(model(tokens), cotangents, [tokens])
    with nothing_skipped():
        (expected,) = differentiate(model(tokens), cotangents, [tokens])
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)
    assert few.queries == 0


@pytest.mark.parametrize("options", [{"qk_norm": True}, {"fc_norm": True}, {"class_token": True, "reg_tokens": 4}])
def test_other_ends_of_transformers_have_the_gradients_of_autograd(options: dict[str, Any]) -> None:
    model = transformer(**options)
    with nothing_skipped():
        expected, _ = backward(model, torch.float64)
    found, _ = backward(model, torch.float64)
    assert torch.allclose(found, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize(("options", "walks"), [({}, 1), ({"qk_norm": True}, 1 + 3)], ids=["plain", "mixed"])
def test_all_classes_go_back_in_one_walk_if_nothing_on_the_way_mixes_their_numbers(
    options: dict[str, Any], walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grad, starts = torch.autograd.grad, list[object]()
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *args, **named: (starts.append(args[0]), grad(*args, **named))[1]
    )
    backward(transformer(**options), torch.float32)
    assert len(starts) == walks


def test_where_the_scores_read_all_tokens_nothing_is_skipped() -> None:
    model = transformer(global_pool="avg", class_token=False)
    with nothing_skipped():
        expected, whole = backward(model, torch.float32)
    found, all_of_it = backward(model, torch.float32)
    assert torch.equal(found, expected)
    assert (all_of_it.products, all_of_it.queries) == (whole.products, whole.queries)


def test_attention_with_a_mask_is_left_to_pytorch() -> None:
    q, k, v = torch.randn(3, 1, 4, 96, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    mask = torch.zeros(96, 96).masked_fill(torch.ones(96, 96).triu(1).bool(), -torch.inf)
    cotangent = torch.ones(2, 1, 4, 32)
    several: list[dict[str, Any]] = [{"is_causal": True}, {"attn_mask": mask}]
    for options in several:
        out = nn.functional.scaled_dot_product_attention(q, k, v, **options)[:, :, 5]
        found = differentiate(out, cotangent, [q, k, v])
        with nothing_skipped():
            expected = differentiate(out, cotangent, [q, k, v])
        assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("to_layout", [Tensor.to_sparse_coo, Tensor.to_sparse_csr])
def test_a_sparse_head_is_left_to_pytorch(to_layout: Callable[[Tensor], Tensor]) -> None:
    weights = torch.randn(200, 96, generator=torch.Generator().manual_seed(3)).relu()
    tokens = torch.randn(2, 145, 96, generator=torch.Generator().manual_seed(4)).requires_grad_()
    cotangents = torch.eye(200)[:3, None].expand(3, 2, 200)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # CSR is in beta, says PyTorch
        scores = torch.sparse.mm(to_layout(weights), tokens[:, 0].T).T
        (found,) = differentiate(scores, cotangents, [tokens])
    assert torch.allclose(found[:, :, 0], weights[:3, None].expand(3, 2, 96))
    assert not found[:, :, 1:].any()


@pytest.mark.parametrize("to_layout", [Tensor.to_sparse_csr, Tensor.to_sparse_csc])
def test_a_gradient_of_few_rows_is_multiplied_by_a_sparse_matrix(to_layout: Callable[[Tensor], Tensor]) -> None:
    gradient = torch.zeros(512, 64)
    gradient[7], weights = 1, torch.randn(64, 96, generator=torch.Generator().manual_seed(5)).relu()
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        sparse = to_layout(weights)
        with SkippingZeroRows():
            found = torch.mm(gradient, sparse)
    assert torch.allclose(found, gradient @ weights)


TOKENS = torch.randn(2, 145, 96, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize(
    "read",
    [
        lambda tokens: tokens[:, 0],
        lambda tokens: tokens[:, -1],
        lambda tokens: (tokens * TOKENS)[:, 3],
        lambda tokens: (tokens.roll(1, 1) + tokens)[:, 0],
        lambda tokens: torch.cat([tokens, tokens.flip(1)], 2)[:, 2, 48:144],
        lambda tokens: nn.functional.layer_norm(tokens, (145, 96))[:, 2],
        lambda tokens: nn.functional.silu(tokens).relu()[:, 7],
        lambda tokens: (tokens.mT @ torch.ones(145, 145)).mT[:, 7],
        lambda tokens: tokens.sin()[:, 7] + tokens[:, 8] - tokens[:, 7],
    ],
)
def test_the_gradient_of_a_token_is_a_plain_tensor_in_the_end(read: Callable[[Tensor], Tensor]) -> None:
    tokens = TOKENS.clone().requires_grad_()
    cotangents = torch.randn(3, 2, 96, generator=torch.Generator().manual_seed(7))
    (found,) = differentiate(read(tokens), cotangents, [tokens])
    with nothing_skipped():
        (expected,) = differentiate(read(tokens), cotangents, [tokens])
    assert type(found) is Tensor
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


class InNumPy(torch.autograd.Function):
    """Doubles tokens; its backward reads the memory of the gradient."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> Tensor:
        return 2 * tokens

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.from_numpy(2 * gradients[0].numpy())


def test_a_backward_that_reads_memory_is_given_all_rows() -> None:
    tokens = TOKENS.clone().requires_grad_()
    (found,) = differentiate(InNumPy.apply(tokens)[:, 0], torch.ones(1, 2, 96), [tokens])
    assert found[0, :, 0].unique().tolist() == [2]
    assert not found[:, :, 1:].any()


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 6)).eval()


@pytest.mark.parametrize(
    ("model", "layer", "watches"),
    [
        (convolutions(), "1", False),
        (transformer(global_pool="avg", class_token=False), "blocks.1.norm1", False),
        (transformer(), "blocks.1.norm1", True),
    ],
    ids=["convolutions", "all tokens", "the class token"],
)
def test_only_where_the_scores_read_a_part_every_operation_is_looked_at(
    model: nn.Module, layer: str, watches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, look = list[Any](), SkippingZeroRows.__torch_dispatch__

    def looked(self: SkippingZeroRows, func: Any, *args: Any) -> Any:
        seen.append(func)
        return look(self, func, *args)

    monkeypatch.setattr(SkippingZeroRows, "__torch_dispatch__", looked)
    heatmaps(model, IMAGES, 0, layer, method=["LayerCAM", "FullGrad"])
    assert bool(seen) == watches


def test_numbers_that_are_not_finite_are_not_zeros() -> None:
    gradient = torch.zeros(512, 64)
    gradient[7, 3], gradient[9] = torch.nan, 1
    assert (rows := zero_rows._few_rows(gradient)) is not None
    assert rows.tolist() == [7, 9]
    assert zero_rows._few_rows(torch.ones(512, 64)) is None
    assert zero_rows._few_rows(gradient[:100]) is None  # too small to look


def test_maps_are_the_same_with_rows_skipped() -> None:
    model = transformer()
    names = ["Grad-CAM", "HiResCAM", "Finer-CAM", "LeGrad", "Generic attention"]
    found = heatmaps(model, IMAGES, [0, 4], method=names)
    with nothing_skipped():
        expected = heatmaps(model, IMAGES, [0, 4], method=names)
    for name, one, other in zip(names, found, expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5 * float(other.abs().max())), name
