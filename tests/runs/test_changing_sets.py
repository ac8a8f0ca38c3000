"""Runs over photos, labels and models that are broken, change or move: none ends a run or is mixed with others."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from unittest import mock
from zipfile import ZipFile

import pytest
import torch

from gradcam import Failure
from gradcam.errors import PhotoError, RunError
from gradcam.runs import Engine, Run, Settings, data_set, export, resume, store
from gradcam.runs.store import Store
from tests import plain
from tests.runs.small_set import classifiers, computes_nothing, rows_of, run_over, shards_of, write_photo, write_set


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
