"""A comparison can be read by rows, by what one asks for, and on one scale."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam import Comparison, Failure, Heatmap, OptionError, Style, Top, compare
from gradcam.methods import GRADCAM, find_method
from tests import fakes
from tests.test_explain import colours, quarters

METHODS = ("Grad-CAM", "another")


def two_of_everything() -> Comparison:
    """Photos, models, methods and targets, two of each; the map of the last panel failed, the n-th peaks at n."""
    photos = fakes.photo(name="a.jpg"), fakes.photo(name="b.jpg")
    asked = [(p, m, how, t) for p in photos for m in ("x/a", "x/b") for how in METHODS for t in (Top(1), Top(2))]
    panels = [
        Heatmap(photo, model, method, target, fakes.panel(photo, [[peak, 0]]).explanation)
        for peak, (photo, model, method, target) in enumerate(asked, start=1)
    ]
    return Comparison(
        photos, ("x/a", "x/b"), METHODS, (Top(1), Top(2)), (*panels[:-1], Failure(*asked[-1], "no weights"))
    )


def test_rows_are_photo_by_photo_method_by_method_and_hold_a_panel_for_each_model() -> None:
    comparison = two_of_everything()
    rows = list(comparison.rows())
    assert [(row.photo.name, row.method, row.target) for row in rows] == [
        (photo, method, target) for photo in ("a.jpg", "b.jpg") for method in METHODS for target in (Top(1), Top(2))
    ]
    for row in rows:
        assert [panel.model for panel in row.panels] == ["x/a", "x/b"]
        assert {(panel.photo, panel.method, panel.target) for panel in row.panels} == {
            (row.photo, row.method, row.target)
        }


def test_the_rows_of_one_photo_are_those_of_all_that_are_about_it() -> None:
    comparison = two_of_everything()
    _, second = comparison.photos
    panels = [row.panels for row in comparison.rows(second)]
    assert len(panels) == 4
    assert panels == [row.panels for row in comparison.rows() if row.photo is second]
    assert list(comparison.rows(fakes.photo(name="b.jpg"))) == []


def test_panels_are_found_by_what_they_show() -> None:
    comparison = two_of_everything()
    found = comparison.of(photo=comparison.photos[1], model="x/a", target=Top(2))
    assert [(panel.photo.name, panel.model, panel.method, panel.target) for panel in found] == [
        ("b.jpg", "x/a", method, Top(2)) for method in METHODS
    ]
    assert comparison.of() == comparison.panels
    assert comparison.of(model="x/c") == ()


def test_what_failed_is_told_from_what_has_a_map() -> None:
    comparison = two_of_everything()
    assert [failure.reason for failure in comparison.failures] == ["no weights"]
    assert len(comparison.heatmaps) == 15


def test_what_is_kept_of_a_comparison_is_in_its_order() -> None:
    comparison = two_of_everything()
    less = comparison.with_models({"x/b"}).with_targets([Top(2)])
    assert (less.models, less.targets) == (("x/b",), (Top(2),))
    assert less.panels == comparison.of(model="x/b", target=Top(2))


def test_full_colour_is_shared_by_models_but_never_by_methods_whose_units_differ() -> None:
    comparison = two_of_everything()
    scaled = comparison.scaled(Style(scale="shared"))
    assert set(scaled) == set(comparison.heatmaps)
    assert {(panel.method, heat.vmax) for panel, heat in scaled.items()} == {("Grad-CAM", 14), ("another", 15)}


def test_a_method_is_an_axis_of_what_is_compared() -> None:
    comparison = compare([colours()], [quarters()], ["red"], methods=["gradcam"], layer="maps")
    (heatmap,) = comparison.heatmaps
    assert (comparison.methods, heatmap.method, heatmap.explanation.method) == (
        ("Grad-CAM",),
        "Grad-CAM",
        "Grad-CAM",
    )
    assert np.array_equal(heatmap.map, heatmap.explanation.maps[0])


def test_a_method_is_found_without_regard_to_case_and_hyphens() -> None:
    assert find_method("grad cam") is find_method("GRADCAM") is GRADCAM
    assert GRADCAM.citation == "Selvaraju et al. 2017, eq. 1 and 2"


def test_an_unknown_method_is_one_sentence() -> None:
    with pytest.raises(OptionError, match="expected a method, got 'Grad-KAM'; use 'Grad-CAM'"):
        compare([colours()], [quarters()], ["red"], methods=["Grad-KAM"], layer="maps")
    with pytest.raises(OptionError, match="expected at least one of the methods"):
        compare([colours()], [quarters()], ["red"], methods=[])
