"""The command line takes somebody's checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcam import explain, open_photo
from gradcam.cli._main import main
from gradcam.models.labels import make_labels
from tests.shapes import ARCHITECTURE, KINDS, load, photo, saved, state

OWN = ["--checkpoint", "shapes.pt", "--arch", ARCHITECTURE]


PREPARED = ["--input-size", "128", "--input-crop", "1", "--input-mean", "0.5,0.5,0.5", "--input-std", ".5 .5 .5"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command line runs: a checkpoint, its labels and a photo."""
    Image.fromarray(photo("cross", 90, 40).pixels).save(tmp_path / "cross.png")
    (tmp_path / "shapes.pt").write_bytes(saved(state()))
    (tmp_path / "shapes.json").write_text(json.dumps(KINDS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_takes_a_checkpoint_with_its_labels_and_preprocessing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [*OWN, "--labels", "shapes.json", *PREPARED]
    assert main(["explain", "cross.png", *own, "--class", "cross", "--out", "out"]) == 0
    assert f"checkpoint/{ARCHITECTURE}@shapes~" in capsys.readouterr().out
    (file,) = folder.glob("out/*.npy")
    expected = explain(load(state(), labels=make_labels(KINDS)).without_copy, open_photo("cross.png"), ["cross"])
    assert np.array_equal(np.load(file), expected.maps[0])


def test_a_report_of_a_checkpoint_is_replayed_with_the_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [*OWN, "--labels", "shapes.json", *PREPARED]
    assert main(["report", "cross.png", *own, "--class", "cross", "--out", "cross.zip"]) == 0
    assert main(["replay", "cross.zip", *own]) == 0
    assert "1 panel: 1 same" in capsys.readouterr().out
    assert main(["replay", "cross.zip"]) == 1
    assert "give the file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(OWN[2:], "expected --arch with a checkpoint, got it alone; add --checkpoint", id="no-file"),
        pytest.param(["--model", "torchvision/vgg16", *PREPARED[2:]], "expected --input-crop with a", id="no-own"),
        pytest.param([], "--model", id="nothing"),
        pytest.param([*OWN[:3], "timm/resnet18"], "missing", id="other-architecture"),
        pytest.param([*OWN, "--labels", "imagenet1k"], "name a file, or 'imagenet-1k'", id="label-set"),
        pytest.param([*OWN, "--input-mean", "1,2"], "as mean of the input", id="mean"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "report"])
def test_a_checkpoint_that_cannot_be_used_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], sentence: str
) -> None:
    assert main([command, "cross.png", *arguments, "--out", str(folder / "out.zip")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gradcam: expected ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not (folder / "out.zip").exists()
