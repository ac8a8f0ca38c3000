"""Methods over the whole model, down to its pixels or at several of its layers, are what their papers say."""

from __future__ import annotations

import itertools

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from gradcam import MethodError, candidate_layers, heatmaps
from gradcam.biases import at_places, full_gradients
from gradcam.capture import trace
from tests.methods.nets import Blocks, DeepHead, PooledHead, Tokens, images, net

CLASSES = [2, 0]


class Normed(PooledHead):
    """Every kind of bias that a network of ReLUs has; the second norm computes its ReLU itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, 1), BatchNormAct2d(5))
        for norm in (self.norms[0], self.norms[3]):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.middle = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.norms(self.body(x)).mean((2, 3))).relu())


def one_hot(classes: list[int], count: int) -> Tensor:
    return torch.eye(4).double()[classes][:, None].expand(-1, count, -1)


@pytest.mark.parametrize("kind", [PooledHead, DeepHead, Normed])
def test_pixels_and_biases_add_up_to_the_score(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    shares = [values.flatten(2).sum(2) for values, _ in full_gradients(trace(model, batch), one_hot(CLASSES, 2))]
    assert torch.allclose(sum(shares), model(batch)[:, CLASSES].T, rtol=1e-12)
    assert len(shares) == {PooledHead: 4, DeepHead: 5, Normed: 8}[kind]


def test_the_biases_of_linear_layers_and_layer_norms_lie_at_their_tokens() -> None:
    model, batch = net(Blocks), images()
    shares = [
        at_places(*share, model.layer, 2, (12, 12))
        for share in full_gradients(trace(model, batch), one_hot([1], 2))
    ]
    placed = [tuple(share.shape[3:]) for share in shares if share is not None]
    assert placed == [(12, 12)] + [(6, 6)] * 11  # the pixels, the patches, three in each block and the last norm
    assert len(shares) == len(placed) + 1  # the head's


class Windows(PooledHead):
    """As in Swin: between the places, a layer runs within windows of 3×3, which it takes for further images."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        windows = features.unflatten(3, (2, 3)).unflatten(2, (2, 3)).permute(0, 2, 4, 3, 5, 1).reshape(-1, 9, 5)
        mixed = self.within(windows).unflatten(1, (3, 3)).unflatten(0, (len(x), 2, 2))
        return self.head(features.mean((2, 3)) + mixed.mean((1, 2, 3, 4)))


class Pairs(Tokens):
    """As in CaiT: a layer mixes the attention of all heads, `[B, N, N, heads]`."""

    def __init__(self) -> None:
        super().__init__()
        self.mixes = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).mT], 1)
        q, k, v = self.qkv(self.norm(tokens)).chunk(3, -1)
        attention = self.mixes((q @ k.mT)[..., None])[..., 0].softmax(-1)
        return self.head((tokens + attention @ v)[:, 0])


@pytest.mark.parametrize("kind", [Windows, Pairs])
def test_biases_within_windows_or_between_tokens_have_no_places(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    shares = [*full_gradients(trace(model, batch), one_hot([1], 2))]
    placed = [share for share in (at_places(*one, model.layer, 2, (12, 12)) for one in shares) if share is not None]
    assert len(placed) == len(shares) - 2  # such a layer's, and the head's
    together = heatmaps(model, batch, CLASSES, model.layer, method="FullGrad")
    alone = heatmaps(model, batch[1:], CLASSES, model.layer, method="FullGrad")
    assert together.shape == (2, 2, 12, 12)
    assert torch.allclose(together[1:], alone, rtol=1e-9)


def stretched(share: Tensor) -> Tensor:
    """One photo's |share| `[C, h, w]`, stretched to 0 … 1 and enlarged to 12×12, summed over its channels."""
    sizes = share.abs()
    sizes = (sizes - sizes.min()) / (sizes.max() - sizes.min())
    return nn.functional.interpolate(sizes[None], (12, 12), mode="bilinear")[0].sum(0)


def test_full_grad_adds_up_every_bias_stretched_by_itself() -> None:
    model, batch = net(PooledHead), images()
    found = heatmaps(model, batch, CLASSES, model.layer, method="FullGrad")
    first, _, second, _ = model.body
    for image, photo in enumerate(batch):
        for k, target in enumerate(CLASSES):
            pixels = photo[None].clone().requires_grad_()
            early = first(pixels)
            late = second(early.relu())
            score = model.head(late.relu().mean((2, 3)))[0, target]
            of_pixels, of_early, of_late = torch.autograd.grad(score, [pixels, early, late])
            expected = stretched((pixels * of_pixels)[0].detach())
            expected = expected + stretched(of_early[0] * first.bias[:, None, None])
            expected = expected + stretched(of_late[0] * second.bias[:, None, None])
            assert torch.allclose(found[image, k], expected, rtol=1e-9)


def test_guided_grad_cam_is_grad_cam_times_what_relus_pass_back_above_zero() -> None:
    model, batch = net(DeepHead), images()
    found = heatmaps(model, batch, CLASSES, model.layer, method="Guided Grad-CAM")
    coarse = heatmaps(model, batch, CLASSES, model.layer)
    for k, target in enumerate(CLASSES):
        pixels = batch.clone().requires_grad_()
        values = pixels
        for module in model.body:
            values = module(values)
            if isinstance(module, nn.ReLU):
                values.register_hook(lambda gradient: gradient.clamp(min=0))
        hidden = model.middle(model.pool(values).flatten(1)).relu()
        hidden.register_hook(lambda gradient: gradient.clamp(min=0))
        (gradient,) = torch.autograd.grad(model.head(hidden)[:, target].sum(), pixels)
        fine = nn.functional.interpolate(coarse[:, k, None], (12, 12), mode="bilinear")[:, 0] * gradient.abs().sum(
            1
        )
        for row, column in itertools.product(range(3), range(3)):
            cell = fine[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((1, 2))
            assert torch.allclose(found[:, k, row, column], cell, rtol=1e-9, atol=1e-12 * float(fine.max()))
    assert found.shape == (2, 2, 3, 3)
    assert found.max() > 0


@pytest.mark.parametrize(("add", "named"), [(nn.GELU, "Gelu"), (nn.Identity, "one without any")])
def test_guided_backpropagation_is_refused_without_relus(add: type[nn.Module], named: str) -> None:
    model = net(Tokens)
    model.norm = nn.Sequential(model.norm, add())
    with pytest.raises(MethodError, match=f"whose activation functions are ReLUs, got {named}"):
        heatmaps(model, images(), 0, model.layer, method="Guided Grad-CAM")


class Staged(PooledHead):
    """Two stages, of 6×6 and 3×3 places."""

    def __init__(self) -> None:
        super().__init__()
        self.later = nn.Sequential(nn.Conv2d(5, 5, 2, 2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.later(self.body(x)).mean((2, 3)))


def test_refine_cam_is_the_product_of_the_stages() -> None:
    model, batch = net(Staged), images()
    grids = {layer.grid: layer for layer in candidate_layers(model, (12, 12))}
    assert list(grids) == [(6, 6), (3, 3)]
    expected = torch.ones(()).double()
    for layer in grids.values():
        maps = heatmaps(model, batch, CLASSES, layer, method="Grad-CAM++")
        maps = maps / maps.amax((2, 3), keepdim=True)
        expected = expected * nn.functional.interpolate(maps, max(grids), mode="bilinear")
    found = heatmaps(model, batch, CLASSES, method="RefineCAM")
    assert torch.allclose(found, expected, rtol=1e-9)
    assert found.max() > 0
