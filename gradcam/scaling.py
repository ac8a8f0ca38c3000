"""From raw maps to shares of a stated full scale.

The raw map stays the truth. Scaling divides by the full scale and never subtracts a minimum; a map without positive
evidence stays empty instead of being stretched to full colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcam import methods
from gradcam.errors import MapError, OptionError, quoted
from gradcam.geometry import Values, project_to_photo
from gradcam.types import Heatmap, Panel, Scale, ScaledMap

FLOOR = 1e-6
"""Raw maps that peak below this are shown as empty. The cells of a map add up to about what the layer gives to
the logit, so on a grid of up to 31×31 cells a map this low moves the logit by less than 0.001."""

NO_EVIDENCE = "no positive evidence"


def is_signed(method: str, raw: Values) -> bool:
    """Whether a raw map is drawn around zero: as the method's row says, so that all its maps look alike; if no row
    has that name, whether any value lies clearly below zero.
    """
    row = methods.known_method(method)
    return row.signed if row else bool((np.asarray(raw) < -FLOOR).any())


def normalize(raw: Values, vmax: float | None = None, *, signed: bool = False) -> ScaledMap:
    """A raw map as shares of full scale.

    raw: `[h, w]`, in the units of its method. vmax: the raw value that becomes 1; the map's own maximum if None.
    signed: whether values below zero count; then the maximum is the largest size of a value.
    Returns: values clipped to [0, 1], or [−1, 1] if signed; all 0 with the note `NO_EVIDENCE` where the map peaks
        below `FLOOR`.
    Raises: MapError where the map is not finite, OptionError where `vmax` is no positive number.
    """
    raw = np.asarray(raw, dtype=np.float32)
    if not np.isfinite(raw).all():
        raise MapError("expected a finite map, got NaN or infinity; check the weights and the input")
    peak = float(np.abs(raw).max() if signed else raw.max())
    if peak < FLOOR:
        return ScaledMap(np.zeros_like(raw), peak if vmax is None else vmax, NO_EVIDENCE, signed)
    vmax = peak if vmax is None else vmax
    if not 0 < vmax < np.inf:
        raise OptionError(f"expected a positive full scale, got {vmax}; use the map's maximum {peak:.3g}")
    return ScaledMap(np.clip(raw / np.float32(vmax), -1 if signed else 0, 1), vmax, signed=signed)


_GROUPS: dict[Scale, Callable[[Heatmap], object]] = {
    "each": lambda panel: panel,
    "model": lambda panel: (panel.model, panel.method),
    "shared": lambda panel: panel.method,
}
"""Which maps share full colour. Maps of different methods have different units and never do."""


def full_scales(panels: Sequence[Panel], scale: Scale) -> dict[Heatmap, float]:
    """What full colour stands for in each panel that has a map, in raw units.

    Raises: MapError where a map is not finite, naming model, layer and class.
    """
    groups = {panel: _GROUPS[scale](panel) for panel in panels if isinstance(panel, Heatmap)}
    highest: dict[object, float] = {}
    for panel, group in groups.items():
        highest[group] = max(highest.get(group, 0.0), _peak(panel))
    return {panel: highest[group] for panel, group in groups.items()}


def scale_panels(panels: Sequence[Panel], scale: Scale) -> dict[Heatmap, ScaledMap]:
    """Each map as shares of the full scale that `scale` gives it; a failure has none."""
    scales = full_scales(panels, scale)
    return {
        panel: normalize(panel.map, vmax, signed=is_signed(panel.method, panel.map))
        for panel, vmax in scales.items()
    }


def _peak(panel: Heatmap) -> float:
    if not np.isfinite(panel.map).all():
        layer = panel.explanation.layer
        at = f" at layer {quoted(layer.name)}" if layer else ""
        raise MapError(
            f"expected finite heat from {panel.model}{at} for class "
            f"{quoted(panel.scored)}, got NaN or infinity; check the weights and the input"
        )
    return float(np.abs(panel.map).max() if is_signed(panel.method, panel.map) else panel.map.max())


def difference(a: Heatmap, b: Heatmap, scale: Scale = "each", size: tuple[int, int] | None = None) -> Values:
    """A − B of two maps of one photo, in shares of full scale; values below zero count as zero.

    Returns: float32 `[H, W]` in [-1, 1], NaN where one of the two models saw nothing.
    Raises: OptionError where the photos differ.
    """
    if a.photo.sha256 != b.photo.sha256:
        raise OptionError(
            f"expected two maps of one photo, got {quoted(a.photo.name)} and {quoted(b.photo.name)}; choose one"
        )
    scaled = scale_panels((a, b), scale)
    values = {panel: np.maximum(scaled[panel].values, 0) for panel in (a, b)}
    on_a, on_b = (project_to_photo(values[panel], panel.explanation.view, size) for panel in (a, b))
    return on_a - on_b
