"""The names of a checkpoint's classes, read from somebody's file."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from gradcam import ClassError, ModelError, Top, explain
from gradcam.models.label_files import read_labels
from tests.shapes import ARCHITECTURE, load, photo, state


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
    with pytest.raises(ClassError, match=f"expected a class of {name}, got 'tiger'"):
        labels.index("tiger")


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
        pytest.param("a.json", b'{"0": "cat", "0": "dog"}', "the name '0' is given twice", id="doubled-name"),
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
