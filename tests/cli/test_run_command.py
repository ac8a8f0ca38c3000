"""The command `run`: what it says, its exit codes, and what it leaves."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
import torch

from gradcam import load_classifier
from gradcam.cli import main
from gradcam.cli.run import _use_of
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


AUDITED = """
import sys

opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from gradcam.cli import main

assert main(sys.argv[1:]) == 0
print("imported", *({"torch", "timm", "torchvision"} & sys.modules.keys()))
print("read", *(name for name in opened if name.endswith((".png", ".parquet", "plan.json", "data.json"))))
"""
"""Says which large packages a command imports, and which photos and lists it opens."""


def audited(*words: str) -> tuple[str, list[str], list[str]]:
    """What a command in a process of its own says, what it imports, and what it reads of photos and lists."""
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, "run", *words], capture_output=True, text=True, check=True
    )
    said, imported, read = done.stdout.splitlines()
    return said, imported.split()[1:], [Path(path).name for path in read.split()[1:]]


def test_a_finished_run_is_told_and_gone_on_with_without_pytorch_and_no_photo_is_read_again() -> None:
    assert start() == 0
    whole = "review: finished · 6 photos, 1 model · 6 of 6 maps"
    said, imported, read = audited("start", "set", "--model", MODEL, "--out", "review")
    assert (said, imported) == (whole, [])
    assert read.count("photos-0.parquet") == 1
    assert not [name for name in read if name.endswith(".png")]
    assert audited("resume", "review")[:2] == (whole, [])


def test_a_finished_run_that_is_asked_for_more_computes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert start() == 0
    assert start("--class", "#3", "--method", "hirescam") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "review: finished · 6 photos, 1 model · 12 of 12 maps"
    assert start("--method", "HiResCAM", "--class", "#3") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "review: finished · 6 photos, 1 model · 12 of 12 maps"
    assert start("--method", "HiResCAM", "--layer", "layer3") == 2
    assert "its target layer changed; begin beside with --new" in capsys.readouterr().err


def test_a_run_may_be_computed_by_the_modules_own_and_goes_on_so_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--exact") == 0
    (model,) = Run(Path("review")).plan.models
    assert model.numerics == "eager"
    shutil.rmtree("review/shards")
    assert main(["run", "resume", "review"]) == 2
    assert "its way of computing changed; give --exact only if it was given then, or" in capsys.readouterr().err
    assert main(["run", "resume", "review", "--exact"]) == 0


def test_an_exact_model_is_in_memory_once_however_often_a_command_uses_it() -> None:
    use = _use_of(argparse.Namespace(checkpoints=None, exact=True))
    with use(MODEL) as one, use(MODEL) as again:
        assert again is one


def test_a_checkpoint_of_ones_own_is_run_and_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    classifier = load_classifier("timm/test_resnet", weights="random", seed=3)
    torch.save(classifier.module.state_dict(), "own.pt")
    own = ["--checkpoint", "own.pt", "--arch", "timm/test_resnet"]
    assert main(["run", "start", "set", *own, "--out", "review"]) == 0
    shutil.rmtree("review/shards")
    assert main(["run", "resume", "review", *own]) == 0
    assert capsys.readouterr().out.count("review: finished · 6 photos, 1 model · 6 of 6 maps") == 2


def test_new_begins_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert start() == 0
    assert start("--maps", "float32") == 2
    assert "expected maps float16, with which the run began, got float32; begin beside" in capsys.readouterr().err
    assert start("--maps", "float32", "--new") == 0
    assert capsys.readouterr().out.startswith("review-2: finished")


def test_what_another_process_was_not_asked_for_is_computed_once_it_has_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start() == 0
    capsys.readouterr()
    held = ExitStack()
    held.enter_context(Store(Path("review")).locked())
    monkeypatch.setattr("gradcam.runs.watch", lambda folder, show: held.close())
    with held:
        assert start("--class", "#3") == 0
    said = capsys.readouterr()
    assert "but another process does; watch it" in said.err
    assert said.out == "review: finished · 6 photos, 1 model · 12 of 12 maps\n"


def test_an_interrupted_run_beside_is_named_by_its_own_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start() == 0
    monkeypatch.setattr("gradcam.runs.start", mock.Mock(side_effect=KeyboardInterrupt))
    assert start("--new") == 130
    assert "`gradcam run resume review-2` goes on" in capsys.readouterr().err


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
        (["start", "set", "--model", MODEL, "--out", "set/blue/00000.png/r"], "where a file is; name another"),
        (["status", "set"], "start one with `gradcam run start`"),
        (["resume", "set"], "start one with `gradcam run start`"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
