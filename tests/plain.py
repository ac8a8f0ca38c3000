"""Classifiers whose every number can be worked out by hand, and a photo for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradcam.models.classifier import Classifier
from gradcam.models.labels import Labels, make_labels
from gradcam.types import ModelSpec, Photo, Preprocessing

AS_IT_IS = Preprocessing((8, 8), (8, 8), mode="squash", interpolation="nearest", mean=(0, 0, 0), std=(1, 1, 1))


def lender(models: Mapping[str, Classifier]) -> Callable[[str], AbstractContextManager[Classifier]]:
    """What opens a model by its name, from these."""
    return lambda name: nullcontext(models[name])


class Colours(nn.Module):
    """A class's logit is `weights` · (mean of red, green, blue, each from 0 to 1) + `bias`.

    The target layer is `grid`, 2×2 cells of the photo's mean colours: a class's map there is
    ReLU(Σ weight · colour) / 4.
    """

    def __init__(self, weights: Sequence[Sequence[float]], bias: Sequence[float]) -> None:
        super().__init__()
        self.grid = nn.Conv2d(3, 3, 4, stride=4)
        self.head = nn.Linear(3, len(weights))
        with torch.no_grad():
            self.grid.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.grid.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
            self.head.weight.copy_(torch.tensor(weights, dtype=torch.float32))
            self.head.bias.copy_(torch.tensor(bias, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.grid(pixels).mean((2, 3)))


def classifier(
    names: Sequence[str] | Labels,
    weights: Sequence[Sequence[float]],
    bias: Sequence[float] | None = None,
    name: str = "colours",
    **more: Any,
) -> Classifier:
    module = Colours(weights, bias or [0.0] * len(weights)).eval().requires_grad_(False)
    labels = names if isinstance(names, Labels) else make_labels(names)
    return Classifier(module, AS_IT_IS, labels, ModelSpec("plain", name), **more)


def detector(names: Sequence[str] | Labels = ("defect",), name: str = "detector", **more: Any) -> Classifier:
    """One logit: 16 · red − 8, so 8 on a red photo and −8 on a blue one."""
    return classifier(names, [[16, 0, 0]], [-8], name, **more)


def photo(*cells: tuple[int, int, int], name: str = "cells.png") -> Photo:
    """Four cells of 4×4 pixels: upper left, upper right, lower left, lower right; one colour fills all four."""
    four = np.array(cells * (4 // len(cells)), np.uint8).reshape(2, 2, 3)
    pixels = four.repeat(4, 0).repeat(4, 1)
    return Photo(pixels, name, hashlib.sha256(pixels.tobytes()).hexdigest())


RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
DIGITS = sorted(map(str, range(12)))
"""The folders of twelve classes as they are sorted: `0 1 10 11 2 …`, so that `10` is the third class."""


def digits(name: str = "digits") -> Classifier:
    """Twelve classes named by numbers; class i has logit i · red."""
    return classifier(DIGITS, [[index, 0, 0] for index in range(12)], name=name)
