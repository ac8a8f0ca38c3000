"""A dataset that Hugging Face's `datasets` saved is a data set; what it cannot be is one sentence."""

from __future__ import annotations

import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from gradcam.errors import OptionError, PhotoError, RunError
from gradcam.runs import read_data, stored_dataset
from gradcam.runs.data_set import open_one
from gradcam.runs.manifest import PhotoRow, to_rows
from tests.runs.small_set import run_over

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore")


def picture(grey: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"/elsewhere/{grey}.png"}


def saved(folder: Path, **columns: Any) -> Path:
    """Three photos, of which the last is none, with a class, a text and what else is given; saved."""
    kinds = {
        "image": datasets.Image(decode=False),
        "label": datasets.ClassLabel(names=["blue", "red"]),
        "site": datasets.Value("string"),
    }
    table = {"image": [picture(10), picture(200), {"bytes": b"none", "path": None}], "label": [1, 0, None]}
    table |= {"site": ["Bonn", None, "Ulm"]} | {name: values for name, (_, values) in columns.items()}
    kinds |= {name: kind for name, (kind, _) in columns.items()}
    datasets.Dataset.from_dict(table, features=datasets.Features(kinds)).save_to_disk(folder)
    return folder


def test_its_pictures_labels_and_further_columns_are_read(tmp_path: Path) -> None:
    found = read_data(saved(tmp_path / "saved", year=(datasets.Value("int32"), [1999, 2001, None])))
    assert to_rows(found.rows) == [
        PhotoRow("00000000", "red", {"site": "Bonn", "year": "1999"}),
        PhotoRow("00000001", "blue", {"year": "2001"}),
        PhotoRow("00000002", None, {"site": "Ulm"}),
    ]
    assert list(found.files.paths()) == ["00000000", "00000001", "00000002"]
    assert open_one(found.files, "00000001").pixels.mean() == 200
    for path in ("00000003", "../saved"):
        with pytest.raises(PhotoError, match="there is no file"):
            open_one(found.files, path)


def test_its_numbers_and_dates_read_as_those_of_a_manifest(tmp_path: Path) -> None:
    typed = {
        "whole": (datasets.Value("float64"), [1.0, float("nan"), 0.5]),
        "taken": (datasets.Value("date32"), [date(2024, 1, 2), None, None]),
        "yes": (datasets.Value("bool"), [True, None, False]),
    }
    found = to_rows(read_data(saved(tmp_path / "saved", **typed)).rows)
    assert [{name: row.columns.get(name) for name in typed} for row in found] == [
        {"whole": "1", "taken": "2024-01-02", "yes": "true"},
        {"whole": None, "taken": None, "yes": None},
        {"whole": "0.5", "taken": None, "yes": "false"},
    ]


def test_a_run_over_it_keeps_the_labels_and_gives_a_reason_for_what_is_no_picture(tmp_path: Path) -> None:
    run = run_over(saved(tmp_path / "saved"), tmp_path / "run")
    failed = {unit.path: unit.reason for unit in run.units() if unit.reason and unit.target == "top prediction"}
    assert list(failed) == ["00000002"]
    assert run.ranked(where={"label": "red"}) == [0]
    assert run.ranked(where={"site": "Ulm"}) == [2]


def test_a_path_in_place_of_the_bytes_is_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = saved(tmp_path / "saved"), tmp_path / "secret.png"
    elsewhere.write_bytes(picture(1)["bytes"])
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    column = pa.array([{"bytes": None, "path": str(elsewhere)}] * 3, kind)
    file = folder / "data-00000-of-00001.arrow"
    table = pa.ipc.open_stream(file.read_bytes()).read_all()
    table = table.set_column(0, table.schema.field("image"), column)
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(PhotoError, match="cannot be read"):
        open_one(read_data(folder).files, "00000000")


def test_splits_are_named(tmp_path: Path) -> None:
    one = datasets.load_from_disk(saved(tmp_path / "saved"))
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "both")
    with pytest.raises(RunError, match="name the folder of one of them: 'test', 'train'"):
        read_data(tmp_path / "both")
    assert len(read_data(tmp_path / "both" / "train")) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dataset_info.json", "{", "expected a dataset as `save_to_disk` writes it"),
        ("state.json", json.dumps({"_data_files": [{"filename": "none.arrow"}]}), "got a damaged one"),
        ("dataset_info.json", " " * 10_000_001, "expected at most 10,000,000 bytes in"),
    ],
    ids=["no JSON", "no data", "too long"],
)
def test_a_damaged_one_is_one_sentence(tmp_path: Path, name: str, content: str, said: str) -> None:
    folder = saved(tmp_path / "saved")
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=said):
        read_data(folder)


def test_one_without_a_column_of_images_is_one_sentence(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(
        RunError, match=r"expected one column of images in .*, got 'text'; cast one to datasets.Image"
    ):
        read_data(tmp_path / "saved")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "datasets", None)
    stored_dataset._load_as_it_is.cache_clear()
    with pytest.raises(OptionError, match=r'expected the package datasets, got none; .*"gradcam\[datasets\]"'):
        read_data(folder)
