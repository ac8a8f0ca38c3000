"""A backward that skips the rows of zeros in a gradient gives what autograd gives, from fewer products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradcam import heatmaps, zero_rows
from gradcam.gradients import differentiate


class Products(TorchDispatchMode):
    """Counts the multiplications in products of matrices, and the rows of queries in backwards of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.queries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mm.default:
            self.products += args[0].numel() * args[1].shape[1]
        if func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
            self.queries += args[1].shape[2]
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_skipped() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zero_rows, "_SKIPPING", {})
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


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_behind_the_last_attention_only_the_class_token_is_multiplied(precision: torch.dtype) -> None:
    model = transformer()
    with nothing_skipped():
        expected, whole = backward(model, precision)
    found, few = backward(model, precision)
    close = 1e-5 if precision is torch.float32 else 1e-13
    assert torch.allclose(found, expected, rtol=0, atol=close * float(expected.abs().max()))
    assert whole.queries == 3 * 145
    assert few.queries == 3 * 1
    assert few.products < 0.4 * whole.products  # what is left is of the keys and values, which every token has


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
    cotangent = torch.zeros(2, 1, 4, 96, 32)
    cotangent[:, :, :, 5] = 1
    several: list[dict[str, Any]] = [{"is_causal": True}, {"attn_mask": mask}]
    for options in several:
        out = nn.functional.scaled_dot_product_attention(q, k, v, **options)
        found = differentiate(out, cotangent, [q, k, v])
        with nothing_skipped():
            expected = differentiate(out, cotangent, [q, k, v])
        assert all(map(torch.equal, found, expected))


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
