"""How far finished heatmaps agree, on the pixels of the photo that both models saw, and where their heat lies.

A map without contrast (constant, or empty as `scaling.normalize` has it) ranks nothing and has no hottest part:
its agreement with any map is NaN, which means *cannot be said*, not *none*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam.comparison import Comparison, Row
from gradcam.errors import OptionError, check_kind
from gradcam.geometry import fit_within, project_to_photo
from gradcam.kinds import expect, expect_numbers, expect_one_of
from gradcam.regions import LONG_SIDE, check_region, region_mask
from gradcam.scaling import normalize
from gradcam.types import Heatmap, Panel, Region, Top, View

Measure = Callable[[NDArray[np.float32], NDArray[np.float32]], float]
"""Compares two maps on the photo `[H, W]`, NaN where nothing was seen, and returns one number."""


def rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Spearman's rank correlation over the pixels that both maps cover, in [-1, 1]; ties share their mean rank.

    a, b: `[H, W]` on the same photo, NaN where nothing was seen.
    Returns: NaN where one of the two is constant there, or they share fewer than two pixels.
    Raises: OptionError where the shapes differ.
    Source: Spearman 1904, *The Proof and Measurement of Association between Two Things*.
    """
    return _correlation(*map(_mean_ranks, _shared(a, b)))


def _mean_ranks(values: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The rank of each value, from 1 for the smallest; ties share their mean rank. None without contrast."""
    if not _has_contrast(values):
        return None
    _, places, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[places]


def _correlation(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> float:
    return float("nan") if a is None or b is None else float(np.corrcoef(a, b)[0, 1])


def iou_of_hottest(a: NDArray[np.float32], b: NDArray[np.float32], share: float = 0.2) -> float:
    """Intersection over union of the hottest `share` of the pixels that both maps cover, in [0, 1].

    A pixel is hot if it lies at or above the (1 − share) quantile and above 0. A map with fewer pixels above 0
    counts all of them, and ties at the quantile count too.

    a, b: `[H, W]` on the same photo, NaN where nothing was seen, 0 where there is no heat.
    Returns: NaN where one of the two is constant there, or they share fewer than two pixels.
    Raises: OptionError where the shapes differ or `share` is not between 0 and 1.
    Source: Jaccard 1912, *The Distribution of the Flora in the Alpine Zone*.
    """
    if not 0 < share < 1:
        raise OptionError(f"expected a share between 0 and 1, got {share}; use 0.2 for the hottest fifth")
    return _overlap(*(_hottest(one, share) for one in _shared(a, b)))


def _hottest(values: NDArray[np.float32], share: float = 0.2) -> NDArray[np.bool_] | None:
    """Where the hottest values are; None without contrast."""
    return (values > 0) & (values >= np.quantile(values, 1 - share)) if _has_contrast(values) else None


def _overlap(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> float:
    return float("nan") if a is None or b is None else float((a & b).sum() / (a | b).sum())


MEASURES: dict[str, Measure] = {
    "rank correlation": rank_correlation,
    "IoU of the hottest": iou_of_hottest,
}
"""How far two maps agree, by name."""

_IN_TWO_STEPS: list[tuple[Measure, Callable[[NDArray[np.float32]], Any], Callable[[Any, Any], float]]] = [
    (rank_correlation, _mean_ranks, _correlation),
    (iou_of_hottest, _hottest, _overlap),
]
"""Measures, what each computes of the values of one map alone, and how it compares two results of that."""


def measure(
    comparison: Comparison, by: str | Measure = "rank correlation", long_side: int = LONG_SIDE
) -> dict[Row, NDArray[np.float64]]:
    """How far the models agree on each photo, method and target: the `agreement` of every row's panels.

    by: a row of `MEASURES`, or a function of two maps on the photo. long_side: as in `agreement`.
    Returns: for each row of `comparison.rows()` a table `[models, models]`, in the comparison's order.
    Raises: OptionError for another measure, MapError where a map is not finite.
    """
    expect_numbers(long_side=long_side)
    expect(Comparison, comparison)
    return {row: agreement(row.panels, by, long_side) for row in comparison.rows()}


def agreement(
    panels: Sequence[Panel], measure: str | Measure = "rank correlation", long_side: int = LONG_SIDE
) -> NDArray[np.float64]:
    """`measure` between every two panels of one photo, `[N, N]`, symmetric; NaN where a panel has no map.

    measure: a row of `MEASURES`, or a function of two maps on the photo.
    long_side: photos larger than this many pixels are measured at this size; maps are far coarser.
    Raises: OptionError where the panels show different photos or there is no such measure, MapError where a map is
        not finite.
    """
    expect_numbers(long_side=long_side)
    if long_side < 1:
        raise OptionError(
            f"expected a long side of at least 1 pixel, got {long_side}; leave it out for {LONG_SIDE}"
        )
    for panel in panels if isinstance(panels, Sequence) else [panels]:
        check_kind(panel, Panel, "panels of one photo", "pass `panels` of a row of a comparison")
    if not callable(measure):
        expect_one_of(MEASURES, measure, "a measure")
        measure = MEASURES[measure]
    if len({panel.photo.sha256 for panel in panels}) > 1:
        raise OptionError("expected panels of one photo, got several photos; measure each photo by itself")
    maps = [_on_photo(panel, long_side) for panel in panels]
    measure, maps = _first_step(measure, maps)
    table = np.full((len(panels), len(panels)), np.nan)
    for row, a in enumerate(maps):
        for column, b in enumerate(maps[: row + 1]):
            if a is not None and b is not None:
                table[row, column] = table[column, row] = measure(a, b)
    return table


def _first_step(measure: Measure, maps: list[Any]) -> tuple[Callable[[Any, Any], float], list[Any]]:
    """What is left of a measure once its first step is done for every map, and the results of that.

    If maps cover different pixels, every two are compared on others: then the measure and the maps as they are.
    """
    covered = [np.isfinite(one) for one in maps if one is not None]
    for known, of_one, of_two in _IN_TWO_STEPS:
        if measure is known and all(np.array_equal(covered[0], other) for other in covered):
            return of_two, [None if one is None else of_one(one[covered[0]]) for one in maps]
    return measure, maps


FEW_CLASSES = 100
"""A model with at most so many answers with one of them, whatever the photo shows."""


def comparable(panels: Sequence[Panel]) -> list[Panel]:
    """The panels of one photo and target whose agreement means something.

    Left out are predictions of models that know few classes, which must name one of them; where all models know
    few, the predictions of those that know other classes than the first. A panel without a map stays.
    """
    known = [panel.explanation.labels if isinstance(panel, Heatmap) else None for panel in panels]
    told = [labels for labels in known if labels is not None]
    if not told or not isinstance(panels[0].target, Top):
        return list(panels)
    broad = [labels for labels in told if len(labels) > FEW_CLASSES]
    return [
        panel
        for panel, labels in zip(panels, known, strict=True)
        if labels is None or (len(labels) > FEW_CLASSES if broad else labels == told[0])
    ]


def heat_inside(raw: NDArray[np.float32], view: View, region: Region, long_side: int = LONG_SIDE) -> float:
    """The share of a map's heat that lies inside a region of the photo, in [0, 1]; NaN where there is no heat.

    raw: a raw map `[h, w]`, as `Heatmap.map` has it; what is below 0 is no heat. view: how it lies on the photo.
    long_side: as in `agreement`.
    Raises: OptionError for a region that encloses nothing.
    Source: Wang et al. 2020, *Score-CAM*, the energy-based pointing game.
    """
    size = fit_within(view.photo_size, long_side, long_side)
    return share_inside(project_to_photo(np.maximum(raw, 0), view, size), view.photo_size, region)


def share_inside(heat: NDArray[np.float32], photo_size: tuple[int, int], region: Region) -> float:
    """The same of heat `[H, W]` that already lies on the photo: at least 0, NaN where nothing was seen.

    photo_size: height and width of the photo whose pixels the region is in.
    Raises: OptionError for a region that encloses nothing.
    """
    check_region(region)
    known = np.nan_to_num(heat, nan=0.0).astype(np.float64)
    total = float(known.sum())
    inside = known[region_mask(region, photo_size, heat.shape)]
    return float(inside.sum()) / total if total > 0 else float("nan")


def _on_photo(panel: Panel, long_side: int) -> NDArray[np.float32] | None:
    if not isinstance(panel, Heatmap):
        return None
    size = fit_within(panel.photo.size, long_side, long_side)
    return project_to_photo(normalize(panel.map).values, panel.explanation.view, size)


def _shared(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both maps' values at the pixels where both have one, as two rows of equal length."""
    if a.shape != b.shape:
        raise OptionError(f"expected maps on the same pixels, got {a.shape} and {b.shape}; lay both on the photo")
    both = np.isfinite(a) & np.isfinite(b)
    return a[both], b[both]


def _has_contrast(values: NDArray[np.float32]) -> bool:
    """Interpolating a constant leaves rounding errors of float32; they are no contrast."""
    return len(values) > 1 and float(np.ptp(values)) > 1e-5 * max(float(np.abs(values).max()), 1e-30)
