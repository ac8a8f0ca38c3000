"""Reports that gradcam 0.1.0 wrote, committed as they were: they open, read rightly, and replay."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from gradcam import Classifier, Contrast, Target, Top, compare
from gradcam.models.labels import numbered
from gradcam.report import Report, build_report, codec, diff, read_report, render_report, replay
from gradcam.report.reproduce import python_lines
from gradcam.report.target_entries import target_of
from tests import plain
from tests.plain import BLACK, BLUE, RED

OLD = Path(__file__).parents[1] / "data" / "reports-0.1.0"
PHOTOS = [
    plain.photo(RED, BLACK, RED, RED, name="red.png"),
    plain.photo(BLUE, RED, BLUE, BLACK, name="blue.png"),
]
THREE = plain.classifier(["cat", "dog", "bird"], [[4, 0, 0], [0, 0, 4], [1, 1, 1]], [0, 0, 1], "three")
MODELS = {
    "one-logit": [plain.detector()],
    "one-logit-numbered": [plain.detector(numbered(1))],
    "one-logit-beside-three": [plain.detector(), THREE],
    "contrast": [THREE],
    "digits": [plain.digits()],
}


def old(name: str, suffix: str = "json") -> Report:
    return read_report(OLD / f"{name}.{suffix}")


def use(name: str):
    models = {str(model.spec): model for model in MODELS[name]}
    return lambda model: nullcontext[Classifier](models[model])


@pytest.mark.parametrize("name", MODELS)
def test_it_replays_to_the_same_maps(name: str) -> None:
    done = replay(old(name), photos=PHOTOS, use=use(name))
    assert done.count("same") == len(done.checks), "\n".join(map(str, done.checks))


def test_a_zip_reopens_with_its_hashes_and_replays_from_its_own_photos() -> None:
    report = old("one-logit", "zip")
    assert replace(report, pixels=()) == replace(old("one-logit"), pixels=())
    done = replay(report, use=use("one-logit"))
    assert done.count("same") == len(done.checks) == 8


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("format", ["json", "html", "csv", "markdown", "interactive"])
def test_it_is_written_anew_as_a_report_of_today(name: str, format: str) -> None:
    report = old(name)
    assert render_report(report, format)
    assert codec.decode(codec.encode(report)) == report
    compile(python_lines(report), name, "exec")


@pytest.mark.parametrize("name", ["one-logit", "one-logit-numbered"])
def test_the_only_class_of_a_single_logit_reads_as_index_1(name: str) -> None:
    report = old(name)
    positive, negative = ("defect", "not defect") if name == "one-logit" else ("class 1", "class 0")
    explained = [finding.target for finding in report.findings if finding.target]
    assert {(target.index, target.label) for target in explained} == {(1, positive)}
    assert [target.rank for target in explained] == [1] * (len(explained) // 2) + [2] * (len(explained) // 2)
    first, second = report.answers
    assert [one.label for one in first.predictions] == [positive, negative]
    assert [one.label for one in second.predictions] == [negative, positive]
    assert [one.probability for one in second.predictions] == pytest.approx([0.98201379, 0.01798621])
    assert [one.logit for one in second.predictions] == [4, -4]
    asked = [target_of(entry) for entry in report.targets]
    assert asked == ([Top(1), 1, "defect", Contrast(0, Top(1))] if name == "one-logit" else [Top(1), "class 1"])
    assert report.models[0].activation == "sigmoid"


def test_beside_another_model_index_0_stays_that_models_own() -> None:
    report = old("one-logit-beside-three")
    assert target_of(report.targets[1]) == 0
    explained = {finding.model: finding.target for finding in report.findings if finding.question == 1}
    assert [(target.index, target.label) for target in explained.values() if target] == [(1, "defect"), (0, "cat")]


def test_digits_were_an_index_then() -> None:
    report = old("digits")
    assert [target_of(entry) for entry in report.targets] == [10, Top(1), Contrast(11, 2)]
    assert report.questions == ("#10", "top prediction", "#11 rather than #2")
    assert report.findings[0].target
    assert report.findings[0].target.label == "8"


def test_contrasts_and_ranks_read_as_they_were() -> None:
    expected = [Contrast("cat", Top(2)), Contrast(0, 1), Top(2), "bird"]
    assert [target_of(entry) for entry in old("contrast").targets] == expected


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("one-logit", [Top(1), 1, "defect", Contrast(0, Top(1))]),
        ("contrast", [Contrast("cat", Top(2)), Contrast(0, 1), Top(2), "bird"]),
        ("digits", [10, Top(1), Contrast(11, 2)]),
    ],
)
def test_a_new_report_differs_only_where_the_answer_does(name: str, targets: list[Target]) -> None:
    report = old(name)
    now = datetime.fromisoformat(report.created)
    again = build_report(compare(MODELS[name], PHOTOS, targets), now=now, title=name)
    changes = [str(change) for change in diff(report, again) if change.section != "Environment"]
    top = "Maps: blue.png · plain/detector · top prediction: the class was defect and is not defect"
    contrast = [change for change in changes if "#0 rather than top prediction" in change or "class 0" in change]
    same = [change for change in changes if "the same" in change]
    assert [change for change in changes if change not in (*contrast, *same)] == [top] * (name == "one-logit")


def test_it_was_written_by_that_version_and_knows_no_targets() -> None:
    for path in OLD.glob("*.json"):
        content = json.loads(path.read_text())
        assert content["environment"]["gradcam"] == "0.1.0"
        assert "targets" not in content


def test_a_name_that_reads_as_something_else_is_known_by_its_label() -> None:
    content = json.loads((OLD / "contrast.json").read_text())
    for place, text in ((0, "top"), (3, "cat rather than dog")):
        content["questions"][place] = text
        for finding in content["findings"]:
            if finding["question"] == place:
                finding["target"] |= {"label": text, "against": None, "against_label": None}
    read = read_report(json.dumps(content).encode())
    assert target_of(read.targets[0]) == "top"
    assert target_of(read.targets[3]) == "cat rather than dog"
    assert read.questions[0] == '"top"'
    assert shlex.split(shlex.join(read.questions)) == list(read.questions)


def test_the_map_of_a_single_logit_is_still_that_of_y() -> None:
    top, index, name, failed, *_ = old("one-logit").findings
    assert failed.reason
    for finding in (top, index, name):
        np.testing.assert_array_equal(finding.values, np.array([[4, 0], [4, 4]], np.float32))
