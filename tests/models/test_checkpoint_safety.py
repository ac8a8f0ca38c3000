"""Nothing in somebody's checkpoint is run, and none costs more than a sentence."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcam import ModelError
from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.sources import SOURCES
from gradcam.models.timm_source import ROWS
from tests.shapes import ARCHITECTURE, load, saved, state, trained


class _Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "bait",
    [
        lambda trap: saved(trap),
        lambda trap: saved({"state_dict": state(), "hook": trap}),
        lambda trap: pickle.dumps({"state_dict": {}, "hook": trap}),
        lambda trap: pickle.dumps(trap, protocol=0),
    ],
)
def test_a_malicious_pickle_is_refused_and_never_run(bait, tmp_path: Path) -> None:
    path = tmp_path / "pwned"
    data = bait(_Trap(path))
    for name in ("evil.pt", "evil.pth", "evil.safetensors"):
        with pytest.raises(ModelError, match="evil") as caught:
            load(data, name)
        assert "weights_only" not in str(caught.value), "PyTorch's advice to open it anyway is not passed on"
        assert "save the model's state_dict()" in str(caught.value)
    assert not path.exists()


def test_a_whole_pickled_model_is_refused_with_the_reason() -> None:
    with pytest.raises(
        ModelError, match=r"got a pickled timm\.models\.resnet\.ResNet .* could run code when opened"
    ):
        load(trained())
    with pytest.raises(ModelError, match=r"got a pickled timm\.models\.resnet\.ResNet"):
        load({"model": trained(), "epoch": 3})


def test_a_torchscript_program_is_refused() -> None:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), out)
    with pytest.raises(ModelError, match="a TorchScript program, which runs code when opened"):
        load(out.getvalue())


def test_a_packed_archive_is_refused_before_it_unfolds() -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(state()))) as plain,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.namelist():
            packed.writestr(part, plain.read(part))
    with pytest.raises(ModelError, match="packed archive"):
        load(out.getvalue())


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        pytest.param(b"", "a.pt", "damaged", id="empty"),
        pytest.param(b"hello", "a.pth", "damaged", id="text"),
        pytest.param(b"<!doctype html><html>404</html>", "a.pth", "damaged", id="page"),
        pytest.param(b"hello", "a.safetensors", "damaged", id="text-as-safetensors"),
        pytest.param(b"\xff" * 64, "a.safetensors", "damaged", id="header-beyond-the-file"),
        pytest.param(saved([1, 2]), "a.pt", "got none", id="list"),
        pytest.param(saved({"epoch": 3}), "a.pt", "got none", id="no-tensors"),
        pytest.param(saved({}), "a.onnx", r"\.safetensors, \.pt", id="other-kind"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_a_sentence(data: bytes, name: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load(data, name)


def test_half_a_file_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="damaged"):
        load(saved(state())[:5000])
    with pytest.raises(ModelError, match="no file"):
        load_checkpoint("nowhere.pt", ARCHITECTURE)
    with pytest.raises(ModelError, match=f"no file; copy the one with SHA-256 '{'0' * 64}' there"):
        load_checkpoint("renamed.pt", sha256="0" * 64)


def test_numbers_repeated_without_end_are_refused_before_a_model_is_built() -> None:
    huge = {**state(), "fc.weight": torch.zeros(1).expand(10**9, 96)}
    with pytest.raises(ModelError, match=r"tensors of a model in 'shapes.pt', got some numbers repeated"):
        load(huge)


def test_a_head_of_too_many_classes_is_refused_before_it_is_built() -> None:
    huge = {**state(), "fc.weight": torch.zeros(100_001, 96, dtype=torch.int8)}
    with pytest.raises(ModelError, match=r"1 to 100,000 classes in 'shapes.pt', got one of 100,001"):
        load(huge)


def test_a_small_file_never_makes_the_largest_architecture_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    timm, built = SOURCES["timm"], []

    def build_with_classes(name: str, classes: int) -> nn.Module:
        built.append(torch.get_default_device().type)
        return timm.build_with_classes(name, classes)

    monkeypatch.setitem(ROWS, "timm", replace(timm, build_with_classes=build_with_classes))
    with pytest.raises(ModelError, match=r"got \d+ missing"):
        load_checkpoint(saved(state()), "timm/convnext_xxlarge", name="shapes.pt")
    assert set(built) == {"meta"}
