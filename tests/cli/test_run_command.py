"""The command `run`: what it says, its exit codes, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradcam.cli import main
from gradcam.runs import Run
from gradcam.runs.store import Store
from tests.runs.small_set import write_photo, write_set

MODEL = "timm/test_resnet (untrained, seed 1)"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "set", 6)


def start(*words: str) -> int:
    return main(["run", "start", "set", "--model", MODEL, "--out", "review", *words])


def test_a_run_is_started_told_and_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--batch", "4") == 0
    assert capsys.readouterr().out == "review: finished · 6 photos, 1 model · 6 of 6 maps\n"
    write_photo(Path("set/red/6.png"), 6)
    Path("set/red/broken.png").write_bytes(b"no picture")
    assert start("--class", "top", "--class", "#3") == 1
    assert "finished · 8 photos, 1 model · 16 of 16 maps, 2 failed" in capsys.readouterr().out
    assert Run(Path("review")).plan.settings.batch == 4
    assert main(["run", "status", "review", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert {name: said[name] for name in ("state", "units", "done", "failed", "seconds_left")} == {
        **{"state": "finished", "units": 16, "done": 16, "failed": 2},
        "seconds_left": None,
    }
    sorted(Path("review/shards").rglob("*.parquet"))[0].unlink()
    assert main(["run", "status", "review"]) == 1
    assert "review: stopped · 8 photos, 1 model · 12 of 16 maps" in capsys.readouterr().out
    assert main(["run", "resume", "review"]) == 1
    assert "finished" in capsys.readouterr().out


def test_new_begins_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert start() == 0
    assert start("--maps", "float32") == 2
    assert "expected maps float16, with which the run began, got float32; begin beside" in capsys.readouterr().err
    assert start("--maps", "float32", "--new") == 0
    assert capsys.readouterr().out.startswith("review-2: finished")


def test_where_another_process_computes_the_run_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert start() == 0
    with Store(Path("review")).locked():
        assert start() == 0
    said = capsys.readouterr()
    assert "but another process does; watch it" in said.err
    assert said.out.splitlines()[-1].startswith("review: finished")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["start", "nowhere", "--model", MODEL, "--out", "r"], "there is no file or folder 'nowhere'"),
        (["start", "set", "--out", "r"], "expected a model, got none"),
        (["start", "set", "--model", "timm/no", "--out", "r"], "expected"),
        (
            ["start", "set", "--model", MODEL, "--class", "label", "--out", "r"],
            "'blue' is none",
        ),
        (["start", "set", "--model", MODEL, "--layer", "timm/vgg=x", "--out", "r"], "expected one of the models"),
        (
            ["export", "set", "--out", "x.png"],
            "ends in one of .csv, .parquet, .zip or, with --top, in one of .html",
        ),
        (["status", "set"], "start one with `gradcam run start`"),
        (["resume", "set"], "start one with `gradcam run start`"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
