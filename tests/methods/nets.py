"""Small networks with random weights, one for each way in which activations and scores may lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcam.types import TargetLayer


class PooledHead(nn.Module):
    """As in a ResNet: the scores are one linear layer of the means."""

    layer = TargetLayer("body", (6, 6), 5, "by hand")

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 5, 3, 1, 1), nn.ReLU())
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class DeepHead(PooledHead):
    """As in VGG: max pooling, an average over 3×3 places and two layers follow the target layer."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.middle = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)), nn.Linear(20, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.pool(self.body(x)).flatten(1)).relu())


class ChannelsLast(PooledHead):
    """As in Swin: channels last, with signs, and a norm before the pooling."""

    layer = TargetLayer("last", (6, 6), 5, "by hand", "NHWC")

    def __init__(self) -> None:
        super().__init__()
        self.last, self.norm = nn.Linear(5, 5), nn.LayerNorm(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.last(self.body(x).permute(0, 2, 3, 1))).mean((1, 2)))


class Tokens(PooledHead):
    """As in a ViT: a class token before the places, attention, and a head on the class token."""

    layer = TargetLayer("norm", (6, 6), 8, "by hand", "tokens", 1)

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(1, 1, 8))
        self.norm, self.qkv, self.head = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).mT], 1)
        q, k, v = self.qkv(self.norm(tokens)).chunk(3, -1)
        return self.head((tokens + (q @ k.mT / 8**0.5).softmax(-1) @ v)[:, 0])


class Block(nn.Module):
    """A transformer's block with PyTorch's fused attention, two heads of 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.mix = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.mix(x).relu()


class Blocks(PooledHead):
    """As in a ViT with a register: two leading tokens, three blocks, and a head on the mean of all places."""

    layer = TargetLayer("blocks.2.norm", (6, 6), 8, "by hand", "tokens", 2)

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.leading = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(1, 2, 8))
        self.blocks, self.norm, self.head = (
            nn.Sequential(Block(), Block(), Block()),
            nn.LayerNorm(8),
            nn.Linear(8, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.leading.expand(len(x), -1, -1), self.patches(x).flatten(2).mT], 1)
        return self.head(self.norm(self.blocks(tokens))[:, 2:].mean(1))


NETS: tuple[type[PooledHead], ...] = (PooledHead, DeepHead, ChannelsLast, Tokens, Blocks)


def net(kind: type[PooledHead], seed: int = 0) -> PooledHead:
    """A network in float64 and evaluation mode; gradients are of the size of trained networks' logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind().double().eval()
        nn.init.normal_(model.head.weight, std=3)
    return model.requires_grad_(False)


def images(count: int = 2, seed: int = 1, size: int = 12) -> Tensor:
    """`[count, 3, size, size]` in float64."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walked(model: PooledHead, batch: Tensor, classes: list[int]) -> tuple[Tensor, Tensor]:
    """The target layer's output `[B, C, h, w]` and its gradients `[K, B, C, h, w]`, by nothing but PyTorch."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        found.append(output.detach().requires_grad_())
        return found[-1]

    handle = model.get_submodule(model.layer.name).register_forward_hook(keep)
    try:
        scores = model(batch)
    finally:
        handle.remove()
    (output,) = found
    grads = [torch.autograd.grad(scores[:, one].sum(), output, retain_graph=True)[0] for one in classes]
    layer = model.layer

    def grid(values: Tensor) -> Tensor:
        if layer.layout == "NHWC":
            return values.permute(0, 3, 1, 2)
        return values[:, layer.prefix :].mT.unflatten(2, layer.grid) if layer.layout == "tokens" else values

    return grid(output.detach()), torch.stack([grid(one) for one in grads])
