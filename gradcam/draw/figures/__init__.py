"""The interactive face: Plotly figures."""

from gradcam.draw.figures.bars import weight_bars
from gradcam.draw.figures.boxes import measure_boxes
from gradcam.draw.figures.comparison import comparison_figure, plotly_scale
from gradcam.draw.figures.panel import difference_plot, panel_plot
from gradcam.draw.figures.parts import PLOTLY_CONFIG, PLOTLY_SCRIPT, Theme, plotly_script

__all__ = [
    "PLOTLY_CONFIG",
    "PLOTLY_SCRIPT",
    "Theme",
    "comparison_figure",
    "difference_plot",
    "measure_boxes",
    "panel_plot",
    "plotly_scale",
    "plotly_script",
    "weight_bars",
]
