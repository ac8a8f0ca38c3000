"""The interactive face: what the figures hold, and a page that needs nobody else."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from gradcam.comparison import Comparison
from gradcam.draw import render
from gradcam.draw.figures import PLOTLY_CONFIG, comparison_figure, plotly_scale
from gradcam.errors import MapError, OptionError
from gradcam.types import Style, Top
from tests import fakes

HEAT = np.array([[0, 1, 2], [3, 4, 8]], np.float32)
HOSTILE = "<img src=x onerror=alert(1)>&\"'</script>.jpg"


def two_by_two() -> Comparison:
    """Two photos of different aspect, two models, one of which fails on the second photo."""
    wide, tall = fakes.photo(40, 60, "wide.jpg"), fakes.photo(60, 40, "tall.jpg")
    panels = (
        fakes.panel(wide, HEAT, view=fakes.middle(wide)),
        fakes.panel(wide, HEAT * 2, model="timm/b", untrained=True),
        fakes.panel(tall, HEAT * 0),
        fakes.failure(tall, "expected weights, got no network"),
    )
    return Comparison((wide, tall), ("bundled/a", "timm/b"), ("Grad-CAM",), (Top(),), panels)


def heats(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if isinstance(trace, go.Heatmap)]


def words(figure: go.Figure) -> str:
    return "\n".join(annotation.text for annotation in figure.layout.annotations)


# ----- the grid


def test_panels_of_one_photo_zoom_together_with_square_pixels_and_y_downwards():
    layout = comparison_figure(two_by_two()).layout
    assert (layout.xaxis2.matches, layout.yaxis2.matches) == ("x", "y")
    assert (layout.xaxis4.matches, layout.yaxis4.matches) == ("x3", "y3")
    assert layout.xaxis3.matches is None
    assert [axis.scaleanchor for axis in (layout.yaxis, layout.yaxis3)] == ["x", "x3"]
    assert all(axis.constrain == "domain" for axis in (layout.xaxis, layout.yaxis, layout.xaxis3))
    assert (layout.xaxis.range, layout.yaxis.range) == ((0, 60), (40, 0))
    assert (layout.xaxis3.range, layout.yaxis3.range) == ((0, 40), (60, 0))


def test_two_questions_about_one_photo_zoom_together():
    photo = fakes.photo()
    panels = tuple(fakes.panel(photo, HEAT, target=q) for q in (Top(1), Top(2)))
    layout = comparison_figure(Comparison((photo,), ("bundled/a",), ("Grad-CAM",), (Top(1), Top(2)), panels)).layout
    assert layout.xaxis2.matches == "x"


def test_the_raw_map_stands_on_its_own_grid_where_the_model_saw_the_photo():
    heat = heats(comparison_figure(two_by_two()))[0]
    assert np.asarray(heat.z).tolist() == HEAT.tolist()
    # the middle square of 60×40 begins at x = 10 and is 40 wide: 3 cells of 40/3 and 2 of 20
    assert heat.x0 == pytest.approx(10 + 20 / 3)
    assert heat.dx == pytest.approx(40 / 3)
    assert (heat.y0, heat.dy) == (10, 20)
    assert heat.zsmooth == "best"


def test_cells_are_drawn_as_cells_when_asked():
    figure = comparison_figure(two_by_two(), Style(interpolation="nearest"))
    assert heats(figure)[0].zsmooth is False


@pytest.mark.parametrize(("scale", "full"), [("each", [8, 16]), ("model", [8, 16]), ("shared", [16, 16])])
def test_full_colour_is_what_the_scale_says(scale, full):
    assert [heat.zmax for heat in heats(comparison_figure(two_by_two(), Style(scale=scale)))[:2]] == full


def test_both_faces_use_the_same_colours():
    colour = "{},{},{}".format(*render.colormap("turbo")[100])
    for style, shown in (
        (Style("turbo"), f"rgba({colour},0.3922)"),
        (Style("turbo", blend="even"), f"rgb({colour})"),
    ):
        stops = heats(comparison_figure(two_by_two(), style))[0].colorscale
        assert len(stops) == 256
        assert stops[100][1] == shown


def test_below_the_threshold_the_colour_scale_is_transparent():
    scale = plotly_scale("viridis", 0.5)
    assert scale[0] == (0.0, "rgba(33,145,140,0)")
    assert scale[1][0] == scale[2][0] == 0.5
    assert all("rgba" not in colour for _, colour in scale[2:])
    assert scale[-1] == (1.0, "rgb(253,231,37)")
    assert plotly_scale("viridis", 1.0)[-1][0] == 1.0


def test_the_colour_bar_carries_numbers_in_the_units_of_its_scale():
    def bar(style: Style):
        (one,) = [t for t in comparison_figure(two_by_two(), style).data if isinstance(t, go.Scatter)]
        return one.marker.colorbar

    assert bar(Style(scale="shared")).ticktext == ("0", "4", "8", "12", "16")
    assert "raw units" in bar(Style(scale="shared")).title.text
    assert bar(Style()).ticktext == ("0 %", "25 %", "50 %", "75 %", "100 %")
    assert "own maximum" in bar(Style()).title.text


def test_the_opacity_slider_restyles_the_heat_and_nothing_else():
    figure = comparison_figure(two_by_two(), Style(opacity=0.33))
    (slider,) = figure.layout.sliders
    assert slider.steps[slider.active].label == "33 %"
    assert (slider.steps[0].label, slider.steps[-1].label) == ("0 %", "100 %")
    for step in slider.steps:
        assert step.method == "restyle"
        change, places = step.args
        assert list(change) == ["opacity"]
        assert [isinstance(figure.data[place], go.Heatmap) for place in places] == [True, True]


def test_each_panel_says_model_target_and_probability():
    text = words(comparison_figure(two_by_two()))
    assert "<b>bundled/a</b>" in text
    assert "<b>timm/b (untrained)</b>" in text
    assert "tabby · 70.0 %" in text


def test_an_empty_map_is_transparent_and_marked():
    figure = comparison_figure(two_by_two())
    assert "no positive evidence" in words(figure)
    assert heats(figure)[2].opacity == 0


def test_a_failure_shows_its_reason_in_its_place():
    figure = comparison_figure(two_by_two())
    (notice,) = [a for a in figure.layout.annotations if "No map" in a.text]
    assert (notice.xref, notice.yref) == ("x4 domain", "y4 domain")
    assert "expected weights, got no network" in notice.hovertext


def test_what_the_crop_hides_is_outlined_and_a_photo_seen_whole_is_not():
    shapes = comparison_figure(two_by_two()).layout.shapes
    assert {(s.xref, s.x0, s.y0, s.x1, s.y1) for s in shapes} == {("x", 10, 0, 50, 40)}
    assert len({s.line.color for s in shapes}) == 2


def test_a_comparison_of_failures_only_still_draws():
    photo = fakes.photo()
    figure = comparison_figure(
        fakes.comparison(fakes.failure(photo, "no"), fakes.failure(photo, "no", model="x/c"))
    )
    assert heats(figure) == []
    assert not figure.layout.sliders


def test_photos_travel_once_at_display_size_as_jpeg():
    big = fakes.photo(1500, 2000)
    figure = comparison_figure(fakes.comparison(fakes.panel(big, HEAT)))
    (image,) = figure.layout.images
    head, data = image.source.split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (640, 480)
    assert (image.sizex, image.sizey, image.layer) == (2000, 1500, "below")


def test_a_figure_is_valid_json_and_light():
    as_json = comparison_figure(two_by_two()).to_json()
    assert json.loads(as_json)["layout"]["xaxis2"]["matches"] == "x"
    assert len(as_json) < 200_000


def test_a_bad_style_and_a_map_that_is_not_finite_are_refused():
    with pytest.raises(OptionError, match="opacity"):
        comparison_figure(two_by_two(), Style(opacity=2))
    with pytest.raises(MapError, match="NaN"):
        comparison_figure(fakes.comparison(fakes.panel(fakes.photo(), HEAT * np.nan)))


def test_hostile_names_stay_text_in_a_figure():
    photo = fakes.photo(name=HOSTILE)
    panels = fakes.panel(photo, HEAT, label="<a href='x'>click</a>"), fakes.failure(photo, "<b>got</b>")
    figure = comparison_figure(fakes.comparison(*panels))
    assert "<a " not in words(figure) + heats(figure)[0].hovertemplate
    assert "&lt;b&gt;got" in words(figure)


def test_nobody_is_offered_an_upload_to_a_cloud():
    assert PLOTLY_CONFIG["showSendToCloud"] is False
    assert PLOTLY_CONFIG["displaylogo"] is False
