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

from gradcam import Classifier, Contrast, Style, Target, Top, compare
from gradcam.errors import ReportError
from gradcam.models.labels import numbered
from gradcam.report import Report, Verdict, build_report, codec, diff, read_report, render_report, replay, revised
from gradcam.report.reproduce import command, python_lines
from gradcam.targets import parse_target, write_target
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
    explained = [panel.scored for panel in report.heatmaps]
    assert {(scored.index, scored.label) for scored in explained} == {(1, positive)}
    assert [scored.rank for scored in explained] == [1] * (len(explained) // 2) + [2] * (len(explained) // 2)
    first, second = report.answers
    assert [one.label for one in first.predictions] == [positive, negative]
    assert [one.label for one in second.predictions] == [negative, positive]
    assert [one.probability for one in second.predictions] == pytest.approx([0.98201379, 0.01798621])
    assert [one.logit for one in second.predictions] == [4, -4]
    asked = [entry.target for entry in report.targets]
    assert asked == ([Top(1), 1, "defect", Contrast(0, Top(1))] if name == "one-logit" else [Top(1), "class 1"])
    assert report.models[0].activation == "sigmoid"


def test_beside_another_model_index_0_stays_that_models_own() -> None:
    report = old("one-logit-beside-three")
    assert report.targets[1].target == 0
    explained = {panel.model: panel.scored for panel in report.heatmaps if panel.target == 1}
    assert [(scored.index, scored.label) for scored in explained.values()] == [(1, "defect"), (0, "cat")]


@pytest.mark.parametrize("name", MODELS)
def test_heat_is_shown_as_it_was_then(name: str) -> None:
    assert old(name).style == Style(opacity=0.5, blend="even")


def test_digits_were_an_index_then() -> None:
    report = old("digits")
    assert [entry.target for entry in report.targets] == [10, Top(1), Contrast(11, 2)]
    assert [write_target(entry.target) for entry in report.targets] == [
        "#10",
        "top prediction",
        "#11 rather than #2",
    ]
    assert report.heatmaps[0].scored.label == "8"


def test_contrasts_and_ranks_read_as_they_were() -> None:
    expected = [Contrast("cat", Top(2)), Contrast(0, 1), Top(2), "bird"]
    assert [entry.target for entry in old("contrast").targets] == expected


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
    again = build_report(compare(MODELS[name], PHOTOS, targets), style=report.style, now=now, title=name)
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
    assert read.targets[0].target == "top"
    assert read.targets[3].target == "cat rather than dog"
    words = shlex.split(command(replace(read, models=(replace(read.models[0], origin="a hub"),))))
    asked = [words[place + 1] for place, word in enumerate(words) if word == "--class"]
    assert [parse_target(text) for text in asked] == [entry.target for entry in read.targets]


def test_the_map_of_a_single_logit_is_still_that_of_y() -> None:
    report = old("one-logit")
    top, index, name, *_ = report.heatmaps
    assert [(failure.photo, failure.target) for failure in report.failures] == [(0, 3), (1, 3)]
    for panel in (top, index, name):
        np.testing.assert_array_equal(panel.values, np.array([[4, 0], [4, 4]], np.float32))


def _of_format_1(**changes: object) -> bytes:
    """A report by a gradcam between 0.1.0 and this one: format 1 with its targets as data."""
    content = json.loads((OLD / "contrast.json").read_text())
    content["targets"] = [
        {"name": "cat", "rather_than": {"rank": 2}},
        {"index": 0, "rather_than": {"index": 1}},
        {"rank": 2},
        {"name": "bird"},
    ]
    content["questions"][1] = "#0 rather than #1"
    for model in content["models"]:
        model["activation"] = "sigmoid"
    return json.dumps(content | changes).encode()


def test_format_1_with_targets_as_data_reads_as_they_say() -> None:
    report = read_report(_of_format_1())
    assert [entry.target for entry in report.targets] == [Contrast("cat", Top(2)), Contrast(0, 1), Top(2), "bird"]
    assert report.models[0].activation == "sigmoid"
    assert replace(report, models=()) == replace(old("contrast"), models=())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"questions": ["top", "#0 rather than #1", "top-2", "bird"]}, "questions to say what its targets are"),
        ({"targets": [{"index": 1, "name": "cat"}]}, "got: 2 of index, name and rank"),
        ({"targets": [{"index": 1, "hook": 1}]}, "unknown field .hook."),
        ({"hook": "import os"}, "got at [$]: Object contains unknown field .hook."),
        ({"photos": [{"name": "red.png"}]}, "got at [$].photos.0.: Object missing required field"),
        ({"fit": "stretch"}, "got at [$].fit: Invalid enum value 'stretch'"),
        ({"findings": []}, "expected a panel for each of 2 photos"),
    ],
)
def test_what_no_writer_of_format_1_wrote_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ReportError, match=words):
        read_report(_of_format_1(**changes))


@pytest.mark.parametrize("change", [{"reason": "no map"}, {"map": None}, {"target": None}])
def test_a_panel_of_format_1_that_is_neither_a_heatmap_nor_a_failure_is_refused(change: dict[str, object]) -> None:
    content = json.loads((OLD / "contrast.json").read_text())
    content["findings"][1] |= change
    with pytest.raises(ReportError, match="expected a map with its numbers, or a reason, in panel 1/1/2"):
        read_report(json.dumps(content).encode())


def test_format_1_has_one_method() -> None:
    content = json.loads((OLD / "one-logit-beside-three.json").read_text())
    assert [method.citation for method in old("digits").methods] == ["Selvaraju et al. 2017, eq. 1 and 2"]
    content["models"][0]["method"] = "another"
    with pytest.raises(ReportError, match="expected one method in a report of format 1, got "):
        read_report(json.dumps(content).encode())


def test_another_verdict_makes_it_a_report_of_today() -> None:
    data = render_report(revised(old("one-logit", "zip"), Verdict("approved")), "zip")
    again = read_report(data)
    assert (again.format, again.verdict.status) == ("gradcam-report-2", "approved")
    assert replay(again, use=use("one-logit")).count("same") == 8
    assert [change.section for change in diff(old("one-logit"), again)] == ["Verdict"]


def test_a_map_within_tolerance_of_format_1_replays_as_such() -> None:
    content = json.loads((OLD / "contrast.json").read_text())
    for row in content["findings"][0]["map"]:
        row[:] = [value * 1.00001 for value in row]
    done = replay(read_report(json.dumps(content).encode()), photos=PHOTOS, use=use("contrast"))
    assert done.checks[0].outcome == "same within tolerance"
    assert done.count("same") == len(done.checks) - 1
