"""Tables of target layers: of all known models from their shapes alone, and of one of each family, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcam.lazy import imported_when_used

if TYPE_CHECKING:  # what type checkers see; the table below says the same to Python
    from gradcam.layer_tables.by_shape import LayerRow, known_models, layer_row, write_layer_table
    from gradcam.layer_tables.measured import models_to_measure, write_measured_table

__all__ = [
    "LayerRow",
    "known_models",
    "layer_row",
    "models_to_measure",
    "write_layer_table",
    "write_measured_table",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "by_shape": ("LayerRow", "known_models", "layer_row", "write_layer_table"),
        "measured": ("models_to_measure", "write_measured_table"),
    },
)
