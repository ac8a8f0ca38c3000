"""A run is prepared: channels' contributions to every label, where the head does not give them without a pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gradcam import Classifier
from gradcam.errors import RunError
from gradcam.forward import is_linear_in_means
from gradcam.runs import Engine, Run, Status, _run, prepare
from tests import plain
from tests.runs.small_set import rows_of, run_over, shards_of, write_set


def bent() -> Classifier:
    """Of red and blue, with a head that is not linear: twice the colour, ReLU, then 8 · the class's own colour."""
    made = plain.classifier(["red", "blue"], [[8, 0, 0], [0, 0, 8]], name="bent")
    first = nn.Linear(3, 3)
    with torch.no_grad():
        first.weight.copy_(2 * torch.eye(3))
        first.bias.zero_()
    made.module.head = nn.Sequential(first, nn.ReLU(), made.module.get_submodule("head"))
    return made


def straight() -> Classifier:
    return plain.classifier(["red", "blue"], [[8, 0, 0], [0, 0, 8]], name="straight")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, bytes], dict[str, list], list[str]]:
    """A run that was prepared, its shards and rows before, and what was said."""
    folder, said = tmp_path_factory.mktemp("prepared"), list[str]()
    data = write_set(folder / "set", 10)
    (data / "red" / "00003.png").write_bytes(b"no picture")
    run = run_over(data, folder / "run", [bent(), straight()], targets=["top"])
    before = shards_of(run), rows_of(run)
    models = {str(one.spec): one for one in (bent(), straight())}
    prepare(run.folder, engine=Engine(workers=1, say=said.append), use=plain.lender(models))
    return run, *before, said


def test_every_label_is_asked_of_a_head_that_is_not_linear(prepared: tuple) -> None:
    run, *_ = prepared
    numbers = [unit.photo for unit in run.units() if unit.model == "plain/bent"]
    found = run.contributions("plain/bent", "red", numbers)
    for number, row in zip(numbers, found, strict=True):
        unit = next(unit for unit in run.units([number]) if unit.model == "plain/bent")
        if unit.reason:
            assert unit.path == "red/00003.png"
            assert np.isnan(row).all()
        else:
            mean_red = run.photo(unit.path).pixels[..., 0].mean() / 255
            assert row == pytest.approx([16 * mean_red, 0, 0], rel=2e-3, abs=1e-3)
    assert found.shape == (10, 3)


def test_a_linear_head_needs_none_and_that_is_said(prepared: tuple) -> None:
    run, _, _, said = prepared
    assert said == ["plain/straight needs no preparing: its scores are linear in the channels' means"]
    assert [column.model for column in run.plan.columns if column.prepared] == [0]
    with pytest.raises(
        RunError, match="expected a run that is prepared for 'red' and 'plain/straight', got another"
    ):
        run.contributions("plain/straight", "red", [0])


def test_the_head_of_the_model_itself_gives_them_where_it_is_linear(prepared: tuple) -> None:
    run, *_ = prepared
    (unit,) = (unit for unit in run.units([1]) if unit.model == "plain/straight")
    mean_red = run.photo(unit.path).pixels[..., 0].mean() / 255
    found = run.contributions("plain/straight", "red", [1], straight())
    assert found[0] == pytest.approx([8 * mean_red, 0, 0], rel=2e-3)
    assert run.head_weights("plain/straight", ["blue", "red"], straight()) == pytest.approx(
        np.array([[0, 0, 8], [8, 0, 0]])
    )
    assert run.head_weights("plain/bent", ["blue"], bent()) is None


def test_a_model_or_a_label_that_the_run_does_not_have_is_one_sentence(prepared: tuple) -> None:
    run, *_ = prepared
    with pytest.raises(RunError, match="expected a model of the run, got 'plain/own'; use 'plain/"):
        run.pooled("plain/own", "means", [0])
    with pytest.raises(
        RunError, match="expected a label that is a class of plain/straight, got 'green'; use 'red'"
    ):
        run.head_weights("plain/straight", ["green"], straight())


def test_pooled_features_are_kept_of_each_photo(prepared: tuple) -> None:
    run, *_ = prepared
    (broken,) = {unit.photo for unit in run.units() if unit.reason}
    means = run.pooled("plain/straight", "means", [2, broken, 0])
    colours = [run.photo(next(run.units([photo])).path).pixels.mean((0, 1)) / 255 for photo in (2, 0)]
    assert means[[0, 2]] == pytest.approx(np.array(colours), rel=2e-3, abs=1e-3)
    assert np.isnan(means[1]).all()


def test_what_was_asked_for_stays_as_it_was(prepared: tuple) -> None:
    run, shards, rows, _ = prepared
    assert {name: data for name, data in shards_of(run).items() if name in shards} == shards
    assert rows_of(run)["units"] == rows["units"]
    assert rows_of(run)["photos"] == rows["photos"]
    assert run.plan.targets == ("top prediction",)
    assert run.status().state == "finished"
    assert (run.status().units, run.status().done, run.status().failed) == (20, 20, 2)


def test_what_is_prepared_counts_until_it_is_there(prepared: tuple, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(prepared[0].folder, tmp_path / "run")))
    shutil.rmtree(run.folder / "shards" / "002")
    seen: list[Status] = []
    models = {str(one.spec): one for one in (bent(), straight())}
    prepare(run.folder, engine=Engine(on_progress=seen.append), use=plain.lender(models))
    assert (seen[0].done, seen[0].units) == (20, 40)
    assert (seen[-1].done, seen[-1].units) == (40, 40)
    assert run.status().units == 20


def test_preparing_again_computes_nothing(prepared: tuple) -> None:
    run, *_ = prepared
    before, models = shards_of(run), {str(one.spec): one for one in (bent(), straight())}
    prepare(run.folder, use=plain.lender(models))
    assert shards_of(run) == before


def test_more_labels_than_can_be_asked_are_one_sentence(prepared: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    run, *_ = prepared
    monkeypatch.setattr(_run, "MOST_LABELS", 1)
    with pytest.raises(RunError, match="expected labels of at most 1 classes"):
        prepare(run.folder, use=plain.lender({}))


@pytest.mark.parametrize(("model", "linear"), [(straight, True), (bent, False)])
def test_a_head_tells_whether_it_is_linear_in_the_means(model, linear: bool) -> None:
    assert is_linear_in_means(model(), "grid") is linear
