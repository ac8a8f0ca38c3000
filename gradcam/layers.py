"""Find the target layer of any image classifier from its own data flow.

One forward is traced with autograd on. From the class scores back to the pixels, the target layer is the first
module output that every path passes through, that still has a layout in space, and whose places the gradient of the
scores reaches. No architecture is known by name here.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradcam.capture import Passage, Trace, lock_of, trace, unwrap
from gradcam.errors import LayerError, ModelError, nearest
from gradcam.graph import MOVES, Cut, computing, find_cuts, gradient_at, operation
from gradcam.types import Layout, TargetLayer

SUPPORT = 0.1
"""Least share of a grid's places that the gradient must reach. Seen in practice: wrong places at most 0.01, right
places at least 0.5."""

LATE = 0.6
"""A cut with a larger share of the graph after it is early: the network then goes on in parallel branches."""

MOST_PREFIX = 16
"""Most leading tokens that are taken for class tokens and registers."""

POOLING = re.compile("Pool|Upsample|Mean|Sum|Amax|Max|Logsumexp")

LayerChoice = str | int | TargetLayer
"""`"auto"`, a module's name, a place in `candidate_layers(model)`, or a `TargetLayer`."""

_found: weakref.WeakKeyDictionary[nn.Module, dict[tuple, list[TargetLayer]]] = weakref.WeakKeyDictionary()
_found_guard = threading.Lock()


def resolve_target_layer(
    model: nn.Module, input_size: tuple[int, int] | Tensor = (224, 224), layer: LayerChoice = "auto"
) -> TargetLayer:
    """The place in `model` whose output a heatmap is drawn on.

    input_size: height and width in pixels, or a preprocessed example `[B, 3, H, W]` on the model's device.
    layer: what to resolve; by default the model's own target layer is searched.
    Costs about three forwards of one image, once for each model and input size.
    Raises: LayerError where the layer does not exist, has no layout in space or none can be found; ModelError where
    the model is no classifier.
    """
    return find_layer(model, _example(model, input_size), layer)


def candidate_layers(model: nn.Module, input_size: tuple[int, int] | Tensor = (224, 224)) -> list[TargetLayer]:
    """The places where a heatmap makes sense, from early to late: one for each stage, or for each block where all
    stages share one grid. The last one is the target layer.

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


def to_grid(tensor: Tensor, layer: TargetLayer) -> Tensor:
    """A layer's output, or its gradient, as `[N, channels, h, w]`.

    Tokens lie row by row after the prefix; their aspect is that of `layer.grid`.
    """
    if layer.layout == "NHWC":
        return tensor.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        return tensor[:, layer.prefix :].transpose(1, 2).unflatten(2, layer.grid)
    return tensor


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
    shape = tuple((name, type(module)) for name, module in model.named_modules())
    head = tuple(parameter.shape for parameter in model.parameters())[-2:]
    key = (tuple(batch.shape[-2:]), layer, hash(shape), head)
    with lock_of(model):
        with _found_guard:
            memory = _found.setdefault(model, {})
        if key not in memory:
            with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
                memory[key] = _search(model, batch, layer)
        return memory[key]


def _search(model: nn.Module, batch: Tensor, layer: str) -> list[TargetLayer]:
    """The target layer (`auto`), all candidates, or the layer of this name, found in one traced forward."""
    names = [name for name, _ in model.named_modules() if name]
    if layer not in ("auto", "candidates", *names):
        raise LayerError(f"expected the name of a layer, got {layer!r}; did you mean {nearest(layer, names)}?")
    if getattr(model, "num_classes", None) == 0:
        raise ModelError(
            f"expected a classifier, got a {type(model).__name__} without a head (num_classes=0); "
            "build it with a head, such as num_classes=1000, and load weights that have one"
        )
    flow = _Flow(trace(model, batch[:1].repeat(2, 1, 1, 1)), getattr(model, "num_prefix_tokens", None))
    if layer == "auto":
        return [_target(flow).layer]
    if layer == "candidates":
        return _candidates(flow)
    return [_named(flow, layer)]


@dataclass(frozen=True, eq=False)
class _Place:
    """A module's output that has a layout in space. after: as in `Cut`; 1 where it is no cut."""

    layer: TargetLayer
    passage: Passage
    after: float = 1.0

    @property
    def depth(self) -> int:
        return self.layer.name.count(".")


class _Flow:
    """A traced forward, read: which module outputs have a layout in space, and where the graph's cuts are."""

    def __init__(self, traced: Trace, prefix: int | None) -> None:
        self.trace = traced
        self.cuts = find_cuts(traced.logits, traced.pixels)
        if not self.cuts:
            raise LayerError(
                "expected class scores that depend on the pixels through autograd, got scores that are cut off "
                "from them; remove detach() and no_grad() from the model's forward"
            )
        self.score = traced.logits.max(dim=1).values.sum()
        self.places = list(_read_layouts(traced, prefix))

    def support(self, place: _Place) -> float:
        """Share of the place's grid that the gradient of the top score reaches, in [0, 1]."""
        gradient = gradient_at(self.score, place.passage.left)
        if gradient is None:
            return 0.0
        return float((to_grid(gradient, place.layer) != 0).any(dim=1).float().mean())

    def cut_places(self) -> Iterator[_Place]:
        """From late to early: the outermost module at every cut whose output can be a feature map."""
        at_edge: dict[GradientEdge, list[_Place]] = {}
        for place in self.places:
            at_edge.setdefault(place.passage.left, []).append(place)
        for position, cut in enumerate(self.cuts):
            if _is_pooled(cut.edge):
                continue
            places = [place for place in at_edge.get(cut.edge, ()) if _is_feature_map(place)]
            if places and not self._is_class_map(places[0], self.cuts[:position]):
                yield replace(min(places, key=lambda place: place.depth), after=cut.after)

    def _is_class_map(self, place: _Place, later: Sequence[Cut]) -> bool:
        """Whether the place holds one map for each class, which are only pooled into the scores afterwards."""
        operations = [operation(cut.edge.node) for cut in later]
        return place.layer.channels == self.trace.logits.shape[1] and all(
            name in MOVES or name == "Relu" or POOLING.search(name) for name in operations
        )


def _is_feature_map(place: _Place) -> bool:
    """Nothing passed on as it came (Identity, Dropout, Permute), and no projection for an attention pool."""
    entered, left = place.passage.entered, place.passage.left
    if entered is not None and computing(entered.node) is computing(left.node):
        return False
    return not (isinstance(place.passage.module, nn.Linear) and place.layer.layout != "NCHW")


def _is_pooled(edge: GradientEdge) -> bool:
    return POOLING.search(operation(computing(edge.node))) is not None


def _is_normalisation(place: _Place) -> bool:
    return "norm" in type(place.passage.module).__name__.lower()


def _target(flow: _Flow) -> _Place:
    """The target layer, with its rule in words."""
    unread: _Place | None = None
    for place in flow.cut_places():
        if flow.support(place) >= SUPPORT:
            break
        unread = place
    else:
        place = None
    if place is None or place.after > LATE:
        place = _in_a_branch(flow) or place
    if place is None:
        raise LayerError(
            "expected a layer whose output has a layout in space and a gradient from the class scores, found none; "
            "pass layer= the name of a module that returns [B, C, h, w], [B, h, w, C] or [B, tokens, C]"
        )
    if place.layer.rule:
        return place
    height, width = place.layer.grid
    rule = f"the last place with a {height}×{width} layout that every path to the class scores passes through"
    if unread is not None:
        patches = _alone_feeds(flow, place, unread)
        why = f"because the class scores do not read the patches that leave {unread.layer.name}"
        if patches is None:
            rule += f", {why}"
        else:
            place, rule = replace(patches, after=place.after), f"{rule}; {patches.layer.name}, {why}"
    return replace(place, layer=replace(place.layer, rule=rule))


def _alone_feeds(flow: _Flow, place: _Place, unread: _Place) -> _Place | None:
    """The normalisation after `place` through which alone its patches are read, if there is one."""
    for later in flow.places[flow.places.index(_same(flow, place)) + 1 : flow.places.index(_same(flow, unread))]:
        if _is_normalisation(later) and later.layer.grid == place.layer.grid and flow.support(later) >= SUPPORT:
            handle = later.passage.left.node.register_prehook(
                lambda gradients: tuple(None if g is None else torch.zeros_like(g) for g in gradients)
            )
            try:
                alone = flow.support(place) < SUPPORT
            finally:
                handle.remove()
            if alone:
                return later
    return None


def _same(flow: _Flow, place: _Place) -> _Place:
    """`place` as it stands in `flow.places`."""
    return next(other for other in flow.places if other.passage is place.passage)


def _in_a_branch(flow: _Flow) -> _Place | None:
    """Where branches run in parallel up to the scores: the latest normalisation with support, else any place."""
    late = [place for place in reversed(flow.places) if _is_feature_map(place)]
    for group in ([place for place in late if _is_normalisation(place)], late):
        for place in group:
            if not _is_pooled(place.passage.left) and flow.support(place) >= SUPPORT:
                height, width = place.layer.grid
                rule = (
                    f"the last {height}×{width} layout that the class scores read, in one of several parallel "
                    "branches; no single late place carries every path"
                )
                return replace(place, layer=replace(place.layer, rule=rule))
    return None


def _candidates(flow: _Flow) -> list[TargetLayer]:
    """One place for each grid, the outermost and latest; with fewer than three grids one for each block."""
    target = _target(flow)
    order = [place.passage for place in flow.places]
    early = [place for place in flow.cut_places() if order.index(place.passage) < order.index(target.passage)][::-1]
    grids = list(dict.fromkeys(place.layer.grid for place in early if place.layer.grid != target.layer.grid))
    if len(grids) < 2:
        chosen = [place for place in early if any(True for _ in place.passage.module.children())]
    else:
        chosen = [
            max(
                (place for place in early if place.layer.grid == grid),
                key=lambda p: (-p.depth, order.index(p.passage)),
            )
            for grid in grids
        ]
    return [place.layer for place in [*chosen, target]]


def _named(flow: _Flow, name: str) -> TargetLayer:
    """The last call of the module of this name, checked for a layout and for support."""
    places = [place for place in flow.places if place.layer.name == name]
    if not places:
        order = [passage.name for passage in flow.trace.passages]
        others = [place.layer.name for place in flow.places]
        raise LayerError(
            f"expected a layer with a layout in space, got {name!r}; use {_nearest_place(name, order, others)!r}"
        )
    if flow.support(places[-1]) < SUPPORT:
        raise LayerError(
            f"expected a layer whose places the class scores read, got {name!r}, which they do not read; "
            f"use {_target(flow).layer.name!r}"
        )
    height, width = places[-1].layer.grid
    return replace(places[-1].layer, rule=f"chosen by name; its layout is {height}×{width}")


def _nearest_place(name: str, order: Sequence[str], places: Sequence[str]) -> str:
    """The name among `places` that ran closest to `name`, an earlier one rather than a later one."""
    here = order.index(name) if name in order else len(order)
    return min(places, key=lambda place: (order.index(place) > here, abs(order.index(place) - here)))


def _read_layouts(traced: Trace, prefix: int | None) -> Iterator[_Place]:
    """The module outputs of a trace that have a layout in space, in the order in which they returned."""
    size = traced.pixels.shape[-2:]
    grids: set[tuple[int, int]] = set()
    for passage in traced.passages:
        shape = passage.shape
        if len(shape) == 4 and shape[0] == 2:
            found = _read_map(shape, size)
        elif len(shape) == 3 and shape[0] == 2:
            found = _read_tokens(shape, size, grids, prefix)
        else:
            found = None
        if found is not None:
            layout, grid, lead = found
            if layout != "tokens":
                grids.add(grid)
            channels = shape[1] if layout == "NCHW" else shape[-1]
            yield _Place(TargetLayer(passage.name, grid, channels, "", layout, lead, passage.call), passage)


def _read_map(shape: Sequence[int], size: Sequence[int]) -> tuple[Layout, tuple[int, int], int] | None:
    """`[B, C, h, w]` or `[B, h, w, C]`: whichever has the aspect of the input, to within one cell."""
    fitting: list[tuple[Layout, tuple[int, int]]] = []
    if _is_grid((shape[2], shape[3]), size):
        fitting.append(("NCHW", (shape[2], shape[3])))
    if _is_grid((shape[1], shape[2]), size):
        fitting.append(("NHWC", (shape[1], shape[2])))
    if not fitting:
        return None
    layout, grid = min(fitting, key=lambda choice: _misfit(choice[1], size))
    return layout, grid, 0


def _read_tokens(
    shape: Sequence[int], size: Sequence[int], grids: Iterable[tuple[int, int]], prefix: int | None
) -> tuple[Layout, tuple[int, int], int] | None:
    """`[B, prefix + h·w, C]`: a grid seen upstream, or else the largest one of the input's aspect."""
    count = shape[1]
    root = int((count * size[0] / size[1]) ** 0.5)
    guesses = [(height, round(height * size[1] / size[0])) for height in range(root, 1, -1)]
    for grid in [*sorted(grids, key=lambda grid: -grid[0] * grid[1]), *guesses]:
        lead = count - grid[0] * grid[1]
        if _is_grid(grid, size) and (lead == prefix or 0 <= lead <= min(MOST_PREFIX, grid[0] * grid[1])):
            return "tokens", grid, lead
    return None


def _is_grid(grid: tuple[int, int], size: Sequence[int]) -> bool:
    return min(grid) >= 2 and grid[0] <= size[0] and grid[1] <= size[1] and _misfit(grid, size) <= 1


def _misfit(grid: tuple[int, int], size: Sequence[int]) -> float:
    """How far a grid's aspect is from the input's, in cells."""
    return abs(grid[0] * size[1] - grid[1] * size[0]) / max(size)
