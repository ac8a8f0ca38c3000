"""The command line does what the package does, and says one sentence where it cannot."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcam import Heatmap, Top, explain, load_classifier, sample_photo
from gradcam.cli._main import main
from gradcam.draw import panels_slide

MODEL = "bundled/tf_efficientnet_lite0"


@pytest.fixture
def chelsea(tmp_path: Path) -> Path:
    path = tmp_path / "chelsea.png"
    Image.fromarray(sample_photo("chelsea").pixels).save(path)
    return path


def test_explain_writes_the_page_the_picture_and_the_raw_maps(
    chelsea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(chelsea), "--model", MODEL, "--class", "Egyptian cat", "--class", "967", "--out", str(out)]
    assert main(["explain", *arguments]) == 0
    said = capsys.readouterr()
    assert "layer bn2 (7×7, 1280 channels)" in said.out
    assert said.err == ""
    assert {path.suffix for path in out.iterdir()} == {".html", ".png", ".npy"}
    cat, coffee = (np.load(path) for path in sorted(out.glob("*.npy")))
    expected = explain(load_classifier(MODEL, exact=True), sample_photo("chelsea"), ["Egyptian cat", 967]).maps
    assert np.array_equal(np.stack([cat, coffee]), expected)
    for path in out.glob("*.png"):
        Image.open(path).verify()


def test_panels_is_the_classic_picture_as_wide_as_was_asked_for(chelsea: Path, tmp_path: Path) -> None:
    arguments = [
        str(chelsea),
        "--model",
        MODEL,
        "--panels",
        "--panels-width",
        "948",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["explain", *arguments]) == 0
    panels = np.array(Image.open(tmp_path / "out" / "panels.png"))
    assert panels.shape == (round(300 * 300 / 451), 948, 3)
    panel = Heatmap(
        sample_photo("chelsea"), MODEL, "Grad-CAM", Top(), explain(load_classifier(MODEL, exact=True), chelsea)
    )
    assert np.array_equal(panels, panels_slide([panel], width=948).pixels)


def test_a_model_whose_weights_cannot_be_had_fails_alone_with_exit_code_1(
    chelsea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    models = ["--model", "torchvision/vgg16", "--model", MODEL]
    assert main(["explain", str(chelsea), *models, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "FAILED: expected weights for torchvision/vgg16@IMAGENET1K_V1" in said
    assert "553 MB" in said
    assert "Wrote" in said
    assert "1 map(s)" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["explain", "nowhere.jpg", "--model", MODEL, "--out", "{out}"], "there is no file 'nowhere.jpg'"),
        (["explain", "{photo}", "--model", MODEL, "--panels-width", "10", "--out", "{out}"], "from 200 to 8,000"),
        (["explain", "{photo}", "--model", "bundled/lite", "--out", "{out}"], "tf_efficientnet_lite0"),
        (["explain", "{photo}", "--model", MODEL, "--colormap", "virdis", "--out", "{out}"], "'viridis'"),
        (["explain", "{photo}", "--model", MODEL, "--opacity", "7", "--out", "{out}"], "7"),
        (["explain", "{photo}", "--model", MODEL, "--class", " ", "--out", "{out}"], "got nothing"),
        (["explain", "{photo}", "--model", MODEL, "--out", "{photo}"], "expected a folder for --out"),
        (["explain", "{photo}", "--model", MODEL, "--out", "{full}"], "--force"),
        (
            ["explain", "{photo}", "--model", MODEL, "--out", "{out}", "--seed", "x"],
            "--seed: invalid int value: 'x'",
        ),
        (["explain", "{photo}", "--model", MODEL], "required: --out"),
        (["expalin"], "invalid choice: 'expalin'"),
        (["models", "no such model"], "which none has; shorten it"),
        (["layers"], "name some or add --all"),
        (["layers", "torchvision/vgg17"], "'vgg16'"),
        (["layers", "hf-hub:acme/leaves"], "name its architecture"),
        (["layers", "timm/resnet18", "--out", "{photo}"], "expected a .csv file"),
        (["layers", "timm/resnet18", "--out", "{out}/layers.csv"], "which is none; make it first"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    chelsea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    places = {"photo": str(chelsea), "out": str(tmp_path / "new"), "full": str(tmp_path)}
    assert main([argument.format(**places) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gradcam: expected ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_models_names_where_the_weights_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "vgg16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("torchvision/vgg16@IMAGENET1K_V1 ") and "553 MB" in line for line in lines)
    assert any(line.startswith("timm/vgg16.tv_in1k ") for line in lines)


def test_layers_tells_the_target_layer_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "layers.csv"
    assert main(["layers", "torchvision/vgg16", "timm/vit_tiny_patch16_224", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "torchvision/vgg16 · features.29 · 14×14 · 512 channels · NCHW" in said
    assert "2 of 2 resolved" in said
    assert out.read_bytes().startswith(codecs.BOM_UTF8)
    assert "features.29,NCHW,0,14×14,512" in out.read_text(encoding="utf-8")
    assert "| **timm** | 1 | 1 | 0 |" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_layers_takes_any_id_that_a_comparison_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "torchvision/squeezenet1_1@IMAGENET1K_V1", f" {MODEL} "]) == 0
    said = capsys.readouterr().out
    assert "torchvision/squeezenet1_1 · features · 13×13" in said
    assert f"{MODEL} · bn2 · 7×7" in said


def test_untrained_weights_are_asked_for_and_named_so(
    chelsea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(chelsea), "--model", "torchvision/squeezenet1_1", "--random", "--seed", "3"]
    assert main(["explain", *arguments, "--out", str(tmp_path / "out")]) == 0
    assert "untrained" in (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
