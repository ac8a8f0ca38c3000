"""Runs: the numbers of `compare`, kept, and what cannot be run."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcam import Top, _compare, compare, open_photo, sample_photo
from gradcam.errors import OptionError
from gradcam.runs import Engine, Run, Settings, plan, read_data, resume, start
from gradcam.runs.index_tables import AGREEMENTS
from gradcam.runs.store import Store
from tests.runs.small_set import NET, SETTINGS, classifiers, run_over, shards_of, write_photo, write_set


@pytest.mark.parametrize(("maps", "error"), [("float32", 1e-6), ("float16", 1e-3)])
def test_the_numbers_of_a_run_are_those_of_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maps: str, error: float
) -> None:
    monkeypatch.setattr(_compare, "FEW", 1)  # computed by the same copy
    for name in ("chelsea", "coffee"):
        Image.fromarray(sample_photo(name).pixels).save(tmp_path / f"{name}.png")
    models = ["bundled/tf_efficientnet_lite0", NET]
    settings = Settings(maps=maps)  # pyright: ignore[reportArgumentType]
    run = start(tmp_path, models, ["top", "tabby"], out=tmp_path / "run", settings=settings)
    photos = [open_photo(tmp_path / f"{name}.png") for name in ("chelsea", "coffee")]
    found = compare(models, photos, [Top(1), "tabby"])
    units = {(unit.path, unit.model, unit.target): unit for unit in run.units()}
    assert len(units) == len(found.heatmaps) == 8
    for panel in found.heatmaps:
        unit = units[panel.photo.name, panel.model, str(panel.target)]
        (kept,), (view,) = run.arrays([unit]), run.views([unit])
        assert kept is not None
        assert np.abs(kept - panel.map).max() <= error * panel.map.max()
        assert view == panel.explanation.view
        assert unit.predicted == panel.explanation.top(1)[0][0]
        assert (unit.class_name, unit.rank) == (panel.scored.label, panel.scored.rank)
        assert unit.score == pytest.approx(panel.scored.score, abs=1e-5)
        assert unit.sha256 == panel.photo.sha256


def test_methods_of_other_grids_are_computed_side_by_side_also_where_one_column_was_planned_for_both(
    tmp_path: Path,
) -> None:
    data, methods = write_set(tmp_path / "set", 2), ["Grad-CAM", "RefineCAM", "FullGrad"]
    run = start(data, [NET], out=tmp_path / "run", methods=methods)
    assert run.status().state == "finished"
    grids = {unit.method: maps.shape for unit in run.units() for maps in run.arrays([unit]) if maps is not None}
    assert len(grids) == len(set(grids.values())) == 3
    together = replace(run.plan, columns=(plan.Column(0, tuple(methods), run.plan.targets),))
    before = Store(tmp_path / "before")
    before.write_plan(replace(together, parts=()), str(data), read_data(data).rows)
    assert resume(before.folder).status().state == "finished"
    assert shards_of(Run(before.folder)) == shards_of(run)


def test_contributions_means_and_features_of_an_earlier_layer_are_kept(whole: Run) -> None:
    units = [unit for unit in whole.units([0]) if unit.model == "plain/own"]
    label, top = units
    assert (label.label, label.target, label.class_name) == ("blue", "label", "blue")
    contributions = whole.arrays(units, "contributions")
    sums = [found.sum() for found in contributions if found is not None]
    assert sums == pytest.approx([label.score, top.score], rel=1e-3)
    means, earlier, spread = (
        next(found for found in whole.arrays(units, name) if found is not None)
        for name in ("means", "earlier", "earlier_spread")
    )
    assert contributions[0] == pytest.approx(means * [0, 0, 8], rel=1e-3)
    assert earlier.shape == spread.shape == (3,)
    assert spread.max() > 0
    with pytest.raises(OptionError, match="expected an array of a unit, got 'maps'"):
        whole.arrays(units, "maps")


def test_units_may_be_read_on_in_another_thread(whole: Run) -> None:
    units = whole.units()
    first, others = next(units), list[str]()
    thread = threading.Thread(target=lambda: others.extend(unit.path for unit in units))
    thread.start()
    thread.join()
    assert first.path == others[0]
    assert len(others) == 119


def test_photos_are_ranked_filtered_and_paged_without_opening_a_shard(whole: Run) -> None:
    shutil.move(whole.folder / "shards", whole.folder / "hidden")
    try:
        every = whole.ranked("disagreement")
        with whole._index.reading() as index:
            worst = index.execute(AGREEMENTS.select().order_by(AGREEMENTS.c.rank_correlation)).first()
        assert len(every) == 30
        assert worst is not None
        assert every[0] == worst.photo
        assert whole.ranked("disagreement", first=3, most=4) == every[3:7]
        assert (
            whole.ranked(where={"label": "red"})
            == [unit.photo for unit in whole.units() if unit.label == "red" and unit.model == "plain/own"][::2]
        )
        with pytest.raises(OptionError, match="expected a ranking, got 'disagrement'; use 'disagreement'"):
            whole.ranked("disagrement")
        with pytest.raises(OptionError, match="expected a column to filter by, got 'site'"):
            whole.ranked(where={"site": "Bonn"})
    finally:
        shutil.move(whole.folder / "hidden", whole.folder / "shards")


def test_boxes_masks_and_further_columns_come_with_the_manifest(tmp_path: Path) -> None:
    write_set(tmp_path, 3)
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask[:4]).save(tmp_path / "small.png")
    (tmp_path / "photos.csv").write_text(
        'path,label,box,mask,site\nred/00001.png,red,"0,0,8,8",,Bonn\nblue/00000.png,blue,,mask.png,Ulm\n'
        "blue/00002.png,blue,,small.png,Ulm\n"
    )
    said: list[str] = []
    engine = Engine(say=said.append)
    run = run_over(tmp_path / "photos.csv", tmp_path / "run", targets=["label"], engine=engine)
    boxed, masked, other = (next(run.units([number])) for number in range(3))
    assert boxed.outside_box == pytest.approx(0, abs=1e-6)
    assert 0.3 < (masked.outside_box or 0) < 0.7
    assert (other.reason, other.outside_box) == (None, None)
    assert said == [
        "1 photo with a box or mask that does not fit (blue/00002.png): how much heat lies outside is not known; a "
        "box lies on its photo, a mask can be read and is as large as its photo"
    ]
    assert boxed.columns == {"site": "Bonn"}
    assert run.ranked("outside-box", where={"site": "Ulm"}) == [1, 2]


def test_a_mask_that_is_missing_and_a_box_beside_the_photo_cost_the_heat_outside_alone(tmp_path: Path) -> None:
    write_set(tmp_path, 4)
    (tmp_path / "photos.csv").write_text(
        'path,box,mask\nred/00001.png,"0,0,8,8",gone.png\nblue/00000.png,"8,0,20,8",\n'
        'blue/00002.png,"-9,-9,0,0",\nred/00003.png,"7,7,20,20",\n'
    )
    said: list[str] = []
    engine = Engine(say=said.append)
    run = run_over(tmp_path / "photos.csv", tmp_path / "run", targets=["top"], engine=engine)
    run_over(tmp_path / "photos.csv", run.folder, targets=["top"], engine=engine)  # where nothing is missing
    of_first_model = [unit for unit in run.units() if unit.model == "plain/own"]
    assert [unit.outside_box is None for unit in of_first_model] == [True, True, True, False]
    assert run.status().failed == 0
    assert len(said) == 2
    assert said[0].startswith("3 photos with a box or mask that does not fit (red/00001.png, blue/00000.png")


def test_a_preview_of_every_map_lies_beside_shards_which_are_the_same_with_it(tmp_path: Path, whole: Run) -> None:
    here, _ = tmp_path / "set", write_set(tmp_path / "set", 30)
    Image.fromarray(sample_photo("coffee").pixels).save(here / "red" / "00001.png")
    (here / "red" / "00003.png").write_bytes(b"no picture")
    run = run_over(here, tmp_path / "run", settings=replace(SETTINGS, previews=True))
    units = list(run.units([0, 15, 16]))
    pictures = {unit.path: found for unit, found in zip(units, run.previews(units), strict=True)}
    assert pictures["red/00003.png"] is None
    assert open_photo(pictures["red/00001.png"] or b"").size == (171, 256)
    small = open_photo(pictures["blue/00000.png"] or b"")
    assert small.size == (8, 8)
    assert small.pixels[..., 0].mean() > 2 * open_photo(here / "blue" / "00000.png").pixels[..., 0].mean()
    untouched = [name for name in shards_of(run) if name.endswith("0.parquet")]
    assert [shards_of(run)[name] for name in untouched] == [shards_of(whole)[name] for name in untouched]
    shutil.rmtree(run.folder / "previews")
    assert run.previews(units) == [None] * len(units)
    assert whole.previews(list(whole.units([0]))) == [None] * 4


def test_a_label_that_is_the_first_class_is_asked_though_another_is_predicted(tmp_path: Path) -> None:
    write_photo(tmp_path / "set" / "blue" / "0.png", 0)
    (tmp_path / "set" / "blue").rename(tmp_path / "set" / "red")
    label, top = run_over(tmp_path / "set", tmp_path / "run", classifiers()[:1]).units()
    assert (label.target, label.class_name, label.right) == ("label", "red", False)
    assert (top.class_name, top.predicted) == ("blue", "blue")


@pytest.mark.parametrize("target", [lambda logits: logits[0], 3, None])
def test_a_target_that_is_no_text_cannot_be_stored(target: object, data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="expected the targets of a run as text, such as 'label'"):
        run_over(data, tmp_path / "run", targets=[target])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"engine": "lokal"}, "expected an engine, got 'lokal'; use 'local'"),
        ({"engine": "local", "workers": 0}, "expected from 1 to 10,000 workers, got 0"),
    ],
)
def test_an_engine_that_there_is_not_is_refused(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Engine(more.pop("engine"), **more)  # pyright: ignore[reportArgumentType]


def test_a_method_of_many_forwards_is_refused_for_a_data_set() -> None:
    assert plan.method_names(["gradcam++"]) == ("Grad-CAM++",)
    with pytest.raises(
        OptionError, match=r"few forwards for a data set, got RISE \(1,001 forwards, no backward\);"
    ):
        plan.method_names(["Grad-CAM", "rise"])
