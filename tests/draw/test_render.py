"""Raw maps as pictures: every number here can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcam.draw import captions, render
from gradcam.errors import MapError, OptionError
from gradcam.geometry import hides_part_of_photo, project_to_photo
from gradcam.scaling import difference, full_scales, normalize, scale_panels
from gradcam.text import percent, shorten
from gradcam.types import Blend, Style, View
from tests import fakes

ONE_HOT = np.array([[1, 0], [0, 0]], np.float32)


# ----- colour maps


def test_red_stays_red_and_blue_stays_blue():
    jet = render.colormap("jet")
    assert jet[0].tolist() == [0, 0, 128]
    assert jet[255].tolist() == [128, 0, 0]
    assert render.colormap("viridis")[255].tolist() == [253, 231, 37]
    assert render.colormap("viridis")[0].tolist() == [68, 1, 84]


def test_the_difference_map_is_blue_below_white_at_and_red_above_zero():
    low, middle, high = render.colormap("red-blue")[[0, 128, 255]].astype(int)
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert min(middle) > 240


def test_an_unknown_colour_map_names_the_nearest():
    with pytest.raises(OptionError, match=r"'virdis'; use 'viridis'"):
        render.colormap("virdis")


@pytest.mark.parametrize(
    "style",
    [
        Style(opacity=1.5),
        Style(threshold=-0.1),
        Style(scale="eich"),
        Style(interpolation="cubic"),
        Style(blend="odd"),
    ],  # type: ignore[arg-type]
)
def test_a_style_outside_its_choices_is_refused(style: Style):
    with pytest.raises(OptionError, match="use "):
        render.check_style(style)


# ----- scaling


def test_scaling_divides_by_the_maximum_and_never_subtracts_the_minimum():
    scaled = normalize(np.array([[1, 2], [3, 4]], np.float32))
    assert scaled.values.tolist() == [[0.25, 0.5], [0.75, 1.0]]
    assert scaled.vmax == 4


def test_a_flat_map_is_shown_full_not_blank():
    scaled = normalize(np.full((3, 3), 0.2, np.float32))
    assert (scaled.values == 1).all()
    assert scaled.note == ""


@pytest.mark.parametrize("peak", [0.0, 1e-9])
def test_a_map_without_evidence_stays_empty_and_says_so(peak: float):
    scaled = normalize(ONE_HOT * np.float32(peak))
    assert (scaled.values == 0).all()
    assert scaled.note == "no positive evidence"


def test_a_map_just_above_the_floor_is_shown():
    assert normalize(ONE_HOT * np.float32(2e-6)).values.max() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_an_error(bad: float):
    with pytest.raises(MapError, match="NaN or infinity"):
        normalize(np.array([[1, bad]], np.float32))


def test_a_map_that_is_not_finite_is_named_by_model_layer_and_class():
    panel = fakes.panel(fakes.photo(), [[1, np.nan]], model="torchvision/vgg16", label="tabby")
    with pytest.raises(MapError, match=r"torchvision/vgg16.*'features\.29'.*'tabby'"):
        scale_panels([panel], "shared")


def test_a_full_scale_must_be_positive():
    with pytest.raises(OptionError, match="expected a positive full scale, got -1"):
        normalize(ONE_HOT, vmax=-1)


@pytest.mark.parametrize(("scale", "expected"), [("each", [1, 2, 4]), ("model", [2, 2, 4]), ("shared", [4, 4, 4])])
def test_full_colour_is_each_maximum_the_models_or_that_of_all(scale, expected):
    photo = fakes.photo()
    heats = [fakes.panel(photo, ONE_HOT * k, model=m) for k, m in ((1, "x/a"), (2, "x/a"), (4, "x/b"))]
    assert list(full_scales([*heats, fakes.failure(photo, "no weights")], scale).values()) == expected


# ----- laying on the photo


def test_a_hot_cell_laid_on_twice_as_many_pixels_gives_the_textbook_bilinear_numbers():
    view = View((0, 0, 4, 4), (4, 4), (2, 2), "squash")
    edge = np.array([1, 0.75, 0.25, 0])
    np.testing.assert_allclose(project_to_photo(ONE_HOT, view), np.outer(edge, edge), atol=1e-6)


def test_laying_equals_torchs_bilinear_without_aligned_corners():
    heat = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    view = View((0, 0, 61, 43), (43, 61), (5, 7), "squash")
    wanted = torch.nn.functional.interpolate(torch.tensor(heat)[None, None], (43, 61), mode="bilinear")[0, 0]
    np.testing.assert_allclose(project_to_photo(heat, view), wanted, atol=1e-5)


def test_nothing_is_laid_outside_the_crop():
    view = View((1, 0, 3, 2), (2, 4), (2, 2), "crop")
    n = np.nan
    np.testing.assert_array_equal(project_to_photo(ONE_HOT, view), [[n, 1, 0, n], [n, 0, 0, n]])


def test_a_map_that_reaches_over_bars_is_cut_at_the_photos_edge():
    view = View((0, -1, 4, 3), (2, 4), (4, 4), "pad")  # one row of bar above and one below
    rows = np.arange(4, dtype=np.float32)[:, None].repeat(4, 1)
    np.testing.assert_allclose(project_to_photo(rows, view), [[1] * 4, [2] * 4], atol=1e-6)


def test_a_smaller_display_keeps_the_place_of_every_pixel():
    view = View((2, 0, 6, 4), (4, 8), (2, 2), "crop")
    heat = np.array([[0, 1], [0, 1]], np.float32)
    n = np.nan
    np.testing.assert_allclose(project_to_photo(heat, view, size=(2, 4)), [[n, 0, 1, n]] * 2, atol=1e-6)


def test_nearest_interpolation_shows_the_cells():
    view = View((0, 0, 4, 4), (4, 4), (2, 2), "squash")
    laid = project_to_photo(ONE_HOT, view, interpolation="nearest")
    assert laid.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


# ----- colouring


def test_jet_at_half_opacity_equals_the_hand_blended_pixel():
    photo = np.array([[[200, 100, 50]]], np.uint8)
    assert render.overlay(photo, np.ones((1, 1), np.float32), Style("jet", 0.5)).tolist() == [[[164, 50, 25]]]


@pytest.mark.parametrize(("blend", "shown"), [("evidence", [100, 75, 50]), ("even", [50, 50, 50])])
def test_less_heat_is_clearer_unless_all_of_it_is_alike(blend: Blend, shown: list[int]):
    heat = render.colourise(np.array([[0, 0.5, 1]], np.float32), "jet", blend=blend)
    heat[..., :3] = 0  # black
    photo = np.full((1, 3, 3), 100, np.uint8)
    assert render.blend(photo, heat, 0.5)[0, :, 0].tolist() == shown


def test_without_evidence_there_is_no_veil_over_the_photo():
    photo = np.full((1, 2, 3), 90, np.uint8)
    shown = render.overlay(photo, np.array([[0, 1]], np.float32), Style())
    assert shown[0, 0].tolist() == [90] * 3
    assert shown[0, 1].tolist() != [90] * 3


def test_one_pixels_colour_does_not_depend_on_the_rest_of_the_picture():
    dark, bright = np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8)
    bright[0, 1] = 255
    values = np.array([[1, 0.5]], np.float32)
    alike = [render.overlay(photo, values, Style("jet", 0.5))[0, 0].tolist() for photo in (dark, bright)]
    assert alike[0] == alike[1] == [64, 0, 0]


def test_the_photo_is_untouched_where_nothing_was_seen_and_below_the_threshold():
    photo = np.full((1, 3, 3), 90, np.uint8)
    shown = render.overlay(photo, np.array([[np.nan, 0.2, 0.8]], np.float32), Style(threshold=0.5))
    assert shown[0, :2].tolist() == [[90] * 3, [90] * 3]
    assert shown[0, 2].tolist() != [90] * 3


def test_an_empty_map_leaves_the_photo_as_it_is():
    panel = fakes.panel(fakes.photo(), np.zeros((2, 2)))
    np.testing.assert_array_equal(render.draw_panel(panel, Style()), panel.photo.pixels)


def test_a_flat_map_colours_the_whole_photo():
    panel = fakes.panel(fakes.photo(grey=0), np.full((2, 2), 5))
    assert (render.draw_panel(panel, Style("jet", 1.0)) == [128, 0, 0]).all()


def test_the_seen_part_is_framed_dark_and_light_and_nothing_outside_it_is_touched():
    photo = fakes.photo(40, 80, grey=128)
    drawn = render.draw_panel(fakes.panel(photo, np.ones((2, 2)), view=fakes.middle(photo)), Style())
    assert (drawn[:, :20] == 128).all()
    assert (drawn[:, 60:] == 128).all()
    assert drawn[20, [20, 21, 58, 59], 0].tolist() == [20, 245, 245, 20]


def test_a_photo_seen_whole_has_no_frame():
    photo = fakes.photo(grey=128)
    assert not hides_part_of_photo(fakes.whole(photo))
    assert render.outline(photo.pixels, fakes.whole(photo)) is photo.pixels


def test_three_panels_are_the_photo_the_heat_and_the_overlay():
    photo = fakes.photo(10, 80, grey=0)
    drawn = render.three_panels(fakes.panel(photo, np.ones((1, 1))), Style("jet", 0.5))
    assert drawn.shape == (10, 3 * 80 + 2 * 2, 3)
    assert [drawn[5, x].tolist() for x in (40, 81, 122, 204)] == [[0] * 3, [255] * 3, [128, 0, 0], [64, 0, 0]]


def test_a_difference_is_positive_where_the_first_map_is_hotter_and_unknown_where_one_saw_nothing():
    photo = fakes.photo(2, 4)
    a = fakes.panel(photo, [[2, 0]])
    b = fakes.panel(photo, [[0, 3]], view=View((1, 0, 3, 2), (2, 4), (2, 2), "crop"))
    n = np.nan
    np.testing.assert_allclose(difference(a, b), [[n, 0.75, -0.75, n]] * 2, atol=1e-6)


def test_a_photo_under_red_and_blue_has_no_colours_of_its_own():
    grey = render.grey(np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8))
    assert grey.tolist() == [[[255] * 3, [76] * 3, [29] * 3]]  # luma of BT.601: 0.299, 0.587, 0.114


def test_maps_of_two_photos_have_no_difference():
    panels = [fakes.panel(fakes.photo(name=name), ONE_HOT) for name in ("a.jpg", "b.jpg")]
    with pytest.raises(OptionError, match=r"'a\.jpg' and 'b\.jpg'"):
        difference(*panels)


# ----- words


def test_long_words_keep_their_beginning_and_end():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abc", 5) == "abc"


def test_small_probabilities_are_not_called_zero():
    assert [percent(p) for p in (0.951, 0.0001, 0.0, 1.0)] == ["95.1 %", "<0.1 %", "0.0 %", "100.0 %"]
    assert [percent(p, 0) for p in (0.951, 0.004, 0.0, 1.0)] == ["95 %", "<1 %", "0 %", "100 %"]


def test_untrained_models_are_called_so():
    panel = fakes.panel(fakes.photo(), ONE_HOT, model="torchvision/vgg16", untrained=True)
    assert captions.model_caption(panel) == "torchvision/vgg16 (untrained)"


def test_the_colour_bar_has_raw_numbers_only_on_a_shared_scale():
    panels = [fakes.panel(fakes.photo(), ONE_HOT * k) for k in (1, 8)]
    for scale, numbers in (
        ("each", ("0 %", "25 %", "50 %", "75 %", "100 %")),
        ("shared", ("0", "2", "4", "6", "8")),
    ):
        assert captions.colour_bar(Style(scale=scale), scale_panels(panels, scale)).numbers == numbers
