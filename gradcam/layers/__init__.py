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
from gradcam.layers.layer_text import TypedLayer, read_layer, write_layer

__all__ = [
    "LayerChoice",
    "LayerChoices",
    "TypedLayer",
    "candidate_layers",
    "find_layer",
    "find_layers",
    "merge_layers",
    "read_layer",
    "resolve_target_layer",
    "target_layer_support",
    "write_layer",
]
