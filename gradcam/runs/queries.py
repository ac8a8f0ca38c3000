"""Queries of a run's index: photos in an order, units, and what they come to. No query opens a shard."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from gradcam.kinds import expect_one_of
from gradcam.runs.index import Index
from gradcam.runs.index_tables import AGREEMENTS, CONFUSIONS, MEANS, PHOTOS, SLICES, UNITS


@dataclass(frozen=True)
class Ranking:
    """An order of photos: by a column of `PHOTOS`, high or low values first.

    says: what comes first. same_class: only photos of which all models, or the two of a pair, predict one class, or
    only those of which they do not; None for all.
    """

    column: str
    high_first: bool
    says: str
    same_class: bool | None = None


RANKINGS: dict[str, Ranking] = {
    "disagreement": Ranking("agreement", False, "maps of two models agree least"),
    "same-answer": Ranking("agreement", False, "models predict the same class and look at different places", True),
    "same-place": Ranking("agreement", True, "models look at the same place and predict different classes", False),
    "confident-mistakes": Ranking("wrong_confidence", True, "a model is wrong and sure of it"),
    "doubt": Ranking("confidence", False, "a model's first prediction has a low probability"),
    "outside-box": Ranking("outside_box", True, "most heat lies outside the box or mask"),
    "border": Ranking("on_border", True, "most heat lies at the border of the photo"),
    "unlike": Ranking("likeness", False, "a map is least like the mean map of its class"),
    "like": Ranking("likeness", True, "all maps are like the mean maps of their class"),
}
"""What photos can be ranked by; those of which it cannot be said come last."""


class Pair(NamedTuple):
    """Two models, a before b in the plan, and the method and target by which they are compared."""

    a: int
    b: int
    method: str
    target: str


class Filter(TypedDict, total=False):
    """Which photos are meant; all that is given must fit.

    where: a value for `label`, `predicted` or a column of the manifest. slices: values of columns of the manifest,
    whatever they are called. pair: whose agreement counts in a ranking, in place of the lowest of any two models.
    confidence: the least and greatest probability that the most doubtful model may give its first prediction.
    among: paths of photos.
    """

    where: Mapping[str, str] | None
    slices: Mapping[str, str] | None
    pair: Pair | None
    confidence: tuple[float, float] | None
    among: Collection[str] | None


class Page(Filter, total=False):
    """Which of these photos are wanted: where the page begins, and how many it has; by default all."""

    first: int
    most: int | None


# ------------------------------------------------------------------------------- photos in an order


def ranked(index: Index, by: str | None = None, **page: Unpack[Page]) -> list[int]:
    """The numbers of photos, in the order of a ranking or of the run. by: a row of `RANKINGS`.

    Raises: OptionError for another ranking or column.
    """
    first, most = page.pop("first", 0), page.pop("most", None)
    with index.reading() as connection:
        return list(connection.execute(ranking(index, by, page).limit(most).offset(first)).scalars())


def how_many(index: Index, by: str | None = None, **wanted: Unpack[Filter]) -> int:
    """How many photos a ranking has. Raises: what `ranked` raises."""
    photos = ranking(index, by, wanted).order_by(None).subquery()
    with index.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(photos)).scalar_one()


def rankings(index: Index) -> list[str]:
    """The rows of `RANKINGS` that can say something of any photo: without boxes, none has heat outside them."""
    columns = sorted({row.column for row in RANKINGS.values()})
    asked = [sa.exists().where(PHOTOS.c[column].is_not(None)).label(column) for column in columns]
    with index.reading() as connection:
        known = connection.execute(sa.select(*asked)).mappings().one()
    return [name for name, row in RANKINGS.items() if known[row.column]]


def ranking(index: Index, by: str | None, wanted: Filter) -> sa.Select[Any]:
    """The query of `ranked`."""
    chosen = list(_chosen(index, wanted))
    if by is None:
        photo = PHOTOS.c.photo
        return sa.select(photo).where(*(photo.in_(some) for some in chosen)).order_by(photo)
    row, (photo, value, same, of_pair) = _row(by), _measure(by, wanted.get("pair"))
    # + 0: else SQLite looks up photo by photo, in rows that are wide, and sorts what it found
    photos = sa.select(photo).where(*of_pair, *((photo + 0).in_(some) for some in chosen))
    if row.same_class is not None:
        photos = photos.where(same.is_(row.same_class), value.is_not(None))
    return photos.order_by((value.desc() if row.high_first else value.asc()).nulls_last(), photo)


def ranked_by(index: Index, by: str, photos: Sequence[int], pair: Pair | None = None) -> dict[int, float]:
    """The numbers by which a ranking puts these photos in order, of those of which it is known.

    Raises: OptionError for another ranking.
    """
    photo, value, _, of_pair = _measure(by, pair)
    wanted = sa.select(photo, value).where(*of_pair, value.is_not(None))
    with index.reading() as connection:
        return {
            row[0]: row[1] for some in _blocks(photos) for row in connection.execute(wanted.where(photo.in_(some)))
        }


BLOCK = 10_000
"""Photos that one statement names at most: SQLite takes 32,766 parameters, where it was not built to take more."""


def _blocks(photos: Sequence[int]) -> Iterator[Sequence[int]]:
    return (photos[at : at + BLOCK] for at in range(0, len(photos), BLOCK))


def _row(by: str) -> Ranking:
    expect_one_of(RANKINGS, by, "a ranking")
    return RANKINGS[by]


class _Measure(NamedTuple):
    """The columns that a ranking reads, and the conditions for rows of one table or the other."""

    photo: sa.ColumnElement[int]
    value: sa.ColumnElement[float]
    same_class: sa.ColumnElement[bool]
    where: list[sa.ColumnElement[bool]]


def _measure(by: str, pair: Pair | None) -> _Measure:
    """What a ranking reads: the agreement of a pair, else what all units of a photo come to."""
    column = _row(by).column
    if pair and column == "agreement":
        pairs = AGREEMENTS.c
        of_pair = [pairs[name] == value for name, value in pair._asdict().items()]
        return _Measure(pairs.photo, pairs.rank_correlation, pairs.same_prediction, of_pair)
    return _Measure(PHOTOS.c.photo, PHOTOS.c[column], PHOTOS.c.same_class, [])


def _chosen(index: Index, wanted: Filter) -> Iterator[sa.Select[Any]]:
    """For each filter the photos that pass it, read from an index."""
    photos = sa.select(PHOTOS.c.photo)
    for name, value in (wanted.get("where") or {}).items():
        yield _with_value(index, name, value)
    for name, value in (wanted.get("slices") or {}).items():
        yield _in_slice(name, value)
    if confidence := wanted.get("confidence"):
        yield photos.where(PHOTOS.c.confidence.between(*confidence))
    if (among := wanted.get("among")) is not None:
        paths = sa.func.json_each(json.dumps(sorted(among))).table_valued("value")
        yield photos.where(PHOTOS.c.path.in_(sa.select(paths.c.value)))


def _with_value(index: Index, name: str, value: str) -> sa.Select[Any]:
    """The photos that have a value under the name of a filter."""
    if name == "label":
        return sa.select(PHOTOS.c.photo).where(PHOTOS.c.label == value)
    if name == "predicted":
        return sa.select(UNITS.c.photo).where(UNITS.c.predicted == value)
    known = ["label", "predicted", *slices(index)]
    expect_one_of(known, name, "a column to filter by")
    return _in_slice(name, value)


def _in_slice(name: str, value: str) -> sa.Select[Any]:
    return sa.select(SLICES.c.photo).where(SLICES.c.name == name, SLICES.c.value == value)


def slices(index: Index) -> list[str]:
    """The further columns of the manifest."""
    with index.reading() as connection:
        return list(connection.execute(sa.select(SLICES.c.name).distinct().order_by(SLICES.c.name)).scalars())


MOST_CHOICES = 1_000
"""Values of one column that are offered to filter by."""


def choices(index: Index, name: Literal["label", "predicted"]) -> dict[str, int]:
    """The labels of photos, or what models predict of them, at most `MOST_CHOICES`, and of how many photos."""
    if name == "label":
        return _counted(index, PHOTOS.c.label)
    each = sa.select(UNITS.c.predicted, UNITS.c.photo).distinct().subquery()
    return _counted(index, each.c.predicted)


def slice_choices(index: Index, name: str) -> dict[str, int]:
    """The values in a column of the manifest, sorted, at most `MOST_CHOICES`; how many photos have each."""
    return _counted(index, SLICES.c.value, SLICES.c.name == name)


def _counted(index: Index, column: sa.ColumnElement[str], *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    wanted = sa.select(column, sa.func.count()).where(column.is_not(None), *conditions)
    with index.reading() as connection:
        rows = connection.execute(wanted.group_by(column).order_by(column).limit(MOST_CHOICES))
        return {row[0]: row[1] for row in rows}


# ------------------------------------------------------------------------------- units


def units(index: Index, photos: Sequence[int] | None = None) -> Iterator[sa.RowMapping]:
    """Units with the columns of their photo, in order: of these photos, or of all."""
    names = ("path", "label", "columns", "sha256", "height", "width", "agreement", "same_class")
    wanted = sa.select(UNITS, *(PHOTOS.c[name] for name in names)).join(PHOTOS, PHOTOS.c.photo == UNITS.c.photo)
    wanted = wanted.order_by(UNITS.c.photo, UNITS.c.model, UNITS.c.method, UNITS.c.target)
    with index.reading() as connection:
        for group in [None] if photos is None else _blocks(photos):
            chosen = wanted if group is None else wanted.where(UNITS.c.photo.in_(group))
            yield from connection.execute(chosen.execution_options(yield_per=2000)).mappings()


MEASURES = {
    "outside_box": "Share of the heat outside the box",
    "on_border": "Share of the heat on the photo's border",
    "likeness": "Correlation with the mean map of its class",
    "predicted_probability": "Probability of the first prediction",
    "positive": "Share of the grid with heat",
}
"""Columns of units whose distribution is worth a look, and what they are called."""


def measured(
    index: Index, measure: str, method: str, target: str, label: str | None = None
) -> dict[int, dict[int, float]]:
    """A measure of each unit of one method and target, by photo and model. label: of the photos; by default all.

    Raises: OptionError for no row of `MEASURES`.
    """
    expect_one_of(MEASURES, measure, "a measure of a unit")
    wanted = sa.select(UNITS.c.photo, UNITS.c.model, UNITS.c[measure]).where(
        UNITS.c.method == method, UNITS.c.target == target, UNITS.c[measure].is_not(None)
    )
    if label is not None:
        wanted = wanted.where(UNITS.c.photo.in_(sa.select(PHOTOS.c.photo).where(PHOTOS.c.label == label)))
    found: dict[int, dict[int, float]] = {}
    with index.reading() as connection:
        for photo, model, value in connection.execute(wanted):
            found.setdefault(photo, {})[model] = value
    return found


class Confused(NamedTuple):
    """Photos of a label of which a model predicts a class first. agreement: the mean of theirs; None if unknown."""

    label: str
    predicted: str
    photos: int
    agreement: float | None


def confusion(index: Index, model: int, method: str, target: str) -> list[Confused]:
    """How often a model predicts which class of which label; counted now where a run has not ended yet."""
    with index.reading() as connection:
        for wanted in (sa.select(CONFUSIONS).subquery(), confusions().subquery()):
            mine = sa.select(*(wanted.c[name] for name in Confused._fields)).where(
                wanted.c.model == model, wanted.c.method == method, wanted.c.target == target
            )
            if rows := connection.execute(mine.order_by(wanted.c.label, wanted.c.predicted)).all():
                return [Confused(*row) for row in rows]
    return []


def confusions() -> sa.Select[Any]:
    """The query whose rows are those of `CONFUSIONS`."""
    group = (UNITS.c.model, UNITS.c.method, UNITS.c.target, PHOTOS.c.label, UNITS.c.predicted)
    counted = sa.func.count().label("photos"), sa.func.avg(PHOTOS.c.agreement).label("agreement")
    columns: list[sa.ColumnElement[Any]] = [*group, *counted]
    return (
        sa.select(*columns)
        .join(PHOTOS, PHOTOS.c.photo == UNITS.c.photo)
        .where(PHOTOS.c.label.is_not(None), UNITS.c.predicted.is_not(None))
        .group_by(*group)
    )


class Labelled(NamedTuple):
    """The photos of a label. right: the share that a model predicts right, by its position, where that is known."""

    label: str
    photos: int
    right: dict[int, float]


def labelled(index: Index) -> list[Labelled]:
    """How many photos each label has, sorted by label, and how often each model is right on them."""
    counts = sa.select(PHOTOS.c.label, sa.func.count()).where(PHOTOS.c.label.is_not(None)).group_by(PHOTOS.c.label)
    first = sa.select(UNITS.c.photo, UNITS.c.model, UNITS.c.right).where(UNITS.c.right.is_not(None))
    each = first.distinct().subquery()
    shares = (
        sa.select(PHOTOS.c.label, each.c.model, sa.func.avg(sa.cast(each.c.right, sa.Float)))
        .join(each, each.c.photo == PHOTOS.c.photo)
        .where(PHOTOS.c.label.is_not(None))
        .group_by(PHOTOS.c.label, each.c.model)
    )
    with index.reading() as connection:
        right: dict[str, dict[int, float]] = {}
        for label, model, share in connection.execute(shares):
            right.setdefault(label, {})[model] = share
        rows = connection.execute(counts.order_by(PHOTOS.c.label)).all()
    return [Labelled(label, photos, right.get(label, {})) for label, photos in rows]


class MeanMap(NamedTuple):
    """The mean map of a class, float32 `[h, w]` in shares of each map's peak. photos: how many it is of."""

    class_name: str
    photos: int
    map: NDArray[np.float32]


def lacks_means(index: Index, models: Iterable[int]) -> bool:
    """Whether a model, by its position, has maps and no mean maps: a run ended before it had worked them out."""
    with index.reading() as connection:
        there = set(connection.execute(sa.select(MEANS.c.model).distinct()).scalars())
        return any(
            connection.execute(
                sa.select(UNITS.c.photo).where(UNITS.c.model == model, UNITS.c.reason.is_(None)).limit(1)
            ).first()
            for model in models
            if model not in there
        )


def mean_maps(index: Index, model: int, method: str, target: str) -> list[MeanMap]:
    """The mean map of each class, those of most photos first; none before a run has ended for the first time."""
    wanted = sa.select(MEANS).where(MEANS.c.model == model, MEANS.c.method == method, MEANS.c.target == target)
    with index.reading() as connection:
        return [
            MeanMap(row.class_name, row.photos, np.frombuffer(row.map, np.float32).reshape(row.height, row.width))
            for row in connection.execute(wanted.order_by(MEANS.c.photos.desc(), MEANS.c.class_name))
        ]
