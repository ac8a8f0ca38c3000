"""What a run comes to by class: mean maps and how like them each map is, and what is taken for what.

It is worked out at a run's end, in one pass over the shards.

Maps are compared on the model's own grid, in shares of their own peak, so that a strong map counts no more than a
faint one. The class of a photo is its label, or what the model predicts where it has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from gradcam.runs import shards
from gradcam.runs.index import Index, summarize
from gradcam.runs.index_tables import CONFUSIONS, MEANS, PHOTOS, UNITS
from gradcam.runs.plan import Plan
from gradcam.runs.queries import confusions
from gradcam.runs.store import Shard, Store
from gradcam.scaling import normalize

Values = NDArray[np.float32]
Group = tuple[str, str, str]
"""Method, target and class."""


@dataclass
class _Sum:
    """What the maps of a group add up to, and how many they are."""

    total: NDArray[np.float64]
    photos: int = 0

    def add(self, heat: Values) -> None:
        self.total += heat
        self.photos += 1

    @property
    def mean(self) -> Values:
        return (self.total / self.photos).astype(np.float32)


@dataclass
class _Column:
    """One column's finished shards, and the index to read what their units are."""

    index: Index
    store: Store
    plan: Plan
    number: int
    finished: Mapping[tuple[int, int], Shard]
    model: int = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.plan.columns[self.number].model

    def maps(self) -> Iterator[list[tuple[int, Group, Values]]]:
        """Shard by shard: photo, group and map `[h, w]`, as shares of its peak, of each unit that has one."""
        for batch in self.plan.batches():
            if shard := self.finished.get((self.number, batch.number)):
                groups = self._groups(batch.start, batch.stop)
                raw = shards.read_arrays(str(self.store.path(shard)), "map")
                yield [
                    (photo, group, normalize(values).values)
                    for row, (photo, group) in groups.items()
                    if (values := raw[row]) is not None
                ]

    def _groups(self, start: int, stop: int) -> dict[int, tuple[int, Group]]:
        """Photo and group of each unit of a batch that has a map, by its row."""
        class_name = sa.func.coalesce(PHOTOS.c.label, UNITS.c.predicted)
        wanted = (
            sa.select(UNITS.c.row, UNITS.c.photo, UNITS.c.method, UNITS.c.target, class_name)
            .join(PHOTOS, PHOTOS.c.photo == UNITS.c.photo)
            .where(UNITS.c.photo >= start, UNITS.c.photo < stop, UNITS.c.model == self.model)
            .where(UNITS.c.shard_column == self.number, UNITS.c.reason.is_(None))
        )
        with self.index.reading() as connection:
            found = connection.execute(wanted).all()
        return {row: (photo, (method, target, name)) for row, photo, method, target, name in found}


def update(index: Index, store: Store, plan: Plan, finished: Mapping[tuple[int, int], Shard]) -> None:
    """Work out the mean maps of all models that have none, and the likeness of their maps; count confusions."""
    with index.reading() as connection:
        there = set(connection.execute(sa.select(MEANS.c.model).distinct()).scalars())
    missing: dict[int, list[_Column]] = {}
    for number, column in enumerate(plan.columns):
        if not column.prepared and column.model not in there:
            missing.setdefault(column.model, []).append(_Column(index, store, plan, number, finished))
    for model, columns in missing.items():
        sums: dict[Group, _Sum] = {}
        for column in columns:
            sums |= (mine := _sums(column))
            means = {group: found.mean for group, found in mine.items()}
            for found in column.maps():
                alike = [(photo, group, likeness(heat, means[group])) for photo, group, heat in found]
                _write_likeness(index, model, alike)
        _write_means(index, model, sums)  # last, and at once: a model that has means has all of it
    with index.writing() as connection:
        if connection.execute(sa.select(CONFUSIONS.c.model).limit(1)).first() is None:
            names = [column.name for column in CONFUSIONS.columns]
            connection.execute(CONFUSIONS.insert().from_select(names, confusions()))


def likeness(heat: Values, mean: Values) -> float | None:
    """Pearson's correlation of two maps of one grid, in [−1, 1]; None where one of them is flat."""
    a, b = (values.ravel().astype(np.float64) - values.mean(dtype=np.float64) for values in (heat, mean))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / scale, -1, 1)) if scale > 0 else None


def _sums(column: _Column) -> dict[Group, _Sum]:
    sums: dict[Group, _Sum] = {}
    for found in column.maps():
        for _, group, heat in found:
            sums.setdefault(group, _Sum(np.zeros(heat.shape, np.float64))).add(heat)
    return sums


def _write_means(index: Index, model: int, sums: Mapping[Group, _Sum]) -> None:
    rows = [
        dict(zip(("method", "target", "class_name"), group, strict=True))
        | {"model": model, "photos": found.photos, "map": found.mean.tobytes()}
        | dict(zip(("height", "width"), found.total.shape, strict=True))
        for group, found in sums.items()
    ]
    if rows:
        with index.writing() as connection:
            connection.execute(MEANS.insert().prefix_with("OR REPLACE"), rows)


def _write_likeness(index: Index, model: int, found: list[tuple[int, Group, float | None]]) -> None:
    rows = [{"p": photo, "me": method, "t": target, "like": like} for photo, (method, target, _), like in found]
    if not rows:
        return
    here = {UNITS.c.photo: "p", UNITS.c.method: "me", UNITS.c.target: "t"}
    update = UNITS.update().where(
        UNITS.c.model == model, *(column == sa.bindparam(name) for column, name in here.items())
    )
    with index.writing() as connection:
        connection.execute(update.values(likeness=sa.bindparam("like")), rows)
        summarize(connection, min(row["p"] for row in rows), max(row["p"] for row in rows))
