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
    from gradcam.layers.layer_table import LayerRow, known_models, layer_row, write_layer_table
    from gradcam.layers.layer_text import SEPARATOR, TypedLayer, read_layer, write_layer
    from gradcam.layers.measurement_table import models_to_measure, write_measured_table
    from gradcam.layers.placement import Verdict

__all__ = [
    "SEPARATOR",
    "LayerChoice",
    "LayerChoices",
    "LayerRow",
    "TypedLayer",
    "Verdict",
    "candidate_layers",
    "find_layer",
    "find_layers",
    "known_models",
    "layer_row",
    "merge_layers",
    "models_to_measure",
    "read_layer",
    "resolve_target_layer",
    "target_layer_support",
    "write_layer",
    "write_layer_table",
    "write_measured_table",
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
        "layer_table": (
            "LayerRow",
            "known_models",
            "layer_row",
            "write_layer_table",
        ),
        "layer_text": (
            "SEPARATOR",
            "TypedLayer",
            "read_layer",
            "write_layer",
        ),
        "measurement_table": (
            "models_to_measure",
            "write_measured_table",
        ),
        "placement": ("Verdict",),
    },
)
