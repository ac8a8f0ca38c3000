"""Agreement of two maps, on numbers small enough to count."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gradcam.errors import OptionError
from gradcam.measures import MEASURES, agreement, comparable, heat_inside, iou_of_hottest, measure, rank_correlation
from gradcam.types import View
from tests import fakes

RISING = np.arange(10, dtype=np.float32).reshape(2, 5)


def test_a_map_agrees_fully_with_itself_at_any_scale():
    assert rank_correlation(RISING, RISING * 100) == pytest.approx(1)
    assert iou_of_hottest(RISING, RISING * 100) == 1


def test_an_opposite_map_disagrees_fully():
    assert rank_correlation(RISING, 9 - RISING) == pytest.approx(-1)
    assert iou_of_hottest(RISING, 9 - RISING) == 0


def test_rank_correlation_is_spearmans_with_ties():
    a, b = np.random.default_rng(0).integers(0, 5, (2, 6, 7)).astype(np.float32)
    wanted = stats.spearmanr(a.ravel(), b.ravel())[0]
    assert rank_correlation(a, b) == pytest.approx(wanted)


def test_the_hottest_fifth_of_ten_pixels_is_two_and_one_in_common_of_three_is_a_third():
    other = RISING.copy()
    other[1, 3], other[0, 0] = 0, 8  # 9 and 8 are hottest; the 8 moves to another place
    assert iou_of_hottest(RISING, other) == pytest.approx(1 / 3)


def test_cold_pixels_never_count_as_hot():
    a, b = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    a[0, 0], b[0, 1] = 1, 1
    assert iou_of_hottest(a, b) == 0


def test_only_pixels_that_both_saw_count():
    a, b = RISING.copy(), RISING.copy()
    a[0] = np.nan
    b[0] = [9, 1, 7, 3, 5]
    assert rank_correlation(a, b) == pytest.approx(1)


@pytest.mark.parametrize("measure", [rank_correlation, iou_of_hottest])
@pytest.mark.parametrize("flat", [np.zeros((2, 5)), np.full((2, 5), 3.0), np.full((2, 5), np.nan)])
def test_a_map_without_contrast_says_nothing_about_agreement(measure, flat):
    assert math.isnan(measure(flat.astype(np.float32), RISING))
    assert math.isnan(measure(RISING, flat.astype(np.float32)))


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(OptionError, match="lay both on the photo"):
        rank_correlation(RISING, RISING.T)


@pytest.mark.parametrize("share", [0, 1, -0.2])
def test_a_share_must_lie_between_nothing_and_all(share):
    with pytest.raises(OptionError, match=r"use 0\.2"):
        iou_of_hottest(RISING, RISING, share)


def test_agreement_compares_maps_of_other_grids_on_the_photos_pixels():
    photo = fakes.photo(40, 60)
    left_to_right = np.tile(np.arange(1, 7), (4, 1))
    panels = [
        fakes.panel(photo, left_to_right),
        fakes.panel(photo, left_to_right[:2, ::-1] * 50, model="x/b"),
        fakes.failure(photo, "no weights"),
        fakes.panel(photo, np.full((3, 3), 2.0), model="x/flat"),
    ]
    table = agreement(panels)
    assert table.shape == (4, 4)
    assert table[:2, :2] == pytest.approx(np.array([[1, -1], [-1, 1]]), abs=1e-3)
    assert np.isnan(table[2:]).all()
    assert np.isnan(table[:, 2:]).all()


def test_maps_of_parts_without_a_common_pixel_cannot_be_said_to_agree():
    photo = fakes.photo(10, 20)
    halves = [View((x, 0, x + 10, 10), (10, 20), (8, 8), "crop") for x in (0, 10)]
    panels = [fakes.panel(photo, RISING, view=view) for view in halves]
    assert math.isnan(agreement(panels, iou_of_hottest)[0, 1])


def test_agreement_stays_within_one_photo():
    with pytest.raises(OptionError, match="several photos"):
        agreement([fakes.panel(fakes.photo(name=name), RISING) for name in "ab"])


def test_a_comparison_is_measured_row_by_row_as_its_panels_are():
    photo = fakes.photo()
    comparison = fakes.comparison(fakes.panel(photo, RISING), fakes.panel(photo, 9 - RISING, model="x/b"))
    for name, function in MEASURES.items():
        ((row, table),) = measure(comparison, name).items()
        assert row.panels == comparison.panels
        np.testing.assert_array_equal(table, agreement(comparison.panels, function))
    assert measure(comparison).popitem()[1][0, 1] == pytest.approx(-1, abs=1e-3)


def test_a_measure_that_there_is_not_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match="expected a measure, got 'rank'; use 'rank correlation'"):
        agreement([], "rank")


def test_the_heat_inside_a_box_or_an_outline_is_a_share_of_all_heat_on_the_photo():
    photo = fakes.photo(40, 60)
    even = fakes.panel(photo, np.ones((4, 6), np.float32))
    assert heat_inside(even.map, even.explanation.view, ((0, 0), (60, 40))) == pytest.approx(1)
    assert heat_inside(even.map, even.explanation.view, ((15, 10), (45, 30))) == pytest.approx(0.25)
    assert heat_inside(even.map, even.explanation.view, ((-100, -100), (30, 100))) == pytest.approx(0.5)
    triangle = ((0, 0), (60, 0), (0, 40))
    assert heat_inside(even.map, even.explanation.view, triangle) == pytest.approx(0.5, abs=0.02)


def test_heat_inside_a_box_is_not_sought_where_the_model_saw_nothing_or_below_zero():
    photo = fakes.photo(40, 60)
    raw = np.array([[-9, 1], [-9, 1]], np.float32)
    seen = fakes.panel(photo, raw, view=fakes.middle(photo))  # from 10 to 50 of 60 pixels across
    assert heat_inside(seen.map, seen.explanation.view, ((0, 0), (10, 40))) == 0
    # none up to the middle of the left cell at 20, then rising to the middle of the right one at 40
    assert heat_inside(seen.map, seen.explanation.view, ((30, 0), (60, 40))) == pytest.approx(0.875, abs=0.01)
    assert math.isnan(heat_inside(np.zeros((2, 2), np.float32), seen.explanation.view, ((0, 0), (60, 40))))


def test_predictions_of_models_that_know_few_classes_are_compared_with_none_that_know_many():
    photo = fakes.photo()
    few, many = (fakes.panel(photo, RISING, model=model) for model in ("x/few", "x/many"))
    many = replace(many, explanation=replace(many.explanation, labels=tuple(map(str, range(1000)))))
    assert comparable([few, many]) == [many]
    assert comparable([few, few]) == [few, few]
    named = [replace(panel, target="tabby") for panel in (few, many)]
    assert comparable(named) == named


def test_a_region_that_holds_nothing_is_refused():
    panel = fakes.panel(fakes.photo(), RISING)
    with pytest.raises(OptionError, match="with width and height"):
        heat_inside(panel.map, panel.explanation.view, ((30, 0), (30, 40)))
