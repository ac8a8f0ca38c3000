"""Values of a wrong kind, refused in one sentence by the functions that people call from Python.

`expect` holds single values, `expect_each` what is given as a list, `expect_one_of` what has a few choices;
`expect_functions`, `expect_numbers` and `expect_seed` hold what often has a default. Each noun has its sentence
here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import isfinite
from numbers import Real
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, cast, get_args

from gradcam.errors import (
    GradcamError,
    ModelError,
    OptionError,
    PhotoError,
    ReportError,
    ReviewError,
    RunError,
    check_kind,
    nearest,
    quoted,
)
from gradcam.text import is_whole

_T = TypeVar("_T")


class _Noun(NamedTuple):
    """What a noun is called in a sentence, with its article; what to do about another value; and the error."""

    called: str
    advice: str
    error: type[GradcamError] = OptionError

    @property
    def several(self) -> str:
        one = self.called.partition(" ")[2]
        return f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"


_LOAD = "load one with load_classifier() or load_checkpoint(), or give a bare module to heatmaps()"

_NOUNS = {
    "Mapping": _Noun("a dict", "map each subject to its status"),
    "bytes": _Noun("the bytes of a file", "read the file first"),
    "datetime": _Noun("a datetime", "pass one, such as datetime.now(UTC)"),
    "str": _Noun("a text", "pass one in quotes"),
    "str | Path": _Noun("a path", "name the file"),
    "comparison.Comparison": _Noun("a Comparison", "pass what compare() returns"),
    "models.CatalogueEntry": _Noun("a CatalogueEntry", "take some of catalogue_entries()", ModelError),
    "models.Classifier": _Noun("a Classifier", _LOAD, ModelError),
    "report.Content": _Noun("a Report", "open its file with read_report()", ReportError),
    "report.DataSetEntry": _Noun("a DataSetEntry", "make one with data_set_of()"),
    "report.Note": _Noun("a Note", "make one of gradcam.report for each photo", ReportError),
    "report.Report": _Noun("a Report", "open its file with read_report()", ReportError),
    "report.Thresholds": _Noun("Thresholds", "make them with Thresholds() of gradcam.report"),
    "report.Verdict": _Noun("a Verdict", "make one with Verdict() of gradcam.report", ReportError),
    "reviews.Project": _Noun("a Project", "take one from a ReviewStore", ReviewError),
    "reviews.Review": _Noun("a Review", "take one from a ReviewStore", ReviewError),
    "reviews.ReviewStore": _Noun("a ReviewStore", "open one with ReviewStore()", ReviewError),
    "reviews.Verdict": _Noun("a Verdict", "take those that a ReviewStore gives", ReviewError),
    "runs.Engine": _Noun("an Engine", "make one with Engine() of gradcam.runs"),
    "runs.Run": _Noun("a Run", "open one with Run(folder) of gradcam.runs", RunError),
    "runs.Settings": _Noun("Settings", "make them with Settings() of gradcam.runs"),
    "shortcuts.Candidate": _Noun("a Candidate", "find some with find_shortcuts()"),
    "types.Explanation": _Noun("an Explanation", "pass what explain() returns"),
    "types.Photo": _Noun("a Photo", "open it with open_photo()", PhotoError),
    "types.Style": _Noun("a Style", "pass one, such as Style(colormap='jet')"),
}
"""By room and class: a verdict of `reviews` is another one than a report's."""


def _noun_of(kind: type | UnionType) -> _Noun:
    kinds: list[type] = [one for one in get_args(kind) if one is not NoneType] or [cast("type", kind)]
    return _NOUNS[" | ".join(map(_name, kinds))]


def _name(kind: type) -> str:
    own, *inner = kind.__module__.split(".")
    return f"{inner[0]}.{kind.__name__}" if own == "gradcam" else kind.__name__


def expect(kind: type | UnionType, *values: object) -> None:
    """Raises: the noun's error for the first value that is none of this kind."""
    noun = _noun_of(kind)
    for value in values:
        check_kind(value, kind, noun.called, noun.advice, noun.error)


def expect_each(kind: type[_T] | UnionType, values: Iterable[_T]) -> list[_T]:
    """The values as a list. Raises: the noun's error for what is no list, or for one that is none of this kind."""
    noun = _noun_of(kind)
    is_list = isinstance(values, Iterable) and not isinstance(values, str | bytes | dict)
    found: list[Any] = list(values) if is_list else [values]
    for value in found:
        check_kind(value, kind, noun.several, noun.advice, noun.error)
    return found


def expect_functions(**given: object) -> None:
    """Raises: OptionError for what cannot be called, by the name of its parameter; None stands for none."""
    for name, value in given.items():
        if value is not None and not callable(value):
            raise OptionError(f"expected a function as {name}, got {quoted(value)}; pass one, or leave it out")


def expect_numbers(**given: object) -> None:
    """Raises: OptionError for what is no finite number, by the name of its parameter; None stands for none."""
    for name, value in given.items():
        if value is not None and not (isinstance(value, Real) and isfinite(value)):
            raise OptionError(f"expected a number as {name}, got {quoted(value)}; pass one, or leave it out")


def expect_seed(seed: object) -> None:
    """Raises: OptionError for what no generator takes or no id spells."""
    if not is_whole(seed) or not 0 <= cast("int", seed) < 2**63:
        raise OptionError(f"expected a seed from 0 to 2⁶³ − 1, got {quoted(seed)}; give a whole number")


def expect_one_of(
    choices: Collection[str], value: object, what: str, error: type[GradcamError] = OptionError
) -> None:
    """Raises: `error` for a value that is no choice, which names the nearest. what: as in `an activation`."""
    if value not in tuple(choices):
        raise error(f"expected {what}, got {quoted(value)}; use {nearest(str(value), choices)}")


def by_id(given: _T | Mapping[str, _T], ids: Collection[str], what: str) -> dict[str, _T]:
    """What was given for every model, or for some of them by id. what: several of it, as in `layers`.

    Raises: OptionError for the id of another model.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(ids, given)
    for name in given:
        expect_one_of(ids, name, f"{what} by the ids of these models")
    return dict(given)
