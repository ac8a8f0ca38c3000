"""Questions to a run whose answer is known: the photos that were made to differ come first."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gradcam import Classifier, Top
from gradcam.errors import GradcamError, OptionError
from gradcam.runs import (
    RANKINGS,
    Pair,
    Run,
    bootstrap,
    export,
    prepare,
    read_data,
    resume,
    shards,
    start,
    strips,
    thumbnails,
    watch,
)
from gradcam.targets import write_target
from tests import plain
from tests.runs.small_set import SETTINGS

ODD = (4, 9, 13)
"""Photos with a green corner, which one of two models takes for red."""
TOP = write_target(Top(1))
PAIR = Pair(0, 1, "Grad-CAM", TOP)


def write_photos(folder: Path) -> Path:
    """Twenty photos of 8×8 pixels that are redder to the right, blue from the eleventh on; `ODD` have green."""
    rows = ["path,label,site,predicted"]
    for number in range(20):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., 0 if number < 11 else 2] = np.linspace(60, 160 + number, 8)
        if number in ODD:
            pixels[:4, :4, 1] = 255
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        rows.append(
            f"{number:02}.png,{'red' if number < 11 else 'blue'},{'Bonn' if number % 2 else 'Ulm'},{number // 10}"
        )
    (folder / "photos.csv").write_text("\n".join(rows) + "\n")
    return folder / "photos.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    models = [
        plain.classifier(["red", "blue"], [[8, 0, 0], [0, 0, 8]], name="own"),
        plain.classifier(["red", "blue"], [[8, 40, 0], [0, 0, 8]], name="green"),
    ]
    folder = tmp_path_factory.mktemp("set")
    layers = {str(model.spec): "grid" for model in models}
    return start(write_photos(folder), models, ["top"], out=folder / "run", layer=layers, settings=SETTINGS)


def test_models_that_differ_on_three_photos_have_these_first(run: Run) -> None:
    assert set(run.ranked("disagreement", most=3)) == set(ODD)
    assert set(run.ranked("disagreement", most=3, pair=PAIR)) == set(ODD)


def test_how_far_a_pair_agrees_on_a_photo_is_told_of_the_photos_that_are_asked(run: Run) -> None:
    order = run.ranked("disagreement", pair=PAIR)
    found = run.ranked_by("disagreement", order, PAIR)
    assert [found[photo] for photo in order] == sorted(found.values())
    assert run.ranked_by("disagreement", order[:2], PAIR) == {photo: found[photo] for photo in sorted(order[:2])}
    assert run.ranked_by("disagreement", order, PAIR._replace(method="CAM")) == {}


@pytest.mark.parametrize("by", RANKINGS)
def test_the_numbers_of_a_ranking_are_in_its_order_and_of_no_photo_of_which_none_is_known(
    run: Run, by: str
) -> None:
    order = run.ranked(by)
    found = run.ranked_by(by, order)
    known = [found[photo] for photo in order if photo in found]
    assert [photo in found for photo in order] == sorted((photo in found for photo in order), reverse=True)
    assert known == sorted(known, reverse=RANKINGS[by].high_first)
    assert bool(known) == (by in run.rankings())


def test_more_photos_than_a_statement_can_name_are_asked_for_in_blocks(run: Run) -> None:
    many = range(300_000)
    assert run.ranked_by("disagreement", many) == run.ranked_by("disagreement", range(20))
    assert list(run.units(many)) == list(run.units())


def test_numbers_of_a_ranking_that_there_is_not_are_one_sentence(run: Run) -> None:
    with pytest.raises(OptionError, match="expected a ranking, got 'bordr'; use 'border'"):
        run.ranked_by("bordr", [0])


def test_the_same_answer_for_other_reasons_is_told_from_another_answer(run: Run) -> None:
    assert run.ranked("same-answer", most=2) == [4, 9]  # red by red, and red by green
    assert run.ranked("same-answer", most=2, pair=PAIR) == [4, 9]
    assert run.ranked("same-place") == run.ranked("same-place", pair=PAIR) == [13]  # blue, and red by green
    assert run.how_many("same-answer") == 19
    assert run.how_many("same-place") == 1
    assert run.how_many("disagreement") == 20


FRAMED = (2, 5, 8)
"""Photos with a green frame, which one of two models looks at."""


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twelve photos of 8×8 pixels, red in the middle, by a model of red alone and by one that looks at frames."""
    folder = tmp_path_factory.mktemp("framed")
    rows = ["path,label,box"]
    for number in range(12):
        pixels = np.zeros((8, 8, 3), np.uint8)
        if number in FRAMED:
            pixels[..., 1] = 255
            pixels[1:-1, 1:-1] = 0
        pixels[2:6, 2:6, 0] = 200 + number
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        rows.append(f'{number:02}.png,red,"2,2,6,6"')
    (folder / "photos.csv").write_text("\n".join(rows) + "\n")
    models = [pixelwise([[8, 0, 0], [0, 0, 8]], "own"), pixelwise([[8, 40, 0], [0, 0, 8]], "frame")]
    layers = {str(model.spec): "grid" for model in models}
    return start(folder / "photos.csv", models, ["top"], out=folder / "run", layer=layers, settings=SETTINGS)


def pixelwise(weights: list[list[float]], name: str) -> Classifier:
    """A classifier of colours whose grid has a cell for each pixel."""
    made = plain.classifier(["red", "blue"], weights, name=name)
    grid = nn.Conv2d(3, 3, 1, bias=False).requires_grad_(False)
    grid.weight.copy_(torch.eye(3)[:, :, None, None])
    made.module.grid = grid
    return made


@pytest.mark.parametrize("by", ["border", "outside-box", "unlike", "disagreement", "same-answer"])
def test_a_model_that_looks_at_the_frame_has_the_framed_photos_first(framed: Run, by: str) -> None:
    assert set(framed.ranked(by, most=3)) == set(FRAMED)


def test_filters_hold_together(run: Run) -> None:
    assert run.ranked(where={"label": "blue", "site": "Bonn"}) == [11, 13, 15, 17, 19]
    assert run.ranked("confident-mistakes", most=1) == [13]
    assert run.ranked(where={"label": "blue", "predicted": "red"}) == [13]
    assert run.ranked(among=["04.png", "13.png", "gone.png"]) == [4, 13]
    assert run.ranked(among=[]) == []
    lowest: dict[int, float] = {}
    for unit in run.units():
        lowest[unit.photo] = min(lowest.get(unit.photo, 1.0), unit.predicted_probability or 0.0)
    middle = float(np.median(list(lowest.values())))
    sure = [photo for photo, share in sorted(lowest.items()) if share >= middle]
    assert run.how_many(confidence=(0, 1)) == 20
    assert run.ranked(confidence=(middle, 1)) == sure
    assert 0 < len(sure) < 20


def test_what_can_be_filtered_and_ranked_by_is_told(run: Run) -> None:
    assert run.choices("label") == {"blue": 9, "red": 11}
    assert run.choices("predicted") == {
        "blue": 9,
        "red": 12,
    }  # the models differ on photo 13, which counts for both
    assert run.slice_choices("site") == {"Bonn": 10, "Ulm": 10}
    assert run.slices() == ["predicted", "site"]
    assert list(run.slice_choices("predicted")) == ["0", "1"]  # a column of the manifest that is called so
    assert run.ranked(slices={"predicted": "1", "site": "Bonn"}) == [11, 13, 15, 17, 19]
    assert run.rankings() == [name for name in RANKINGS if name != "outside-box"]  # no photo has a box


def test_a_class_is_taken_for_another_as_often_as_it_is(run: Run) -> None:
    found = {(row.label, row.predicted): row.photos for row in run.confusion(1, "Grad-CAM", TOP)}
    assert found == {("red", "red"): 11, ("blue", "blue"): 8, ("blue", "red"): 1}
    agreement = {(row.label, row.predicted): row.agreement for row in run.confusion(1, "Grad-CAM", TOP)}
    assert agreement["blue", "red"] == pytest.approx(next(run.units([13])).agreement)


def test_photos_of_a_label_are_counted_with_how_often_each_model_is_right(run: Run) -> None:
    blue, red = run.labelled()
    assert (blue.label, blue.photos, blue.right) == ("blue", 9, {0: 1.0, 1: pytest.approx(8 / 9)})
    assert (red.label, red.photos, red.right) == ("red", 11, {0: 1.0, 1: 1.0})


def test_the_mean_map_of_a_class_is_the_mean_of_its_maps(run: Run) -> None:
    units = [unit for unit in run.units() if unit.model == "plain/green" and unit.label == "red"]
    maps = [found / found.max() for found in run.arrays(units) if found is not None]
    mean = {one.class_name: one for one in run.mean_maps(1, "Grad-CAM", TOP)}["red"]
    assert mean.photos == len(maps) == 11
    assert mean.map == pytest.approx(np.mean(maps, axis=0), abs=1e-6)
    assert set(run.ranked("unlike", where={"label": "red"}, most=2)) == {4, 9}


def test_a_measure_is_given_by_photo_and_model(run: Run) -> None:
    found = run.measured("on_border", "Grad-CAM", TOP, "blue")
    assert sorted(found) == list(range(11, 20))
    assert found[11][0] == next(run.units([11])).on_border
    with pytest.raises(OptionError, match="expected a measure of a unit, got 'bordr'"):
        run.measured("bordr", "Grad-CAM", TOP)


def test_the_interval_of_a_mean_holds_it_and_shrinks_with_the_values() -> None:
    few, many = bootstrap([0.0, 1.0] * 10), bootstrap([0.0, 1.0] * 5000)
    assert few.mean == many.mean == 0.5
    assert few.low == pytest.approx(0.5 - 1.96 * 0.5 / np.sqrt(20), abs=0.05)
    assert (many.low, many.high) == pytest.approx((0.49, 0.51), abs=1e-3)
    assert bootstrap([0.25]) == (0.25, 0.25, 0.25, 1)


GAP = thumbnails.GAP


def test_a_run_is_opened_by_a_path_of_any_kind(run: Run) -> None:
    assert Run(str(run.folder)) == run  # pyright: ignore
    assert Run(str(run.folder)).plan == run.plan  # pyright: ignore


OPENED: dict[str, Callable[[Any], Any]] = {
    "Run": Run,
    "resume": resume,
    "prepare": prepare,
    "watch": lambda wrong: watch(wrong, print),
    "export": lambda wrong: export(wrong, "a.csv"),
    "export to": lambda wrong: export("run", wrong),
    "start in": lambda wrong: start("sample", ["x"], out=wrong),
    "start of": lambda wrong: start(wrong, ["x"], out="run"),
    "read_data": read_data,
}


@pytest.mark.parametrize("wrong", [None, 3.5, ["run"]])
@pytest.mark.parametrize("verb", OPENED)
def test_what_is_no_path_gets_one_sentence_from_every_verb_of_a_run(verb: str, wrong: object) -> None:
    with pytest.raises(GradcamError, match=r"^expected the (folder|path) of .*, got \w+; (give|name) "):
        OPENED[verb](wrong)


def test_a_strip_is_a_photo_and_the_maps_over_it(run: Run) -> None:
    found = strips(run, [4, 5], ["plain/own", "plain/green"], "Grad-CAM", TOP)
    assert sorted(found) == [4, 5]
    with Image.open(io.BytesIO(found[4])) as picture:
        assert picture.size == (3 * 144 + 2 * GAP, 144)


def test_strips_of_many_photos_open_each_shard_once_for_maps_and_once_for_numbers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, ...]] = []
    for name in ("read_arrays", "read_numbers"):
        real = getattr(shards, name)
        monkeypatch.setattr(
            shards, name, lambda *path, name=name, real=real: opened.append((name, *path)) or real(*path)
        )
    assert len(strips(run, range(20), ["plain/own", "plain/green"], "Grad-CAM", TOP)) == 20
    assert opened
    assert len(opened) == len(set(opened))


def test_the_tiles_of_many_models_stand_in_even_rows() -> None:
    black = np.zeros((144, 100, 3), np.uint8)
    with Image.open(io.BytesIO(thumbnails._jpeg([black] * 8, thumbnails.strip_columns(7)))) as picture:
        assert picture.size == (3 * 100 + 2 * GAP, 3 * 144 + 2 * GAP)
    with Image.open(io.BytesIO(thumbnails._jpeg([black] * 5, thumbnails.strip_columns(4)))) as picture:
        assert picture.size == (3 * 100 + 2 * GAP, 2 * 144 + GAP)
        assert picture.getpixel((150, 220))[0] < 10
        assert picture.getpixel((270, 220))[0] > 140, "grey where there is no tile"
