"""A comparison as a piece of HTML for a notebook: pictures and captions, no script, and nothing fetched.

A notebook's page may be light or dark and does not say which, so text takes the page's own colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape

import numpy as np

from gradcam.comparison import Comparison, Row
from gradcam.draw import captions, render
from gradcam.geometry import fit_within
from gradcam.text import clean, count, dimensions
from gradcam.types import Failure, Heatmap, Panel, ScaledMap, Style

MAX_PANELS = 60
"""Most pictures that are shown; a notebook keeps every one of them in its file."""

_LONG_SIDE = 360
"""Longer side of a picture in pixels; it is shown at up to two thirds of that, which is sharp on a dense screen."""


def notebook_html(comparison: Comparison, style: Style | None = None) -> str:
    """The comparison's photos, heatmaps with captions, and failures with their reasons; a row for each target.

    Raises: OptionError where the style is outside its choices.
    """
    style = style or Style()
    render.check_style(style)
    comparison = replace(comparison, panels=tuple(map(_finite_or_failure, comparison.panels)))
    scaled = comparison.scaled(style)
    most = max(1, MAX_PANELS // len(comparison.models))
    rows = list(comparison.rows())
    parts = [_row(row, scaled, style) for row in rows[:most]]
    if rows[most:]:
        parts.append(f"<p>… and {count(len(rows[most:]), 'more row')}; save() writes all of them.</p>")
    about = escape(f"{comparison!r}. {captions.scale_label(style.scale, comparison.methods)}")
    return f'<div class="gradcam-shown">{_STYLES}{"".join(parts)}<p>{about}</p></div>'


def _finite_or_failure(panel: Panel) -> Panel:
    """The panel, or a failure instead of a map with NaN or infinity, which no colour can show."""
    if isinstance(panel, Failure) or np.isfinite(panel.map).all():
        return panel
    reason = "expected a finite map, got NaN or infinity; check the weights and the input"
    return Failure(panel.photo, panel.model, panel.method, panel.target, reason)


def _row(row: Row, scaled: Mapping[Heatmap, ScaledMap], style: Style) -> str:
    """A photo and what each model sees in it for one target."""
    photo = row.photo
    about = (photo.name, captions.request_caption(row.target), f"{dimensions(*reversed(photo.size))} pixels")
    first = _figure(render.jpeg_uri(photo, _LONG_SIDE), photo.name, about)
    panels = "".join(_panel(panel, scaled, style) for panel in row.panels)
    return f'<div class="gradcam-row">{first}{panels}</div>'


def _panel(panel: Panel, scaled: Mapping[Heatmap, ScaledMap], style: Style) -> str:
    model = captions.model_caption(panel)
    if isinstance(panel, Failure):
        lines = _lines((model, captions.request_caption(panel.target)))
        return f'<figure><div class="gradcam-failed">No map. {_text(panel.reason)}</div>{lines}</figure>'
    heat = scaled[panel]
    size = fit_within(panel.photo.size, _LONG_SIDE, _LONG_SIDE)
    uri = render.pixels_uri(render.draw_panel(panel, style, heat.vmax if heat.vmax > 0 else None, size))
    about = (model, captions.target_caption(panel), captions.layer_caption(panel), captions.scale_caption(heat))
    return _figure(uri, captions.heat_caption(panel, heat), about)


def _figure(uri: str, alt: str, about: tuple[str, ...]) -> str:
    return f'<figure><img src="{uri}" alt="{_text(alt)}">{_lines(about)}</figure>'


def _lines(about: tuple[str, ...]) -> str:
    """A caption whose first line is the strong one."""
    first, *rest = (_text(line) for line in about if line)
    return f"<figcaption><b>{first}</b>{''.join(f'<br>{line}' for line in rest)}</figcaption>"


def _text(text: str) -> str:
    """Somebody's text as HTML shows it: every character visible, and none of it markup."""
    return escape(clean(text))


_STYLES = """<style>
.gradcam-shown { color: inherit; font: 13px/1.4 system-ui, sans-serif; }
.gradcam-shown p { margin: .5em 0; }
.gradcam-row { display: flex; flex-wrap: wrap; gap: 16px; margin: 0 0 16px; }
.gradcam-shown figure { margin: 0; width: 240px; overflow-wrap: anywhere; }
.gradcam-shown img { display: block; max-width: 100%; height: auto; }
.gradcam-shown figcaption { margin-top: 6px; text-align: left; color: inherit; }
.gradcam-failed { border: 1px dashed currentColor; border-left: 4px solid #d9730d; padding: 8px 12px; }
</style>"""
