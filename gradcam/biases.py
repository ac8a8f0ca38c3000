"""What the pixels and the biases of a traced forward add to the scores: together all of it, for ReLU networks.

Source: Srinivas and Fleuret 2019, *Full-Gradient Representation for Neural Network Visualization*, proposition 1:
y = x · ∂y/∂x + Σ b · ∂y/∂b. A BatchNorm's bias is β − γ μ / σ, with its stored mean μ and deviation σ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from gradcam.capture import ModuleCall, Trace
from gradcam.gradients import differentiate
from gradcam.layers.layouts import is_grid, read_layout, to_grid
from gradcam.nodes import operation, upstream
from gradcam.types import TargetLayer

CHANNELS_FIRST, CHANNELS_LAST = (_ConvNd, _BatchNorm, nn.GroupNorm), (nn.Linear, nn.LayerNorm)
"""Modules with a bias for each channel, by where their outputs have the channels."""

NORMS = frozenset({"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeGroupNorm", "NativeLayerNorm"})
"""Operations of norms, after which some modules compute an activation function, too."""


def full_gradients(traced: Trace, cotangents: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """What the pixels add to each score, `[K, B, channels, H, W]`, then what each bias adds, `[K, *output]`.

    Yields: the values, and whether channels come first in them, after K and B.
    """
    read = upstream(traced.logits.grad_fn) if traced.logits.grad_fn is not None else set()
    calls = [call for call in traced.module_calls if call.output_edge.node in read]
    biased = [(call, bias) for call in calls if (bias := _bias(call.module)) is not None]
    edges = [_own_edge(call) for call, _ in biased]
    of_pixels, *of_biases = differentiate(traced.logits, cotangents, [traced.pixels, *edges])
    yield traced.pixels.detach() * of_pixels, True
    for (call, bias), gradient in zip(biased, of_biases, strict=True):
        first = isinstance(call.module, CHANNELS_FIRST)
        yield gradient * (bias.reshape(-1, *(1,) * (gradient.ndim - 3)) if first else bias), first


def at_places(values: Tensor, first: bool, layer: TargetLayer, images: int, size: tuple[int, int]) -> Tensor | None:
    """Values `[K, B, …]` at the places of their own grid, `[K, B, C, h, w]`; None if they have no places in the
    whole image, as within windows that a model takes for further images.

    first: whether channels come first. layer: tells how tokens lie. images: B. size: of them in pixels.
    """
    shape, grid = values.shape[1:], None
    if shape[0] != images:
        return None
    if len(shape) == 4:
        if first:
            grid = values
        elif is_grid((shape[1], shape[2]), size) and not _are_pairs(shape, layer):
            grid = values.movedim(-1, 2)
    elif len(shape) == 3 and not first and (found := read_layout(shape, images, size, [layer.grid], layer.prefix)):
        layout, places, prefix = found
        tokens = TargetLayer("", places, shape[2], "", layout, prefix)
        grid = to_grid(values.flatten(0, 1), tokens).unflatten(0, values.shape[:2])
    return grid if grid is not None and prod(grid.shape[3:]) > 1 else None


def _are_pairs(shape: Sequence[int], layer: TargetLayer) -> bool:
    """Whether an output `[B, N, N, heads]` has a value for each pair of tokens, as attention has."""
    tokens = prod(layer.grid)
    return layer.layout == "tokens" and shape[1] == shape[2] and shape[1] in (tokens, tokens + layer.prefix)


def _bias(module: nn.Module) -> Tensor | None:
    """What a module adds to each channel; None if it adds nothing."""
    bias: Any = getattr(module, "bias", None) if isinstance(module, CHANNELS_FIRST + CHANNELS_LAST) else None
    if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
        scale = (module.running_var + module.eps).rsqrt()
        scale = scale if module.weight is None else scale * module.weight
        bias = (0 if bias is None else bias) - module.running_mean * scale
    return None if bias is None else bias.detach()


def _own_edge(call: ModuleCall) -> GradientEdge:
    """Where the output of a module's norm stands in the graph, or the module's own if it has none."""
    node: Any = call.output_edge.node
    begin = -1 if call.input_edge is None else call.input_edge.node._sequence_nr()
    while node is not None and node._sequence_nr() > begin:
        if operation(node) in NORMS:
            return GradientEdge(node, 0)
        node = node.next_functions[0][0] if node.next_functions else None
    return call.output_edge
