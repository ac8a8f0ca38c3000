"""How a heatmap, an explanation or a comparison shows itself: in a notebook, as a figure, as pixels, or as a file.

These types stand on the ground floor, and drawing and reports stand on them. So the modules that draw and write are
looked up by name when somebody first asks for them, and no import turns back.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcam.errors import check_kind
from gradcam.files import refuse_existing, write_whole

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from gradcam.comparison import Comparison
    from gradcam.types import Style


def _module(name: str) -> Any:
    """A module that stands above this one."""
    return import_module(f"gradcam.{name}")


class Shown:
    """Base of values that show themselves: `gradcam.comparison.as_comparison` makes a comparison of each."""

    def _repr_html_(self) -> str:
        """Pictures with captions for a notebook: static, in one text that loads nothing from a network."""
        return _module("draw.notebook").notebook_html(self._as_comparison())

    def figure(self, style: Style | None = None, *, theme: str = "light") -> go.Figure:
        """One Plotly figure: panels of a photo zoom together, and the pointer reads raw values.

        theme: `light` or `dark`, of the page that the figure stands on; its own background is clear.
        Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
        """
        check_style(style)
        return _module("draw.figures").comparison_figure(self._as_comparison(), style, theme=theme)

    def save(self, path: str | Path, *, style: Style | None = None, force: bool = False, **report: Any) -> Path:
        """Write a file of the kind that its suffix says, whole or not at all.

        path: `.png` is one sheet of pictures, `.html` a page with values under the pointer; every other suffix is
            one of the report's, such as `.zip`, `.pdf`, `.json`, `.csv` and `.md`.
        force: replace a file that is there already.
        report: for a report what else `gradcam.report.build_report` takes, such as `verdict`, `layer` and `now`.
        Raises: OptionError for another suffix, or a file that exists; ReportError, MapError.
        """
        check_style(style)
        check_kind(path, (str, Path), "a file's path", "name a file")
        path, comparison = Path(path), self._as_comparison()
        draw = _PICTURES.get(path.suffix.lower())
        if draw is None or path.name.lower().endswith(".interactive.html"):
            reports = _module("report")
            reports.format_of(path, others=_PICTURES)
            return reports.write_report(reports.build_report(comparison, style=style, **report), path, force=force)
        refuse_existing(path, force)
        data = getattr(_module(draw[0]), draw[1])(comparison, style)
        with write_whole(path, force=force) as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def _as_comparison(self) -> Comparison:
        return _module("comparison").as_comparison(self)


def check_style(style: object) -> None:
    """Raises: OptionError for anything but a `Style` or None."""
    check_kind(style, _module("types").Style | None, "a Style", "pass one, such as Style(colormap='jet')")


_PICTURES = {".png": ("draw.contact_sheet", "grid_png"), ".html": ("draw.page", "comparison_html")}
"""A suffix -> the module and its function that draw a whole comparison."""


def overlay(shown: object, style: Style | None, position: int = 0) -> NDArray[np.uint8]:
    """The heat over the photo, RGB uint8 `[H, W, 3]`, with a frame around what the model saw."""
    check_style(style)
    heatmap = _module("comparison").as_comparison(shown).heatmaps[position]
    return _module("draw.render").draw_panel(heatmap, style or _module("types").Style())
