"""What a heatmap shows, in words: for captions, alternative texts and those who cannot see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from gradcam.geometry import Values, fit_within, project_to_photo
from gradcam.measures import heat_inside
from gradcam.methods import GRADCAM
from gradcam.model_spec import display_name
from gradcam.regions import region_share
from gradcam.scaling import FLOOR, difference, is_signed, normalize
from gradcam.targets import write_target
from gradcam.text import dimensions, duration, minus_sign
from gradcam.types import Failure, Heatmap, Panel, Scale, ScaledMap, Style, Target

SCALE_LABELS: dict[Scale, str] = {
    "each": "Full colour is each map's own maximum: colours say where, not how much.",
    "model": "Full colour is the maximum of one model's maps: compare amounts within a model only.",
    "shared": "Full colour is the maximum of all maps: amounts compare between panels.",
}

_OF_SEVERAL_METHODS: dict[Scale, str] = {
    "model": "Full colour is the maximum of one model's maps by one method: compare amounts within both only.",
    "shared": "Full colour is the maximum of one method's maps: compare amounts within a method only.",
}


def scale_label(scale: Scale, methods: Collection[str]) -> str:
    """Whose maximum full colour is. Methods have different units, so their maps never share it."""
    several = _OF_SEVERAL_METHODS if len(set(methods)) > 1 else {}
    return several.get(scale, SCALE_LABELS[scale])


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
    return f"{panel.scored} · {panel.scored.result}" if isinstance(panel, Heatmap) else "no map"


def layer_caption(panel: Panel) -> str:
    """Layer, if the method reads one, grid and time: `features.29 · 14×14 · 0.21 s`; empty for a failure."""
    if isinstance(panel, Failure):
        return ""
    explanation = panel.explanation
    layer = explanation.layer.name if explanation.layer else ""
    parts = (layer, dimensions(*explanation.grid), duration(explanation.seconds))
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
    who = f"{model_caption(panel)}, {target_caption(panel)}"
    scaled = scaled or normalize(panel.map, signed=is_signed(panel.method, panel.map))
    if scaled.note:
        return f"{who}: {scaled.note}."
    laid = project_to_photo(scaled.values, panel.explanation.view, fit_within(panel.photo.size, 90, 90))
    if panel.map.max() < FLOOR:
        return f"{who}: {ONLY_AGAINST}, most at {location_caption(-laid)}."
    return f"{who}: hottest at {location_caption(laid)}."


def difference_caption(a: Heatmap, b: Heatmap, scale: Scale = "each") -> str:
    """The difference of two maps in a sentence for those who cannot see it."""
    values = difference(a, b, scale, fit_within(a.photo.size, 90, 90))
    if not np.isfinite(values).any():
        return f"{model_caption(a)} and {model_caption(b)} saw no common part of the photo."
    sides = ((a, values), (b, -values))
    sentences = [
        f"{model_caption(panel)} has most more at {location_caption(v)}"
        for panel, v in sides
        if np.nanmax(v) > 0.01
    ]
    return "; ".join(sentences) + "." if sentences else f"{model_caption(a)} and {model_caption(b)} do not differ."


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


@dataclass(frozen=True)
class ColourBar:
    """What stands beside a colour bar: its title, and five numbers from none to full.

    signed: whether it goes from full through zero to full, in red and blue.
    """

    title: str
    numbers: tuple[str, ...]
    signed: bool


BAR_SHARES = {False: (0.0, 0.25, 0.5, 0.75, 1.0), True: (-1.0, -0.5, 0.0, 0.5, 1.0)}
"""Shares of full colour at the numbers of a colour bar, and of one around zero."""

_WHOSE: dict[Scale, str] = {
    "each": "each map's own maximum",
    "model": "the model's maximum",
    "shared": "the method's maximum",
}


def bar_numbers(vmax: float, signed: bool) -> tuple[str, ...]:
    """The five numbers of a colour bar in raw units; vmax: what full colour stands for."""
    numbers = tuple(f"{share * vmax:.3g}" for share in BAR_SHARES[signed])
    return tuple(map(minus_sign, numbers)) if signed else numbers


def colour_bar(style: Style, scaled: Mapping[Heatmap, ScaledMap]) -> ColourBar:
    """The colour bar of some panels: in raw units where one scale serves all, around zero where all maps are."""
    methods = {panel.method for panel in scaled}
    around_zero = {one.signed for one in scaled.values()}
    signed = around_zero == {True}
    apart = "; red and blue: ±" if len(around_zero) > 1 else ""
    heat = "heat for and against" if signed else "heat"
    if style.scale == "shared" and len(methods) <= 1:
        full = max((one.vmax for one in scaled.values()), default=0.0)
        equations = " (eq. 2)" if methods <= {GRADCAM.name} else ""
        return ColourBar(f"{heat}, raw units{equations}", bar_numbers(full, signed), signed)
    numbers = tuple(minus_sign(f"{100 * share:.0f} %") for share in BAR_SHARES[signed])
    return ColourBar(f"{heat}, share of {_WHOSE[style.scale]}{apart}", numbers, signed)


def colour_bars(style: Style, scaled: Mapping[Heatmap, ScaledMap]) -> list[ColourBar]:
    """A colour bar of the panels from zero up and one of those around zero, as far as there are such."""
    kinds = [{panel: one for panel, one in scaled.items() if one.signed is signed} for signed in (False, True)]
    return [colour_bar(style, kind) for kind in kinds if kind] or [colour_bar(style, scaled)]
