"""Runs: the numbers of `compare`, kept; nothing is computed twice, and no broken photo ends one."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from unittest import mock
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from gradcam import Failure, Top, _compare, compare, open_photo, sample_photo
from gradcam.errors import ModelError, OptionError, PhotoError, RunBusyError, RunError
from gradcam.forward import Forward
from gradcam.runs import (
    Engine,
    Run,
    Settings,
    Status,
    class_means,
    data_set,
    export,
    plan,
    read_data,
    resume,
    start,
    store,
    watch,
)
from gradcam.runs.index_tables import AGREEMENTS
from gradcam.runs.store import Store
from tests import plain
from tests.runs.small_set import SETTINGS, classifiers, rows_of, run_over, shards_of, write_photo, write_set

NET = "timm/test_resnet (untrained, seed 1)"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), 30)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupted."""
    return run_over(data, tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_that_is_stopped_between_two_methods_works_out_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, methods, sums = write_set(tmp_path / "set", 4), ["Grad-CAM", "Grad-CAM++"], class_means._sums

    def stop_at_the_second(column: class_means._Column) -> object:
        if column.number == 1:
            raise KeyboardInterrupt
        return sums(column)

    run = run_over(data, tmp_path / "run", classifiers()[:1], targets=["top"], methods=methods[:1])
    monkeypatch.setattr(class_means, "_sums", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_over(data, run.folder, classifiers()[:1], targets=["top"], methods=methods)
    monkeypatch.setattr(class_means, "_sums", sums)
    run_over(data, run.folder, classifiers()[:1], targets=["top"], methods=methods)
    assert [len(run.mean_maps(0, method, "top prediction")) for method in methods] == [2, 2]
    assert all(unit.likeness is not None for unit in run.units())


def computes_nothing() -> mock._patch[object]:
    return mock.patch.object(Forward, "of", side_effect=AssertionError("a forward"))


# ------------------------------------------------------------------------------- numbers


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


# ------------------------------------------------------------------------------- nothing twice


def test_a_second_start_computes_and_opens_nothing(whole: Run, data: Path) -> None:
    before = shards_of(whole)
    with computes_nothing(), mock.patch.object(data_set, "open_photo", side_effect=AssertionError("a photo")):
        again = run_over(data, whole.folder)
    assert again.status().state == "finished"
    assert shards_of(again) == before


def test_a_model_or_photos_that_are_added_are_computed_alone(data: Path, whole: Run, tmp_path: Path) -> None:
    here = tmp_path / "set"
    shutil.copytree(data, here)
    one, both = classifiers()[:1], classifiers()
    run = run_over(here, tmp_path / "run", one)
    first = Store(run.folder).finished()
    run_over(here, run.folder, both)
    second = Store(run.folder).finished()
    assert {column for column, _ in second.keys() - first.keys()} == {1}
    assert shards_of(run) == shards_of(whole)
    for number in range(100, 103):
        write_photo(here / "red" / f"{number}.png", number)
    run_over(here, run.folder, both)
    third = Store(run.folder).finished()
    assert third.keys() - second.keys() == {(0, 4), (1, 4)}
    assert all(third[key] == second[key] for key in second)
    assert [unit.path for unit in run.units(range(30, 33))][::4] == [f"red/{n}.png" for n in range(100, 103)]


def test_a_model_is_added_without_those_that_no_new_label_has_to_be_matched_to(tmp_path: Path) -> None:
    data, (one, other) = write_set(tmp_path / "set", 4), classifiers()
    run = run_over(data, tmp_path / "run", [one], targets=["top"])
    lend = plain.lender({})  # the first model is not there any more
    run_over(data, run.folder, [other], targets=["top"], use=lend)
    assert len(run.status().models) == 2
    write_photo(data / "new" / "1.png", 1)
    refused = mock.Mock(side_effect=ModelError("expected the file of a checkpoint"))
    with pytest.raises(
        RunError, match="expected plain/own, a model of the run, to match labels that are new to it"
    ):
        run_over(data, run.folder, [other], targets=["top"], use=refused)


def test_a_run_that_was_killed_before_its_mean_maps_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    run = run_over(data, tmp_path / "run")
    whole = rows_of(run)
    with sqlite3.connect(run.folder / "index.sqlite") as index:
        index.execute("DELETE FROM means")
        index.execute("DELETE FROM confusions")
        index.execute("UPDATE units SET likeness = NULL")
        index.commit()
    index.close()
    assert (run.status().state, run.status().done) == ("stopped", run.status().units)
    live = run.confusion(0, "Grad-CAM", run.plan.targets[0])
    with computes_nothing():
        resume(run.folder, use=plain.lender({str(one.spec): one for one in classifiers()}))
    assert run.status().state == "finished"
    assert rows_of(run) == whole
    assert run.confusion(0, "Grad-CAM", run.plan.targets[0]) == live != []


def test_a_stopped_run_is_resumed_to_the_same_bytes_and_rows(data: Path, whole: Run, tmp_path: Path) -> None:
    stop = threading.Event()
    engine = Engine(workers=1, stop=stop, on_progress=lambda status: stop.set() if status.done else None)
    run = run_over(data, tmp_path / "run", engine=engine)
    assert run.status().state == "stopped"
    assert 0 < run.status().done < run.status().units
    assert run_over(data, run.folder).status() == whole.status()
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)


def test_an_engine_computes_any_number_of_runs(data: Path, tmp_path: Path) -> None:
    engine = Engine()
    found = [run_over(data, tmp_path / name, classifiers()[:1], engine=engine).status().state for name in "ab"]
    assert found == ["finished", "finished"]


def test_an_index_that_was_deleted_is_made_anew(data: Path, whole: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(whole.folder, run.folder)
    for path in run.folder.glob("index.sqlite*"):
        path.unlink()
    with computes_nothing():
        run_over(data, run.folder)
    assert rows_of(run) == rows_of(whole)


@pytest.mark.parametrize(
    "fails", ["gradcam.runs.index.Index.add_shard", "gradcam.runs.class_means._write_likeness"]
)
def test_an_index_that_was_half_made_is_made_whole(data: Path, whole: Run, tmp_path: Path, fails: str) -> None:
    run = Run(Path(shutil.copytree(whole.folder, tmp_path / "run")))
    for path in run.folder.glob("index.sqlite*"):
        path.unlink()
    with mock.patch(fails, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run.status()
    run.status()
    assert rows_of(run) == rows_of(whole)


def test_a_kill_while_means_are_written_leaves_none_that_the_next_start_would_take_for_whole(
    data: Path, whole: Run, tmp_path: Path
) -> None:
    with (
        mock.patch("gradcam.runs.class_means._write_likeness", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        run_over(data, tmp_path / "run")
    assert rows_of(run_over(data, tmp_path / "run")) == rows_of(whole)


def test_a_review_is_bound_to_the_very_photos_and_maps_of_a_run_that_has_finished(tmp_path: Path) -> None:
    one, same, other = (write_set(tmp_path / name, 2) for name in ("one", "same", "other"))
    write_photo(other / "red" / "00001.png", 7)
    runs = [run_over(data, tmp_path / f"run-{data.name}", classifiers()[:1]) for data in (one, same, other)]
    assert runs[0].evidence == runs[1].evidence != runs[2].evidence
    runs[2].check_shards()
    changed = next((runs[2].folder / "shards").rglob("*.parquet"))
    changed.write_bytes(changed.read_bytes()[::-1])  # of the same size
    with pytest.raises(RunError, match="as the run wrote it, got another file; delete it, and"):
        runs[2].check_shards()
    next((runs[0].folder / "shards").rglob("*.parquet")).unlink()
    with pytest.raises(RunError, match="expected a finished run to review, got one with 0 of 4 maps"):
        _ = runs[0].evidence


@contextmanager
def only_reading(folder: Path) -> Iterator[None]:
    """Nobody may write into a folder while the block runs; root, who may write anywhere, is nobody meanwhile."""
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    if is_root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_run_in_a_folder_that_can_only_be_read_is_read(whole: Run, data: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        run = Run(Path(shutil.copytree(whole.folder, Path(name) / "a run?")))
        before, ranked = run.status(), run.ranked("disagreement")
        with only_reading(run.folder):
            assert run.status() == before
            assert run.ranked("disagreement") == ranked
            assert len(list(run.units())) == 120
        next((run.folder / "shards").rglob("*.parquet")).unlink()
        with only_reading(run.folder):
            assert run.status().state == "stopped"
        for path in run.folder.glob("index.sqlite*"):
            path.unlink()
        with (
            only_reading(run.folder),
            pytest.raises(RunError, match="got one that can only be read; copy the run, or let `gradcam run"),
        ):
            run.status()


def test_half_a_line_and_half_a_shard_are_computed_again(data: Path, whole: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(whole.folder, run.folder)
    listed = run.folder / "shards.jsonl"
    listed.write_bytes(listed.read_bytes()[:-20])
    sorted((run.folder / "shards").rglob("*.parquet"))[0].write_bytes(b"PAR1")
    run_over(data, run.folder)
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)
    assert len(Store(run.folder).finished()) == 8


# ------------------------------------------------------------------------------- a changing world


def test_forty_broken_photos_of_two_thousand_are_rows_with_a_reason_and_end_no_run(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 1960)
    whole = (data / "red" / "00001.png").read_bytes()
    kinds = [b"", b"no picture", whole[:60], whole[:-30], b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0", b"BM"]
    for number in range(40):
        (data / "blue" / f"broken{number}.jpg").write_bytes(kinds[number % len(kinds)])
    settings = Settings(batch=128)
    run = run_over(data, tmp_path / "run", classifiers()[:1], targets=["top"], settings=settings)
    status = run.status()
    assert (status.state, status.photos, status.failed) == ("finished", 2000, 40)
    reasons = {unit.path: unit.reason for unit in run.units() if unit.reason}
    assert len(reasons) == 40
    assert all(reason.startswith("expected") for reason in reasons.values())
    assert all("broken" in path for path in reasons)
    with computes_nothing(), mock.patch.object(data_set, "open_photo", side_effect=AssertionError("a photo")):
        run_over(data, run.folder, classifiers()[:1], targets=["top"], settings=settings)


def test_a_target_that_cannot_be_answered_costs_its_own_unit(data: Path, tmp_path: Path) -> None:
    run = run_over(data, tmp_path / "run", classifiers()[:1], targets=["top rather than red", "blue"])
    units = list(run.units())
    failed = [unit for unit in units if unit.reason]
    assert {unit.target for unit in failed} == {"top prediction rather than red"}
    assert {unit.label for unit in failed} == {"red"}
    assert len(units) == 60
    assert "expected two different classes to contrast" in (failed[0].reason or "")


def test_a_set_without_labels_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    write_photo(tmp_path / "set" / "1.png", 1)
    with computes_nothing(), pytest.raises(RunError, match="expected photos with labels"):
        run_over(tmp_path / "set", tmp_path / "run", targets=["label"])
    assert not (tmp_path / "run").exists()


def test_labels_that_are_no_classes_are_said_or_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "red", tmp_path / "set" / "rot")
    said: list[str] = []
    run = run_over(tmp_path / "set", tmp_path / "run", targets=["top"], engine=Engine(say=said.append))
    assert said[0].startswith(
        "plain/own has no class for 1 label (rot): their photos count as neither right nor wrong"
    )
    assert {unit.right for unit in run.units()} == {None}
    for folder in ("other", "run"):  # also where the run knows the label already
        with pytest.raises(RunError, match="'rot' is none"):
            run_over(tmp_path / "set", tmp_path / folder)
    (tmp_path / "map.json").write_text('{"rot": "red"}')
    run = run_over(tmp_path / "set", tmp_path / "third", labels_are=tmp_path / "map.json")
    assert {unit.right for unit in run.units()} == {True}
    (tmp_path / "map.json").write_text('{"rot": "blue"}')
    with pytest.raises(RunError, match="expected the label 'rot' to mean what it meant"):
        run_over(tmp_path / "set", tmp_path / "third", labels_are=tmp_path / "map.json")


def test_a_refused_start_leaves_nothing_where_nothing_was(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "red", tmp_path / "set" / "rot")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine.txt").touch()
    for out in (tmp_path / "new" / "run", kept):
        with pytest.raises(RunError, match="'rot' is none"):
            run_over(tmp_path / "set", out)
    assert not (tmp_path / "new").exists()
    assert [*kept.iterdir()] == [kept / "mine.txt"]


@pytest.mark.parametrize("is_error", [False, True])
def test_a_lock_that_is_not_had_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_error: bool
) -> None:
    def hold(path: Path, error: type[RunError]) -> None:
        assert path.parent.is_dir()
        if is_error:
            raise error("expected to write")

    monkeypatch.setattr(store, "hold", hold)
    with suppress(RunError), Store(tmp_path / "new" / "run").locked() as mine:
        assert not mine
    assert [*tmp_path.iterdir()] == []


def test_a_model_whose_weights_changed_is_refused_and_begins_beside(data: Path, tmp_path: Path) -> None:
    run = run_over(data, tmp_path / "run", targets=["top"])
    changed = classifiers()
    with torch.no_grad():
        changed[0].module.get_parameter("head.weight").add_(1)
    write_photo(data.with_name("more") / "red" / "1.png", 1)
    for targets in (["label"], ["top"]):  # also where nothing is missing
        with pytest.raises(
            RunError, match="expected plain/own as it was when the run began, but its weights changed"
        ):
            run_over(data, run.folder, changed, targets=targets)
    beside = run_over(data, run.folder, changed, targets=["top"], new=True)
    assert beside.folder == tmp_path / "run-2"
    assert beside.status().state == "finished"


def test_photos_that_are_gone_or_changed_are_said_and_never_mixed(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 4)
    run = run_over(data, tmp_path / "run", classifiers()[:1], targets=["top"])
    write_photo(data / "red" / "00001.png", 77)
    (data / "blue" / "00000.png").unlink()
    said: list[str] = []
    run_over(data, run.folder, targets=["top"], engine=Engine(say=said.append))
    assert any(line.startswith("1 photo changed since the run saw them (red/00001.png)") for line in said)
    assert any(line.startswith("1 photo gone since the run saw them (blue/00000.png)") for line in said)
    reasons = {unit.path: unit.reason for unit in run.units() if unit.model == "plain/green" and unit.reason}
    assert "got a file that was changed since" in (reasons["red/00001.png"] or "")
    assert "there is no file" in (reasons["blue/00000.png"] or "")
    assert len(reasons) == 2


def test_a_photo_that_one_model_did_not_find_is_tried_again_with_that_model(tmp_path: Path) -> None:
    data, away, said = write_set(tmp_path / "set", 20), tmp_path / "away.png", list[str]()
    whole = run_over(data, tmp_path / "whole")
    run = run_over(data, tmp_path / "run", classifiers()[:1])
    (data / "red" / "00017.png").rename(away)
    run_over(data, run.folder)
    assert run.status().failed == 2
    away.rename(data / "red" / "00017.png")
    before = Store(run.folder).finished()
    run_over(data, run.folder, engine=Engine(say=said.append))
    assert said == [
        "1 photo that failed can be tried again, for the files are others now (red/00017.png): computed with the "
        "photos of their batches"
    ]
    after = Store(run.folder).finished()
    assert [position for position in before if before[position] != after[position]] == [(1, 2)]
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)


def test_a_photo_that_failed_is_tried_again_once_its_file_is_another(tmp_path: Path) -> None:
    data, there = (write_set(tmp_path / name, 20) for name in ("set", "there"))
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    for folder in (data, there):
        (folder / "photos.csv").write_text("path\n" + "\n".join(names))
    late, broken, good = (data / name for name in ("red/00001.png", "red/00003.png", "blue/00016.png"))
    late.unlink()
    broken.write_bytes(b"no picture")
    run = run_over(data / "photos.csv", tmp_path / "run", targets=["top"])
    assert run.status().failed == 4
    for path in (late, broken):
        shutil.copy(there / path.relative_to(data), path)
    good.rename(tmp_path / "away.png")
    with computes_nothing():  # else this photo of the same batch would lose its maps
        run_over(data / "photos.csv", run.folder, targets=["top"])
    (tmp_path / "away.png").rename(good)
    run_over(data / "photos.csv", run.folder, targets=["top"])
    whole = run_over(there / "photos.csv", tmp_path / "whole", targets=["top"])
    assert run.status().failed == 0
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)


def test_a_photo_that_is_as_broken_as_before_is_tried_again_once(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 3)
    (data / "red" / "00001.png").write_bytes(b"no picture")
    run = run_over(data, tmp_path / "run", targets=["top"])
    (data / "red" / "00001.png").write_bytes(b"no picture either")
    run_over(data, run.folder, targets=["top"], engine=Engine(say=(said := list[str]()).append))
    assert "1 photo that failed can be tried again" in said[0]
    with computes_nothing():
        run_over(data, run.folder, targets=["top"])
    assert run.status().failed == 2


def test_a_data_set_that_was_moved_is_found_in_its_new_place(tmp_path: Path) -> None:
    run = run_over(write_set(tmp_path / "set", 4), tmp_path / "run", targets=["top"])
    (tmp_path / "set").rename(tmp_path / "moved")
    for path in run.folder.glob("index.sqlite*"):
        path.unlink()
    assert run.status().state == "finished"
    assert export(run, tmp_path / "numbers.csv").stat().st_size
    with computes_nothing():
        run_over(tmp_path / "moved", run.folder, targets=["top"])
        assert resume(run.folder).status().state == "finished"
    shutil.copytree(tmp_path / "moved", tmp_path / "copy")
    run_over(tmp_path / "copy", run.folder, targets=["top"])
    assert Run(run.folder).photo("red/00001.png").size == (8, 8)
    assert Store(run.folder).data() == str(tmp_path / "copy")


def test_other_photos_from_another_place_are_another_run(tmp_path: Path) -> None:
    one, other = write_set(tmp_path / "one", 4), tmp_path / "other"
    run = run_over(one, tmp_path / "run", targets=["top"])
    write_photo(other / "red" / "00001.png", 77)
    for _ in range(2):
        with pytest.raises(
            RunError, match=r"got one without 4 photos of them .*; begin beside with --new, or give a manifest"
        ):
            run_over(other, run.folder, targets=["top"])
        shutil.rmtree(other)
        write_photo(other / "red" / "00005.png", 5)
    assert Store(run.folder).data() == str(one)
    assert run.plan.photos == 4
    shutil.copytree(one, other, dirs_exist_ok=True)
    (other / "red" / "00003.png").unlink()
    with pytest.raises(RunError, match=r"got one without 1 photo of them \(red/00003\.png\)"):
        run_over(other, run.folder, targets=["top"])
    shutil.rmtree(one)  # it was moved, and a photo was lost on the way
    assert run_over(other, run.folder, targets=["top"]).plan.photos == 5


def test_what_is_kept_of_a_photo_is_drawn_over_no_other(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 2)
    run = run_over(data, tmp_path / "run", classifiers()[:1], targets=["top"])
    write_photo(data / "red" / "00001.png", 77)
    with pytest.raises(
        PhotoError, match=r"expected 'red/00001\.png' as a model of the run saw it, got a file that"
    ):
        run.photo("red/00001.png")
    with ZipFile(export(run, tmp_path / "maps.zip")) as archive:
        assert [PurePosixPath(name).name[:7] for name in archive.namelist()] == ["0000000"]
    (row,) = run.compare([1], use=plain.lender({"plain/own": classifiers()[0]})).rows()
    (failed,) = row.panels
    assert isinstance(failed, Failure)
    assert "changed since" in failed.reason


def test_what_is_said_of_a_photo_must_stay(tmp_path: Path) -> None:
    data = write_set(tmp_path, 2)
    manifest = tmp_path / "photos.csv"
    manifest.write_text("path,label\nred/00001.png,red\n")
    run_over(manifest, tmp_path / "run")
    manifest.write_text("path,label\nred/00001.png,blue\n")
    with pytest.raises(RunError, match=r"expected what is said of 'red/00001\.png' as the run has it"):
        run_over(manifest, tmp_path / "run")
    assert data


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    data: Path, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, 0

    def fill(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise OSError(errno.ENOSPC, "full")
        sync(number)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(RunError, match="the disk is full; free some space"):
        run_over(data, tmp_path / "run", engine=Engine(workers=1))
    monkeypatch.undo()
    run = run_over(data, tmp_path / "run")
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)


# ------------------------------------------------------------------------------- one process at a time


def test_a_second_process_is_told_and_can_watch(data: Path, tmp_path: Path) -> None:
    run = run_over(data, tmp_path / "run", classifiers()[:1])
    seen: list[Status] = []
    with Store(run.folder).locked() as mine:
        assert mine
        with pytest.raises(RunBusyError, match="but another process does; watch it"):
            run_over(data, run.folder)
        shutil.rmtree(run.folder / "shards" / "000")
        assert run.status().state == "running"
        timer = threading.Timer(0.2, lambda: run_restored.set())
        run_restored = threading.Event()
        timer.start()
        with pytest.raises(RuntimeError, match="seen enough"):
            watch(run.folder, lambda status: _note(seen, status, run_restored), seconds=0.05)
    assert seen[0].state == "running"
    assert run.status().state == "stopped"


def _note(seen: list[Status], status: Status, until: threading.Event) -> None:
    seen.append(status)
    if until.is_set():
        raise RuntimeError("seen enough")


@pytest.mark.parametrize("target", [lambda logits: logits[0], 3, None])
def test_a_target_that_is_no_text_cannot_be_stored(target: object, data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="expected the targets of a run as text, such as 'label'"):
        run_over(data, tmp_path / "run", targets=[target])
    assert not (tmp_path / "run").exists()


def test_resume_finds_the_photos_and_models_by_itself(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 12)
    stop = threading.Event()
    engine = Engine(workers=1, stop=stop, on_progress=lambda status: stop.set() if status.done else None)
    run = start(data, [NET], out=tmp_path / "run", settings=Settings(batch=2), engine=engine)
    assert run.status().state == "stopped"
    planned = run.folder / "plan.json"
    whole = planned.read_bytes()
    planned.write_bytes(whole.replace(version("torch").encode(), b"1.0"))
    with pytest.raises(RunError, match=r"expected torch 1\.0, with which the run began"):
        resume(run.folder)
    planned.write_bytes(whole)
    assert resume(run.folder).status().state == "finished"
    with pytest.raises(RunError, match="start one with `gradcam run start`"):
        resume(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


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
