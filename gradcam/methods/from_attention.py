"""Methods for transformers, over the self-attention of their blocks.

A `[heads, N, N]` is the attention of a block: a row for each token, which says how much it reads of every other.
Each method is one pure function of `Signals`; it returns raw maps `[B, K, h, w]`, or `[B, 1, h, w]` for all classes
alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradcam.methods.method import Attention, Signals


def attention_rollout(signals: Signals) -> Tensor:
    """What the scores read of each place in the product of (Ā + I) / 2 over all blocks; Ā = mean over heads."""
    attention, joint = signals.attention, torch.zeros(())
    for number, values in enumerate(attention.values()):
        step = (values.mean(1) + _identity(values)) / 2
        joint = step if number == 0 else step @ joint
    return _as_read(attention, joint)[:, None]


def generic_attention(signals: Signals) -> Tensor:
    """What the scores read of each place in R − I; from R = I on, R ← R + E[(∂y/∂A ⊙ A)⁺] R for each block.

    Differs from the paper in I, which is taken off at the end: it is no relevance, and would be added to every
    place of a model whose scores read the mean of all places. For a class token the map is the same.
    """
    attention = signals.attention
    return torch.cat([_relevant(attention, gradients) for gradients in attention.gradients()]).transpose(0, 1)


def _relevant(attention: Attention, gradients: Iterator[Tensor]) -> Tensor:
    """The maps `[few, B, h, w]` of a few scores, from the gradients of every block."""
    relevance = torch.zeros(())
    for values, slopes in zip(attention.values(), gradients, strict=True):
        rising = (slopes * values).relu().mean(2)
        relevance = relevance + rising @ (relevance + _identity(values))
    return _as_read(attention, relevance)


def legrad(signals: Signals) -> Tensor:
    """The mean over blocks, heads and rows of ReLU(∂s/∂A), with the score s that the end makes of a block's output.

    Differs from the authors' code, which takes the last two blocks only unless it is told otherwise, averages the
    tokens of a CLIP model that are read through its class token, and stretches the map to values from 0 to 1.
    """
    attention = signals.attention
    blocks = attention.own_gradients(lambda gradients: gradients.relu().mean((2, 3)))
    return attention.on_grid(blocks.mean(0)).transpose(0, 1)


def _identity(values: Tensor) -> Tensor:
    return torch.eye(values.shape[-1], dtype=values.dtype, device=values.device)


def _as_read(attention: Attention, mixing: Tensor) -> Tensor:
    """The mean of the rows of the tokens that the scores read, at the places: `[…, N, N]` to `[…, h, w]`."""
    return attention.on_grid(attention.read @ mixing)
