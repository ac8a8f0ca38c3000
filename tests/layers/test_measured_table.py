"""The table of measurements: which models it lists, and that a run goes on where it stopped."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from gradcam.cli._main import main
from gradcam.layer_tables.measured import models_to_measure


def test_a_measuring_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "measured.csv"
    assert main(["layers", "--measure", "timm/test_resnet", "--out", str(out)]) == 0
    assert "1 confirmed, 0 inconclusive, 0 contradicted, 0 failed" in capsys.readouterr().out
    out.write_bytes(out.read_bytes().replace(b"confirmed", b"inconclusive"))
    assert main(["layers", "--measure", "timm/test_resnet", "timm/test_vit", "--out", str(out)]) == 0
    assert "1 confirmed, 1 inconclusive, 0 contradicted, 0 failed" in capsys.readouterr().out
    assert out.read_bytes().startswith(codecs.BOM_UTF8 + b"model,")
    assert out.read_bytes().count(codecs.BOM_UTF8) == 1
    assert main(["layers", "--measure"]) == 2


def test_one_model_of_each_family_is_measured() -> None:
    models = models_to_measure()
    assert sum(model.startswith("torchvision/") for model in models) == 80
    assert "timm/test_resnet" in models
    assert len(models) == len(set(models))
