"""One photo, one model, some targets: from pixels to an `Explanation`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from gradcam.capture import record
from gradcam.classifier import Classifier
from gradcam.errors import MapError, OptionError
from gradcam.heatmaps import gradcam
from gradcam.layers import find_layer
from gradcam.preprocess import to_input, view_of
from gradcam.targets import probabilities, score_target
from gradcam.types import Explanation, Fit, Photo, ScoredTarget, Target, TargetLayer, Top


def explain(
    classifier: Classifier,
    photo: Photo,
    targets: Target | Sequence[Target] = Top(1),
    *,
    fit: Fit = "crop",
    layer: str | int | TargetLayer = "auto",
) -> Explanation:
    """Explain what `classifier` looks at in `photo`, for each target, with one forward.

    fit: `crop` (the model's own evaluation transform), `squash` (whole photo, aspect lost) or `pad`.
    layer: `"auto"`, a module's name, a place in `candidate_layers`, or a `TargetLayer`.
    Raises: ClassError for a class that the model does not have, LayerError, ModelError, or MapError where a map is
        not finite.
    Source: Selvaraju et al. 2017, eq. 1 and 2.
    """
    asked = [targets] if isinstance(targets, (int, str, Top)) or not isinstance(targets, Sequence) else targets
    if not asked:
        raise OptionError("expected at least one target to explain, got none; name a class or use Top(1)")
    started = time.perf_counter()
    view = view_of(photo.size, classifier.preprocessing, fit)
    batch = to_input(photo, view, classifier.preprocessing)[None].to(classifier.device, classifier.dtype)
    found = find_layer(classifier.module, batch, layer)
    recording = record(classifier.module, batch, found)
    logits = recording.logits.detach().float().cpu().numpy()[0]
    scored = tuple(score_target(target, logits, classifier.labels) for target in asked)
    maps = gradcam(recording, _cotangents(scored, recording.logits), found)[0].cpu().numpy()
    for target, finite in zip(scored, (abs(maps) < float("inf")).all(axis=(1, 2)), strict=True):
        if not finite:
            raise MapError(
                f"expected finite heat from {classifier.spec} at layer {found.name!r} for class {target}, "
                "got NaN or infinity; check the weights, or use float32"
            )
    return Explanation(
        photo=photo,
        model=classifier.spec,
        targets=scored,
        maps=maps,
        logits=logits,
        probabilities=probabilities(logits),
        labels=classifier.labels.names,
        layer=found,
        view=view,
        seconds=time.perf_counter() - started,
        weights_sha256=classifier.weights_sha256,
    )


def _cotangents(targets: Sequence[ScoredTarget], logits: torch.Tensor) -> torch.Tensor:
    """`[K, 1, C]`: +1 at each target's class and −1 at the class it is contrasted with."""
    cotangents = logits.new_zeros(len(targets), 1, logits.shape[1])
    for row, target in zip(cotangents[:, 0], targets, strict=True):
        row[target.index] = 1
        if target.against is not None:
            row[target.against] = -1
    return cotangents
