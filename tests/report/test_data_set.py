"""The section *Data set* of a report: every format tells it, and it comes back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gradcam.errors import ReportError
from gradcam.report import FORMATS, DataSetEntry, Report, data_set_tables, diff, render_report, verify_report
from gradcam.report.codec import decode, encode
from gradcam.report.data_set import (
    CandidateEntry,
    CandidateNote,
    ConfusionEntry,
    DifferenceEntry,
    LabelEntry,
    MeasureEntry,
)
from gradcam.report.signatures import signed_of
from tests import report_fakes

HEAT = ((0.0, 0.25), (0.5, 1.0))
NOTE = CandidateNote("shortcut", "Anna", "2026-11-28T12:00:00Z", "ruler <b>", "at the *edge*")
CANDIDATE = CandidateEntry(
    model=1,
    label="cat",
    score=2.5,
    members=3,
    others=5,
    right=((1.0, 0.4), (None, None)),
    channels=(7, 3),
    strongest=("cats/1.png",),
    member_heat=HEAT,
    other_heat=None,
    status="shortcut",
    notes=(NOTE,),
)
DATA_SET = DataSetEntry(
    name="Pets & co",
    photos=12,
    maps=24,
    failed=1,
    planned=24,
    evidence="ab" * 32,
    chosen="the first 2, where maps of two models agree least",
    method="Grad-CAM",
    target="top",
    label_count=2,
    labels=(LabelEntry("cat", 8, (0.75, None)), LabelEntry("dog | <i>", 4, (1.0, 0.5))),
    confusions=(ConfusionEntry(0, "cat", "dog", 2, -0.5), ConfusionEntry(1, "cat", "cat", 8, None)),
    measures=(MeasureEntry("Share of heat", 0, 12, 0.4, (0.3, 0.5), (0.1, 0.2, 0.4, 0.6, 0.9)),),
    differences=(DifferenceEntry("Share of heat", (0, 1), 11, -0.125, (-0.2, -0.05)),),
    candidates=(CANDIDATE,),
)


@pytest.fixture(scope="module")
def report() -> Report:
    return report_fakes.report(data_set=DATA_SET)


def text_of(report: Report, name: str) -> str:
    said = report_fakes.pdf_text(report) if name == "pdf" else render_report(report, name).decode()
    return said.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("name", ["html", "pdf", "markdown", "interactive"])
def test_every_format_for_people_tells_what_the_data_set_came_to(report: Report, name: str) -> None:
    said = text_of(report, name)
    for words in (
        "Data set",
        "75.0 %",
        "−0.50",
        "0.300 to 0.500",
        "−0.125",
        "shortcut",
        "3 of 8",
        "Anna",
        "cats",
        "2026-11-28",
    ):
        assert words in said, words
    assert "Data set" not in text_of(report_fakes.report(), name)
    if name != "pdf":
        assert "<i>" not in said
    if name in ("html", "interactive"):
        assert "ruler &lt;b&gt;" in said
        assert said.count("0 0 200 16") == 5  # two labels, two confusions, a measure
        assert said.count("<figcaption>Mean heat of these photos</figcaption>") == 1


def test_a_report_comes_back_with_its_data_set_and_one_without_names_none(report: Report) -> None:
    assert decode(encode(report)) == report
    assert encode(decode(encode(report))) == encode(report)
    assert "data_set" not in json.loads(encode(report_fakes.report()))


def test_a_zip_with_a_data_set_is_verified(report: Report) -> None:
    found = verify_report(render_report(report))
    assert found.report.data_set == DATA_SET
    assert found.changed == found.unknown == ()


def test_what_is_told_of_a_data_set_is_compared(report: Report) -> None:
    other = replace(CANDIDATE, model=0)  # with the same strongest photo
    twins = report_fakes.report(data_set=replace(DATA_SET, candidates=(CANDIDATE, other)))
    noted = replace(CANDIDATE, status="fine", score=2.0, notes=(replace(NOTE, status="fine"),))
    changed = replace(DATA_SET, failed=0, method="LayerCAM", candidates=(noted, other, other))
    assert diff(report, report_fakes.report(data_set=DATA_SET)) == ()
    told = [
        one.statement for one in diff(twins, report_fakes.report(data_set=changed)) if one.section == "Data set"
    ]
    assert told == [
        "method was Grad-CAM and is LayerCAM",
        "failed was 1 and is 0",
        "the candidate cat · x/a · cats/1.png (2) was added",
        "the candidate cat · x/b · cats/1.png: score was 2.5 and is 2.0",
        "the candidate cat · x/b · cats/1.png: status was shortcut and is fine",
        "the candidate cat · x/b · cats/1.png: its notes are others",
    ]
    left_out = [one.statement for one in diff(report, report_fakes.report()) if one.section == "Data set"]
    assert left_out == ["what the whole data set came to was left out"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": (LabelEntry("cat", 8, (0.5,)),)}, "expected a data set seen by the report's models"),
        ({"candidates": (replace(CANDIDATE, model=2),)}, "expected a data set seen by the report's models"),
        ({"candidates": (replace(CANDIDATE, member_heat=((0.1,), (0.2, 0.3))),)}, "expected mean maps of a candid"),
        ({"candidates": (replace(CANDIDATE, member_heat=((),)),)}, "expected sides from 1 to"),
        ({"labels": DATA_SET.labels * 501}, "expected at most 1,000 labels of a data set in a report, got 1,002"),
    ],
)
def test_a_data_set_that_contradicts_the_report_is_refused(
    report: Report, change: dict[str, Any], sentence: str
) -> None:
    broken = replace(report, data_set=replace(DATA_SET, **change))
    with pytest.raises(ReportError, match=sentence):
        decode(encode(broken))


def test_every_format_can_be_written_of_a_run_that_came_to_nothing() -> None:
    bare = replace(
        DATA_SET, evidence=None, labels=(), confusions=(), measures=(), differences=(), candidates=(), label_count=0
    )
    report = report_fakes.report(data_set=bare)
    for name in ("html", "markdown", "interactive", "pdf"):
        assert "the run has not finished" in text_of(report, name)
    assert set(FORMATS) >= {"html", "markdown", "interactive", "pdf"}


def test_a_candidate_is_headed_by_its_latest_name_and_by_what_all_say_of_it() -> None:
    renamed = replace(NOTE, status="fine", reviewer="Ben", title="tape")
    told = report_fakes.report(
        data_set=replace(DATA_SET, candidates=(replace(CANDIDATE, status="disputed", notes=(NOTE, renamed)),))
    )
    assert data_set_tables.candidate_title(told, 1).startswith("Candidate 1: tape · cat")
    assert data_set_tables.candidates_table(told).rows[0][3:5] == ("tape", "disputed")


def test_a_run_that_goes_on_is_told_with_the_maps_it_has() -> None:
    going = report_fakes.report(data_set=replace(DATA_SET, maps=10))
    assert ("Maps", "10 of 24 planned, 1 missing") in data_set_tables.overview_table(going).rows


def test_a_remark_on_a_candidate_changes_nothing_that_is_signed_and_its_status_the_verdict() -> None:
    remarked = replace(CANDIDATE, notes=(NOTE, replace(NOTE, text="still there")))
    versions = (CANDIDATE, remarked, replace(CANDIDATE, status="fine"), replace(CANDIDATE, score=1.0))
    before, said, judged, scored = (
        signed_of(encode(report_fakes.report(data_set=replace(DATA_SET, candidates=(one,))))) for one in versions
    )
    assert said == before
    assert (judged.evidence == before.evidence, judged.verdict == before.verdict) == (True, False)
    assert (scored.evidence == before.evidence, scored.verdict == before.verdict) == (False, True)


def test_a_mean_map_of_one_column_is_drawn() -> None:
    narrow = replace(CANDIDATE, member_heat=((0.5,),) * 2048)
    (_, pixels), *_ = data_set_tables.candidate_pictures(report_fakes.report(data_set=DATA_SET), narrow)
    assert pixels.shape == (data_set_tables.HEAT_SIDE, 1, 3)
