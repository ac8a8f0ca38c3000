"""The sheet holds every picture and word in its place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gradcam.comparison import Comparison, as_comparison
from gradcam.draw import contact_sheet, render
from gradcam.draw.captions import colour_bars
from gradcam.draw.lettering import Ink
from gradcam.draw.render import colormap
from gradcam.types import Panel, Photo, Style, Top
from tests import fakes
from tests.draw.test_signed import mixed

ONE_HOT = np.array([[1, 0], [0, 0]], np.float32)


def grid(*panels: Panel, style: Style | None = None, cell: int = 200) -> np.ndarray:
    png = contact_sheet.grid_png(fakes.comparison(*panels), style, cell)
    assert png.startswith(b"\x89PNG")
    return np.array(Image.open(io.BytesIO(png)))


def test_the_grid_shows_the_photo_and_each_models_overlay_in_columns_of_equal_width():
    photo = fakes.photo(30, 60, grey=0)
    drawn = grid(*(fakes.panel(photo, np.ones((1, 1)), model=m) for m in ("x/a", "x/b")), style=Style("jet", 0.5))
    assert drawn.shape[1] == 2 * 36 + 3 * 200 + 2 * 20
    hot = (drawn == [64, 0, 0]).all(2)
    black = (drawn == 0).all(2)
    assert hot.sum() == 2 * 100 * 200
    assert black.sum() >= 100 * 200
    assert np.flatnonzero(hot.all(0, where=hot.any(1)[:, None]))[[0, -1]].tolist() == [256, 675]


@pytest.mark.parametrize(("models", "columns", "lines"), [(5, 5, 1), (6, 3, 2), (7, 4, 2), (8, 4, 2)])
def test_many_models_stand_in_even_lines_beside_one_photo(models: int, columns: int, lines: int):
    photo = fakes.photo(100, 100, grey=0)
    drawn = grid(
        *(fakes.panel(photo, np.ones((1, 1)), model=f"x/{n}") for n in range(models)), style=Style("jet", 0.5)
    )
    assert drawn.shape[1] == 2 * 36 + columns * 220 + 200
    hot, black = (drawn == [64, 0, 0]).all(2), (drawn == 0).all(2)
    assert hot.sum() == models * 200 * 200
    assert (hot.sum(0) == lines * 200).any()
    assert (black.sum(0) > 190).sum() == 200


def test_a_photo_is_made_smaller_once_for_all_its_panels(monkeypatch: pytest.MonkeyPatch):
    photo, resize, sizes = fakes.photo(600, 800), render.resize, []

    def counting(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        sizes.append(size)
        return resize(pixels, size)

    for module in (render, contact_sheet):
        monkeypatch.setattr(module, "resize", counting)
    grid(*(fakes.panel(photo, np.ones((1, 1)), model=model) for model in ("x/a", "x/b", "x/c")))
    assert sizes == [(150, 200)]


def test_a_long_name_loses_its_source_before_its_middle(monkeypatch: pytest.MonkeyPatch):
    photo, written = fakes.photo(30, 60), []
    monkeypatch.setattr(contact_sheet, "write", lambda strip, lines, *at: written.extend(text for text, _ in lines))
    models = ("x/short", "torchvision/resnet18 (untrained, seed 0)")
    grid(*(fakes.panel(photo, np.ones((1, 1)), model=model) for model in models), cell=340)
    assert "x/short" in written
    assert "resnet18 (untrained, seed 0)" in written


def test_a_name_that_is_cut_still_says_untrained(monkeypatch: pytest.MonkeyPatch):
    photo, written = fakes.photo(30, 60), []
    monkeypatch.setattr(contact_sheet, "write", lambda strip, lines, *at: written.extend(text for text, _ in lines))
    grid(fakes.panel(photo, np.ones((1, 1)), model="timm/mobilenetv3_small_050 (untrained, seed 0)"), cell=300)
    (name,) = (text for text in written if text.endswith(" (untrained, seed 0)"))
    assert name.startswith("mob")
    assert "…" in name


def test_no_text_of_the_grid_runs_out_of_its_cell():
    long = "a/" + "very_long_model_name_" * 9
    photo = fakes.photo(30, 60, name="Ein sehr langer Name mit Umlaut ä und 中文 " * 5)
    drawn = grid(
        fakes.panel(photo, np.ones((1, 1)), model=long, label="wire-haired fox terrier " * 9),
        fakes.failure(photo, "expected weights, got none; " * 30 + "x" * 400, model="b/" + long[2:]),
    )
    for start, stop in ((0, 36), (236, 256), (456, 476), (676, 712)):
        captions = drawn[165:440, start:stop]
        assert (captions == 255).all(), f"text in the gap from {start} to {stop}"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is lettered on the grids of a test, line by line."""
    found, write = list[str](), contact_sheet.write

    def hear(strip: np.ndarray, lines: list[tuple[str, Ink]], *at: int) -> None:
        found.extend(text for text, _ in lines)
        write(strip, lines, *at)

    monkeypatch.setattr(contact_sheet, "write", hear)
    return found


def test_a_grid_counts_its_methods_where_there_are_several(written: list[str]):
    photo, methods = fakes.photo(), ("Grad-CAM", "LayerCAM")
    panels = tuple(fakes.panel(photo, ONE_HOT, method=method) for method in methods)
    contact_sheet.grid_png(Comparison((photo,), ("bundled/a",), methods, (Top(),), panels))
    assert any(line.startswith("1 model · 1 photo · 1 question · 2 methods.") for line in written)


def test_models_without_a_map_take_a_line_and_no_place_and_a_reason_is_said_once(written: list[str]):
    photo = fakes.photo(30, 60)
    panels = [
        panel
        for target in (Top(1), Top(2))
        for panel in (
            fakes.panel(photo, ONE_HOT, model="x/a", target=target),
            fakes.failure(photo, "no network", model="x/b", target=target),
            fakes.failure(photo, "no network", model="x/c", target=target),
        )
    ]
    by_model = (*panels[::3], *panels[1::3], *panels[2::3])
    three = Comparison((photo,), ("x/a", "x/b", "x/c"), ("Grad-CAM",), (Top(1), Top(2)), by_model)
    drawn = np.array(Image.open(io.BytesIO(contact_sheet.grid_png(three, cell=340))))
    assert drawn.shape[1] == 2 * 36 + 2 * 340 + 20
    assert [text for text in written if text.startswith("No map")] == [
        "No map of x/b and x/c: no network",
        "No map of x/b and x/c, for the reason given above",
    ]


def test_a_grid_of_nothing_but_failures_is_still_a_grid_with_its_reasons_beside_the_photo():
    photo = fakes.photo(100, 100, grey=77)
    drawn = grid(fakes.failure(photo, "no network"), fakes.failure(photo, "no cache", model="x/c"))
    rows = np.flatnonzero((drawn == 77).all(2).sum(1) > 150)
    beside = (drawn[:, 256:-36] < 255).any((1, 2))
    assert beside[rows[0] : rows[0] + 40].any()
    assert not beside[rows[0] + 150 : rows[-1] + 30].any()


def test_a_grid_has_a_row_for_each_photo_and_question():
    photos = [fakes.photo(30, 60, name=name, grey=77) for name in ("a.jpg", "b.jpg")]
    panels = [fakes.panel(p, ONE_HOT * 0, target=q) for p in photos for q in (Top(1), Top(2))]
    comparison = Comparison(tuple(photos), ("bundled/a",), ("Grad-CAM",), (Top(1), Top(2)), tuple(panels))
    drawn = np.array(Image.open(io.BytesIO(contact_sheet.grid_png(comparison, cell=200))))
    assert (drawn == 77).all(2).sum() >= 8 * 100 * 200


def test_a_tall_and_a_wide_photo_keep_their_aspect():
    for height, width in ((600, 100), (100, 600)):
        photo = Photo(np.full((height, width, 3), 77, np.uint8), "p", "0" * 64)
        drawn = grid(fakes.panel(photo, ONE_HOT * 0))
        ys, xs = np.nonzero((drawn[:, :236] == 77).all(2))
        assert np.ptp(ys) / np.ptp(xs) == pytest.approx(height / width, rel=0.05)


def at_foot(comparison: Comparison, style: Style) -> set[str]:
    """Which colour maps' strongest colours are below the pictures and captions of a contact sheet."""
    colours = np.array(Image.open(io.BytesIO(contact_sheet.grid_png(comparison, style, 200))))[-170:].astype(int)
    names = (style.colormap, "red-blue")
    return {name for name in names if (abs(colours - colormap(name)[-2].astype(int)).max(2) <= 4).any()}


def test_a_sheet_of_maps_from_zero_and_around_zero_has_a_colour_bar_for_each() -> None:
    both, style = mixed(scale="shared")
    bars = colour_bars(style, both.scaled(style))
    assert [bar.title for bar in bars] == ["heat, raw units (eq. 2)", "heat for and against, raw units"]
    assert [bar.numbers[-1] for bar in bars] == ["2", "4"]
    assert at_foot(both, style) == {style.colormap, "red-blue"}
    from_zero, around_zero = both.heatmaps
    assert at_foot(as_comparison(from_zero), style) == {style.colormap}
    assert at_foot(as_comparison(around_zero), style) == {"red-blue"}
