"""Runs that are started again: nothing is computed twice, and one process computes at a time."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import pytest

from gradcam.errors import ModelError, RunBusyError, RunError
from gradcam.runs import Engine, Run, Settings, Status, class_means, data_set, resume, start, watch
from gradcam.runs.store import Store
from tests import plain
from tests.runs.small_set import (
    NET,
    classifiers,
    computes_nothing,
    rows_of,
    run_over,
    shards_of,
    write_photo,
    write_set,
)


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
