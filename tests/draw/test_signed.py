"""A map with values below zero is drawn around zero: red for the class, blue against it, clear at zero."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.comparison import Comparison, as_comparison
from gradcam.draw import contact_sheet, draw_panel, heat_caption, panels_scene, panels_slide, render
from gradcam.draw.captions import SIGNED_LABEL, ColourBar, colour_bar, scale_label
from gradcam.draw.render import colourise
from gradcam.report import build_report, render_report
from gradcam.report.pictures import Pictures
from gradcam.report.sections import bar_numbers, picture_caption, scale_line
from gradcam.runs.pictures import overlaid
from gradcam.scaling import is_signed, normalize, scale_panels
from gradcam.types import Scale, Style, Top
from tests import fakes

RAW = np.array([[2.0, 0.0], [-4.0, 1.0]], np.float32)


def test_full_colour_is_the_largest_size_of_a_value() -> None:
    scaled = normalize(RAW, signed=True)
    assert (scaled.vmax, scaled.signed) == (4.0, True)
    assert scaled.values.tolist() == [[0.5, 0.0], [-1.0, 0.25]]
    assert normalize(RAW).values.tolist() == [[1.0, 0.0], [0.0, 0.5]]  # where signs do not count


def test_red_is_above_zero_blue_below_and_zero_is_clear() -> None:
    colours = colourise(normalize(RAW, signed=True).values, blend="evidence").astype(int)
    red, _, blue, _ = np.moveaxis(colours, 2, 0)
    assert (red - blue)[0, 0] > 60
    assert (blue - red)[1, 0] > 60
    assert colours[..., 3].tolist() == [[128, 0], [255, 64]]


def test_a_threshold_leaves_small_values_out_on_both_sides() -> None:
    colours = colourise(normalize(RAW, signed=True).values, threshold=0.4)
    assert (colours[..., 3] > 0).tolist() == [[True, False], [True, False]]


def test_a_panel_lies_on_a_grey_photo_and_the_viewer_is_told() -> None:
    panel = fakes.panel(fakes.photo(), RAW, method="HiResCAM")
    drawn = draw_panel(panel, Style(interpolation="nearest", opacity=1, blend="even")).astype(int)
    assert np.ptp(drawn[0, -1]) <= 1  # zero: the white of the middle
    (shown,) = panels_scene([panel])["panels"]
    assert shown["diverging"]
    (trace,) = shown["plot"]["data"]
    assert (trace["zmin"], trace["zmax"]) == (-4.0, 4.0)
    assert "full colour\xa0=\xa0±4" in shown["facts"]


def test_a_figure_and_a_shared_scale_take_both_sides() -> None:
    panel = fakes.panel(fakes.photo(), RAW, method="HiResCAM")
    assert scale_panels([panel], "shared")[panel].vmax == 4.0
    trace = as_comparison(panel).figure().data[0]
    assert (trace.zmin, trace.zmax) == (-4.0, 4.0)
    assert trace.colorscale[0][1] == "rgba(5,48,97,1)" or trace.colorscale[0][1] == "rgb(5,48,97)"


def test_a_method_looks_the_same_whether_or_not_a_map_of_it_has_values_below_zero() -> None:
    assert [is_signed(method, np.abs(RAW)) for method in ("HiResCAM", "Grad-CAM", "mine")] == [True, False, False]
    assert is_signed("mine", RAW)
    photo = fakes.photo()
    panel = fakes.panel(photo, np.abs(RAW), method="HiResCAM")
    bare = np.all(draw_panel(panel, Style(opacity=0)) == render.grey(photo.pixels))
    assert bare
    (shown,) = panels_scene([panel])["panels"]
    assert shown["diverging"]
    made = build_report(as_comparison(panel))
    _, drawn = Pictures(made, 60).heatmap_and_overlay(made.heatmaps[0])
    np.testing.assert_array_equal(drawn, draw_panel(panel, made.style))
    np.testing.assert_array_equal(
        overlaid(photo.pixels, panel.map, panel.method, panel.explanation.view, made.style), drawn
    )


def test_a_map_that_only_speaks_against_the_class_is_said_to() -> None:
    panel = fakes.panel(fakes.photo(), -np.abs(RAW), method="HiResCAM")
    assert heat_caption(panel, None).endswith(": only evidence against the class, most at lower left.")
    made = build_report(as_comparison(panel))
    (entry,) = made.heatmaps
    assert entry.warnings[0] == "No positive evidence: the map holds only evidence against the class."
    assert picture_caption(made, entry, "Overlay").endswith("; only evidence against the class")
    empty = build_report(as_comparison(fakes.panel(fakes.photo(), 0 * RAW)))
    assert "zero everywhere" in empty.heatmaps[0].warnings[0]
    assert picture_caption(empty, empty.heatmaps[0], "Overlay").endswith("; no positive evidence")


def mixed(**scale: Scale) -> tuple[Comparison, Style]:
    """One photo and model by Grad-CAM, which peaks at 2, and by HiResCAM, which peaks at −4."""
    photo = fakes.photo()
    panels = tuple(
        fakes.panel(photo, heat, method=method)
        for method, heat in (("Grad-CAM", np.maximum(RAW, 0)), ("HiResCAM", RAW))
    )
    methods = tuple(panel.method for panel in panels)
    return Comparison((photo,), ("bundled/a",), methods, (Top(),), panels), Style(**scale)


def test_the_colour_bar_goes_both_ways_where_every_map_does() -> None:
    both, style = mixed(scale="shared")
    one = as_comparison(both.heatmaps[1])
    assert colour_bar(style, one.scaled(style)) == ColourBar(
        "heat for and against, raw units", ("−4", "−2", "0", "2", "4"), True
    )
    scene = panels_scene(one.panels)
    (bar,) = scene["bars"]
    assert bar["diverging"]
    assert list(bar["numbers"]) == ["−100 %", "−50 %", "0 %", "50 %", "100 %"]
    with_photo = [image.source for image in both.figure().layout.images]
    assert with_photo == [render.jpeg_uri(both.photos[0], 640, in_grey=grey) for grey in (False, True)]
    marker = one.figure().data[-1].marker
    assert (marker.cmin, marker.cmax, list(marker.colorbar.tickvals)) == (-1, 1, [-1, -0.5, 0, 0.5, 1])
    assert [(bar["title"], bar["diverging"]) for bar in panels_scene(both.panels)["bars"]] == [
        ("heat, share of each map's own maximum", False),
        ("heat for and against, share of each map's own maximum", True),
    ]


def test_methods_do_not_share_a_scale_and_nothing_says_so() -> None:
    both, style = mixed(scale="shared")
    bar = colour_bar(style, both.scaled(style))
    assert bar.title == "heat, share of the method's maximum; red and blue: ±"
    assert bar.numbers[-1] == "100 %"
    assert scale_label("shared", both.methods).endswith("compare amounts within a method only.")
    assert scale_label("each", both.methods) == scale_label("each", ["Grad-CAM"])
    made = build_report(both, style=style)
    told = render_report(made, "html").decode()
    assert "maximum of all maps" not in told
    assert "All maps share one scale" not in told
    first, second = made.heatmaps
    assert scale_line(made, made.is_signed(first)) == "Raw units; full colour is the maximum of this method's maps"
    assert scale_line(made, made.is_signed(second)).endswith("Red: for the class. Blue: against it")
    assert bar_numbers(made, second) == ("−4", "−2", "0", "2", "4")
    np.testing.assert_array_equal(Pictures(made, 60).bar(True)[0], render.colormap("red-blue"))
    assert told.count('alt="Colour bar from −4 to 4, raw units"') == 1


def test_exports_name_the_method_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    both, style = mixed()
    titles = [note.text for note in both.figure().layout.annotations]
    assert [method in title for method, title in zip(both.methods, titles, strict=True)] == [True, True]
    (alone,) = as_comparison(both.heatmaps[1]).figure().layout.annotations
    assert "HiResCAM" not in alone.text
    assert b"HiResCAM" in panels_slide(both.heatmaps).svg()
    assert b"HiResCAM" not in panels_slide(both.heatmaps[1:]).svg()
    written: list[str] = []
    monkeypatch.setattr(contact_sheet, "write", lambda _, lines, *at: written.extend(text for text, _ in lines))
    contact_sheet.grid_png(both, style)
    assert {*both.methods, SIGNED_LABEL} <= {*written}


def test_a_report_of_a_signed_method_can_be_read_as_an_interactive_page() -> None:
    made = build_report(mixed()[0])
    assert render_report(made, "interactive").count(b'"diverging": true, "uri": "data:image/jpeg') == 1


def test_a_report_says_how_to_read_a_map_of_another_method() -> None:
    told = {paragraph.heading: paragraph.text for paragraph in build_report(mixed()[0]).procedure}
    assert told["Reading HiResCAM"].startswith("Zero: no evidence; below it, evidence against the class.")
    assert "Reading Grad-CAM" not in told
