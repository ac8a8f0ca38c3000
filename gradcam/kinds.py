"""Values of a wrong kind, refused in one sentence by the functions that people call from Python.

`expect` holds single values, `expect_each` what is given as a list; each noun has its sentence here, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any, NamedTuple, TypeVar

from gradcam.errors import (
    GradcamError,
    ModelError,
    OptionError,
    PhotoError,
    ReportError,
    ReviewError,
    RunError,
    check_kind,
)

_T = TypeVar("_T")


class _Noun(NamedTuple):
    """How a noun is called in a sentence, one and several, what to do about another value, and the error."""

    one: str
    several: str
    advice: str
    error: type[GradcamError] = OptionError


_NOUNS = {
    "abc.Mapping": _Noun("a dict", "dicts", "map each subject to its status"),
    "bytes": _Noun("the bytes of a file", "bytes of files", "read the file first"),
    "comparison.Comparison": _Noun("a Comparison", "Comparisons", "pass what compare() returns"),
    "models.Classifier": _Noun(
        "a Classifier",
        "Classifiers",
        "load one with load_classifier() or load_checkpoint(), or give a bare module to heatmaps()",
        ModelError,
    ),
    "str | pathlib.Path": _Noun("a file's path", "paths of files", "name the file"),
    "report.Content": _Noun("a Report", "Reports", "open its file with read_report()", ReportError),
    "report.Report": _Noun("a Report", "Reports", "open its file with read_report()", ReportError),
    "reviews.Project": _Noun("a Project", "Projects", "take one from a ReviewStore", ReviewError),
    "reviews.Review": _Noun("a Review", "Reviews", "take one from a ReviewStore", ReviewError),
    "reviews.ReviewStore": _Noun("a ReviewStore", "ReviewStores", "open one with ReviewStore()", ReviewError),
    "reviews.Verdict": _Noun("a Verdict", "Verdicts", "take those that a ReviewStore gives", ReviewError),
    "runs.Run": _Noun("a Run", "Runs", "open one with Run(folder) of gradcam.runs", RunError),
    "shortcuts.Candidate": _Noun("a Candidate", "Candidates", "find some with find_shortcuts()"),
    "str": _Noun("a text", "texts", "pass one in quotes"),
    "types.Explanation": _Noun("an Explanation", "Explanations", "pass what explain() returns"),
    "types.Photo": _Noun("a Photo", "Photos", "open them with open_photo()", PhotoError),
}
"""By room and class: a verdict of `reviews` is another one than a report's."""


def _noun_of(kind: type | UnionType) -> _Noun:
    if isinstance(kind, UnionType):
        return _NOUNS[str(kind)]
    room = kind.__module__.split(".")[1:2] if "." in kind.__module__ else []
    return _NOUNS[".".join([*room, kind.__name__])]


def expect(kind: type | UnionType, *values: object) -> None:
    """Raises: the noun's error for the first value that is none of this kind."""
    noun = _noun_of(kind)
    for value in values:
        check_kind(value, kind, noun.one, noun.advice, noun.error)


def expect_each(kind: type[_T] | UnionType, values: Iterable[_T]) -> list[_T]:
    """The values as a list. Raises: the noun's error for what is no list, or for one that is none of this kind."""
    noun = _noun_of(kind)
    is_list = isinstance(values, Iterable) and not isinstance(values, str | bytes | dict)
    found: list[Any] = list(values) if is_list else [values]
    for value in found:
        check_kind(value, kind, noun.several, noun.advice, noun.error)
    return found
