"""Where on a photo a component is: a map whose mean is its strength there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from gradcam._compare import Use
from gradcam.capture import Recording
from gradcam.forward import Batch, Forward, of_heads
from gradcam.layers import read_layer
from gradcam.layers.layouts import to_grid
from gradcam.models.pool import shared_pool
from gradcam.runs import Run
from gradcam.shortcuts.candidate import Candidate
from gradcam.shortcuts.components import Values
from gradcam.shortcuts.evidence import class_signs
from gradcam.signals import LayerSignals
from gradcam.types import Photo, TargetLayer, View


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """values: float32 `[h, w]` on the earlier layer's grid; their mean is the component's strength on the photo,
    but for resampling. view: how the model saw the photo."""

    values: Values
    view: View


def component_maps(
    run: Run, candidate: Candidate, photos: Sequence[Photo], *, use: Use | None = None
) -> list[ComponentMap]:
    """Where the candidate's component is on each photo, from one forward of them all.

    use: turns a model's id into a classifier, as `runs.start` takes it.
    Raises: PhotoError, RunError.
    """
    planned = run.model(candidate.model)
    with (use or shared_pool().use)(planned.requested_id) as classifier:
        batch = Batch.of(tuple(photos), classifier.preprocessing, run.plan.settings.fit)
        layer = read_layer(planned.layer)
        forward = Forward.of(batch, classifier, layer, run.plan.settings.precision, earlier=planned.earlier)
        with torch.autocast(classifier.device.type, enabled=False):
            values = _maps(forward, planned.earlier, candidate, class_signs(run, candidate.model, candidate.label))
    return [ComponentMap(row, view) for row, view in zip(values.float().cpu().numpy(), batch.views, strict=True)]


def _maps(forward: Forward, earlier: TargetLayer, candidate: Candidate, signs: dict[int, float]) -> Tensor:
    """The component on the earlier layer's grid, `[B, h, w]`. signs: see `class_signs`."""
    component, first = candidate.component, forward.recordings[0]
    assert first.earlier is not None
    grid = to_grid(first.earlier, earlier).float()
    found = torch.einsum("bchw,c->bhw", grid, grid.new_tensor(component.earlier)) + component.offset
    weights = grid.new_tensor(component.contrast).split([layer.channels for layer in forward.layers])
    for recording, layer, weight in zip(forward.recordings, forward.layers, weights, strict=True):
        places = _contributions(recording, layer, weight, signs)
        found = found + nn.functional.interpolate(places[:, None], grid.shape[2:], mode="bilinear")[:, 0]
    return found


def _contributions(recording: Recording, layer: TargetLayer, weight: Tensor, signs: dict[int, float]) -> Tensor:
    """The component's reading of what the channels contribute at each place, `[B, h, w]`."""
    logits = recording.logits
    wanted = logits.new_zeros(1, len(logits), max(logits.shape[1], 2))
    for index, sign in signs.items():
        wanted[0, :, index] = sign
    alpha = LayerSignals(recording, of_heads(wanted, logits), layer).alpha[0].float() * prod(layer.grid)
    return torch.einsum("bchw,bc,c->bhw", to_grid(recording.activation.detach(), layer).float(), alpha, weight)
