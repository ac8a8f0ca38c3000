"""Heat and photo become one picture, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.draw import render
from gradcam.geometry import project_to_photo
from gradcam.scaling import normalize
from gradcam.types import Blend, Style
from tests import fakes


def test_a_large_photo_is_blended_row_by_row_as_a_whole_one_would_be():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (900, 101, 3), np.uint8)
    heat = rng.integers(0, 256, (900, 101, 4), np.uint8)
    alpha = heat[..., 3:].astype(np.float32) * np.float32(0.6 / 255)
    blended = np.rint(heat[..., :3] * alpha + photo * (1 - alpha)).astype(np.uint8)
    np.testing.assert_array_equal(render.blend(photo, heat, 0.6), blended)


@pytest.mark.parametrize("blend", ["evidence", "even"])
def test_heat_alone_is_opaque_and_the_overlay_as_clear_as_the_style_says(blend: Blend):
    photo, style = fakes.photo(40, 80), Style(opacity=0.7, threshold=0.4, blend=blend)
    panel = fakes.panel(photo, np.array([[4, 1], [2, 3]]), view=fakes.middle(photo))
    _, alone, over = render.three_pictures(panel, style)
    laid = project_to_photo(normalize(panel.map).values, panel.explanation.view)
    nothing = np.full_like(photo.pixels, 232)
    opaque = render.blend(nothing, render.colourise(laid, style.colormap, style.threshold), 1.0)
    np.testing.assert_array_equal(alone, render.outline(opaque, panel.explanation.view))
    np.testing.assert_array_equal(over, render.draw_panel(panel, style))
    assert (alone[:, :20] == 232).all()
