"""Find the target layer of any image classifier from its own data flow.

One forward is traced with autograd on. From the class scores back to the pixels, the target layer is the first
module output that every path passes through, that still has a layout in space, and whose places the gradient of the
scores reaches. No architecture is known by name here.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log2, prod

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradcam.capture import Passage, Trace, lock_of, modules_of, trace, unwrap
from gradcam.errors import LayerError, ModelError, nearest
from gradcam.layers.graph import MOVES, Cut, computing, find_cuts, gradient_at, operation, upstream
from gradcam.layers.layouts import Grid, read_layout, to_grid
from gradcam.types import TargetLayer

SUPPORT = 0.05
"""Least share of a grid's places that the gradient of the highest scores must reach. Seen in practice: wrong places
at most 0.015, right ones at least 0.5, but a ReLU after class maps leaves a class only places where it is seen."""

LATE = 0.6
"""A cut with a larger share of the graph after it is early: the network may go on in parallel branches."""

IN_PLACE = 0.5
"""Least influence of the pixels at a token's own place, as a share of the strongest influence on it. Seen in
practice: tokens row by row at least 0.97, windows one after the other 0."""

POOLING = re.compile("Pool|Upsample|Mean|Sum|Amax|Max|Logsumexp")

LayerChoice = str | int | TargetLayer
"""`"auto"`, a module's name, a place in `candidate_layers(model)`, or a `TargetLayer`."""

LayerChoices = LayerChoice | Sequence[LayerChoice]
"""One layer, or several as a list or as a text such as `"features.22 + features.29"`."""

_AND = " + "

_found: weakref.WeakKeyDictionary[nn.Module, dict[tuple, list[TargetLayer]]] = weakref.WeakKeyDictionary()
_found_guard = threading.Lock()


def resolve_target_layer(
    model: nn.Module, input_size: tuple[int, int] | Tensor = (224, 224), layer: LayerChoice = "auto"
) -> TargetLayer:
    """The place in `model` whose output a heatmap is drawn on.

    input_size: height and width in pixels, or a preprocessed example `[B, 3, H, W]` on the model's device.
    layer: what to resolve; by default the model's own target layer is searched.
    Costs about three forwards of one image, once for each model and input size. A model on the meta device is
    resolved from its shapes alone.
    Raises: LayerError where the layer does not exist, has no layout in space or none can be found; ModelError where
    the model is no classifier.
    """
    return find_layer(model, _example(model, input_size), layer)


def candidate_layers(model: nn.Module, input_size: tuple[int, int] | Tensor = (224, 224)) -> list[TargetLayer]:
    """The places where a heatmap makes sense, from early to late: one for each stage, or for each block where the
    network keeps one grid. The last one is the target layer.

    Raises: as `resolve_target_layer`.
    """
    return list(_cached(model, _example(model, input_size), "candidates"))


def find_layer(model: nn.Module, batch: Tensor, layer: LayerChoice = "auto") -> TargetLayer:
    """`resolve_target_layer` for a batch that is already there.

    batch: `[B, 3, H, W]`, preprocessed, on the model's device; only its first image is used.
    """
    if isinstance(layer, TargetLayer):
        return layer
    if isinstance(layer, int):
        candidates = _cached(model, batch, "candidates")
        if not -len(candidates) <= layer < len(candidates):
            raise LayerError(f"expected a candidate layer from 0 to {len(candidates) - 1}, got {layer}")
        return candidates[layer]
    return _cached(model, batch, layer)[0]


def find_layers(model: nn.Module, batch: Tensor, layers: LayerChoices = "auto") -> tuple[TargetLayer, ...]:
    """`find_layer` for one layer or for each of several.

    Raises: LayerError as `find_layer`, and where there are none.
    """
    if isinstance(layers, str):
        layers = layers.split(_AND)
    elif not isinstance(layers, Sequence):
        layers = [layers]
    found = tuple(find_layer(model, batch, layer) for layer in layers)
    if not found:
        raise LayerError("expected at least one layer, got none; name one or use 'auto'")
    return found


def joined(layers: Sequence[TargetLayer]) -> TargetLayer:
    """What several layers are called together: their names, the finest of their grids, all their channels."""
    if len(layers) == 1:
        return layers[0]
    grid = max((layer.grid for layer in layers), key=prod)
    channels = sum(layer.channels for layer in layers)
    rule = "the mean of the heatmaps of several layers, laid on the finest of their grids"
    return TargetLayer(_AND.join(layer.name for layer in layers), grid, channels, rule)


def reach(model: nn.Module, input_size: tuple[int, int] | Tensor = (224, 224)) -> tuple[TargetLayer, float]:
    """The target layer, and the share of its grid that the gradient of the highest scores reaches, in [0, 1].

    Raises: as `resolve_target_layer`.
    """
    flow = _flow(unwrap(model), _example(model, input_size))
    place = _target(flow)
    return place.layer, flow.support(place)


def _example(model: nn.Module, input_size: tuple[int, int] | Tensor) -> Tensor:
    """Seeded noise of the input size where the model's parameters are, or the example that was passed."""
    if isinstance(input_size, Tensor):
        return input_size
    weight = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
    noise = torch.randn(1, 3, *input_size, generator=torch.Generator().manual_seed(0))
    return noise.to(weight.device, weight.dtype)


def _cached(model: nn.Module, batch: Tensor, layer: str) -> list[TargetLayer]:
    """What `_search` answers, from memory where the model has not changed its architecture or head since."""
    model = unwrap(model)
    modules = modules_of(model)
    weights = (module._parameters for module in reversed(modules) if module._parameters)
    head = tuple(weight.shape for weight in next(weights, {}).values() if weight is not None)
    key = (tuple(batch.shape[-2:]), layer, hash(tuple(map(type, modules))), head)
    with _found_guard:
        memory = _found.setdefault(model, {})
    if key not in memory:  # else nobody waits for the forward that another thread is making
        with lock_of(model):
            if key not in memory:
                with torch.inference_mode(False), torch.enable_grad():
                    memory[key] = _search(model, batch, layer)
    return memory[key]


def _search(model: nn.Module, batch: Tensor, layer: str) -> list[TargetLayer]:
    """The target layer (`auto`), all candidates, or the layer of this name, found in one traced forward."""
    names = [name for name, _ in model.named_modules() if name]
    if layer not in ("auto", "candidates", *names):
        raise LayerError(f"expected the name of a layer, got {layer!r}; did you mean {nearest(layer, names)}?")
    flow = _flow(model, batch)
    if layer == "auto":
        return [_target(flow).layer]
    if layer == "candidates":
        return _candidates(flow)
    return [_named(flow, layer)]


def _flow(model: nn.Module, batch: Tensor) -> _Flow:
    """The first image's way through a model that has a head."""
    if getattr(model, "num_classes", None) == 0:
        raise ModelError(
            f"expected a classifier, got {type(model).__name__} without a head (num_classes=0); "
            "build it with a head, such as num_classes=1000, and load weights that have one"
        )
    # two images, so that windows folded into the batch are told from maps by their first dimension
    return _Flow(trace(model, batch[:1].repeat(2, 1, 1, 1)), getattr(model, "num_prefix_tokens", None))


@dataclass(frozen=True, eq=False)
class _Place:
    """A module's output that has a layout in space.

    order: when it came in the forward, among all places. after: as in `Cut`; 1 where it is no cut.
    """

    layer: TargetLayer
    passage: Passage
    order: int
    after: float = 1.0

    @property
    def node(self) -> torch.autograd.graph.Node:
        return self.passage.left.node

    @property
    def depth(self) -> int:
        """How deep the module is nested."""
        return self.layer.name.count(".")

    def why(self, rule: str) -> _Place:
        """This place with its rule, in which `{grid}` stands for the grid."""
        height, width = self.layer.grid
        return replace(self, layer=replace(self.layer, rule=rule.format(grid=f"{height}×{width}")))


class _Flow:
    """A traced forward, read: which module outputs have a layout in space, and where the cuts of its graph are."""

    def __init__(self, traced: Trace, prefix: int | None) -> None:
        self.classes = traced.logits.shape[1]
        self.pixels = traced.pixels
        self.passages = traced.passages
        self.places = _read_places(traced, prefix)
        self.cuts = find_cuts(traced.logits, traced.pixels)
        if not self.cuts:
            raise LayerError(
                "expected class scores that depend on the pixels through autograd, got scores that are cut off "
                "from them; remove detach() and no_grad() from the model's forward"
            )
        self._in_place: dict[Grid, bool] = {}
        logits, several = traced.logits, min(3, self.classes)
        scores = logits[:, :several] if logits.is_meta else logits.topk(several).values
        self.start, self.weights = get_gradient_edge(scores), _positive(scores)
        for cut in self.cuts[1:]:
            gradient = gradient_at(self.start, self.weights, cut.edge)
            if gradient is None or gradient.any():
                break
            # a head that starts at zero hides what feeds it: ask from below it
            self.start, self.weights = cut.edge, _positive(gradient)

    def support(self, place: _Place) -> float:
        """Share of the place's grid that the gradient of the highest scores reaches, in [0, 1]."""
        gradient = gradient_at(self.start, self.weights, place.passage.left)
        if gradient is None:
            return 0.0
        return float((to_grid(gradient, place.layer) != 0).any(dim=1).float().mean())

    def in_place(self, place: _Place) -> bool:
        """Whether tokens lie row by row, and not window after window: each must see the pixels at its own place.

        The earliest tokens of the same grid are looked at, because later ones mix the image more.
        """
        grid = place.layer.grid
        if place.layer.layout != "tokens" or self.pixels.is_meta:
            return True
        if grid not in self._in_place:
            tokens = [cut for cut in self.at_cuts() if cut.layer.layout == "tokens" and cut.layer.grid == grid]
            self._in_place[grid] = not tokens or _influence(self.pixels, tokens[-1]) >= IN_PLACE
        return self._in_place[grid]

    def at_cuts(self) -> Iterator[_Place]:
        """From late to early: the outermost module at every cut whose output can be a feature map."""
        at_edge: dict[GradientEdge, list[_Place]] = {}
        for place in self.places:
            if _is_feature_map(place):
                at_edge.setdefault(place.passage.left, []).append(place)
        for position, cut in enumerate(self.cuts):
            places = at_edge.get(cut.edge)
            if places and not self._is_class_map(places[0], self.cuts[:position]):
                yield replace(min(places, key=lambda place: place.depth), after=cut.after)

    def _is_class_map(self, place: _Place, later: Sequence[Cut]) -> bool:
        """Whether the place holds one map for each class, which are only pooled into the scores afterwards."""
        operations = [operation(cut.edge.node) for cut in later]
        return place.layer.channels == self.classes and all(
            name in MOVES or name == "Relu" or POOLING.search(name) for name in operations
        )


def _read_places(traced: Trace, prefix: int | None) -> list[_Place]:
    size = traced.pixels.shape[-2:]
    grids: set[Grid] = set()
    places: list[_Place] = []
    for passage in traced.passages:
        found = read_layout(passage.shape, len(traced.pixels), size, grids, prefix)
        if found is not None:
            layout, grid, lead = found
            if layout != "tokens":
                grids.add(grid)
            channels = passage.shape[1 if layout == "NCHW" else -1]
            layer = TargetLayer(passage.name, grid, channels, "", layout, lead, passage.call)
            places.append(_Place(layer, passage, len(places)))
    return places


def _is_feature_map(place: _Place) -> bool:
    """Nothing passed on as it came (Identity, Dropout, Permute), pooled or resized, and no linear projection of
    tokens, such as the keys and values of an attention pool."""
    passage = place.passage
    if passage.entered is not None and computing(passage.entered.node) is computing(place.node):
        return False
    if POOLING.search(operation(computing(place.node))):
        return False
    return not (isinstance(passage.module, nn.Linear) and place.layer.layout != "NCHW")


def _is_normalisation(place: _Place) -> bool:
    return "norm" in type(place.passage.module).__name__.lower()


def _target(flow: _Flow) -> _Place:
    """The target layer, with its rule in words."""
    unread: _Place | None = None
    place: _Place | None = None
    for cut in flow.at_cuts():
        if flow.support(cut) < SUPPORT:
            unread = cut
        elif flow.in_place(cut):
            place = cut
            break
    if place is None or place.after > LATE:
        _refuse_tokens_before_batch(flow, place)
        branch = _in_a_branch(flow)
        if branch is not None and (place is None or branch.order > place.order):
            return branch
    if place is None:
        raise LayerError(
            "expected a layer whose output has a layout in space and a gradient from the class scores, found none; "
            "pass layer= the name of a module that returns [B, C, h, w], [B, h, w, C] or [B, tokens, C]"
        )
    rule = "the last place with a {grid} layout that every path to the class scores passes through"
    if unread is None:
        return place.why(rule)
    reason = f"because the class scores do not read the patches that leave {unread.layer.name}"
    patches = _alone_feeds(flow, place, unread)
    if patches is None:
        return place.why(f"{rule}, {reason}")
    return replace(patches, after=place.after).why(f"{rule}; {patches.layer.name}, {reason}")


def _refuse_tokens_before_batch(flow: _Flow, place: _Place | None) -> None:
    """Raise where the network goes on from `place` with tokens `[N, B, C]`, whose maps would be read wrongly."""
    start = 0 if place is None else flow.passages.index(place.passage)
    for passage in flow.passages[start:]:
        if len(passage.shape) == 3 and passage.shape[0] != len(flow.pixels) == passage.shape[1]:
            raise LayerError(
                f"expected tokens [batch, tokens, channels], got [tokens, batch, channels] from {passage.name!r}; "
                "build the transformer with batch_first=True"
            )


def _alone_feeds(flow: _Flow, place: _Place, unread: _Place) -> _Place | None:
    """The last normalisation between the two through which alone the patches of `place` are read, if any."""
    for norm in reversed(flow.places[place.order + 1 : unread.order]):
        if _is_normalisation(norm) and flow.support(norm) >= SUPPORT:
            with_norm_blocked = norm.node.register_prehook(
                lambda gradients: tuple(None if g is None else torch.zeros_like(g) for g in gradients)
            )
            try:
                if flow.support(place) < SUPPORT:
                    return norm
            finally:
                with_norm_blocked.remove()
    return None


def _in_a_branch(flow: _Flow) -> _Place | None:
    """Where no late place carries every path: the latest place that is read, and its siblings in words."""
    ends: list[_Place] = []
    for place in reversed(flow.places):
        apart = _is_feature_map(place) and all(place.node not in upstream(end.node) for end in ends)
        if apart and flow.support(place) >= SUPPORT and flow.in_place(place):
            ends.append(place)
    if not ends:
        return None
    rule = "the last place with a {grid} layout that the class scores read; no late place carries every path"
    siblings = ", ".join(end.layer.name for end in ends[1:])
    return ends[0].why(f"{rule}, parallel branches end at {siblings}" if siblings else rule)


def _candidates(flow: _Flow) -> list[TargetLayer]:
    """The outermost and latest place of each stage; of each block, where there are fewer than three stages."""
    target = _target(flow)
    early = [cut for cut in flow.at_cuts() if cut.order < target.order and flow.in_place(cut)][::-1]

    def stage(place: _Place) -> int:
        return round(log2(flow.pixels.shape[-2] / place.layer.grid[0]))

    stages = sorted({stage(place) for place in early} - {stage(target)})
    if len(stages) < 2:
        blocks = [place for place in early if next(place.passage.module.children(), None) is not None]
        chosen = _without_first_halves(blocks, flow, target)
    else:
        groups = [[place for place in early if stage(place) == number] for number in stages]
        chosen = [max(group, key=lambda place: (-place.depth, place.order)) for group in groups]
    rule = "the {grid} layout that every path to the class scores passes through here"
    return [*(place.why(rule).layer for place in chosen), target.layer]


def _without_first_halves(blocks: Sequence[_Place], flow: _Flow, target: _Place) -> list[_Place]:
    """The blocks, but for one that is a part of another: a block with a single cut inside is listed once."""
    ends = {place.layer.name for place in flow.places if place.passage.left == target.passage.left}
    ends |= {place.layer.name for place in blocks}
    within = {place.layer.name: {end for end in ends if place.layer.name.startswith(f"{end}.")} for place in blocks}
    parts = Counter(end for around in within.values() for end in around)
    return [place for place in blocks if all(parts[end] > 1 for end in within[place.layer.name])]


def _named(flow: _Flow, name: str) -> TargetLayer:
    """The last call of the module of this name, checked for a layout and for support."""
    places = [place for place in flow.places if place.layer.name == name]
    if not places:
        raise LayerError(
            f"expected a layer whose output has a layout in space, got {name!r}; use {_nearest_place(flow, name)}"
        )
    place = places[-1]
    if flow.support(place) < SUPPORT:
        raise LayerError(
            f"expected a layer whose places the class scores read, got {name!r}, whose gradient is zero there; "
            f"use {_target(flow).layer.name!r}"
        )
    if not flow.in_place(place):
        raise LayerError(
            f"expected a layer whose tokens lie row by row, got {name!r}, which has them in another order; "
            f"use {_target(flow).layer.name!r}"
        )
    return place.why("chosen by name; its layout is {grid}").layer


def _nearest_place(flow: _Flow, name: str) -> str:
    """The name of the place that ran closest to `name`, an earlier one rather than a later one."""
    order = [passage.name for passage in flow.passages]
    here = order.index(name) if name in order else len(order)
    names = [place.layer.name for place in flow.places]
    return repr(min(names, key=lambda other: (order.index(other) > here, abs(order.index(other) - here))))


def _influence(pixels: Tensor, place: _Place) -> float:
    """Influence of the pixels around their own places on two tokens, as a share of the strongest one, in [0, 1]."""
    height, width = place.layer.grid
    cells = [(height // 2, width // 2), (height // 4, width - 1)]  # where orders window by window differ most
    cotangent = pixels.new_zeros(place.passage.shape)
    for image, (row, column) in enumerate(cells):
        cotangent[image, place.layer.prefix + row * width + column] = _positive(cotangent[image, 0])
    gradient = gradient_at(place.passage.left, cotangent, get_gradient_edge(pixels))
    if gradient is None or not gradient.any():
        return 1.0
    felt = nn.functional.adaptive_avg_pool2d(gradient.abs().sum(dim=1, keepdim=True).float(), (height, width))
    around = nn.functional.max_pool2d(felt, 3, stride=1, padding=1)
    return min(
        float(around[image, 0, row, column] / felt[image].max()) for image, (row, column) in enumerate(cells)
    )


def _positive(like: Tensor) -> Tensor:
    """Seeded random numbers between 0.5 and 1.5."""
    numbers = torch.rand(like.shape, generator=torch.Generator().manual_seed(0)) + 0.5
    return numbers.to(like.device, like.dtype)
