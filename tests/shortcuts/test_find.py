"""A run over crops of four photos, some with a yellow patch, and a head on real weights that uses it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.planted import Head, features, plant, shots, sources, write
from gradcam import Classifier, Style, cli, load_classifier
from gradcam.errors import RunError, TooFewError
from gradcam.report import data_set_of, read_report
from gradcam.reviews import ReviewStore, Subject, Verdict, titled_note
from gradcam.runs import Engine, Run, Settings, prepare, start
from gradcam.shortcuts import (
    Candidate,
    channel_crops,
    check_shortcut,
    cluster_subjects,
    component_maps,
    find_shortcuts,
    noted_candidates,
)
from gradcam.shortcuts.evidence import gather
from tests import plain
from tests.runs.small_set import classifiers, run_over, write_set
from tests.runs.test_prepare import bent

EACH = 32
MODEL = "planted/tf_efficientnet_lite0"


class Planted(NamedTuple):
    run: Run
    classifier: Classifier
    candidates: list[Candidate]

    def use(self, name: str) -> Any:
        return nullcontext(self.classifier)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return _planted(tmp_path_factory.getbasetemp() / "planted")


@cache
def _planted(folder: Path) -> Planted:
    """Made once for the files that import the fixture, each of which has one of its own."""
    folder.mkdir()
    found = [source for source in sources() if source.name in ("chelsea", "astronaut", "coffee", "rocket")]
    made = plant(shots(found, EACH, 0), "thing", "patch", 0.3, np.random.default_rng(0), anywhere=False)
    bundled = load_classifier("bundled/tf_efficientnet_lite0")
    weights = np.array([8.0 if shot.planted else 1.0 for shot in made])
    labels = [shot.label for shot in made]
    classifier = Head.fit(features(bundled, made).means, labels, weights).on(bundled)
    settings = Settings(fit="squash", batch=32)
    run = start(write(made, folder / "set"), [classifier], ["label"], out=folder / "run", settings=settings)
    candidates = find_shortcuts(run, MODEL, "thing", use=lambda name: nullcontext(classifier))
    return Planted(run, classifier, candidates)


def best(planted: Planted) -> Candidate:
    """The candidate with the most planted photos among its members."""
    return max(planted.candidates, key=lambda one: sum("planted" in member.path for member in one.members))


def test_members_and_the_nearest_others_come_strongest_first_with_what_is_known_of_them(planted: Planted) -> None:
    found = best(planted)
    strengths = [member.strength for member in (*found.members, *found.others)]
    assert strengths == sorted(strengths, reverse=True)
    assert len(strengths) == EACH
    assert found.members[-1].strength >= found.threshold > found.others[0].strength
    assert found.accuracy[MODEL].members == np.mean([bool(member.right) for member in found.members])
    assert found.member_heat is not None
    assert found.member_heat.shape == (7, 7)
    assert 0 < sum(channel.share for channel in found.channels) <= 1


def test_the_mean_of_a_component_map_is_what_the_component_reads_of_the_photo(planted: Planted) -> None:
    candidate = best(planted)
    member = candidate.members[0]
    photo = planted.run.photo(member.path)
    (found,) = component_maps(planted.run, candidate, [photo], use=planted.use)
    evidence = gather(planted.run, MODEL, "thing", planted.classifier)
    read = candidate.component.strengths(evidence.earlier, evidence.contrast)
    (strength,) = read[evidence.photos == member.photo]
    assert strength > candidate.threshold
    assert found.values.mean() == pytest.approx(strength, abs=0.05)
    assert found.values.shape == (14, 14)
    assert found.view.photo_size == (224, 224)
    faint, full = (found.over(photo, vmax, 56, Style(opacity=1)) for vmax in (1e3, found.values.max()))
    assert faint.shape == full.shape == (56, 56, 3)
    assert np.ptp(full) > 0
    assert np.abs(full.astype(int) - faint).max() > 50


def test_a_channel_is_shown_where_it_is_strongest(planted: Planted) -> None:
    found = best(planted)
    crops = channel_crops(planted.run, found, channels=2, each=3, use=planted.use)
    assert list(crops) == [channel.number for channel in found.channels[:2]]
    photos = [one.photo for one in (*found.members, *found.others)]
    for number, cut in crops.items():
        means = dict(zip(photos, planted.run.pooled(MODEL, "means", photos)[:, number], strict=True))
        assert [means[one.photo] for one in cut] == sorted(means.values(), reverse=True)[:3]
        assert {one.pixels.shape for one in cut} == {(90, 90, 3)}


def test_a_candidate_is_filed_under_its_class_model_and_strongest_photo(planted: Planted) -> None:
    first, *_ = planted.candidates
    (one, again) = cluster_subjects([first, first])
    assert one == Subject("cluster", f"thing · {MODEL} · {first.members[0].path}")
    assert again.name == f"{one.name} (2)"
    asked = []

    def find(model: str, label: str) -> list[Candidate]:
        asked.append((model, label))
        return planted.candidates

    assert noted_candidates(planted.run, [said(one), said(Subject("photo", "thing"), "rejected")], find) == [first]
    assert asked == [(MODEL, "thing")]
    taken_back = [said(one, "draft")]
    assert noted_candidates(planted.run, taken_back, find) == noted_candidates(planted.run, [], find) == []
    assert asked == [(MODEL, "thing")]


def said(subject: Subject, status: str = "shortcut", number: int = 1, note: str = "") -> Verdict:
    return Verdict(str(number), number, "review", subject, status, "Anna", note, "2026-11-28T12:00:00", None)


def test_a_report_of_a_run_that_goes_on_says_how_many_maps_it_has_and_who_named_a_candidate_last(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = replace(planted.run.status(), state="running", done=10)
    monkeypatch.setattr(Run, "status", lambda run: going)
    candidate = planted.candidates[0]
    (subject,) = cluster_subjects([candidate])
    verdicts = [said(subject, "fine", 2), said(subject, "draft", 3), said(subject, "shortcut", 1, "# tape")]
    found = data_set_of(planted.run, "planted", chosen="all", candidates=[candidate], verdicts=verdicts)
    assert (found.maps, found.planned) == (10, 2 * EACH)
    assert found.candidates[0].status == "disputed"
    assert [note.status for note in found.candidates[0].notes] == ["shortcut", "fine"]


def test_setting_the_channels_costs_the_marked_photos_more(planted: Planted) -> None:
    checked = check_shortcut(planted.run, best(planted), use=planted.use, at_once=16)
    drops = [np.mean([effect.drop for effect in group]) for group in (checked.members, checked.others)]
    assert drops[0] > 2 * abs(drops[1])
    assert len(checked.members) == len(checked.others)


def test_the_same_seed_gives_the_same_list(planted: Planted) -> None:
    again = find_shortcuts(planted.run, MODEL, "thing", use=planted.use)
    assert [(one.score, one.members, one.channels) for one in again] == [
        (one.score, one.members, one.channels) for one in planted.candidates
    ]


@pytest.mark.parametrize(
    ("model", "label", "sentence"),
    [
        ("planted/other", "thing", "expected a model of the run, got 'planted/other'; use 'planted/"),
        (MODEL, "dog", "expected a label of the run, got 'dog'; use 'living' or 'thing'"),
    ],
)
def test_what_the_run_does_not_have_is_one_sentence(
    planted: Planted, model: str, label: str, sentence: str
) -> None:
    with pytest.raises(RunError, match=sentence):
        find_shortcuts(planted.run, model, label, use=planted.use)


def test_the_command_line_lists_them_and_gives_them_as_json(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gradcam.models.shared_pool", lambda: planted)
    command = ["run", "shortcuts", str(planted.run.folder), "--class", "thing"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"1. score {planted.candidates[0].score:.2f} · ")
    assert planted.candidates[0].members[0].path in said
    assert cli.main([*command, "--model", MODEL, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert [member["path"] for member in first["members"]] == [one.path for one in planted.candidates[0].members]
    assert first["channels"][0]["number"] == planted.candidates[0].channels[0].number


def test_a_report_of_a_run_tells_of_the_candidates_that_people_noted(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcam.models.shared_pool", lambda: planted)
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    run, first = planted.run, planted.candidates[0]
    with ReviewStore() as store:
        review = store.add_review(store.project_of_runs("Anna"), run.evidence, "planted", "Anna", kind="run")
        note = titled_note("yellow patch", "in the *corner*")
        store.say(review, "shortcut", "Anna", cluster_subjects([first])[0], note=note)
    out = tmp_path / "review.json"
    command = ["run", "export", str(run.folder), "--top", "1", "--where", "label=thing", "--out", str(out)]
    assert cli.main([*command, "--notes"]) == 0
    found = read_report(out).data_set
    assert found
    assert (found.photos, found.maps, found.failed, found.evidence) == (2 * EACH, 2 * EACH, 0, run.evidence)
    assert found.chosen == "the first one of the run; only of label thing"
    assert [(one.label, one.photos) for one in found.labels] == [("living", EACH), ("thing", EACH)]
    assert sum(one.photos for one in found.confusions) == 2 * EACH
    (told,) = found.candidates
    assert (told.label, told.members, told.strongest[0]) == ("thing", len(first.members), first.members[0].path)
    (said,) = told.notes
    assert (said.status, said.reviewer, said.title, said.text) == (
        "shortcut",
        "Anna",
        "yellow patch",
        "in the *corner*",
    )


def test_a_report_tells_nothing_of_a_blind_review_before_it_opens(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gradcam.models.shared_pool", lambda: planted)
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    with ReviewStore() as store:
        project = store.project_of_runs("Anna")
        review = store.add_review(project, planted.run.evidence, "planted", "Anna", kind="run", blind=True)
        store.say(review, "shortcut", "Anna", cluster_subjects(planted.candidates[:1])[0])
    out = tmp_path / "review.json"
    assert cli.main(["run", "export", str(planted.run.folder), "--top", "1", "--notes", "--out", str(out)]) == 2
    assert "got 'planted', which is still blind; wait for its reviewers" in capsys.readouterr().err
    assert not out.exists()


def small_run(folder: Path, photos: int, **more: Any) -> Run:
    """Red and blue photos, as many of each."""
    return run_over(write_set(folder / "set", 2 * photos), folder / "run", **more)


USE_COLOURS = plain.lender({str(one.spec): one for one in classifiers()})


def test_too_few_photos_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TooFewError, match="expected at least 20 photos with the label 'red' that plain/own"):
        find_shortcuts(small_run(tmp_path, 6), "plain/own", "red", use=USE_COLOURS)


def test_a_class_without_another_is_one_sentence(tmp_path: Path) -> None:
    run = small_run(tmp_path, 6)
    for path in (tmp_path / "set" / "blue").iterdir():
        path.unlink()
    alone = run_over(tmp_path / "set", tmp_path / "alone")
    assert run.plan.photos == 12
    with pytest.raises(RunError, match="expected labels of at least two classes of plain/own, got 'red' alone"):
        find_shortcuts(alone, "plain/own", "red", use=USE_COLOURS)


def test_a_run_that_was_stopped_is_one_sentence(tmp_path: Path) -> None:
    engine = Engine(workers=1)
    engine.stop.set()
    run = small_run(tmp_path, 6, engine=engine)
    with pytest.raises(
        RunError, match="expected a finished run, got 0 of 48 maps; go on with `gradcam run resume`"
    ):
        find_shortcuts(run, "plain/own", "red", use=USE_COLOURS)


def test_a_run_of_which_no_photo_could_be_opened_is_one_sentence(tmp_path: Path) -> None:
    for path in write_set(tmp_path / "set", 4).rglob("*.png"):
        path.write_bytes(b"no picture")
    run = run_over(tmp_path / "set", tmp_path / "run")
    with pytest.raises(TooFewError, match="'red' that plain/own explained, got 0; add photos to the run"):
        find_shortcuts(run, "plain/own", "red", use=USE_COLOURS)


def test_a_head_that_is_not_linear_wants_a_prepared_run_and_then_gives_the_same_photos(tmp_path: Path) -> None:
    run = small_run(tmp_path, 24, models=[bent()], targets=["top"])
    use = plain.lender({"plain/bent": bent()})
    with pytest.raises(RunError, match="expected a run that is prepared for 'blue' and 'plain/bent'"):
        find_shortcuts(run, "plain/bent", "red", use=use)
    prepare(run.folder, use=use)
    found = find_shortcuts(run, "plain/bent", "red", use=use)
    assert all(len(one.members) + len(one.others) == 24 for one in found)
