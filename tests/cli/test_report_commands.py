"""The commands `report`, `replay` and `diff`."""

from __future__ import annotations

import json
import shlex
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest
import timm
import torch

from gradcam import Labels, _compare, load_checkpoint, load_classifier
from gradcam._compare import compare
from gradcam.cli import _main
from gradcam.errors import ModelError
from gradcam.photo import sample_photo
from gradcam.report import Note, Verdict, build_report, read_report, render_report, write_report
from gradcam.report.reproduce import command, python_lines, replay_command, required_files
from gradcam.types import ModelSpec, Style, Top, WeightsFile
from tests.another_process import said_elsewhere

pytestmark = pytest.mark.usefixtures("one_thread")

LITE = "bundled/tf_efficientnet_lite0"
OTHER = "timm/test_vit (untrained, seed 3)"
NOW = "2026-11-22T12:00:00Z"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _run(*words: str) -> int:
    return _main.main(list(words))


def test_the_command_line_and_python_make_the_same_file():
    """Four photos, three models, two classes."""
    photos = ["chelsea", "coffee", "cat and coffee", "coffee and cat"]
    models = [f"bundled/tf_efficientnet_lite{n}" for n in range(3)]
    words = ["--status", "approved", "--reviewer", "Ada", "--note", "2=*good*", "--photo-status", "1=rejected"]
    models_given = [word for model in models for word in ("--model", model)]
    look = ["--scale", "shared", "--opacity", "0.6", "--class", "top", "--class", "espresso"]
    assert _run("report", *photos, *models_given, *look, *words, "--now", NOW, "--out", "cli.json") == 0

    compared = compare(models, [sample_photo(name) for name in photos], [Top(), "espresso"])
    made = build_report(
        compared,
        style=Style(scale="shared", opacity=0.6),
        verdict=Verdict("approved", "Ada"),
        notes=[Note("rejected"), Note(text="*good*"), Note(), Note()],
        now=datetime(2026, 11, 22, 12, tzinfo=UTC),
    )
    assert Path("cli.json").read_bytes() == render_report(made, "json")


def test_the_command_and_the_python_lines_in_a_report_make_it_again(capsys):
    assert _run("report", "chelsea", "--model", LITE, "--now", NOW, "--out", "review.zip", "--photos", "small") == 0
    first = Path("review.zip").read_bytes()
    made = read_report(first)
    python, _, _, verb, *rest = shlex.split(command(made))
    assert (python, verb) == ("python", "report")
    assert _run("report", *rest, "--force") == 0
    assert Path("review.zip").read_bytes() == first
    Path("review.zip").unlink()
    exec(python_lines(made), {})
    assert Path("review.zip").read_bytes() == first


@pytest.mark.parametrize("options", [["--exact"], []])
def test_the_command_of_a_report_of_a_named_layer_computes_as_the_report_did(options: list[str]) -> None:
    """A model with a wide 1×1 convolution, which `--exact` alone leaves as it is."""
    wide = "timm/resnet50d (untrained, seed 0)"
    asked = ["--model", wide, "--layer", "layer4.0", "--now", NOW, "--photos", "small"]
    assert _run("report", "chelsea", *asked, *options, "--out", "review.zip") == 0
    first = Path("review.zip").read_bytes()
    made = read_report(first)
    assert [model.numerics for model in made.models] == ["eager" if options else "folded"]
    assert _run(*shlex.split(command(made))[3:], "--force") == 0
    assert Path("review.zip").read_bytes() == first


def test_a_report_of_ones_own_checkpoints_names_their_files_and_is_made_again_by_its_command_and_lines():
    """Two checkpoints before another model: one with class names and preprocessing of its own, one without."""
    torch.manual_seed(0)
    for stem in ("first", "-second"):
        module = timm.create_model("test_resnet", num_classes=2)
        torch.save(module.state_dict(), f"{stem}.pt")
    Path("kinds.csv").write_text("index,name\n0,disc\n1,cross\n")
    prepared = [
        "--input-size",
        "96",
        "--input-crop",
        "0.9",
        "--input-mean",
        "0.5,0.5,0.5",
        "--input-mode",
        "squash",
    ]
    own = ["--checkpoint", "first.pt", "--arch", "timm/test_resnet", "--labels", "kinds.csv", *prepared]
    own += ["--checkpoint=-second.pt", "--arch", "timm/test_resnet"]
    assert _run("report", "chelsea", *own, "--now", NOW, "--out", "first.json") == 0
    brought = read_report(Path("first.json"))
    ids = [word for model in brought.models for word in ("--model", model.id)]
    assert _run("report", "chelsea", *ids, "--model", OTHER, *own, "--now", NOW, "--out", "review.zip") == 0
    first = Path("review.zip").read_bytes()
    made = read_report(first)
    assert [model.id for model in made.models] == [*(model.id for model in brought.models), OTHER]
    assert made.models[0].file == WeightsFile(
        "first.pt", sha256(Path("first.pt").read_bytes()).hexdigest(), "kinds.csv"
    )
    assert required_files(made) == "the photos, first.pt, kinds.csv and -second.pt"
    with zipfile.ZipFile("review.zip") as archive:
        assert "that holds the photos, first.pt, kinds.csv and -second.pt:" in archive.read("README.txt").decode()

    python, *rest = shlex.split(command(made))
    assert [python, *rest[:2]] == ["python", "-m", "gradcam"]
    Path("review.zip").rename("before.zip")
    said_elsewhere(f"import sys; from gradcam.cli._main import main; sys.exit(main({rest[2:]!r}))")
    assert Path("review.zip").read_bytes() == first
    Path("review.zip").unlink()
    exec(python_lines(made), {})
    assert Path("review.zip").read_bytes() == first
    assert _run(*shlex.split(replay_command(made))[3:]) == 0

    Path("-second.pt").write_bytes(Path("first.pt").read_bytes())
    assert _run(*rest[2:], "--force") == 2
    with pytest.raises(ModelError, match=r"expected a checkpoint with SHA-256 .*, got '-second\.pt' with"):
        exec(python_lines(made), {})


def test_a_report_of_what_python_alone_loads_is_made_again_by_its_lines():
    """A checkpoint with labels from Python, a weight file in place of a model's own, and a classifier by hand."""
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), "mine.pt")
    torch.save(timm.create_model("test_resnet").state_dict(), "swapped.pth")
    by_hand = replace(load_classifier(OTHER), spec=ModelSpec("ours", "leaves"))
    models = [
        load_checkpoint("mine.pt", "timm/test_resnet", labels=Labels(("disc", "cross"))),
        load_classifier("timm/test_resnet", weights="swapped.pth"),
        by_hand,
    ]
    made = build_report(compare(models, [sample_photo("chelsea")]), now=datetime(2026, 11, 22, 12, tzinfo=UTC))
    write_report(made, "review.zip")
    first = Path("review.zip").read_bytes()
    assert command(made) == (
        f"# No command loads {models[0].spec}, timm/test_resnet.swapped.pth and ours/leaves the way Python did: "
        "run the lines of Python."
    )
    assert replay_command(made) == (
        f"# No command loads {models[0].spec}, timm/test_resnet.swapped.pth and ours/leaves the way Python did: "
        "make the report again by the lines of Python, and compare the two with `gradcam diff`."
    )
    assert required_files(made) == "the photos, mine.pt and swapped.pth"
    lines = python_lines(read_report(first))
    assert (
        f"""# model_3: make the Classifier ours/leaves here, as it was made by hand;
# its weights had the SHA-256 {by_hand.weights_sha256}
photos = ["""
        in lines
    )
    Path("review.zip").unlink()
    exec(lines, {"model_3": by_hand})
    assert Path("review.zip").read_bytes() == first


def test_replay_says_same_and_diff_says_what_changed(capsys):
    assert _run("report", "chelsea", "--model", LITE, "--now", NOW, "--out", "a.zip") == 0
    assert _run("report", "chelsea", "--model", LITE, "--now", NOW, "--out", "b.json", "--status", "rejected") == 0
    capsys.readouterr()
    assert _run("replay", "a.zip") == 0
    assert capsys.readouterr().out.endswith("top prediction: same\n1 panel: 1 same\n")
    assert _run("replay", "b.json") == 1
    assert "cannot be checked because" in capsys.readouterr().out
    assert _run("diff", "a.zip", "b.json") == 1
    assert capsys.readouterr().out == "Verdict: status was needs review and is rejected\n"
    assert _run("diff", "a.zip", "a.zip") == 0
    assert capsys.readouterr().out == "Both reports say the same.\n"


def test_an_exact_report_is_the_same_within_tolerance_on_faster_modules_and_says_how_it_was_computed(
    capsys, monkeypatch
):
    assert _run("report", "chelsea", "--model", LITE, "--exact", "--now", NOW, "--out", "exact.zip") == 0
    assert [model.numerics for model in read_report(Path("exact.zip")).models] == ["eager"]
    capsys.readouterr()
    assert _run("replay", "exact.zip", "--exact") == 0
    assert capsys.readouterr().out.endswith("1 panel: 1 same\n")
    assert _run("replay", "exact.zip") == 0
    assert capsys.readouterr().out.endswith("1 panel: 1 same\n")
    monkeypatch.setattr(_compare, "FEW", 1)
    assert _run("replay", "exact.zip") == 0
    assert capsys.readouterr().out.endswith("1 panel: 1 same within tolerance\n")


def test_a_layer_of_one_model_makes_the_same_report_again(capsys):
    models = ["--model", LITE, "--model", "bundled/tf_efficientnet_lite1", "--layer", f"{LITE}=blocks.4"]
    assert _run("report", "chelsea", *models, "--now", NOW, "--out", "review.json") == 0
    made = read_report(Path("review.json"))
    assert [answer.layer and answer.layer.name for answer in made.answers] == ["blocks.4", "bn2"]
    again = shlex.split(command(made).replace("review.zip", "again.json"))[4:]
    assert _run("report", *again) == 0
    assert Path("again.json").read_bytes() == Path("review.json").read_bytes()


def test_several_formats_share_a_stem_and_thresholds_decide_the_exit_code(capsys):
    asked = ["--expect-class", "coffee=espresso", "--max-outside-box", "0.4", "--box", "coffee=100,0,500,350"]
    formats = ["--format", "markdown", "--format", "junit"]
    assert _run("report", "coffee", "--model", LITE, "--out", "review", *formats, *asked) == 0
    assert Path("review.md").read_text("utf-8").startswith("# What the models look at")
    assert ElementTree.parse("review.xml").getroot().get("tests") == "3"
    capsys.readouterr()
    assert _run("report", "coffee", "--model", LITE, "--out", "review.csv", "--expect-class", "tabby") == 1
    assert "expected 'tabby' as the first prediction, got 'espresso'" in capsys.readouterr().err
    assert Path("review.csv").exists()


def test_a_failing_model_is_in_the_report_and_in_the_exit_code(capsys):
    words = ["report", "chelsea", "--model", LITE, "--class", "no such class", "--out", "review.json"]
    assert _run(*words) == 1
    assert "no such class" in json.loads(Path("review.json").read_text("utf-8"))["findings"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "mine.json"], "which exists; choose another name, or replace it: --force"),
        (["--out", "review.doc"], "ends in one of"),
        (["--out", "none/review.zip"], "which is none; make it first"),
        (["--out", "r.json", "--note", "2=x"], "expected a photo's number from 1 to 1"),
        (["--out", "r.json", "--layer", "lite=bn2"], "expected one of the models before =, got 'lite'; use"),
        (["--out", "r.json", "--now", "yesterday"], "expected a time such as"),
        (["--out", "r.json", "--now", "2026-11-22T12:00:00"], "add Z for UTC"),
        (["--out", "r.json", "--box", "cofee=1,2,3,4"], "expected one of the photos before =, got 'cofee=1,2,3,4'"),
        (["--out", "r.json", "--box", "chelsea=1,2,3"], "expected LEFT,TOP,RIGHT,BOTTOM"),
        (["--out", "r.json", "--box", "chelsea=9,2,3,4"], "left < right"),
        (["--out", "r.json", "--opacity", "2"], "expected opacity from 0 to 1"),
        (["--out", "r.json", "--min-agreement", "7"], "from -1 to 1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_any_work(words, told, capsys, monkeypatch):
    Path("mine.json").write_text("mine")
    monkeypatch.setattr("gradcam.cli.options.compare", lambda *_, **__: pytest.fail("a model ran"))
    assert _run("report", "chelsea", "--model", LITE, *words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert Path("mine.json").read_text() == "mine"


def test_ctrl_c_leaves_no_file(monkeypatch, tmp_path):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradcam.cli.options.compare", stopped)
    assert _run("report", "chelsea", "--model", LITE, "--out", "review.zip") == 130
    assert list(tmp_path.iterdir()) == []
