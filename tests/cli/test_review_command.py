"""The command `review`, as a team of two types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gradcam import keys, runs
from gradcam.cli._main import main
from gradcam.report import write_report
from tests import fakes
from tests.report_fakes import report

MODEL = "timm/test_resnet (untrained, seed 1)"


@pytest.fixture(autouse=True)
def _a_store_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("GRADCAM_REVIEWER", "Anna")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """Run a command that ends with 0; returns its lines."""

    def run(*words: str) -> list[str]:
        assert main(["review", *words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]):
    """Run a command that ends with 2; returns its sentence."""

    def run(*words: str) -> str:
        assert main(["review", *words]) == 2
        return capsys.readouterr().err

    return run


def test_a_team_of_two_reviews_disagrees_decides_signs_and_carries_it_elsewhere(said, refused, monkeypatch):
    assert said("projects") == ["no projects yet; `gradcam review new NAME` makes one"]
    said("new", "Skin", "--signatures", "1")
    write_report(report(fakes.photo(name="one.jpg"), title="Lesions"), "review.zip")
    (line,) = said("add", "review.zip", "--project", "Skin")
    assert line.endswith("Skin · Lesions · draft")
    assert said("add", "review.zip", "--project", "Skin") == [line]  # the same evidence is reviewed once
    assert said("assign", "Lesions", "Ben")[0].endswith("in review · waits for Ben")
    assert said("list", "--of", "mine", "--as", "Ben") == said("list", "--of", "open")
    assert said("list", "--of", "mine", "--as", "Carla")[0].startswith("no reviews")

    said("say", "Lesions", "approved", "--photo", "one.jpg", "--note", "The *eyes*")
    said("say", "Lesions", "rejected", "--photo", "one.jpg", "--as", "Ben")
    said("comment", "Lesions", "Why?", "--photo", "one.jpg")
    said("say", "Lesions", "approved")
    said("say", "Lesions", "approved", "--as", "Ben")
    shown = said("show", line[:8])
    assert "photo one.jpg: approved, Anna: The *eyes*" in shown
    assert "disputed: photo one.jpg" in shown
    assert any(one.startswith("Cohen's κ cannot be said") for one in shown)
    said("say", "Lesions", "approved", "--photo", "one.jpg", "--as", "Carla", "--decide")
    assert said("list", "--of", "disputed")[0].startswith("no reviews")

    assert "expected one key" in refused("sign", "Lesions")
    keys.new_key("Anna")
    assert said("sign", "Lesions")[1].endswith("Skin · Lesions · approved")
    assert "signed as it is" in refused("sign", "Lesions")
    ben = keys.new_key("Ben", Path("elsewhere")).public
    assert said("trust", "Skin", "elsewhere/ben.pub") == [f"Skin: trusts {ben}"]
    assert said("projects") == [f"Skin: 1 review, approved with 1 signature by {ben}"]
    assert said("list")[0].endswith("in review")  # Anna's signature counts no more
    said("trust", "Skin", "keys/anna.pub")
    assert said("list")[0].endswith("approved")
    said("say", "Lesions", "rejected", "--photo", "one.jpg", "--as", "Carla", "--decide")
    assert any("VOID: the verdict is another" in one for one in said("show", "Lesions"))

    (exported,) = said("export", "all.jsonl")
    before = said("list")
    monkeypatch.setenv("GRADCAM_STORE", "other.sqlite")
    rows = exported.split(": ")[1].split(" ")[0]
    assert said("import", "all.jsonl") == [f"all.jsonl: {rows} new rows"]
    assert said("list") == before
    said("backup", "copy.sqlite")
    monkeypatch.setenv("GRADCAM_STORE", "copy.sqlite")
    assert said("list") == before


def test_a_run_is_reviewed_by_what_it_came_to_wherever_its_folder_lies(said):
    Path("photos").mkdir()
    Image.fromarray(fakes.photo().pixels).save("photos/a.png")
    runs.start("photos", [MODEL], out=Path("run"))
    said("new", "Skin")
    (line,) = said("add", "run", "--project", "Skin")
    assert line.endswith("Skin · run · draft")
    Path("run").rename("moved")
    assert said("add", "moved", "--project", "Skin") == [line]
    Image.fromarray(255 - fakes.photo().pixels).save("photos/b.png")
    runs.start("photos", [MODEL], out=Path("moved"))
    assert said("add", "moved", "--project", "Skin", "--supersedes", "run") != [line]
    assert [one.split(" · ")[-1] for one in said("list")] == ["draft", "superseded"]


def test_what_makes_no_sense_is_a_sentence(said, refused):
    for words, sentence in [
        (["add", "none.zip", "--project", "Skin"], "expected a project, got 'Skin'; make one"),
        (["show", "x"], "expected a review's title or id, got 'x'; add one first"),
        (["import", "none.jsonl"], "expected an export at 'none.jsonl'"),
        (["export", "no/where.jsonl"], "expected a folder for 'where.jsonl'"),
    ]:
        assert sentence in refused(*words)
    said("new", "Skin")
    assert "which exists" in refused("new", "Skin")
    assert "expected a report at 'none.zip'" in refused("add", "none.zip", "--project", "Skin")
    write_report(report(fakes.photo(name="one.jpg"), title="Lesions"), "review.zip")
    said("add", "review.zip", "--project", "Skin")
    assert "use 'approved'" in refused("say", "Lesions", "approve")
    assert "expected options" in refused("say", "Lesions", "fine", "--photo", "a", "--class", "b")
