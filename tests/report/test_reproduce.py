"""How a report says to make it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradcam.report import (
    Note,
    Report,
    Verdict,
    build_report,
)
from gradcam.report._diff import diff
from gradcam.report.reproduce import command, python_lines
from gradcam.targets import parse_target
from gradcam.types import Photo, Style, Top
from tests import fakes
from tests.report_fakes import HEAT, NOON, report


def _of_known_models(*photos: Photo, **options: Any) -> Report:
    """`report`, whose models an id brings back."""
    made = report(*photos, **options)
    return replace(made, models=tuple(replace(model, origin="installed package") for model in made.models))


def test_the_command_names_everything_that_decides_the_report():
    made = _of_known_models(
        fakes.photo(name="-my cat.jpg"),
        style=Style("turbo", 0.4, "shared"),
        verdict=Verdict("approved", "Ada", questions=("-why?",)),
        notes=[Note("rejected", "no")],
        layer="features.29",
    )
    assert command(made) == (
        "python -m gradcam report './-my cat.jpg' --model x/a --model x/b --class 'top prediction' --fit squash "
        "--exact --layer features.29 --colormap turbo --opacity 0.4 --scale shared --photos full "
        "--title 'What the models look at' --status approved --reviewer Ada '--open-question=-why?' "
        "--photo-status 1=rejected --note 1=no --now 2026-11-22T12:00:00Z --out review.zip"
    )


def test_the_command_asks_for_a_rank_as_a_number_where_a_class_is_so_called():
    photo = fakes.photo()
    panel = fakes.panel(photo, HEAT, model="x/a", label="prediction 2", target=Top(2))
    made = build_report(fakes.comparison(panel), now=NOON)
    made = replace(made, models=(replace(made.models[0], origin="installed package"),))
    assert "--class #top-2" in command(made).replace("'", "")
    assert parse_target("#top-2", {"prediction 2"}) == made.targets[0].target


def test_a_layer_named_for_one_model_is_said_asked_again_and_told_apart():
    one_by_hand = _of_known_models(layer={"x/b": "features.22"})
    assert [model.requested_layer for model in one_by_hand.models] == ["auto", "features.22"]
    assert "--layer x/b=features.22" in command(one_by_hand)
    assert "layer={'x/b': 'features.22'}" in python_lines(one_by_hand)
    said = {module_call.heading: module_call.text for module_call in one_by_hand.procedure}["Target layer"]
    assert said.startswith("Found in each model's own data flow")
    assert said.endswith("Overridden by hand: 'features.22' for x/b.")
    assert [str(change) for change in diff(_of_known_models(), one_by_hand)] == [
        "Models: x/b: requested_layer was auto and is features.22"
    ]


def test_the_command_and_the_lines_compute_exactly_where_the_report_did():
    for exact in (_of_known_models(), _of_known_models(layer="features.29")):
        assert " --exact " in command(exact)
        loaded = "models = [load_classifier('x/a', exact=True), load_classifier('x/b', exact=True)]"
        assert loaded in python_lines(exact)
        first, *others = exact.models
        mixed = replace(exact, models=(replace(first, numerics="folded"), *others))
        assert "--exact" not in command(mixed)
        assert "models = ['x/a', 'x/b']" in python_lines(mixed)


def test_the_lines_leave_it_to_compare_to_load_a_model_that_failed():
    photo = fakes.photo()
    panels = fakes.panel(photo, HEAT, model="x/a"), fakes.failure(photo, "no such model", model="x/b")
    made = build_report(fakes.comparison(*panels), now=NOON)
    made = replace(made, models=(replace(made.models[0], origin="installed package"), made.models[1]))
    assert "models = [load_classifier('x/a', exact=True), 'x/b']" in python_lines(made)


def test_the_python_lines_are_python():
    lines = python_lines(report(fakes.photo(name="a'b\"\n.jpg"), verdict=Verdict(summary="'''")))
    compile(lines, "<report>", "exec")
    assert "verdict=Verdict(status='needs review'" in lines
