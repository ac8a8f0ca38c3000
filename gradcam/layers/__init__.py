"""Where a heatmap of any classifier lies, found from the model's own data flow."""

from __future__ import annotations

from gradcam.layers.find import (
    LayerChoice,
    LayerChoices,
    candidate_layers,
    find_layer,
    find_layers,
    merge_layers,
    resolve_target_layer,
    target_layer_support,
)

__all__ = [
    "LayerChoice",
    "LayerChoices",
    "candidate_layers",
    "find_layer",
    "find_layers",
    "merge_layers",
    "resolve_target_layer",
    "target_layer_support",
]
