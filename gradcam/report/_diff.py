"""What changed between two reports, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import quoted
from gradcam.kinds import expect
from gradcam.model_spec import display_name
from gradcam.report.data_set import CandidateEntry, DataSetEntry
from gradcam.report.environment import environment
from gradcam.report.model import (
    Answer,
    Content,
    Environment,
    FailureEntry,
    Finding,
    ModelEntry,
    PhotoEntry,
)
from gradcam.report.sections import region_text
from gradcam.report.statements import NUMERICS_LABELS, request_text
from gradcam.targets import write_target
from gradcam.text import count, dimensions, percent

TOLERANCE = 1e-4
"""Largest difference, as a share of the map's peak, that another machine's arithmetic may make."""

WITHIN = "the same within tolerance"


@dataclass(frozen=True)
class Change:
    """One thing that is not the same: the section it belongs to, and a sentence.

    what, before, after: what has another value, and both values in full; empty where something came or went.
    """

    section: str
    statement: str
    what: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.section}: {self.statement}"


def diff(a: Content, b: Content) -> tuple[Change, ...]:
    """What is different in `b`, section by section; empty where both say the same.

    Photos are matched by the SHA-256 of their files, models by their ids.
    Raises: ReportError for what is no Report.
    """
    expect(Content, a, b)
    sections = (
        ("Verdict", _verdict),
        ("Notes", _notes),
        ("Photos", _photos),
        ("Models", _models),
        ("Methods", _methods),
        ("Questions", _requested_targets),
        ("Settings", _settings),
        ("Data set", _data_set),
        ("Predictions", _predictions),
        ("Maps", _maps),
        ("Environment", lambda a, b: _fields(a.environment, b.environment)),
    )
    return tuple(_in(name, found) for name, compare in sections for found in compare(a, b))


Found = str | Change
"""A sentence, or a change of a value whose section is not filled in yet."""


def _in(section: str, found: Found) -> Change:
    return Change(section, found) if isinstance(found, str) else replace(found, section=section)


def environment_changes(then: Environment) -> tuple[str, ...]:
    """What is different about the machine and the packages of now, a phrase each."""
    return tuple(change.statement for change in _fields(then, environment()))


def _verdict(a: Content, b: Content) -> Iterator[Found]:
    if a.title != b.title:
        yield _was("the title", a.title, b.title, quoted)
    yield from _fields(a.verdict, b.verdict)


def _notes(a: Content, b: Content) -> Iterator[Found]:
    for one, other in _shared(_by_hash(a), _by_hash(b)):
        yield from _about(other.name, _fields(one.note, other.note))


def _photos(a: Content, b: Content) -> Iterator[Found]:
    yield from _members([photo.sha256 for photo in a.photos], [photo.sha256 for photo in b.photos], _names(a, b))
    for one, other in _shared(_by_hash(a), _by_hash(b)):
        if one.name != other.name:
            yield f"{one.name} is now called {other.name}"
        if one.region != other.region:
            was, now = (region_text(side) or "not marked" for side in (one, other))
            yield _was(f"{other.name}: the object", was, now, str)


def _models(a: Content, b: Content) -> Iterator[Found]:
    names = _model_names(a, b)
    yield from _members([model.id for model in a.models], [model.id for model in b.models], names)
    models = {model.id: index for index, model in enumerate(a.models)}
    for index, model in enumerate(b.models):
        if model.id in models:
            before = models[model.id]
            yield from _about(names[model.id], _model(a.models[before], model))
            layers = [sorted(map(str, side)) for side in (a.layers_of(before), b.layers_of(index))]
            if all(layers) and layers[0] != layers[1]:
                was, now = map(", ".join, layers)
                yield _was(f"{names[model.id]}: the layer", was, now, str)


def _model(one: ModelEntry, other: ModelEntry) -> Iterator[Found]:
    if one.weights_sha256 != other.weights_sha256:
        yield "the weights are others"
    if one.classes != other.classes and {one.classes, other.classes} != {1, 2}:  # 1 is that of gradcam 0.1.0
        yield _was("classes", one.classes, other.classes, str)
    for name in _COMPARED_AS_TEXT:
        if getattr(one, name) != getattr(other, name):
            yield _was(name, getattr(one, name), getattr(other, name), str)
    if one.numerics != other.numerics:
        yield _was("how it computes", NUMERICS_LABELS[one.numerics], NUMERICS_LABELS[other.numerics], str)
    then, now = one.configuration, other.configuration
    for name in dict.fromkeys((*then, *now)):
        if then.get(name) != now.get(name):
            yield _was(f"{name} in its configuration", then.get(name), now.get(name))


_COMPARED_AS_TEXT = (
    *("requested_layer", "origin", "preprocessing", "output", "activation"),
    *("device", "dtype"),
)
"""Fields of a model of which `diff` shows both values."""


def _methods(a: Content, b: Content) -> Iterator[Found]:
    yield from _members([method.name for method in a.methods], [method.name for method in b.methods])
    methods = {method.name: method for method in a.methods}
    for method in b.methods:
        yield from _about(method.name, _fields(methods.get(method.name, method), method))


def _requested_targets(a: Content, b: Content) -> Iterator[Found]:
    yield from _members(_targets(a), _targets(b))


def _settings(a: Content, b: Content) -> Iterator[Found]:
    yield from _fields(a.style, b.style)
    for name in ("fit", "embedded"):
        if getattr(a, name) != getattr(b, name):
            yield _was(name, getattr(a, name), getattr(b, name), str)


def _data_set(a: Content, b: Content) -> Iterator[Found]:
    then, now = a.data_set or None, b.data_set or None
    if then is None or now is None:
        if then is not now:
            yield "what the whole data set came to was " + ("left out" if now is None else "added")
        return
    for name in _OF_DATA_SET:
        if getattr(then, name) != getattr(now, name):
            yield _was(name, getattr(then, name), getattr(now, name), str)
    for name in ("labels", "confusions", "measures", "differences"):
        if getattr(then, name) != getattr(now, name):
            yield f"its {name} are others"
    before, after = _candidates(a, then), _candidates(b, now)
    yield from (f"the candidate {found}" for found in _members(list(before), list(after)))
    for name, candidate in after.items():
        yield from _about(f"the candidate {name}", _candidate(before.get(name, candidate), candidate))


def _candidates(report: Content, found: DataSetEntry) -> dict[str, CandidateEntry]:
    """The candidates by class, model and strongest photo; of two with one strongest photo the second is `… (2)`."""
    seen: Counter[str] = Counter()
    named: dict[str, CandidateEntry] = {}
    for one in found.candidates:
        name = " · ".join((one.label, report.models[one.model].id, *one.strongest[:1]))
        seen[name] += 1
        named[name if seen[name] == 1 else f"{name} ({seen[name]})"] = one
    return named


def _candidate(one: CandidateEntry, other: CandidateEntry) -> Iterator[Found]:
    for name in ("score", "members", "others", "channels", "status"):
        if getattr(one, name) != getattr(other, name):
            yield _was(name, getattr(one, name), getattr(other, name))
    for name, words in _MORE_OF_CANDIDATES.items():
        if getattr(one, name) != getattr(other, name):
            yield f"{words} are others"


_OF_DATA_SET = (
    *("name", "chosen", "method", "target", "label_count"),
    *("photos", "maps", "failed", "planned", "evidence"),
)
"""Fields of a data set of which `diff` shows both values."""
_MORE_OF_CANDIDATES = {
    "right": "the shares of right answers",
    "strongest": "its strongest photos",
    "member_heat": "the values of its mean map",
    "other_heat": "the values of the mean map of the others",
    "notes": "its notes",
}
"""Fields of a candidate whose values `diff` does not show, in words."""


def _predictions(a: Content, b: Content) -> Iterator[Found]:
    then = {_answer_key(a, answer): answer for answer in a.answers}
    for answer in b.answers:
        before = then.get(_answer_key(b, answer))
        if before is None or not before.predictions or not answer.predictions:
            continue
        was, now = before.predictions[0], answer.predictions[0]
        if was.label != now.label or abs(was.probability - now.probability) >= 0.0005:
            where = f"{b.photos[answer.photo].name} · {b.model_names[answer.model]}"
            before, after = (f"{one.label} {percent(one.probability)}" for one in (was, now))
            yield Change("", f"{where}: was {before}, is {after}", where, before, after)


@dataclass(frozen=True)
class ChangedPanel:
    """A panel that is in both reports and not the same: what it shows, what changed, and it in either report."""

    title: str
    statement: str
    before: Finding
    after: Finding


def changed_panels(a: Content, b: Content) -> tuple[ChangedPanel, ...]:
    """The panels of `b` whose map or class is another than in `a`, beyond what arithmetic makes of the same."""
    expect(Content, a, b)
    return tuple(panel for panel in _compared_panels(a, b) if panel.statement not in ("", WITHIN))


def _compared_panels(a: Content, b: Content) -> Iterator[ChangedPanel]:
    """Every panel that is in both reports, changed or not."""
    then = dict(zip(_finding_keys(a), a.findings, strict=True))
    for key, after in zip(_finding_keys(b), b.findings, strict=True):
        if before := then.get(key):
            title = (b.photos[after.photo].name, b.model_names[after.model], request_text(b, after))
            yield ChangedPanel(" · ".join(title), _map_caption(before, after), before, after)


def _maps(a: Content, b: Content) -> Iterator[Found]:
    alike: Counter[str] = Counter()
    for panel in _compared_panels(a, b):
        if panel.statement in ("", WITHIN):
            alike[panel.statement] += 1
        else:
            yield f"{panel.title}: {panel.statement}"
    if alike[WITHIN]:
        yield f"{count(alike[WITHIN], 'panel')} {WITHIN}"
    if alike[""] and alike[""] < len(b.findings):
        yield f"{count(alike[''], 'panel')} the same"


def _map_caption(one: Finding, other: Finding) -> str:
    """What is different between two panels; empty if nothing is."""
    if isinstance(one, FailureEntry) or isinstance(other, FailureEntry):
        then, now = (
            f"failed ({side.reason})" if isinstance(side, FailureEntry) else "had a map" for side in (one, other)
        )
        return "" if then == now else f"then it {then}, now it {now}"
    then, now = one.values, other.values
    if then.shape != now.shape:
        return f"the grid was {dimensions(*then.shape)} and is {dimensions(*now.shape)}"
    if str(one.scored) != str(other.scored):
        return f"the class was {one.scored} and is {other.scored}"
    if np.array_equal(then, now):
        return ""
    largest, share = largest_difference(then, now)
    return WITHIN if share <= TOLERANCE else difference_caption(largest, share)


def largest_difference(then: NDArray[np.float32], now: NDArray[np.float32]) -> tuple[float, float]:
    """The largest difference of any cell of two maps `[h, w]`: in raw units, and as a share of the first's peak."""
    largest = float(np.abs(then - now).max())
    return largest, largest / max(float(np.abs(then).max()), float(np.finfo(np.float32).tiny))


def difference_caption(largest: float, share: float) -> str:
    return f"largest difference {largest:.3g}, {100 * share:.3g} % of the peak"


def _fields(one: Any, other: Any) -> Iterator[Change]:
    """Every field of two values of one dataclass that is not the same."""
    for field in fields(one):
        was, now = getattr(one, field.name), getattr(other, field.name)
        if was != now:
            yield _was(field.name, was, now)


def _about(name: str, changes: Iterable[Found]) -> Iterator[Found]:
    """The same, said of something by its name."""
    for change in changes:
        if isinstance(change, str):
            yield f"{name}: {change}"
        else:
            yield replace(change, statement=f"{name}: {change.statement}", what=f"{name}: {change.what}")


def _was(what: str, was: Any, now: Any, tell: Callable[[Any], str] | None = None) -> Change:
    """A value that is another now. tell: how the sentence tells either; by default long texts are cut there."""
    tell = tell or _value
    return Change("", f"{what} was {tell(was)} and is {tell(now)}", what, _whole(was), _whole(now))


def _whole(value: Any) -> str:
    if isinstance(value, tuple):
        return "\n".join(str(item) for item in value)
    return str(value)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value) or "empty"
    text = str(value) or "empty"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _members(then: Sequence[str], now: Sequence[str], names: dict[str, str] | None = None) -> Iterator[str]:
    names = names or {}
    before, after = set(then), set(now)
    yield from (f"{names.get(one, one)} was left out" for one in then if one not in after)
    yield from (f"{names.get(one, one)} was added" for one in now if one not in before)


def _names(a: Content, b: Content) -> dict[str, str]:
    return {photo.sha256: photo.name for photo in (*a.photos, *b.photos)}


def _model_names(a: Content, b: Content) -> dict[str, str]:
    """What people call the models of both, by id; the id where two are called the same."""
    ids = dict.fromkeys(model.id for model in (*a.models, *b.models))
    called = [display_name(id) for id in ids]
    return {id: name if called.count(name) == 1 else id for id, name in zip(ids, called, strict=True)}


def _by_hash(report: Content) -> dict[str, PhotoEntry]:
    return {photo.sha256: photo for photo in report.photos}


def _shared(then: dict[str, PhotoEntry], now: dict[str, PhotoEntry]) -> Iterator[tuple[PhotoEntry, PhotoEntry]]:
    yield from ((then[key], now[key]) for key in now if key in then)


def _answer_key(report: Content, answer: Answer) -> tuple[str, str]:
    return report.photos[answer.photo].sha256, report.models[answer.model].id


def _finding_keys(report: Content) -> list[tuple[str, str, str, str]]:
    """A key for each panel that is the same in every report."""
    targets = _targets(report)
    return [
        (
            report.photos[finding.photo].sha256,
            report.models[finding.model].id,
            report.methods[finding.method].name,
            targets[finding.target],
        )
        for finding in report.findings
    ]


def _targets(report: Content) -> list[str]:
    """The targets as texts, which are equal for equal targets."""
    return [write_target(entry.target) for entry in report.targets]
