"""Runs of visitors: behind links, within limits, cancelled, gone on with, found again, and gone in the end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from gradcam import load_checkpoint
from gradcam.config import Runs
from gradcam.errors import RunError, quoted, without_path
from gradcam.models import write_options
from gradcam.runs import HostedRun, RunHost, job_queue, read_data
from gradcam.runs.job import read_job, write_job
from gradcam.runs.store import PLAN
from tests.runs.small_set import write_set

MODEL = "timm/test_resnet (untrained, seed 1)"
ASK = ([MODEL], ["top"])


@pytest.fixture
def limits(tmp_path: Path) -> Runs:
    return Runs(folder=tmp_path / "hosted")


@pytest.fixture
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that compute nothing and end when they are asked to."""

    def begin(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)

    monkeypatch.setattr(job_queue, "_begin", begin)


@pytest.mark.parametrize(
    "place",
    ["/srv/secret", "/srv/it's secret", "/srv/a\\secret\t", "/srv/" + "secret/" * 13, "/srv/" + "secret/" * 60],
)
@pytest.mark.parametrize("letters", [1, 300])
def test_a_visitor_is_told_the_name_of_a_folder_and_not_where_it_lies(place: str, letters: int) -> None:
    folder = Path(place, "run")
    for sentence in (f"expected {quoted(folder / ('x' * letters))}, got none", f"no {folder}"):
        told = without_path(sentence, folder)
        assert "run" in told
        assert not any(part in told for part in ("secret", "srv"))
        assert told.endswith((", got none", "no run"))


def wait_until(host: RunHost, token: str, fits: Callable[[HostedRun], bool], seconds: float = 100) -> HostedRun:
    end = time.monotonic() + seconds
    while not fits(found := host.get(token)):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def packed(**files: bytes) -> tuple[str, io.BytesIO]:
    """A ZIP of photos as somebody uploads it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/") + ".png", data)
    out.seek(0)
    return "photos.zip", out


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = write_set(tmp_path_factory.mktemp("one"), 1)
    return next(folder.rglob("*.png")).read_bytes()


def test_a_run_computes_by_itself_is_cancelled_found_again_by_its_link_and_deleted(
    limits: Runs, tmp_path: Path
) -> None:
    """With a model of the visitor's own, whose file lies with the run, also when it is gone on with."""
    data = write_set(tmp_path / "set", 24)
    host = RunHost(limits)
    weights = io.BytesIO()
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), weights)
    mine = load_checkpoint(weights.getvalue(), "timm/test_resnet", name="mine.pt")
    own = [(write_options(mine), weights)]
    token = host.start("anna", "set", data, [str(mine.spec)], ["top"], own)
    second = host.start("anna", "set", data, *ASK)
    assert len(token) >= 32
    assert host.get(second).state == "waiting"
    assert host.get(second).ahead == 1
    host.cancel(second)
    assert host.get(second).state == "stopped"
    host.cancel(token)
    assert wait_until(host, token, lambda run: not run.is_active).state == "stopped"
    again = RunHost(limits)
    again.resume(token)
    done = wait_until(again, token, lambda run: not run.is_active)
    assert (done.state, done.reason) == ("finished", "")
    assert done.status is not None
    assert (done.status.done, done.status.failed) == (24, 0)
    assert done.run.plan.models[0].requested_id == str(mine.spec)
    assert done.messages  # the model has no classes of these names
    (unit,) = done.run.units([0])
    assert done.run.previews([unit])[0]
    again.delete(token)
    with pytest.raises(RunError, match="expected a run behind this link, got none: it was deleted"):
        again.get(token)


@pytest.mark.usefixtures("_idle")
def test_a_link_does_not_stand_in_the_name_of_its_folder(limits: Runs, tmp_path: Path) -> None:
    host = RunHost(limits)
    token = host.start("anna", "set", write_set(tmp_path / "set", 2), *ASK)
    (folder,) = limits.folder.iterdir()
    assert token not in folder.name
    with pytest.raises(RunError):
        host.get(folder.name)
    host.delete(token)


@pytest.mark.usefixtures("_idle")
def test_a_run_of_another_version_says_so_and_a_run_without_a_plan_does_not(limits: Runs, png: bytes) -> None:
    host = RunHost(limits)
    token = host.start("anna", "mine", [("a.png", io.BytesIO(png))], *ASK)
    assert host.get(token).is_readable
    host.cancel(token)
    folder = host.get(token).run.folder
    folder.mkdir(exist_ok=True)
    (folder / PLAN).write_text('{"format": 1}')
    assert not host.get(token).is_readable


@pytest.mark.usefixtures("_idle")
def test_uploads_are_a_zip_or_photos_with_perhaps_a_manifest(limits: Runs, png: bytes) -> None:
    host = RunHost(limits)
    for files, labels in [
        ([packed(red__a=png, blue__b=png)], {"red", "blue"}),
        ([("a.png", io.BytesIO(png)), ("b.png", io.BytesIO(png))], {None}),
        ([("a.png", io.BytesIO(png)), ("list.csv", io.BytesIO(b"path,label\na.png,red\n"))], {"red"}),
    ]:
        token = host.start("anna", "mine", files, *ASK)
        data = read_job(host.get(token).run.folder.parent).data
        assert set(read_data(data).rows["label"].to_pylist()) == labels
        host.delete(token)


@pytest.mark.usefixtures("_idle")
@pytest.mark.parametrize(
    ("change", "files", "sentence"),
    [
        ({}, [], "expected photos or a ZIP, got none"),
        ({}, ["a.zip", "b.png"], "expected one ZIP by itself, got 'a.zip' among 2 files"),
        ({}, ["a.png", "x/a.png"], "expected each file once, got 'a.png' twice"),
        ({}, ["a.csv", "b.csv"], "expected one manifest, got 'a.csv' and 'b.csv'"),
        ({}, [".a.png"], "a hidden file"),
        ({}, ["a.png", "state.json"], "expected photos, a manifest or a ZIP, got 'state.json'"),
        ({}, ["a.zip"], "expected a whole ZIP"),
        ({"photos": 1}, ["a.png", "b.png"], "expected at most 1 photos, got 2"),
        (
            {"upload_megabytes": 1e-6},
            ["a.png", "b.png"],
            "expected an upload of at most 1e-06 MB, all its files together",
        ),
        ({"visitor_gigabytes": 1e-7}, ["a.png"], "expected your runs to take at most 1e-07 GB of disk"),
        ({"gigabytes": 1e-7}, ["a.png"], "expected the runs of all visitors to take at most"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence_and_leaves_nothing(
    limits: Runs, png: bytes, change: dict[str, float], files: list[str], sentence: str
) -> None:
    host = RunHost(replace(limits, **change))  # pyright: ignore[reportArgumentType]
    with pytest.raises(RunError) as refused:
        host.start("anna", "mine", [(name, io.BytesIO(png)) for name in files], *ASK)
    assert str(refused.value).startswith("expected ")
    assert sentence in str(refused.value)
    assert str(limits.folder) not in str(refused.value)  # where it lies is the operator's alone to know
    assert not limits.folder.exists() or not list(limits.folder.iterdir())


@pytest.mark.usefixtures("_idle")
def test_a_bounded_number_compute_and_a_bounded_number_wait(limits: Runs, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 2)
    host = RunHost(replace(limits, at_once=2, waiting=1))
    tokens = [host.start("anna", "set", data, *ASK) for _ in range(3)]
    assert [host.get(token).state for token in tokens] == ["starting", "starting", "waiting"]
    with pytest.raises(RunError, match="expected room on this server, got 3 runs that compute or wait"):
        host.start("bea", "set", data, *ASK)
    host.cancel(tokens[0])
    assert wait_until(host, tokens[2], lambda run: run.state == "starting").ahead == 0
    for token in tokens:
        host.delete(token)


@pytest.mark.usefixtures("_idle")
def test_a_run_that_outgrows_the_quota_is_ended_with_its_reason(
    limits: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "SECONDS_BETWEEN_CHECKS", 0.05)
    host = RunHost(replace(limits, visitor_gigabytes=1e-5))
    token = host.start("anna", "set", write_set(tmp_path / "set", 2), *ASK)
    (host.get(token).run.folder.parent / "filler").write_bytes(bytes(20_000))
    ended = wait_until(host, token, lambda run: not run.is_active)
    assert ended.state == "failed"
    assert ended.reason.startswith("expected your runs to take at most 1e-05 GB of disk")
    assert host.used("anna") > 20_000
    assert host.used("bea") == 0
    host.delete(token)


@pytest.mark.usefixtures("_idle")
def test_a_run_goes_when_its_days_are_over(limits: Runs, tmp_path: Path) -> None:
    host = RunHost(limits)
    token = host.start("anna", "set", write_set(tmp_path / "set", 2), *ASK)
    kept = host.get(token)
    assert kept.expires == pytest.approx(time.time() + 7 * 86_400, abs=60)
    host.cancel(token)
    wait_until(host, token, lambda run: not run.is_active)
    folder = kept.run.folder.parent
    write_job(folder, replace(read_job(folder), created=time.time() - 8 * 86_400))
    with pytest.raises(RunError, match="its days are over"):
        host.get(token)
    assert not folder.exists()


@pytest.mark.parametrize("code", [1, -9])
def test_a_process_that_is_killed_is_told_of(
    limits: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    command = [sys.executable, "-c", f"import os, signal; os.kill(os.getpid(), 9) if {code} < 0 else exit({code})"]
    monkeypatch.setattr(job_queue, "_begin", lambda folder: subprocess.Popen(command, stdin=subprocess.PIPE))
    host = RunHost(limits)
    token = host.start("anna", "set", write_set(tmp_path / "set", 2), *ASK)
    ended = wait_until(host, token, lambda run: not run.is_active)
    assert ended.state == "failed"
    assert f"its process ended with {code}; resume it" in ended.reason


def test_a_sweep_removes_uploads_that_never_ended_and_nothing_that_it_did_not_make(limits: Runs) -> None:
    kept = [limits.folder / "review" / "plan.json", limits.folder / ("a" * 32) / "plan.json"]
    left = limits.folder / ("b" * 32) / "upload" / "a.png"
    for path in (*kept, left):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    for folder in limits.folder.iterdir():
        os.utime(folder, (0, 0))
    RunHost(limits).sweep()
    assert all(path.exists() for path in kept)
    assert not left.parents[1].exists()


def test_an_upload_that_never_ended_goes_though_nobody_starts_another_run(limits: Runs) -> None:
    left = limits.folder / ("b" * 32)
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    RunHost(limits).keep_sweeping()
    end = time.monotonic() + 20
    while left.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.usefixtures("_idle")
def test_what_takes_room_is_counted_while_somebody_else_deletes_a_run(
    limits: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = RunHost(limits)
    tokens = [host.start(name, "set", write_set(tmp_path / "set", 2), *ASK) for name in ("anna", "bea")]
    inside = host.get(tokens[0]).run.folder / "shards"
    inside.mkdir(parents=True)
    look = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path == str(inside):
            inside.rmdir()
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert host.used() > host.used("bea") > 0
    assert not inside.exists()
    for token in tokens:
        host.delete(token)


@pytest.mark.usefixtures("_idle")
def test_a_folder_whose_process_is_being_started_is_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, is_beginning = job_queue._begin, threading.Event()

    def begin_slowly(folder: Path) -> subprocess.Popen[bytes]:
        is_beginning.set()
        time.sleep(0.3)
        return begin(folder)

    monkeypatch.setattr(job_queue, "_begin", begin_slowly)
    queue = job_queue.JobQueue(1, lambda folder: True, lambda folder, code: None)
    adding = threading.Thread(target=queue.add, args=(tmp_path,))
    adding.start()
    assert is_beginning.wait(20)
    assert (tmp_path in queue, len(queue)) == (True, 1)
    adding.join()
    queue.cancel(tmp_path)
    queue.wait_for(tmp_path)


@pytest.mark.usefixtures("_idle")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_queue_goes_on_after_something_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "SECONDS_BETWEEN_CHECKS", 0.05)
    first, second, came = tmp_path / "first", tmp_path / "second", threading.Event()

    def may_go_on(folder: Path) -> bool:
        if folder == first:
            raise FileNotFoundError(folder)
        came.set()
        return True

    queue = job_queue.JobQueue(1, may_go_on, lambda folder, code: None)
    queue.add(first)
    queue.add(second)
    assert came.wait(20)
    assert first not in queue
    queue.cancel(second)
    queue.wait_for(second)
