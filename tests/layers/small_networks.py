"""Small networks whose places can be moved and mixed on purpose, and how far a layer is off."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gradcam.capture import record
from gradcam.layers.layouts import to_grid
from gradcam.layers.placement import orbit
from gradcam.types import TargetLayer

SIDE, PATCH, WIDTH = 64, 8, 32


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
