"""Where on photos a component lies, and what the channels that make it see."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradcam._compare import Use
from gradcam.capture import Recording
from gradcam.draw import render
from gradcam.errors import PhotoError
from gradcam.forward import Batch, Forward, of_heads
from gradcam.geometry import fit_within, project_to_photo
from gradcam.kinds import expect, expect_each, expect_functions, expect_numbers
from gradcam.layers import read_layer
from gradcam.layers.layouts import to_grid
from gradcam.models.classifier import Classifier
from gradcam.models.pool import shared_pool
from gradcam.runs import Run
from gradcam.scaling import normalize
from gradcam.shortcuts.candidate import Candidate
from gradcam.shortcuts.components import Values
from gradcam.shortcuts.evidence import class_signs
from gradcam.signals import LayerSignals
from gradcam.types import Photo, Style, TargetLayer, View

Pixels = NDArray[np.uint8]

CUT = 0.4
"""Side of a crop, as a share of the shorter side of what the model saw."""

AT_ONCE = 8
"""Photos of one forward."""


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """values: float32 `[h, w]` on the earlier layer's grid; their mean is what the component reads of the photo,
    but for resampling. view: how the model saw the photo."""

    values: Values
    view: View

    def over(self, photo: Photo, vmax: float, long_side: int, style: Style | None = None) -> Pixels:
        """The map over its photo, RGB uint8 with at most this many pixels a side; below 0 nothing is drawn.

        vmax: the strength of full colour, above 0.
        """
        style = style or Style()
        small = render.resize(photo.pixels, fit_within(photo.size, long_side, long_side))
        heat = normalize(self.values, vmax).values
        laid = project_to_photo(heat, self.view, small.shape[:2], style.interpolation)
        return render.outline(render.overlay(small, laid, style, signed=False), self.view)


@dataclass(frozen=True, eq=False)
class Crop:
    """What a channel sees on a photo: a square around the place where it is strongest.

    photo: its number in the run. pixels: RGB uint8 `[side, side, 3]`.
    """

    photo: int
    path: str
    pixels: Pixels


def component_maps(
    run: Run, candidate: Candidate, photos: Sequence[Photo], *, use: Use | None = None
) -> list[ComponentMap]:
    """Where the candidate's component is on each photo.

    use: turns a model's id into a classifier, as `runs.start` takes it.
    Raises: PhotoError, RunError.
    """
    expect_functions(use=use)
    expect(Run, run)
    expect(Candidate, candidate)
    photos = expect_each(Photo, photos)
    planned, signs = run.model(candidate.model), class_signs(run, candidate.model, candidate.label)
    found: list[ComponentMap] = []
    with (use or shared_pool().use)(planned.requested_id) as classifier:
        for first in range(0, len(photos), AT_ONCE):
            forward = _forward(run, candidate, photos[first : first + AT_ONCE], classifier)
            with torch.autocast(classifier.device.type, enabled=False):
                values = _maps(forward, planned.earlier, candidate, signs).float().cpu().numpy()
            found += [ComponentMap(row, view) for row, view in zip(values, forward.views, strict=True)]
    return found


def channel_crops(
    run: Run, candidate: Candidate, *, channels: int = 6, each: int = 4, use: Use | None = None
) -> dict[int, list[Crop]]:
    """What the first channels of a candidate see: for each, by its number, crops of the class's photos.

    They are of the photos on which the channel's mean is highest, the highest first; a photo that cannot be opened
    any more is left out. channels, each: how many channels, and crops of one.
    use: turns a model's id into a classifier, as `runs.start` takes it. Raises: RunError.
    """
    expect_functions(use=use)
    expect_numbers(channels=channels, each=each)
    expect(Run, run)
    expect(Candidate, candidate)
    paths = {one.photo: one.path for one in (*candidate.members, *candidate.others)}
    means = run.pooled(candidate.model, "means", list(paths))
    wanted = {
        channel.number: _strongest(means[:, channel.number], list(paths), each)
        for channel in candidate.channels[:channels]
    }
    found: dict[int, dict[int, Crop]] = {number: {} for number in wanted}
    opened = list(_opened(run, paths, {photo for photos in wanted.values() for photo in photos}))
    with (use or shared_pool().use)(run.model(candidate.model).requested_id) as classifier:
        for first in range(0, len(opened), AT_ONCE):
            group = opened[first : first + AT_ONCE]
            forward = _forward(run, candidate, [photo for _, photo in group], classifier)
            for number, photos in wanted.items():
                for row, heat in enumerate(_channel(forward, number)):
                    if (one := group[row][0]) in photos:
                        pixels = _cut(group[row][1], forward.views[row], heat)
                        found[number][one] = Crop(one, paths[one], pixels)
    return {
        number: [found[number][photo] for photo in photos if photo in found[number]]
        for number, photos in wanted.items()
    }


def _forward(run: Run, candidate: Candidate, photos: Sequence[Photo], classifier: Classifier) -> Forward:
    planned, settings = run.model(candidate.model), run.plan.settings
    batch = Batch.of(tuple(photos), classifier.preprocessing, settings.fit)
    return Forward.of(batch, classifier, read_layer(planned.layer), settings.precision, earlier=planned.earlier)


# ------------------------------------------------------------------------------- a component


def _maps(forward: Forward, earlier: TargetLayer, candidate: Candidate, signs: dict[int, float]) -> Tensor:
    """The component on the earlier layer's grid, `[B, h, w]`. signs: see `class_signs`."""
    component, first = candidate.component, forward.recordings[0]
    assert first.earlier is not None
    grid = to_grid(first.earlier, earlier).float()
    found = _of_earlier(grid, grid.new_tensor(component.earlier)) + component.offset
    weights = grid.new_tensor(component.contrast).split([layer.channels for layer in forward.layers])
    for recording, layer, weight in zip(forward.recordings, forward.layers, weights, strict=True):
        places = _contributions(recording, layer, weight, signs)
        found = found + nn.functional.interpolate(places[:, None], grid.shape[2:], mode="bilinear")[:, 0]
    return found


def _of_earlier(grid: Tensor, weights: Tensor) -> Tensor:
    """What the earlier layer gives at each place, `[B, h, w]`: the mean over places is what its means and standard
    deviations give. To a deviation s a place that lies d from the mean gives (d² + s²) / 2s.

    grid: `[B, channels, h, w]`. weights: `[2 · channels]`, of the means, then of the deviations.
    """
    of_mean, of_spread = weights.chunk(2)
    spread, mean = torch.std_mean(grid, (2, 3), correction=0, keepdim=True)
    from_spread = ((grid - mean) ** 2 + spread**2) / (2 * spread.clamp(min=1e-12))
    return torch.einsum("bchw,c->bhw", grid, of_mean) + torch.einsum("bchw,c->bhw", from_spread, of_spread)


def _contributions(recording: Recording, layer: TargetLayer, weight: Tensor, signs: dict[int, float]) -> Tensor:
    """The component's reading of what the channels contribute at each place, `[B, h, w]`."""
    logits = recording.logits
    wanted = logits.new_zeros(1, len(logits), max(logits.shape[1], 2))
    for index, sign in signs.items():
        wanted[0, :, index] = sign
    alpha = LayerSignals(recording, of_heads(wanted, logits), layer).alpha[0].float() * prod(layer.grid)
    return torch.einsum("bchw,bc,c->bhw", to_grid(recording.activation.detach(), layer).float(), alpha, weight)


# ------------------------------------------------------------------------------- a channel


def _strongest(means: Values, photos: Sequence[int], most: int) -> list[int]:
    """The photos with the highest means, `[photos]`; one without a mean is none of them."""
    order = np.argsort(-means, kind="stable")[:most]
    return [photos[row] for row in order if np.isfinite(means[row])]


def _opened(run: Run, paths: Mapping[int, str], photos: Collection[int]) -> Iterator[tuple[int, Photo]]:
    for number in sorted(photos):
        with suppress(PhotoError):
            yield number, run.photo(paths[number])


def _channel(forward: Forward, number: int) -> Values:
    """What a channel, counted through all layers, holds at each place, `[B, h, w]`."""
    starts = list(accumulate((layer.channels for layer in forward.layers), initial=0))
    at = bisect_right(starts, number) - 1
    grid = to_grid(forward.recordings[at].activation.detach(), forward.layers[at])
    return grid[:, number - starts[at]].float().cpu().numpy()


def _cut(photo: Photo, view: View, heat: Values) -> Pixels:
    """A square of a photo around the hottest cell of a map `[h, w]`; at an edge it is moved inwards."""
    left, top, right, bottom = view.box
    height, width = photo.size
    side = max(1, min(round(CUT * min(right - left, bottom - top)), height, width))
    row, column = (int(index) for index in np.unravel_index(heat.argmax(), heat.shape))
    x = left + (column + 0.5) / heat.shape[1] * (right - left)
    y = top + (row + 0.5) / heat.shape[0] * (bottom - top)
    across, down = (min(max(round(at - side / 2), 0), whole - side) for at, whole in ((x, width), (y, height)))
    return photo.pixels[down : down + side, across : across + side].copy()
