"""What the linked viewer shows: scenes, plain JSON that `viewer.js` gives to Plotly, on the page and the dashboard.

A scene is the panels of one photo, each a Plotly figure of `figures`. Raw maps travel on their own grid and Plotly
lays and colours them in the browser, so colour map, opacity, threshold and zoom change there without asking Python.
`viewer.js` links the figures and adds what Plotly lacks: keys, a bare photo while one is held, panels that stack.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import takewhile
from typing import Any

from gradcam.comparison import Comparison
from gradcam.draw import figures, render
from gradcam.draw.captions import (
    FRAME_LABEL,
    SIGNED_LABEL,
    colour_bars,
    difference_caption,
    heat_caption,
    layer_caption,
    model_caption,
    region_caption,
    request_caption,
    scale_caption,
    scale_label,
    target_caption,
)
from gradcam.geometry import fit_within, hides_part_of_photo
from gradcam.model_spec import short_name
from gradcam.scaling import scale_panels
from gradcam.types import Failure, Heatmap, Panel, Photo, ScaledMap, Style

Scene = dict[str, Any]
"""`photo`, `columns`, `panels`, `look`, `colormaps`, `bars`, `words`: what `viewer.js` documents at its top."""

SCRIPT = resources.files("gradcam.draw").joinpath("viewer.js").read_text("utf-8")
"""An ES module: `mount(parent, scene, report)`; its default export is a Streamlit component."""

STYLES = resources.files("gradcam.draw").joinpath("viewer.css").read_text("utf-8")

_LONG_SIDE = 1280


def panel_width(columns: int) -> int:
    """CSS pixels below which panels wrap, for even rows: six panels as 3 + 3, eight as 4 + 4."""
    return {6: 320, 7: 240, 8: 240}.get(columns, 208)


@dataclass(frozen=True)
class Caption:
    """What stands above a panel, title and subtitle, and the facts below it."""

    title: str
    subtitle: str
    facts: str


def panels_scene(
    panels: Sequence[Panel],
    style: Style | None = None,
    *,
    scaled: Mapping[Heatmap, ScaledMap] | None = None,
    columns: int | None = None,
    captions: Sequence[Caption] | None = None,
    least: float | None = None,
) -> Scene:
    """Heatmaps of one photo side by side.

    scaled: the map of each panel on a scale that it shares with other panels. columns: most panels in a row.
    captions: one for each panel, instead of model, class and layer; for panels of several methods the model's
        caption names the method, too. least: width of a panel in rem below which panels wrap
        [by `panel_width`].
    Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
    """
    style = style or Style()
    render.check_style(style)
    scaled = scale_panels(panels, style.scale) if scaled is None else scaled
    shown = [panel for panel in panels if isinstance(panel, Heatmap)]
    nothing: list[Caption | None] = [None] * len(panels)
    by_method = len({panel.method for panel in panels}) > 1
    columns = columns or len(panels)
    return {
        **tools_scene(shown, style, scaled),
        "photo": _photo(panels[0].photo),
        "columns": columns,
        "least": least or panel_width(columns) / 16,
        "panels": _each_reason_once(
            [
                _panel(panel, scaled, caption, style, by_method)
                for panel, caption in zip(panels, captions or nothing, strict=True)
            ]
        ),
    }


def tools_scene(panels: Sequence[Heatmap], style: Style, scaled: Mapping[Heatmap, ScaledMap]) -> Scene:
    """Tools and legend of these panels without the panels: one toolbar for all viewers of a page."""
    bars = colour_bars(style, {panel: scaled[panel] for panel in panels})
    label = scale_label(style.scale, {panel.method for panel in panels})
    views = [panel.explanation.view for panel in panels]
    framed = [FRAME_LABEL] if any(map(hides_part_of_photo, views)) else []
    signed = {"diverging": _RED_BLUE} if any(scaled[panel].signed for panel in panels) else {}
    return signed | {
        "look": _look(style),
        "colormaps": _colormaps(render.SEQUENTIAL),
        "bars": [{"title": bar.title, "numbers": bar.numbers, "diverging": bar.signed} for bar in bars],
        "words": " ".join([label, *([SIGNED_LABEL] if signed else []), *framed]),
    }


def comparison_scene(
    comparison: Comparison,
    photo: Photo,
    style: Style | None = None,
    *,
    scaled: Mapping[Heatmap, ScaledMap] | None = None,
) -> Scene:
    """One photo of a comparison: a row for each method and target, a column for each model; one model has one row.

    The scale is that of the whole comparison. scaled: `comparison.scaled(style)`, if known already.
    Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
    """
    style = style or Style()
    render.check_style(style)
    scaled = comparison.scaled(style) if scaled is None else scaled
    panels = [panel for row in comparison.rows(photo) for panel in row.panels]
    columns = len(comparison.models) if len(comparison.models) > 1 else len(panels)
    return panels_scene(panels, style, scaled=scaled, columns=columns)


def difference_scene(a: Heatmap, b: Heatmap, style: Style | None = None, *, fade: bool = False) -> Scene:
    """A − B of two maps of one photo, between A and B: red where A has more heat, blue where B has.

    fade: whether to fade the photo where the two agree, see `render.fade_alike`.
    Raises: OptionError where the photos differ.
    """
    style = style or Style()
    render.check_style(style)
    alt = difference_caption(a, b, style.scale)
    names = model_caption(a), model_caption(b)
    label = scale_label(style.scale, {a.method, b.method})
    small = fit_within(a.photo.size, _LONG_SIDE, _LONG_SIDE)
    pixels = render.grey(render.fade_alike(a, b, style.scale, small) if fade else a.photo.pixels)
    middle = {
        "title": f"A − B: {' − '.join(what_differs(names))}",
        "subtitle": "where A has more, and where B",
        "tip": f"A is {a.model}, B is {b.model}",
        "facts": "",
        "alt": alt,
        "note": "",
        "reason": "",
        "plot": figures.difference_plot(a, b, style),
        "diverging": True,
        "uri": render.jpeg_uri(replace(a.photo, pixels=pixels), _LONG_SIDE),
    }
    sides = [Caption(f"A: {names[0]}", target_caption(a), ""), Caption(f"B: {names[1]}", target_caption(b), "")]
    scene = panels_scene([a, b], style, captions=sides, columns=3)
    left, right = scene["panels"]
    return scene | {
        "panels": [left, middle, right],
        "diverging": _RED_BLUE,
        "bars": [
            {
                "title": "A − B, in shares of full colour",
                "numbers": ["−1, B more", "−0.5", "0", "0.5", "A more, 1"],
                "diverging": True,
            }
        ],
        "words": f"Red: more heat in A, {names[0]}. Blue: more in B, {names[1]}. {label}",
    }


def what_differs(names: Sequence[str]) -> list[str]:
    """Names of models from the word on at which they differ: `lite0` and `lite2` of two EfficientNets.

    Whole names where only source or organisation differ.
    """
    words = [re.split(r"(?<=[/_.-])", name.partition(" (")[0]) for name in names]
    same = sum(len(word) for word, other in takewhile(lambda pair: pair[0] == pair[1], zip(*words, strict=False)))
    told = [
        name[same:] if 0 < same < len("".join(own)) else short_name(name)
        for name, own in zip(names, words, strict=True)
    ]
    return told if len(set(told)) == len(set(names)) else list(names)


def scene_json(scene: Scene) -> str:
    """A scene that can stand inside `<script type="application/json">`."""
    return json.dumps(scene, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _photo(photo: Photo) -> dict[str, Any]:
    height, width = photo.size
    uri = render.jpeg_uri(photo, _LONG_SIDE)
    return {"name": photo.name, "sha256": photo.sha256, "width": width, "height": height, "uri": uri}


def _look(style: Style) -> dict[str, Any]:
    return {
        "colormap": style.colormap,
        "opacity": style.opacity,
        "threshold": style.threshold,
        "blend": style.blend,
    }


def _colormaps(tables: dict[str, render.Pixels]) -> dict[str, str]:
    return {name: base64.b64encode(table.tobytes()).decode() for name, table in tables.items()}


_RED_BLUE = _colormaps(render.DIVERGING)["red-blue"]


def _panel(
    panel: Panel, scaled: Mapping[Heatmap, ScaledMap], caption: Caption | None, style: Style, by_method: bool
) -> dict[str, Any]:
    heat = scaled[panel] if isinstance(panel, Heatmap) else None
    facts = [layer_caption(panel), *([] if heat.note else [scale_caption(heat)])] if heat else []
    inside = region_caption(panel) if isinstance(panel, Heatmap) else ""
    shown = caption or Caption(
        title=f"{model_caption(panel)} · {panel.method}" if by_method else model_caption(panel),
        subtitle=target_caption(panel) if heat else request_caption(panel.target),
        facts=" · ".join(facts),
    )
    alt = heat_caption(panel, heat)
    around_zero: dict[str, Any] = {}
    if heat and heat.signed:
        around_zero = {"diverging": True, "uri": render.jpeg_uri(panel.photo, _LONG_SIDE, in_grey=True)}
    return around_zero | {
        "title": shown.title,
        "subtitle": shown.subtitle,
        "tip": panel.model,
        "facts": " · ".join(part for part in (inside, shown.facts) if part).replace(" = ", "\xa0=\xa0"),
        "alt": f"{shown.title}. {alt}" if caption or by_method else alt,
        "note": heat.note if heat else "",
        "reason": panel.reason if isinstance(panel, Failure) else "",
        "plot": figures.panel_plot(panel, heat, style),
    }


_AGAIN = "for the same reason as above"


def _each_reason_once(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep only the first reason of a model that fails for every target, unless it is short."""
    reasons: set[str] = set()
    for panel in panels:
        if panel["reason"] in reasons and len(panel["reason"]) > len(_AGAIN):
            panel["reason"] = _AGAIN
        elif panel["reason"]:
            reasons.add(panel["reason"])
    return panels
