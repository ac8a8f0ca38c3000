"""Where a heatmap of any classifier lies, found from the model's own data flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcam.lazy import imported_when_used

if TYPE_CHECKING:  # what type checkers see; the table below says the same to Python
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
    from gradcam.layers.layer_text import SEPARATOR, TypedLayer, read_layer, write_layer
    from gradcam.layers.placement import Verdict

__all__ = [
    "SEPARATOR",
    "LayerChoice",
    "LayerChoices",
    "TypedLayer",
    "Verdict",
    "candidate_layers",
    "find_layer",
    "find_layers",
    "merge_layers",
    "read_layer",
    "resolve_target_layer",
    "target_layer_support",
    "write_layer",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "find": (
            "LayerChoice",
            "LayerChoices",
            "candidate_layers",
            "find_layer",
            "find_layers",
            "merge_layers",
            "resolve_target_layer",
            "target_layer_support",
        ),
        "layer_text": (
            "SEPARATOR",
            "TypedLayer",
            "read_layer",
            "write_layer",
        ),
        "placement": ("Verdict",),
    },
)
