"""`explain` and `report` take the same options and read them alike, before a model runs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcam import Comparison, Style, compare, load_classifier, sample_photo
from gradcam.cli import explain, main, report
from gradcam.draw.render import three_panels
from gradcam.report import read_report, render_report
from gradcam.report.reproduce import command

NET, OTHER = "timm/test_resnet", "timm/test_vit"
UNTRAINED, OTHER_UNTRAINED = f"{NET} (untrained, seed 3)", f"{OTHER} (untrained, seed 3)"
NOW = "2026-11-22T12:00:00Z"

both_commands = pytest.mark.parametrize("words", [["explain", "--out", "out"], ["report", "--out", "r.json"]])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class _AskedError(Exception):
    """Ends a command where it would compute, with what it asks for."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """What a command asks `compare` for."""

    def ask(*positional: object, **named: object) -> Comparison:
        raise _AskedError(dict(zip(("models", "photos", "targets"), positional, strict=True)) | named)

    def run(*words: str) -> dict[str, object]:
        with pytest.raises(_AskedError) as caught:
            main([*words, "chelsea"])
        return caught.value.args[0]

    monkeypatch.setattr("gradcam.cli.options.compare", ask)
    return run


def _described(add_options: Callable[[argparse.ArgumentParser], None]) -> dict[str, tuple[object, ...]]:
    """Every option that both commands have, with the words of its help."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return {
        "/".join(action.option_strings) or action.dest: (
            action.help,
            action.metavar,
            action.choices,
            action.default,
        )
        for action in parser._actions
        if action.dest not in ("help", "out", "panels", "panels_width")
    }


def test_report_has_every_option_of_explain_in_the_same_words() -> None:
    of_explain, of_report = _described(explain.add_options), _described(report.add_options)
    assert {name: of_report[name] for name in of_explain} == of_explain
    assert {"--layer", "--random", "--threshold", "--interpolation", "--activation", "--force"} < of_explain.keys()


@both_commands
@pytest.mark.parametrize(
    ("typed", "layer"),
    [
        (["--layer", "-1"], {UNTRAINED: -1, OTHER_UNTRAINED: -1}),
        (["--layer=-1"], {UNTRAINED: -1, OTHER_UNTRAINED: -1}),
        (["--layer", "-1 + -2"], {UNTRAINED: (-1, -2), OTHER_UNTRAINED: (-1, -2)}),
        (["--layer", "layer3 + layer4"], dict.fromkeys((UNTRAINED, OTHER_UNTRAINED), ("layer3", "layer4"))),
        (["--layer", f"{OTHER}=-2", "--layer", "auto"], {UNTRAINED: "auto", OTHER_UNTRAINED: -2}),
        (["--layer", f"{UNTRAINED}=layer3"], {UNTRAINED: "layer3"}),
        ([], {}),
    ],
)
def test_a_layer_is_of_every_model_or_of_one(
    words: list[str], typed: list[str], layer: object, asked: Callable[..., dict[str, object]]
) -> None:
    models = ["--model", NET, "--model", OTHER, "--random", "--seed", "3"]
    request = asked(*words, *models, *typed)
    assert request["models"] == (UNTRAINED, OTHER_UNTRAINED)
    assert request["layer"] == layer


@both_commands
def test_random_weights_leave_an_id_that_names_a_seed_as_it_is(
    words: list[str], asked: Callable[..., dict[str, object]]
) -> None:
    assert asked(*words, "--model", UNTRAINED, "--random", "--seed", "5")["models"] == (UNTRAINED,)
    assert asked(*words, "--model", NET, "--seed", "5")["models"] == (NET,)


@both_commands
@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["--layer", " + bn1"], "expected the name or the number of a layer, got ' + bn1'"),
        (["--layer", "=bn1"], "expected one of the models before =, got ''"),
        (["--activation", "softmx"], "expected an activation, got 'softmx'; use 'softmax'"),
        (["--activation", "other=sigmoid"], "expected one of the models before =, got 'other'"),
        (["--threshold", "7"], "expected threshold from 0 to 1"),
        (["--colormap", "virdis"], "'viridis'"),
        (["--seed", "-2", "--random"], "expected a seed from 0"),
        (["--class", " "], "got nothing"),
        (["--model", "checkpoint/x@y"], "expected the file of a checkpoint, got its id alone"),
    ],
)
def test_what_makes_no_sense_is_refused_alike_before_a_model_runs(
    words: list[str],
    typed: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gradcam.cli.options.compare", lambda *_, **__: pytest.fail("a model ran"))
    assert main([*words, "chelsea", "--model", NET, *typed]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert list(Path().iterdir()) == []


@both_commands
def test_random_weights_without_a_model_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "chelsea", "--random", "--checkpoint", "mine.pt"]) == 2
    assert "expected a --model for --random" in capsys.readouterr().err


@both_commands
def test_files_that_exist_are_refused_and_replaced_with_force(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    again = [*words, "chelsea", "--model", UNTRAINED]
    assert main(again) == 0
    assert main(again) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*again, "--force"]) == 0


def test_explain_shows_a_sample_as_the_options_say() -> None:
    look = ["--threshold", "0.5", "--interpolation", "nearest", "--colormap", "jet", "--layer", "-2"]
    assert main(["explain", "chelsea", "--model", UNTRAINED, "--out", "out", *look]) == 0
    compared = compare([UNTRAINED], [sample_photo("chelsea")], layer=-2)
    style = Style("jet", interpolation="nearest", threshold=0.5)
    (written,) = Path("out").glob("001-*.png")
    assert np.array_equal(np.asarray(Image.open(written)), three_panels(compared.heatmaps[0], style))


@pytest.mark.parametrize(
    "typed",
    [
        ["--random", "--seed", "3"],
        ["--random", "--layer", "-1"],
        ["--random", "--layer", f"{NET}=-1 + -2", "--interpolation", "nearest", "--threshold", "0.25"],
        ["--random", "--layer", "auto + -2", "--activation", f"{OTHER}=sigmoid", "--fit", "pad", "--class", "#7"],
    ],
)
def test_the_command_in_a_report_makes_the_same_bytes(typed: list[str]) -> None:
    models = ["--model", NET, "--model", OTHER]
    assert main(["report", "chelsea", *models, *typed, "--now", NOW, "--out", "review.zip"]) == 0
    made = read_report(Path("review.zip"))
    assert all(model.untrained for model in made.models)
    assert "untrained" in render_report(made, "markdown").decode()
    first = Path("review.zip").read_bytes()
    python, _, _, *again = shlex.split(command(made))
    assert python == "python"
    assert main([*again, "--force"]) == 0
    assert Path("review.zip").read_bytes() == first
    assert load_classifier(made.models[0].id).weights_sha256 == made.models[0].weights_sha256


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("explain cat.jpg --out o --models x", "an option of `gradcam explain`, got '--models'; try '--model'"),
        ("key new --name Anna --nmae=x", "an option of `gradcam key new`, got '--nmae'; try '--name'"),
        ("diff a b c", "options as `gradcam diff --help` lists them; unrecognized arguments: c"),
    ],
)
def test_a_command_names_the_option_that_was_meant(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    assert main(words.split()) == 2
    assert f"expected {sentence}" in capsys.readouterr().err
