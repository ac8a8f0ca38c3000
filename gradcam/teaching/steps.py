"""Grad-CAM laid open: everything between the feature maps and the heatmap, for teaching."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from gradcam._explain import explain
from gradcam.capture import record
from gradcam.gradients import in_plain_order
from gradcam.inputs import Inputs
from gradcam.layers.layouts import to_grid
from gradcam.methods import GRADCAM, METHODS, Method, Signals
from gradcam.models.classifier import Classifier
from gradcam.preprocess import to_input
from gradcam.types import Explanation, Fit, Photo, Target, TargetLayer, Top

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GradcamSteps:
    """The numbers of one heatmap.

    explanation: of one target. activation: the feature maps A_k, float32 `[C, h, w]`.
    gradients: ∂y/∂A_k, float32 `[C, h, w]`. alpha: eq. 1, their means over the places, float32 `[C]`.
    """

    explanation: Explanation
    activation: Values
    gradients: Values
    alpha: Values

    @property
    def channels(self) -> int:
        return len(self.alpha)

    @cached_property
    def by_weight(self) -> NDArray[np.intp]:
        """Channels from the largest α_k to the smallest."""
        return np.argsort(-self.alpha, kind="stable")

    @cached_property
    def by_effect(self) -> NDArray[np.intp]:
        """Channels from the one that moves the sum most to the least: by |α_k| times the mean of |A_k|."""
        return np.argsort(-np.abs(self.alpha) * np.abs(self.activation).mean((1, 2)), kind="stable")

    def weighted_sum(self, count: int | None = None) -> Values:
        """Σ α_k A_k, before ReLU, over the first `count` channels of `by_effect`, else all; float32 `[h, w]`."""
        chosen = self.by_effect[:count]
        return np.einsum("k,khw->hw", self.alpha[chosen], self.activation[chosen])

    def map_by(self, method: Method) -> Values:
        """What another method makes of the same feature maps and gradients, float32 `[h, w]`; one of `LINES`."""
        activation, gradients, alpha = map(torch.from_numpy, (self.activation, self.gradients, self.alpha))
        signals = SimpleNamespace(
            activation=activation[None],
            gradients=gradients[None, None],
            products=(gradients * activation)[None, None],
            alpha=alpha[None, None],
        )
        return method.compute(cast(Signals, signals))[0, 0].numpy()


LINES: tuple[Method, ...] = tuple(
    method
    for method in METHODS.values()
    if {"activations", "mean gradients", "gradients"}.issuperset(method.needs) and method is not GRADCAM
)
"""The methods that differ from Grad-CAM in what they make of the feature maps and their gradients, and in nothing
else."""


def gradcam_steps(
    classifier: Classifier,
    photo: Photo,
    target: Target = Top(1),
    *,
    fit: Fit = "crop",
    layer: str | int | TargetLayer = "auto",
) -> GradcamSteps:
    """What `explain` computes for one target, with every number on the way. Two forwards.

    Raises: as `explain`.
    Source: Selvaraju et al. 2017, eq. 1 and 2.
    """
    explanation = explain(classifier, photo, target, fit=fit, layer=layer)
    (scored,), found = explanation.targets, explanation.target_layer
    pixels = to_input(photo, explanation.view, classifier.preprocessing)[None]
    pixels = pixels.to(classifier.device, classifier.dtype)
    inputs = Inputs.of(pixels, classifier.module, output=classifier.output)
    recording = record(classifier.module, inputs, found)
    logits = recording.logits[0]
    logits = torch.cat([-logits, logits]) if len(logits) == 1 else logits  # first of the negative class
    score = logits[scored.index] - (0 if scored.against is None else logits[scored.against])
    with in_plain_order(score):
        (gradients,) = torch.autograd.grad(score, recording.gradient_edge)
    on_grid = to_grid(gradients, found)[0].float()
    return GradcamSteps(
        explanation=explanation,
        activation=to_grid(recording.activation.detach(), found)[0].float().cpu().numpy(),
        gradients=on_grid.cpu().numpy(),
        alpha=on_grid.mean((1, 2)).cpu().numpy(),
    )
