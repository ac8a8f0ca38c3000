"""What a run came to, for other programs, and the sample set that it is tried on."""

from __future__ import annotations

import csv
import io
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from gradcam.cli import main
from gradcam.errors import OptionError, RunError
from gradcam.report import read_report
from gradcam.runs import Run, export, read_data
from gradcam.runs.data_set import open_one
from gradcam.runs.manifest import to_rows
from tests.runs.small_set import classifiers, run_over, write_photo, write_set

MODEL = "timm/test_resnet (untrained, seed 1)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("export")
    data = write_set(folder / "set", 6)
    (data / "blue" / "broken.png").write_bytes(b"no picture")
    return run_over(data, folder / "run")


def test_a_table_has_a_row_for_each_unit_and_the_same_bytes_each_time(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,label"), "Excel reads names right"
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    units = list(run.units())
    assert len(rows) == len(units) == 28
    assert [row["path"] for row in rows] == [unit.path for unit in units]
    assert [float(row["score"]) for row in rows if row["score"]] == [u.score for u in units if u.score is not None]
    assert sum(row["reason"] != "" for row in rows) == 4
    export(run, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    export(run, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["key"].to_pylist() == [unit.key for unit in units]
    assert str(tmp_path) not in (tmp_path / "a.csv").read_text("utf-8-sig")


def test_chosen_photos_come_in_their_order(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "a.csv", photos=[4, 1])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    paths = {unit.photo: unit.path for unit in run.units()}
    assert list(dict.fromkeys(row["path"] for row in rows)) == [paths[4], paths[1]]


def test_maps_lie_over_their_photos_in_a_zip(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        picture = np.asarray(Image.open(io.BytesIO(archive.read(names[0]))))
    assert len(names) == len(set(names)) == 24
    assert names[0] == "plain-own/0000000-00000-Grad-CAM-label.jpg"
    assert picture.shape == (8, 8, 3)


def test_columns_of_the_manifest_keep_their_values_whatever_they_are_called(tmp_path: Path) -> None:
    write_photo(tmp_path / "0.png", 0)
    own = {"model": "camera 5", "score": "0.5", "data.score": "0.7"}
    (tmp_path / "list.csv").write_text(f"path,{','.join(own)}\n0.png,{','.join(own.values())}\n")
    run = run_over(tmp_path / "list.csv", tmp_path / "run", targets=["top"])
    export(run, tmp_path / "a.csv")
    export(run, tmp_path / "a.parquet")
    row = next(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    table, first = parquet.read_table(tmp_path / "a.parquet"), next(iter(run.units()))
    assert (row["model"], row["data.model"]) == (first.model, "camera 5")
    assert (row["data.score"], row["data.data.score"]) == ("0.7", "0.5")
    assert table["data.model"].to_pylist()[0] == "camera 5"
    assert table["model"].to_pylist()[0] == first.model


def test_pictures_of_long_names_keep_apart_and_can_be_unpacked(tmp_path: Path) -> None:
    data = tmp_path / "set"
    write_photo(data / f"{'葉' * 70}.png", 0)
    run = run_over(data, tmp_path / "run", targets=["top", "#1 rather than #0"])
    export(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert len(set(names)) == len(names) == sum(1 for _ in run.units())


def test_another_ending_or_a_folder_without_a_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"ends in \.csv, \.parquet, \.zip, got 'a\.xls'"):
        export(run, tmp_path / "a.xls")
    with pytest.raises(RunError, match="start one with"):
        export(tmp_path, tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_the_photos_that_a_ranking_puts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "set", 4)
    assert main(["run", "start", "set", "--model", MODEL, "--out", "run"]) == 0
    assert main(["run", "export", "run", "--out", "top.json", "--top", "2", "--by", "doubt"]) == 0
    report = read_report(Path("top.json"))
    run = Run(Path("run"))
    first = [next(run.units([number])) for number in run.ranked("doubt", most=2)]
    assert [photo.sha256 for photo in report.photos] == [unit.sha256 for unit in first]
    found = [max(map(max, panel.values)) for panel in report.heatmaps]
    assert found == pytest.approx([unit.peak for unit in first], rel=1e-5)
    assert main(["run", "export", "run", "--out", "all.html"]) == 2
    assert main(["run", "export", "run", "--out", "a.csv", "--where", "red"]) == 2
    assert main(["run", "export", "run", "--out", "a.csv", "--where", "label=red"]) == 0
    assert "add --top N" in capsys.readouterr().err
    assert len(Path("a.csv").read_text().splitlines()) == 3


def test_a_report_asks_the_labels_of_its_photos_of_all_of_them(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", 4)
    started = run_over(data, tmp_path / "run", targets=["label"])
    given = {str(model.spec): model for model in classifiers()}
    compared = started.compare([0, 3], use=lambda name: nullcontext(given[name]))
    assert compared.targets == ("blue", "red")
    assert len(compared.heatmaps) == 8
    with pytest.raises(RunError, match="expected photos that the run has computed, got none"):
        started.compare([99])


def test_the_sample_set_has_labels_and_boxes_on_every_photo() -> None:
    data = read_data("sample")
    rows = to_rows(data.rows)
    assert data.labels == ("espresso", "tabby")
    assert len(rows) == 24
    for row in rows:
        height, width = open_one(data.files, row.path).size
        left, top, right, bottom = row.box or (0, 0, 0, 0)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert set(row.columns) == {"scene", "place"}


def test_a_folder_called_sample_goes_before_the_sample_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "sample" / "a.png", 1)
    assert len(read_data("sample")) == 1
