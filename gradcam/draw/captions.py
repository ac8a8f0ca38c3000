"""What a heatmap shows, in words: for captions, alternative texts and those who cannot see it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from gradcam.geometry import Values, fit_within, project_to_photo
from gradcam.measures import heat_inside
from gradcam.model_spec import display_name
from gradcam.regions import region_share
from gradcam.scaling import FLOOR, difference, is_signed, normalize
from gradcam.targets import write_target
from gradcam.text import dimensions, duration, percent
from gradcam.types import Failure, Heatmap, Panel, Scale, ScaledMap, Style, Target

SCALE_LABELS: dict[Scale, str] = {
    "each": "Full colour is each map's own maximum: colours say where, not how much.",
    "model": "Full colour is the maximum of one model's maps: compare amounts within a model only.",
    "shared": "Full colour is the maximum of all maps: amounts compare between panels.",
}

COLORMAP_ENDS: dict[str, tuple[str, str]] = {
    "viridis": ("dark violet", "yellow"),
    "cividis": ("dark blue", "yellow"),
    "inferno": ("black", "pale yellow"),
    "turbo": ("dark violet", "dark red"),
    "jet": ("dark blue", "dark red"),
}
"""What no heat and full heat look like, by the name of a colour map for heat."""

SIGNED_LABEL = "Red: for the class. Blue: against it."
"""What the colours of a map with values below zero say."""

ONLY_AGAINST = "only evidence against the class"
"""What a map shows that has values below zero and none above."""

FRAME_LABEL = "A frame marks the part of the photo that the model saw, where that is not all of it."


def request_caption(target: Target) -> str:
    """A target as a reader would ask for it: an index is a class's number, other text as it is typed."""
    return f"class {target}" if isinstance(target, int) else write_target(target)


def model_caption(panel: Panel) -> str:
    """The name that a model's owner gave it, else its id as requested; says *untrained* wherever the model is."""
    untrained = isinstance(panel, Heatmap) and panel.explanation.model.untrained
    name = display_name(panel.model)
    return f"{name} (untrained)" if untrained and "untrained" not in name else name


def target_caption(panel: Panel) -> str:
    """The target and its probability, such as `tabby · 62.0 %`; `no map` for a failure."""
    return f"{panel.scored} · {percent(panel.scored.probability)}" if isinstance(panel, Heatmap) else "no map"


def layer_caption(panel: Panel) -> str:
    """Layer, grid and time, such as `features.29 · 14×14 · 0.21 s`; empty for a failure."""
    if isinstance(panel, Failure):
        return ""
    layer = panel.explanation.layer
    parts = (layer.name, dimensions(*layer.grid), duration(panel.explanation.seconds))
    return " · ".join(part for part in parts if part)


_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def location_caption(values: Values) -> str:
    """Where the largest of values `[H, W]` on a photo lies: `upper left`, `lower centre`, `centre`, …."""
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    down, across = _ROWS[3 * int(row) // values.shape[0]], _COLUMNS[3 * int(column) // values.shape[1]]
    return "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"


def heat_caption(panel: Panel, scaled: ScaledMap | None) -> str:
    """One panel in a sentence for those who cannot see it: model, target, probability, where it is hottest."""
    if isinstance(panel, Failure):
        return f"{model_caption(panel)}: no map. {panel.reason}"
    said = f"{model_caption(panel)}, {target_caption(panel)}"
    scaled = scaled or normalize(panel.map, signed=is_signed(panel.method, panel.map))
    if scaled.note:
        return f"{said}: {scaled.note}."
    laid = project_to_photo(scaled.values, panel.explanation.view, fit_within(panel.photo.size, 90, 90))
    if panel.map.max() < FLOOR:
        return f"{said}: {ONLY_AGAINST}, most at {location_caption(-laid)}."
    return f"{said}: hottest at {location_caption(laid)}."


def difference_caption(a: Heatmap, b: Heatmap, scale: Scale = "each") -> str:
    """The difference of two maps in a sentence for those who cannot see it."""
    values = difference(a, b, scale, fit_within(a.photo.size, 90, 90))
    if not np.isfinite(values).any():
        return f"{model_caption(a)} and {model_caption(b)} saw no common part of the photo."
    sides = ((a, values), (b, -values))
    said = [
        f"{model_caption(panel)} has most more at {location_caption(v)}"
        for panel, v in sides
        if np.nanmax(v) > 0.01
    ]
    return "; ".join(said) + "." if said else f"{model_caption(a)} and {model_caption(b)} do not differ."


def inside_caption(inside: float, area: float) -> str:
    """How much of a map's heat lies where the object was marked, beside the share of the photo that this is."""
    return f"{100 * inside:.0f} % of the heat inside the mark, which is {100 * area:.0f} % of the photo"


def region_caption(panel: Heatmap) -> str:
    """The same of a heatmap; empty where its photo has no region, or the map no heat."""
    region, view = panel.photo.region, panel.explanation.view
    inside = float("nan") if region is None else heat_inside(panel.map, view, region)
    return (
        "" if region is None or np.isnan(inside) else inside_caption(inside, region_share(region, view.photo_size))
    )


def scale_caption(scaled: ScaledMap) -> str:
    """What full colour is in one panel, or why there is no colour."""
    return scaled.note or f"full colour = {'±' if scaled.signed else ''}{scaled.vmax:.3g}"


def opacity_caption(style: Style) -> str:
    """How opaque the heat is, and whether less heat is less opaque."""
    return f"opacity {100 * style.opacity:.0f} %" + (" times the heat" if style.blend == "evidence" else "")


def bar_numbers(style: Style, scaled: Collection[ScaledMap]) -> tuple[str, list[str]]:
    """The colour bar's title, and its five numbers from none to full: raw where one scale serves all panels."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    if style.scale == "shared":
        full = max((one.vmax for one in scaled), default=0.0)
        return "heat, raw units (eq. 2)", [f"{share * full:.3g}" for share in shares]
    whose = "each map's own maximum" if style.scale == "each" else "the model's maximum"
    return f"heat, share of {whose}", [f"{100 * share:.0f} %" for share in shares]
