"""Somebody's own checkpoint: what fits is explained, what does not is said in words, and nothing in it is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from gradcam import ModelError, OptionError, Top, compare, explain, open_photo
from gradcam.cli._main import main
from gradcam.geometry import project_to_photo
from gradcam.models.checkpoint import load_checkpoint, preprocessing_for
from gradcam.models.ids import parse_model_id
from gradcam.models.label_files import read_labels
from gradcam.models.labels import make_labels
from gradcam.models.sources import SOURCES
from gradcam.models.timm_source import ROWS
from tests.shapes import ARCHITECTURE, KINDS, PREPROCESSING, photo, trained


def state() -> dict[str, Tensor]:
    return trained().state_dict()


def saved(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def load(content: object, name: str = "shapes.pt", **options):
    data = content if isinstance(content, bytes) else saved(content)
    return load_checkpoint(data, ARCHITECTURE, name=name, preprocessing=PREPROCESSING, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("x", "y"), [(32, 32), (96, 40), (64, 96)])
def test_the_heat_of_a_model_trained_on_shapes_lies_on_the_shape(kind: str, x: int, y: int) -> None:
    explanation = explain(load(state(), labels=make_labels(KINDS)), photo(kind, x, y))
    assert explanation.targets[0].label == kind
    heat = project_to_photo(explanation.maps[0], explanation.view)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - y) <= 32, "one cell of the grid"
    assert abs(column - x) <= 32
    around = heat[max(0, y - 32) : y + 32, max(0, x - 32) : x + 32].sum() / heat.sum()
    assert around > 0.5, "a quarter of the photo holds most of the heat"


def test_safetensors_and_pickled_tensors_are_one_model_by_the_hash_of_their_weights(tmp_path: Path) -> None:
    file = tmp_path / "my shapes.safetensors"
    safetensors.torch.save_model(trained(), str(file))
    (tmp_path / "my shapes.pt").write_bytes(saved(state()))
    one, two = (load_checkpoint(tmp_path / f"my shapes.{kind}", ARCHITECTURE) for kind in ("safetensors", "pt"))
    assert str(one.spec) == str(two.spec) == f"checkpoint/{ARCHITECTURE}@my-shapes~{one.weights_sha256[:16]}"
    changed = {key: value + (key == "fc.bias") for key, value in state().items()}
    assert load(changed).weights_sha256 != one.weights_sha256


def test_the_number_of_classes_is_read_from_the_head_and_may_be_checked() -> None:
    assert load(state()).labels.names == ("class 0", "class 1")
    assert len(load(state(), classes=2).labels) == 2
    with pytest.raises(ModelError, match=r"expected a head of 5 classes in 'shapes.pt', got one of 2; ask for 2"):
        load(state(), classes=5)


@pytest.mark.parametrize(
    "architecture", ["torchvision/squeezenet1_1", "torchvision/regnet_y_400mf", "timm/vit_tiny_patch16_224"]
)
def test_the_head_is_found_in_any_architecture(architecture: str) -> None:
    source, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = SOURCES[source].build_with_classes(name, 7)
    classifier = load_checkpoint(saved(module.state_dict()), architecture, name="seven.pth")
    assert len(classifier.labels) == 7
    assert classifier.preprocessing.size == (224, 224)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state},
        lambda state: {"model_state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"model.backbone.{key}": value for key, value in state.items()}},
        lambda state: {**{f"net.{key}": value for key, value in state.items()}, "loss.weight": torch.ones(3)},
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
        lambda state: {"state_dict": state, "model_ema": {}},
    ],
)
def test_what_training_scripts_wrap_around_a_state_is_taken_off(wrap) -> None:
    wrapped = saved(wrap(OrderedDict(state())))
    assert torch.equal(load(wrapped).module.fc.weight, trained().fc.weight)


def test_half_precision_becomes_single() -> None:
    assert (
        load({key: value.half() if value.is_floating_point() else value for key, value in state().items()}).dtype
        is torch.float32
    )


def test_tensors_that_do_not_fit_are_listed_in_words() -> None:
    changed = dict(state())
    del changed["layer1.0.conv1.weight"]
    changed["neck.weight"] = torch.ones(2)
    changed["conv1.0.weight"] = torch.ones(3, 3, 7, 7)
    first = next(iter(state()))
    changed[first] = torch.ones(5)
    with pytest.raises(ModelError) as caught:
        load(changed)
    said = str(caught.value)
    assert said.startswith(
        f"expected the tensors of {ARCHITECTURE} in 'shapes.pt', got 1 missing (layer1.0.conv1.weight)"
    )
    assert "neck.weight" in said
    assert f"{first} 5 instead of " in said
    assert "name the architecture that was trained" in said


def test_another_architectures_tensors_are_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"expected the tensors of timm/resnet18 in 'shapes.pt', got \d+ missing"):
        load_checkpoint(saved(state()), "timm/resnet18", name="shapes.pt")


def test_a_checkpoint_without_its_head_names_the_missing_head() -> None:
    backbone = {key: value for key, value in state().items() if not key.startswith("fc.")}
    with pytest.raises(ModelError, match=r"got 2 missing \(fc.weight, fc.bias\)"):
        load(backbone)


@pytest.mark.parametrize("architecture", ["resnet18", "timm/resnt18", "nowhere/resnet18", ""])
def test_an_unknown_architecture_names_the_nearest(architecture: str) -> None:
    with pytest.raises(ModelError, match="try '"):
        load_checkpoint(saved(state()), architecture, name="shapes.pt")


def test_an_id_alone_does_not_bring_the_file() -> None:
    with pytest.raises(ModelError, match="expected the file of a checkpoint, got its id alone"):
        parse_model_id(str(load(state()).spec))


# Files that nobody should trust -------------------------------------------------------------------------------


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


def test_complex_numbers_are_no_weights() -> None:
    turned = {key: value.to(torch.complex64) if key == "fc.bias" else value for key, value in state().items()}
    with pytest.raises(ModelError, match=r"got 1 missing \(fc.bias\)"):
        load(turned)


# Labels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "cat\ndog\n\nRussian blue\n"),
        ("names.txt", "\ufeffcat\r\ndog\r\nRussian blue"),
        ("names.csv", "index,name\n2,Russian blue\n0,cat\n1,dog\n"),
        ("names.csv", "name\ncat\ndog\nRussian blue\n"),
        ("names.csv", "0,cat\n1,dog\n2,Russian blue\n"),
        ("names.csv", "id;note;label\n0;;cat\n1;x;dog\n2;;Russian blue\n"),
        ("names.tsv", "0\tcat\n1\tdog\n2\tRussian blue\n"),
        ("names.csv", "cat\ndog\nRussian blue\n"),
        ("names.json", '["cat", "dog", "Russian blue"]'),
        ("names.json", '{"1": "dog", "0": "cat", "2": "Russian blue"}'),
        ("names.json", '\ufeff{"dog": 1,\r\n"cat": 0, "Russian blue": 2}'),
    ],
)
def test_labels_are_read_from_text_csv_and_json(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    labels = read_labels(tmp_path / name)
    assert labels.names == ("cat", "dog", "Russian blue")
    assert read_labels(text.encode(), name) == labels


def test_wordnet_ids_of_a_table_line_its_classes_up_with_imagenet() -> None:
    labels = read_labels(b"wnid,name\nn02124075,egyptian mau\nn07920052,coffee", "mine.csv")
    assert labels.index("Egyptian cat") == 0
    assert labels.index("espresso") == 1


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        pytest.param("a.txt", b"", "0 of them", id="empty"),
        pytest.param("a.csv", b"", "0 of them", id="empty-table"),
        pytest.param("a.txt", b"\xff\xfe\x00", "UTF-8", id="bytes"),
        pytest.param("a.txt", b"x\n" * 100_001, "1 to 100,000", id="too-many"),
        pytest.param("a.txt", b"x" * 5_000_001, "at most 5 MB", id="too-large"),
        pytest.param("a.txt", b"y\n" + b"x" * 201, "more than 200 letters for class 1", id="too-long"),
        pytest.param("a.txt", "\u202e\u0000\ncat".encode(), "none for class 0", id="invisible"),
        pytest.param("a.json", b"[" * 100_000, "no JSON", id="deep"),
        pytest.param("a.json", b"{", "no JSON", id="half"),
        pytest.param("a.json", b"3", "another shape", id="number"),
        pytest.param("a.json", b'[["cat"]]', "another shape", id="nested"),
        pytest.param("a.json", b'{"0": "cat", "2": "dog"}', "none for class 1 of 2", id="gap"),
        pytest.param("a.json", b'{"cat": "0"}', "the index 'cat'", id="turned-around"),
        pytest.param("a.json", b'{"cat": 0, "dog": 0}', "class 0 twice", id="same-index"),
        pytest.param("a.json", ('{"' + "9" * 5000 + '": "cat"}').encode(), "the index '999", id="huge-index"),
        pytest.param("a.csv", b"index,name\n0,cat\n0,dog", "class 0 twice", id="twice"),
        pytest.param("a.csv", b"index,name\n0,cat\n1", "1 cells instead of 2 for class 1", id="uneven"),
        pytest.param(
            "a.csv",
            b"index,name,wnid\n0,cat\n1,dog",
            "2 cells instead of 3 for class 0",
            id="narrower than its header",
        ),
        pytest.param("a.csv", b"colour,size\nred,3", "title the columns", id="untitled"),
        pytest.param("a.csv", b'"' + b"x" * 200_000, "cannot be read", id="endless-cell"),
    ],
)
def test_a_hostile_file_of_labels_is_a_sentence(name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        read_labels(data, name)
    assert len(str(caught.value)) < 300


def test_names_that_are_alike_are_told_apart() -> None:
    assert read_labels(b"cat\ncat\ncat (0)", "a.txt").names == ("cat (0) (0)", "cat (1)", "cat (0) (2)")


@pytest.mark.parametrize(
    ("text", "names"),
    [("defect", ("not defect", "defect")), ("fine\ndefect", ("fine", "defect")), (None, ("class 0", "class 1"))],
)
def test_a_head_with_a_single_logit_takes_one_name_or_two(
    text: str | None, names: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    one = timm.create_model(ARCHITECTURE.partition("/")[2], num_classes=1).state_dict()
    (tmp_path / "names.txt").write_text(text or "")
    classifier = load(one, labels=tmp_path / "names.txt" if text else None)
    assert classifier.labels.names == names
    assert explain(classifier, photo("disc", 40, 40), [0, 1, Top(2)]).labels == names
    (tmp_path / "three.txt").write_text("a\nb\nc")
    with pytest.raises(
        ModelError, match="one class name or two, the negative class first, for a head with a single"
    ):
        load(one, labels=tmp_path / "three.txt")


def test_as_many_names_as_classes_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("disc\ncross\nstar")
    with pytest.raises(
        ModelError, match="expected 2 class names, one for each class of the head, got 3 in 'three'"
    ):
        load(state(), labels=tmp_path / "three.txt")
    with pytest.raises(ModelError, match=r"expected a file of labels at .*, but there is no such file"):
        load(state(), labels=tmp_path / "nowhere.txt")


# Preprocessing ------------------------------------------------------------------------------------------------


def test_preprocessing_is_the_architectures_own_but_for_what_is_given() -> None:
    own = preprocessing_for("torchvision/vgg16")
    assert (own.size, own.resize, own.interpolation) == ((224, 224), (256, 256), "bilinear")
    other = preprocessing_for("torchvision/vgg16", size=100, crop=0.5, mode="squash", mean=(0, 0, 0), std=(1, 1, 1))
    assert (other.size, other.resize, other.mode) == ((100, 100), (200, 200), "squash")
    assert (other.mean, other.std, other.interpolation) == ((0, 0, 0), (1, 1, 1), "bilinear")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 7}, "16 to 1024 pixels"),
        ({"crop": 0.0}, "a share from 0.1 to 1 as crop"),
        ({"mean": (1.0, 2.0)}, "three numbers"),
        ({"mean": (123.7, 116.3, 103.5)}, "of pixels between 0 and 1"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "three numbers"),
        ({"mean": "grey"}, "got 'grey'; write them as 0.5, 0.5, 0.5"),
        ({"std": (1.0, 0.0, 1.0)}, "three numbers from 0.001"),
        ({"std": "0.5"}, "three numbers from 0.001"),
        ({"mode": "corner"}, "center, squash, border"),
        ({"interpolation": "cubic"}, "bicubic"),
    ],
)
def test_what_no_photo_can_be_prepared_with_is_a_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        preprocessing_for("torchvision/vgg16", **given)


# Beside other models ------------------------------------------------------------------------------------------


def test_models_of_different_label_sets_are_compared_by_class_name() -> None:
    own = load(state(), labels=make_labels(["Egyptian cat", "gizmo"]))
    comparison = compare(["bundled/tf_efficientnet_lite0", own], [photo("disc", 64, 64)], ["Egyptian cat", "gizmo"])
    (lacking,) = comparison.failures
    assert [panel.scored.label for panel in comparison.heatmaps] == ["Egyptian cat", "Egyptian cat", "gizmo"]
    assert comparison.panels.index(lacking) == 1
    assert "expected a class of imagenet-1k, got 'gizmo'" in lacking.reason


# From the command line ----------------------------------------------------------------------------------------

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
    expected = explain(load(state(), labels=make_labels(KINDS)), open_photo("cross.png"), ["cross"])
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
