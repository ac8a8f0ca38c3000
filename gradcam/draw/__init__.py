"""Raw maps into pictures, plots and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcam.lazy import imported_when_used

if TYPE_CHECKING:  # what type checkers see; the table below says the same to Python
    from gradcam.draw.captions import (
        heat_caption,
        layer_caption,
        location_caption,
        model_caption,
        request_caption,
        scale_caption,
    )
    from gradcam.draw.contact_sheet import grid_png
    from gradcam.draw.page import comparison_html
    from gradcam.draw.render import DIFFERS, SEQUENTIAL, check_style, draw_grid, draw_panel, three_panels
    from gradcam.draw.viewer import SCRIPT, STYLES, Caption, Scene, comparison_scene, difference_scene, panels_scene

__all__ = [
    "DIFFERS",
    "SCRIPT",
    "SEQUENTIAL",
    "STYLES",
    "Caption",
    "Scene",
    "check_style",
    "comparison_html",
    "comparison_scene",
    "difference_scene",
    "draw_grid",
    "draw_panel",
    "grid_png",
    "heat_caption",
    "layer_caption",
    "location_caption",
    "model_caption",
    "panels_scene",
    "request_caption",
    "scale_caption",
    "three_panels",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "captions": (
            "heat_caption",
            "layer_caption",
            "location_caption",
            "model_caption",
            "request_caption",
            "scale_caption",
        ),
        "contact_sheet": ("grid_png",),
        "page": ("comparison_html",),
        "render": (
            "DIFFERS",
            "SEQUENTIAL",
            "check_style",
            "draw_grid",
            "draw_panel",
            "three_panels",
        ),
        "viewer": (
            "SCRIPT",
            "STYLES",
            "Caption",
            "Scene",
            "comparison_scene",
            "difference_scene",
            "panels_scene",
        ),
    },
)
