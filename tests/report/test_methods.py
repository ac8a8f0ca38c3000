"""The method is an axis of a report: a second row goes through building, every format, replay and diff."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import jsonschema
import pypdf
import pytest
from msgspec import structs

from gradcam import Classifier, Comparison, Contrast, OptionError, Top, compare
from gradcam.methods import GRADCAM, METHODS, Method
from gradcam.report import (
    FORMATS,
    Report,
    Verdict,
    build_report,
    codec,
    diff,
    read_report,
    render_report,
    replay,
    revised,
)
from gradcam.report.reproduce import command, python_lines
from gradcam.types import Panel
from tests import fakes, plain
from tests.plain import BLACK, BLUE, RED
from tests.report_fakes import HEAT, NOON, comparison, report as of_one_method

OTHER = Method(
    name="Other-CAM",
    paper="Lovelace 1843",
    title="Notes",
    equations="note G",
    link="https://example.org",
    formula="L = 2 A",
    says="Twice the first feature.",
    zero="Zero: nothing. Drawn from zero.",
    compute=lambda signals: 2 * signals.activation[:, :1],
)
PHOTOS = [plain.photo(RED, BLACK, RED, RED, name="red.png"), plain.photo(BLUE, RED, BLUE, BLACK, name="blue.png")]
MODELS = {
    name: plain.classifier(["cat", "dog"], weights, name=name)
    for name, weights in (("a", [[4, 0, 0], [0, 0, 4]]), ("b", [[1, 0, 0], [0, 2, 1]]))
}
TARGETS = (Top(1), Contrast("cat", 1), "bird")


@pytest.fixture(autouse=True)
def _a_second_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, OTHER.name, OTHER)


@pytest.fixture
def made() -> Report:
    """Two photos × two models × two methods × three targets, of which no model knows the last."""
    return build_report(
        compare(list(MODELS.values()), PHOTOS, TARGETS, methods=["Grad-CAM", "other-cam"], fit="squash"), now=NOON
    )


def use(model: str):
    return nullcontext[Classifier](MODELS[model.partition("/")[2]])


def test_findings_are_photo_by_model_by_method_by_target(made: Report) -> None:
    indices = [(panel.photo, panel.model, panel.method, panel.target) for panel in made.findings]
    assert indices == [(p, m, how, t) for p in (0, 1) for m in (0, 1) for how in (0, 1) for t in (0, 1, 2)]
    assert {panel.target for panel in made.failures} == {2}
    assert {panel.target for panel in made.heatmaps} == {0, 1}


def test_rows_are_a_photos_panels_by_method_and_target_one_for_each_model(made: Report) -> None:
    rows = [*made.rows_of(1)]
    assert [(row.method, row.target) for row in rows] == [(how, t) for how in (0, 1) for t in (0, 1, 2)]
    for row in rows:
        assert [panel.model for panel in row.findings] == [0, 1]
        assert {(panel.photo, panel.method, panel.target) for panel in row.findings} == {
            (1, row.method, row.target)
        }


def test_agreements_are_within_a_method(made: Report) -> None:
    pairs = [(one.photo, one.method, one.target, one.models) for one in made.agreements]
    assert pairs == [(p, how, t, (0, 1)) for p in (0, 1) for how in (0, 1) for t in (0, 1)]
    by_method = [panel for panel in made.heatmaps if panel.method == 1]
    assert [[one.method for one in made.agreements_of(panel)] for panel in by_method] == [[1]] * len(by_method)
    assert by_method


def test_each_method_brings_its_own_citation_and_formula(made: Report) -> None:
    assert [(method.name, method.citation) for method in made.methods] == [
        ("Grad-CAM", "Selvaraju et al. 2017, eq. 1 and 2"),
        ("Other-CAM", "Lovelace 1843, note G"),
    ]
    told = {paragraph.heading: paragraph.text for paragraph in made.procedure}
    assert told["Method"] == (
        "Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) and Other-CAM (Lovelace 1843, note G)."
    )
    assert told["Formula of Other-CAM"].startswith("L = 2 A. ")


def test_where_grad_cam_was_not_used_nothing_of_it_is_told() -> None:
    alone = build_report(compare(list(MODELS.values()), PHOTOS, methods=["Other-CAM"]), now=NOON)
    for format in ("html", "markdown", "json", "interactive"):
        content = render_report(alone, format).decode()
        assert "Lovelace" in content
        assert "Selvaraju" not in content
        assert "Grad-CAM comparison" not in content
    assert "methods=['Other-CAM']" in python_lines(alone)
    compile(python_lines(alone), "<report>", "exec")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_tells_the_panels_of_two_methods_apart(made: Report, format: str) -> None:
    data = render_report(made, format)
    if format == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            readme = archive.read("README.txt").decode()
        assert {"maps/p1-m2-method1-q1.npy", "maps/p1-m2-method2-q1.npy"} <= set(names)
        assert "images/p2-m1-method2-q2-overlay.png" in names
        assert "Methods\n1. Grad-CAM\n2. Other-CAM\n" in readme
        assert "pP-mM-methodN-qQ.npy" in readme
    elif format == "pdf":
        pages = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
        assert "Each model’s top prediction · Other-CAM" in " ".join(pages.split())
    elif format == "csv":
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
        assert [row["method"] for row in rows[:6]] == ["Grad-CAM"] * 3 + ["Other-CAM"] * 3
        assert rows[2]["failure"] == rows[5]["failure"] != ""
    elif format == "interactive":
        page = data.decode()
        assert '"title": "plain/a · Other-CAM"' in page
        assert "cat rather than dog · " in page
        assert "(Selvaraju et al. 2017, eq. 1 and 2; Lovelace 1843, note G)" in page
    else:
        assert "Other-CAM" in data.decode()


def test_the_page_and_the_checks_name_every_panel_once(made: Report) -> None:
    page = render_report(made, "html").decode()
    assert [page.count(f'id="panel-{key}"') for key in ("0-1-0-0", "0-1-1-0", "0-1-1-2")] == [1, 1, 1]
    assert "cat rather than #1 · Other-CAM" in page
    assert "2 photos × 2 models × 2 methods × 3 questions = 24 panels · 8 failed" in page
    checks = render_report(made, "junit").decode()
    names = [line for line in checks.splitlines() if "<testcase" in line]
    assert len(set(names)) == len(names) == 24


def test_it_keeps_the_schema_and_comes_back_the_same(made: Report) -> None:
    data = codec.encode(made)
    jsonschema.validate(json.loads(data), json.loads(codec.published_schema()))
    assert codec.encode(codec.decode(data)) == data
    assert read_report(render_report(made, "zip")) == made
    assert revised(made, Verdict("approved")).format == "gradcam-report-2"


def test_it_replays_method_by_method(made: Report) -> None:
    done = replay(made, use=use)
    assert done.count("same") == 24, "\n".join(map(str, done.checks))
    assert str(done.checks[3]) == "red.png · plain/a · top prediction · Other-CAM: same"


def test_a_method_in_a_wrapper_is_told_of_recomputed_and_replayed() -> None:
    asked = ["Augmented(Grad-CAM)", "SmoothGrad(LayerCAM)"]
    made = build_report(compare([MODELS["a"]], PHOTOS[:1], "cat", methods=asked, fit="squash"), now=NOON)
    told = {paragraph.heading: paragraph.text for paragraph in made.procedure}
    assert "SmoothGrad(LayerCAM) (Smilkov et al. 2017, of Jiang et al. 2021)" in told["Method"]
    assert "noise level 0.15, noisy copies 8 and seed 0" in told["Reading SmoothGrad(LayerCAM)"]
    assert f"methods={asked!r}" in python_lines(made)
    assert replay(made, use=use).count("same") == 2
    assert not [*diff(made, read_report(render_report(made, "zip")))]


def test_a_replay_of_more_forwards_than_it_may_take_is_refused_before_a_model_runs(made: Report) -> None:
    def use(model: str) -> AbstractContextManager[Classifier]:
        raise AssertionError(model)

    named = [replace(made.methods[0], name="Opti-CAM"), *made.methods[1:]]  # 100 forwards a class
    long = replace(made, methods=tuple(named))
    with pytest.raises(OptionError, match=r"at most 250 forwards .* got about 301 with Opti-CAM"):
        replay(long, use=use, most_forwards=250)


def test_a_method_that_this_gradcam_does_not_have_cannot_be_checked(
    made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, OTHER.name)
    done = replay(made, use=use)
    assert (done.count("same"), done.count("cannot be checked")) == (12, 12)
    assert done.checks[3].statement == "cannot be checked because this gradcam has no method 'Other-CAM'"


def test_diff_tells_of_a_method_that_was_left_out(made: Report) -> None:
    first = build_report(compare(list(MODELS.values()), PHOTOS, TARGETS, fit="squash"), now=NOON)
    assert [str(change) for change in diff(made, first)] == ["Methods: Other-CAM was left out"]
    other = next(panel for panel in made.heatmaps if panel.method == 1)
    changed = [
        structs.replace(panel, map=((9.0, 9.0), (9.0, 9.0))) if panel is other else panel for panel in made.findings
    ]
    told = [str(change) for change in diff(made, replace(made, findings=tuple(changed)))]
    assert told[0].startswith("Maps: red.png · plain/a · top prediction · Other-CAM: largest difference ")
    assert told[1:] == ["Maps: 23 panels the same"]


def test_one_method_is_named_nowhere_beside_a_panel() -> None:
    made = of_one_method()
    with zipfile.ZipFile(io.BytesIO(render_report(made, "zip"))) as archive:
        assert "maps/p1-m2-q1.npy" in archive.namelist()
        assert "Methods" not in archive.read("README.txt").decode()
    assert "method" not in render_report(made, "csv").decode("utf-8-sig").splitlines()[0].split(",")
    assert GRADCAM.name not in render_report(made, "junit").decode()


def test_no_command_asks_for_another_method_and_the_lines_of_python_do(made: Report) -> None:
    known = replace(made, models=tuple(replace(model, origin="installed package") for model in made.models))
    assert "--method Grad-CAM --method Other-CAM" in command(known)
    assert "methods=['Grad-CAM', 'Other-CAM']" in python_lines(known)


def test_a_method_that_no_table_knows_is_a_name_alone() -> None:
    panels: list[Panel] = [replace(fakes.panel(fakes.photo(), HEAT, model="x/a"), method="mine")]
    one = comparison([fakes.photo()], ["x/a"])
    made = build_report(Comparison(one.photos, one.models, ("mine",), one.targets, tuple(panels)), now=NOON)
    assert (made.methods[0].name, made.methods[0].citation) == ("mine", "")
    assert made.procedure[0].text == "mine."
    assert [paragraph.heading for paragraph in made.procedure].count("Formula") == 0
