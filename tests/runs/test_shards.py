"""Plans and shards: the same bytes for the same content, and as many digits of faint maps as of strong ones."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from pyarrow import parquet

from gradcam.errors import OptionError, RunError
from gradcam.panel_key import ModelKey
from gradcam.runs import plan as plans, shards
from gradcam.runs.plan import Batch, Column, Part, PlannedModel, Settings
from gradcam.runs.shards import Result
from tests.runs.small_set import classifiers

NUMBERS = {"photo": 0, "path": "a.png", "photo_sha256": "0", "height": 8, "width": 8, "method": "m", "target": "t"}


def planned() -> PlannedModel:
    return PlannedModel.of(classifiers()[0], "own", "grid", {"red": 0, "rot": None})


def test_a_plan_is_read_again_from_its_canonical_json() -> None:
    plan = plans.new_plan(Settings(batch=2)).extended([planned()], ["Grad-CAM"], ["label", "top"])
    plan = replace(plan, parts=(Part(3, "0" * 64),))
    data = plans.encode(plan)
    assert plans.encode(plans.decode(data)) == data
    assert plans.decode(data) == plan
    assert [column.units for column in plan.columns] == [2]
    with pytest.raises(RunError, match="expected the plan of a run, got something else"):
        plans.decode(b'{"format": 2}')
    with pytest.raises(RunError, match="expected a run of format 2, got 1"):
        plans.decode(plans.encode(replace(plan, format=1)))


def test_photos_that_are_added_move_no_batch() -> None:
    plan = replace(plans.new_plan(Settings(batch=2)), parts=(Part(3, ""),))
    longer = replace(plan, parts=(Part(3, ""), Part(2, "")))
    assert list(plan.batches()) == [Batch(0, 0, 2), Batch(1, 2, 3)]
    assert list(longer.batches()) == [Batch(0, 0, 2), Batch(1, 2, 3), Batch(2, 3, 5)]


def test_a_plan_is_extended_by_what_it_lacks_alone() -> None:
    plan = plans.new_plan(Settings()).extended([planned()], ["Grad-CAM"], ["top", "label"])
    assert plan.extended([planned()], ["Grad-CAM"], ["label"]) == plan
    more = plan.extended([planned()], ["Grad-CAM"], ["label", "blue"])
    assert more.columns == (*plan.columns, Column(0, ("Grad-CAM",), ("blue",)))


def test_methods_of_other_grids_are_columns_of_their_own() -> None:
    methods = ["FullGrad", "Grad-CAM", "RefineCAM", "HiResCAM"]
    plan = plans.new_plan(Settings()).extended([planned()], methods, ["top"])
    shared = Column(0, ("Grad-CAM", "HiResCAM"), ("top",))
    assert plan.columns == (shared, Column(0, ("FullGrad",), ("top",)), Column(0, ("RefineCAM",), ("top",)))
    before = replace(plan, columns=(shared, Column(0, ("Grad-CAM", "FullGrad", "LayerCAM"), ("blue",))))
    assert before.divided({0, 1}) == before
    assert before.divided({0}).columns == (
        shared,
        Column(0, ("Grad-CAM", "LayerCAM"), ("blue",)),
        Column(0, ("FullGrad",), ("blue",)),
    )


def test_a_plan_goes_on_with_the_models_and_settings_that_it_has() -> None:
    plan = plans.new_plan(Settings()).extended([planned()], ["Grad-CAM"], ["top"])
    other = replace(planned(), digest="1" * 64)
    for changed, what in (
        (replace(other, weights_sha256="1"), "weights"),
        (replace(other, layer="x", layers=()), "target layer"),
        (other, "preprocessing"),
    ):
        with pytest.raises(RunError, match=f"but its {what} changed; begin beside with --new"):
            plan.extended([changed], ["Grad-CAM"], ["top"])
    with pytest.raises(RunError, match="expected batch 64, with which the run began, got 32"):
        plan.check_continues(Settings(batch=32))
    with pytest.raises(RunError, match=r"expected torch 1\.0, with which the run began"):
        replace(plan, versions=plan.versions | {"torch": "1.0"}).check_continues(Settings())


@pytest.mark.parametrize(
    "bad", [{"batch": 0}, {"threads": 10**6}, {"maps": "int8"}, {"fit": "no"}, {"precision": "8"}]
)
def test_settings_outside_their_choices_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises((RunError, OptionError), match="expected"):
        plans.new_plan(replace(Settings(), **bad))


def test_targets_are_kept_as_text_that_means_the_same_again() -> None:
    assert plans.read_targets(["top", "TOP-1", " label ", '"label"', "#3"], ()) == (
        *("top prediction", "label", '"label"', "#3"),
    )


def test_a_unit_is_filed_under_its_panel_key() -> None:
    plan = plans.new_plan(Settings()).extended([planned()], ["Grad-CAM"], ["top"])
    key = plan.key(plan.columns[0], ModelKey.of(classifiers()[0]), "0", "Grad-CAM", 1)
    assert (key.layer, key.fit, key.target, key.model.digest) == ("grid", "crop", 1, planned().digest)


@pytest.mark.parametrize(("maps", "error"), [("float32", 1e-7), ("float16", 1e-3)])
@pytest.mark.parametrize("peak", [1e-9, 1.0, 1e9])
def test_a_shard_keeps_faint_and_strong_arrays_alike(maps: plans.MapType, error: float, peak: float) -> None:
    raw = np.random.default_rng(0).random((3, 4), np.float32) * np.float32(peak)
    results = [Result(NUMBERS, {"map": raw, "means": raw[0]}), Result(NUMBERS | {"reason": "broken"})]
    data = shards.encode(results, maps, {"model": "a"}).shard
    found, nothing = shards.read_arrays(data, "map")
    assert nothing is None
    assert found == pytest.approx(raw, abs=error * peak)
    assert shards.read_arrays(data, "means")[0] == pytest.approx(raw[0], abs=1e-3 * peak)
    assert shards.read_arrays(data, "earlier") == [None, None]
    assert [row["reason"] for row in shards.read_numbers(data)] == [None, "broken"]
    assert parquet.read_schema(io.BytesIO(data)).metadata[b"model"] == b"a"
    assert shards.encode(results, maps, {"model": "a"}, previews=True).shard == data
