"""A traced forward, read: which module outputs have a layout in space, and what the class scores read of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from gradcam.capture import ModuleCall, Trace
from gradcam.errors import LayerError
from gradcam.layers.graph import (
    Dominator,
    blocked,
    computing,
    find_dominators,
    gradient_at,
    nodes_between,
    shape_at,
)
from gradcam.layers.layouts import Grid, maps_of, read_layout, to_grid
from gradcam.nodes import MOVES, operation
from gradcam.text import article, dimensions
from gradcam.types import TargetLayer

SUPPORT = 0.05
"""Least share of a grid's places that the gradient of the class scores must reach. Seen in practice: wrong places
at most 0.015, right ones at least 0.5, but a ReLU after class maps leaves a class only places where it is seen."""

POOLING = re.compile("Pool|Upsample|Mean|Sum|Amax|Max|Logsumexp")

PICKING = re.compile("A(max|min)|M(ax|in)(?!imum)|Topk|Kthvalue|Sort|Median")
"""Operations that read few of the places given to them, such as the highest of each channel."""


@dataclass(frozen=True, eq=False)
class SpatialOutput:
    """A module's output that has a layout in space.

    order: its position among all such outputs of the forward. after: as in `Dominator`, or 1 if it is none.
    doubtful: whether the grid has another aspect than the input, so that its shape alone says little.
    """

    layer: TargetLayer
    module_call: ModuleCall
    order: int
    after: float = 1.0
    doubtful: bool = False

    @property
    def node(self) -> Node:
        return self.module_call.output_edge.node

    @property
    def geometry(self) -> tuple[object, ...]:
        """A key that is equal for outputs whose places lie alike."""
        return self.layer.layout, self.layer.grid, self.layer.prefix, self.module_call.shape[:-1]

    @property
    def depth(self) -> int:
        """How deep the module is nested."""
        return self.layer.name.count(".")

    def why(self, rule: str) -> SpatialOutput:
        """This output with its rule, in which `{grid}` stands for the grid, and `{a}` for the article before it."""
        grid = dimensions(*self.layer.grid)
        return replace(self, layer=replace(self.layer, rule=rule.format(grid=grid, a=article(grid))))


class Flow:
    """A traced forward: its spatial outputs, and the dominators of its graph.

    Raises: LayerError where the class scores do not depend on the pixels.
    """

    def __init__(self, traced: Trace, prefix: int | None) -> None:
        self.classes = traced.logits.shape[1]
        self.ends_in = traced.ends_in
        self.pixels = traced.pixels
        self.module_calls = traced.module_calls
        self.outputs = _spatial_outputs(traced, prefix)
        self.scores = traced.logits.grad_fn
        self.dominators = find_dominators(traced.logits, traced.pixels)
        self._supports: dict[int, float] = {}
        if not self.dominators:
            raise LayerError(
                "expected class scores that depend on the pixels through autograd, got scores that are cut off "
                "from them; remove detach() and no_grad() from the model's forward"
            )
        self.start, self.weights = get_gradient_edge(traced.logits), positive(traced.logits)
        for dominator in self.dominators[1:]:
            gradient = gradient_at(self.start, self.weights, dominator.edge)
            if gradient is None or gradient.any():
                break
            # a head that starts at zero hides what feeds it
            self.start, self.weights = dominator.edge, positive(gradient)

    def support(self, output: SpatialOutput) -> float:
        """Share of the output's grid that the gradient of the class scores reaches, in [0, 1]."""
        if output.order not in self._supports:
            self._supports[output.order] = self._support(output)
        return self._supports[output.order]

    def _support(self, output: SpatialOutput) -> float:
        gradient = gradient_at(self.start, self.weights, output.module_call.output_edge)
        if gradient is None:
            return 0.0
        return float((to_grid(gradient, output.layer) != 0).any(dim=1).any(dim=0).float().mean())

    def is_read(self, output: SpatialOutput) -> bool:
        """Whether the class scores read the places of the grid, not only a class token beside them.

        A global maximum reads few places by nature: one for each channel. But where other paths lead past it, such
        as that of a class token, it does not count (VOLO adds the highest of its patches' scores).
        """
        if self.support(output) == 0:
            return False
        picking = [node for node in nodes_between(self.scores, output.node) if _picks(node)]
        if picking and not nodes_between(self.scores, output.node, _picks):
            return True
        with self.without(picking):
            return self.support(output) >= SUPPORT

    @contextmanager
    def without(self, nodes: Sequence[Node]) -> Iterator[None]:
        """Let no gradient pass these nodes inside the block, to see what the class scores read by other paths."""
        known = self._supports
        if nodes:
            self._supports = {}
        try:
            with blocked(nodes):
                yield
        finally:
            self._supports = known

    def is_picked_from(self, output: SpatialOutput) -> bool:
        """Whether the class scores read any place of the grid, even if only by a maximum."""
        return self.support(output) > 0 and any(map(_picks, nodes_between(self.scores, output.node)))

    def at_dominators(self) -> Iterator[SpatialOutput]:
        """From late to early: the outermost module at every dominator whose output can be a feature map.

        A module that passes its input on unchanged (Identity, Dropout) counts only if no other module ends there.
        """
        at_edge: dict[GradientEdge, list[SpatialOutput]] = {}
        for output in self.outputs:
            at_edge.setdefault(output.module_call.output_edge, []).append(output)
        computed = {computing(output.node) for output in self.outputs if is_feature_map(output)}
        computed.add(get_gradient_edge(self.pixels).node)
        for position, dominator in enumerate(self.dominators):
            ending = at_edge.get(dominator.edge, ())
            outputs = [output for output in ending if is_feature_map(output)]
            if not outputs and computing(dominator.edge.node) not in computed:
                outputs = [output for output in ending if may_hold_features(output)]
                computed.add(computing(dominator.edge.node))
            if outputs and not self._is_class_map(outputs[0], self.dominators[:position]):
                # the last to return at an edge is the outermost, whatever names its parts have
                yield replace(max(outputs, key=lambda output: output.order), after=dominator.after)

    def image_as_made(self) -> GradientEdge | None:
        """The edge of the image that the model makes of its pixels before it computes, if known."""
        made = None
        for dominator in reversed(self.dominators):
            shape = shape_at(dominator.edge)
            if (
                len(shape) != 4
                or shape[1] != self.pixels.shape[1]
                or "Convolution" in operation(dominator.edge.node)
            ):
                break
            made = dominator.edge
        return made

    def _is_class_map(self, output: SpatialOutput, later: Sequence[Dominator]) -> bool:
        """Whether the output holds one map for each class, which are only pooled into the scores afterwards."""
        operations = [operation(dominator.edge.node) for dominator in later]
        return output.layer.channels == self.classes and all(
            name in MOVES or name == "Relu" or POOLING.search(name) for name in operations
        )


def _spatial_outputs(traced: Trace, prefix: int | None) -> list[SpatialOutput]:
    size = traced.pixels.shape[-2:]
    grids: set[Grid] = set()
    outputs: list[SpatialOutput] = []
    for module_call in traced.module_calls:
        found = read_layout(module_call.shape, len(traced.pixels), size, grids, prefix)
        if found is not None:
            layout, grid, lead = found
            if layout != "tokens":
                grids.add(grid)
            channels = module_call.shape[1 if layout == "NCHW" else -1]
            layer = TargetLayer(module_call.name, grid, channels, "", layout, lead, module_call.call)
            outputs.append(SpatialOutput(layer, module_call, len(outputs)))
        elif len(module_call.shape) == 4 and module_call.shape[0] == len(traced.pixels):
            layer = TargetLayer(module_call.name, (1, 1), 1, "", call=module_call.call)
            outputs += [
                SpatialOutput(reading, module_call, len(outputs), doubtful=True)
                for reading in maps_of(module_call.shape, layer, size)[:1]
            ]
    return outputs


def _picks(node: Node) -> bool:
    return PICKING.search(operation(node)) is not None


def is_feature_map(output: SpatialOutput) -> bool:
    """Whether the module computes a possible feature map itself, and does not pass its input on unchanged."""
    input_edge = output.module_call.input_edge
    passed_on = input_edge is not None and computing(input_edge.node) is computing(output.node)
    return not passed_on and may_hold_features(output)


def may_hold_features(output: SpatialOutput) -> bool:
    """Whether an output is not pooled, resized, or a linear projection of tokens, such as keys of attention."""
    if POOLING.search(operation(computing(output.node))):
        return False
    return not (isinstance(output.module_call.module, nn.Linear) and output.layer.layout != "NCHW")


def positive(like: Tensor) -> Tensor:
    """Seeded random numbers between 0.5 and 1.5."""
    numbers = torch.rand(like.shape, generator=torch.Generator().manual_seed(0)) + 0.5
    return numbers.to(like.device, like.dtype)
