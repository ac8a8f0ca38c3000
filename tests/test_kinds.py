"""Every function that people call from Python refuses a value of another kind in one sentence."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

import pytest
import torch

import gradcam
from gradcam import GradcamError
from gradcam._compare import Use
from gradcam.errors import ReviewError
from gradcam.kinds import expect_each
from gradcam.reviews import ReviewStore, Verdict
from gradcam.runs import bootstrap
from tests import plain

ROOMS = ("", ".models", ".report", ".reviews", ".runs", ".shortcuts", ".teaching")
"""Those whose functions people call."""

FOR_PAGES = {
    "models": {"files_of"},
    "report": {
        *("conclusion", "extent", "first_by", "note_html", "opening_row", "opening_title", "panel_title"),
        *("draw_change", "draw_finding", "format_of", "read_thresholds", "signed_of", "target_title"),
    },
    "runs": {"folder_beside", "strip_columns"},
}
"""Words and pictures that pages and commands alone ask for: what they pass is held by the type checker."""

ASKS = ("class_names", "is_listed", "labels_of")
"""What these are asked is whether something is a model's id: what is no text is none."""


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function for people that takes something, with its name."""
    for room in ROOMS:
        package = import_module(f"gradcam{room}")
        for name in package.__all__:
            function = getattr(package, name)
            if inspect.isfunction(function) and required(function) and name not in FOR_PAGES.get(room[1:], ()):
                yield f"gradcam{room}.{name}", function


def required(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [one for one in parameters if one.default is one.empty]


FUNCTIONS = dict(functions())


SENTENCE = r"^expected [^\n]+$"


def sentence_for(function: Callable[..., Any], values: dict[str, Any]) -> str | None:
    """What a function says to these values; None if it refuses none."""
    try:
        found = function(**values)
        if inspect.isgenerator(found):
            list(found)
    except GradcamError as error:
        return str(error)
    return None


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of one's own, so that `x` names no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_of_another_kind_is_refused_in_one_sentence(name: str) -> None:
    function = FUNCTIONS[name]
    for wrong in (3, None, "x", [], object(), [object()], {"a": 1}, gradcam.sample_photo("chelsea")):
        said = sentence_for(function, {one.name: wrong for one in required(function)})
        assert re.match(SENTENCE, said or "expected it"), (wrong, said)
    assert sentence_for(function, {one.name: object() for one in required(function)}) or name.endswith(ASKS)


def right_for(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """A value of the kind that a parameter is annotated with; None where that is neither text nor a noun.

    A noun has nothing in it: a function that reads it before it has checked every kind fails.
    """
    try:
        kind = eval(parameter.annotation, vars(sys.modules[function.__module__]))
    except NameError:  # known to type checkers alone
        return None
    if kind is str:
        return "x"
    return object.__new__(cast("type", kind)) if is_dataclass(kind) or kind is ReviewStore else None


ONE_BY_ONE = [
    (name, wrong.name)
    for name, function in FUNCTIONS.items()
    for wrong in required(function)
    if right_for(function, wrong) is not None and function.__name__ not in ASKS
]


@pytest.mark.parametrize(("name", "parameter"), ONE_BY_ONE)
def test_each_noun_and_text_is_checked_before_any_is_read(name: str, parameter: str) -> None:
    function = FUNCTIONS[name]
    right = {one.name: right_for(function, one) for one in required(function)}
    said = sentence_for(function, {**right, parameter: object()})
    assert said is not None
    assert re.match(SENTENCE, said)


def alternatives(function: Callable[..., Any], parameter: inspect.Parameter) -> set[Any]:
    """The kinds that a parameter may have, without None: `Callable` for functions."""
    try:
        kind = eval(parameter.annotation, vars(sys.modules[function.__module__]), KNOWN_TO_TYPE_CHECKERS)
    except NameError:
        return set()
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return {get_origin(one) or one for one in kinds} - {type(None)}


KNOWN_TO_TYPE_CHECKERS = {"Use": Use}
PLAIN = {"function": ({Callable},), "number": ({int}, {float})}
"""What is a function or a number and nothing else."""
RANGES = ("seed", "batch_size", "concepts", "classes")
"""Numbers whose own sentence says from where to where they go; some are checked when the model is known."""

FUNCTIONS_AND_NUMBERS = [
    (name, parameter.name, what)
    for name, function in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters.values()
    for what, kinds in PLAIN.items()
    if alternatives(function, parameter) in kinds and parameter.name not in RANGES
]


@pytest.mark.parametrize(("name", "parameter", "what"), FUNCTIONS_AND_NUMBERS)
def test_functions_and_numbers_are_checked_before_anything_is_computed(
    name: str, parameter: str, what: str
) -> None:
    function = FUNCTIONS[name]
    right = {one.name: right_for(function, one) for one in required(function)}
    for wrong in ("x", object(), [3]):
        said = sentence_for(function, {**right, parameter: wrong})
        assert re.match(f"^expected a {what} as {parameter}, got [^\n]+; pass one, or leave it out$", said or "")


def test_the_walk_meets_the_functions_of_every_room() -> None:
    assert {"gradcam.compare", "gradcam.runs.bootstrap", "gradcam.teaching.to_script"} <= set(FUNCTIONS)
    assert {("gradcam.shortcuts.check_shortcut", "candidate"), ("gradcam.diff", "b")} <= set(ONE_BY_ONE)
    assert {("gradcam.compare", "on_progress", "function"), ("gradcam.runs.watch", "seconds", "number")} <= set(
        FUNCTIONS_AND_NUMBERS
    )
    exempt = [f"gradcam.{room}.{name}" for room, names in FOR_PAGES.items() for name in names]
    assert all(hasattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in exempt)


MODEL = plain.Colours([[1, 0, 0], [0, 0, 1]], [0, 0])
REFUSED: dict[str, tuple[Callable[..., Any], tuple[object, ...], dict[str, Any]]] = {
    "an input": (gradcam.heatmaps, (MODEL, torch.zeros(1, 3, 8, 8), 0), {"input": [object()]}),
    "an output": (gradcam.heatmaps, (MODEL, torch.zeros(1, 3, 8, 8), 0), {"output": [object()]}),
    "a seed": (bootstrap, ([1.0, 2.0],), {"seed": "x"}),
    "photos in a batch": (gradcam.compare, (["x"], [gradcam.sample_photo("coffee")]), {"batch_size": "x"}),
    "a long side": (gradcam.agreement, ([],), {"long_side": -1}),
    "the name of a photo": (gradcam.open_photo, ("x.png",), {"name": 3}),
    "names of classes": (gradcam.parse_target, ("cat",), {"names": 3}),
    "entries of a catalogue": (gradcam.search_models, ("lite",), {"entries": ["lite"]}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_be_left_out_is_refused_where_it_is_of_another_kind(what: str) -> None:
    function, right, wrong = REFUSED[what]
    with pytest.raises(GradcamError, match=SENTENCE):
        function(*right, **wrong)


def test_two_nouns_of_one_name_have_a_sentence_each() -> None:
    with pytest.raises(ReviewError, match=r"^expected Verdicts, got Verdict; take those that a ReviewStore"):
        expect_each(Verdict, [gradcam.report.Verdict()])  # pyright: ignore
