"""The index of a run keeps up with its shards: every photo and unit as rows of SQLite.

It holds nothing that the shards do not, but for when each came. Whatever it lacks is read from the shards that the
manifest lists; who deletes it loses a minute.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from gradcam.errors import RunError, quoted
from gradcam.runs import measuring, shards
from gradcam.runs.data_set import Files
from gradcam.runs.index_tables import (
    AGREEMENTS,
    CONFUSIONS,
    FILE,
    MEANS,
    METADATA,
    PHOTOS,
    SHARDS,
    SLICES,
    UNITS,
    VERSION,
)
from gradcam.runs.manifest import PhotoRow, to_rows
from gradcam.runs.plan import Plan
from gradcam.runs.store import Shard, Store
from gradcam.types import View

_WAIT = 60_000
"""Milliseconds that a writer waits for another one."""


class KnownFile(NamedTuple):
    """A photo's file as the run knows it.

    state: bytes and time of change; None where there was no file, or it is not known. sha256: when a model saw it.
    failed: whether it could not be opened for some model.
    """

    number: int
    path: str
    state: tuple[int, int] | None
    sha256: str | None
    failed: bool


class Index:
    """The index in the folder of a run. Several processes may use it, and one of them at a time writes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._can_write = _can_write(folder)
        self._engine = _engine(self._path, self._can_write)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with _errors_as_sentences(self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction, which no other writer can come into. Raises: RunError for a disk that is full."""
        with (
            _errors_as_sentences(self._path),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    # ------------------------------------------------------------------------------- keeping up

    def prepare(self) -> bool:
        """Make the tables where there are none; throw an index of another version away.

        Returns: whether the index still has to be filled; it does until `mark_whole`, whoever was killed meanwhile.
        Raises: RunError where the tables have to be made and the folder cannot be written.
        """
        found = 0
        if self._path.exists():
            with self.reading() as connection:
                found = connection.exec_driver_sql("PRAGMA user_version").scalar()
        if found == VERSION:
            return False
        if not self._can_write:
            raise RunError(
                f"expected a folder that can be written, to make the index {quoted(self._path)}, got one that can "
                "only be read; copy the run, or let `gradcam run status` make it where it can be written"
            )
        if found != 0:
            for path in self._path.parent.glob(f"{FILE}*"):
                path.unlink(missing_ok=True)
        with self.writing() as connection:
            METADATA.create_all(connection)
        return True

    def mark_whole(self) -> None:
        """Say that the index has what the shards have, so that readers need not fill it."""
        with self.writing() as connection:
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def follow(self, store: Store, plan: Plan, files: Files | None = None) -> dict[tuple[int, int], Shard]:
        """Add what the folder of the run has and the index lacks. Returns: the shards that are finished.

        files: of the photos that the run begins with now. An index that is made anew does not know what state files
            were in when models saw them.
        """
        self.prepare()
        finished = store.finished()
        if (known := self.photos()) < plan.photos:
            rows = to_rows(store.photos(plan).slice(known))
            is_anew = bool(finished) and not known
            states = (None if files is None or is_anew else files.state(row.path) for row in rows)
            self.add_photos(known, rows, states)
        self.catch_up(store, plan, finished)
        return finished

    def add_photos(self, first: int, rows: Iterable[PhotoRow], states: Iterable[tuple[int, int] | None]) -> None:
        """Photos that are new to the run. first: the number of the first. states: of their files, see `Files`."""
        photos, slices = [], []
        for number, (row, state) in enumerate(zip(rows, states, strict=True), start=first):
            size, changed = state or (None, None)
            columns = json.dumps(dict(row.columns), ensure_ascii=False, sort_keys=True)
            photos.append(
                {"photo": number, "path": row.path, "label": row.label, "columns": columns}
                | {"bytes": size, "changed": changed}
            )
            slices += [{"photo": number, "name": name, "value": value} for name, value in row.columns.items()]
        with self.writing() as connection:
            for table, values in ((PHOTOS, photos), (SLICES, slices)):
                if values:
                    connection.execute(table.insert().prefix_with("OR IGNORE"), values)

    def photos(self) -> int:
        """How many photos the index knows."""
        with self.reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(PHOTOS)).scalar_one()

    def catch_up(self, store: Store, plan: Plan, finished: Mapping[tuple[int, int], Shard]) -> None:
        """Read every finished shard that the index lacks."""
        with self.reading() as connection:
            indexed = {tuple(row) for row in connection.execute(sa.select(SHARDS.c.column, SHARDS.c.batch))}
        for position, shard in sorted(finished.items()):
            if position not in indexed:
                self.add_shard(store, plan, shard, finished)

    def add_shard(self, store: Store, plan: Plan, shard: Shard, finished: Mapping[tuple[int, int], Shard]) -> int:
        """The units of a finished shard, and what they come to beside those of other models that are in the index.

        Returns: how many of them failed.
        """
        numbers = shards.read_numbers(str(store.path(shard)))
        with self.writing() as connection:
            if not plan.columns[shard.column].prepared:
                _add_units(connection, store, plan, shard, numbers, finished)
            failed = sum(row["reason"] is not None for row in numbers)
            values = {"column": shard.column, "batch": shard.batch, "rows": len(numbers), "failed": failed}
            connection.execute(SHARDS.insert().prefix_with("OR REPLACE"), [values | {"at": time.time()}])
        return failed

    def forget(self, shard: Shard) -> None:
        """Forget that it has a shard, so that it reads the next one in its place."""
        here = SHARDS.c.column == shard.column, SHARDS.c.batch == shard.batch
        with self.writing() as connection:
            connection.execute(SHARDS.delete().where(*here))

    # ------------------------------------------------------------------------------- asking

    def sha256s(self, first: int, stop: int) -> list[str | None]:
        """The hashes of photos that a model has seen already, None of others."""
        wanted = sa.select(PHOTOS.c.sha256).where(PHOTOS.c.photo >= first, PHOTOS.c.photo < stop)
        with self.reading() as connection:
            return list(connection.execute(wanted.order_by(PHOTOS.c.photo)).scalars())

    def sha256_of(self, path: str) -> str | None:
        """The hash of the photo at a path of the data set; None if no model has seen it."""
        with self.reading() as connection:
            return connection.execute(sa.select(PHOTOS.c.sha256).where(PHOTOS.c.path == path)).scalar()

    def states(self) -> Iterator[KnownFile]:
        """What is known of each photo's file."""
        names = ("photo", "path", "bytes", "changed", "sha256", "reason")
        wanted = sa.select(*(PHOTOS.c[name] for name in names)).order_by(PHOTOS.c.photo)
        with self.reading() as connection:
            for row in connection.execute(wanted):
                state = None if row.bytes is None or row.changed is None else (row.bytes, row.changed)
                yield KnownFile(row.photo, row.path, state, row.sha256, row.reason is not None)

    def note_states(self, states: Mapping[int, tuple[int, int]]) -> None:
        """Note bytes and time of change of photos' files, by number."""
        rows = [{"number": number, "size": size, "at": at} for number, (size, at) in states.items()]
        if rows:
            here = PHOTOS.update().where(PHOTOS.c.photo == sa.bindparam("number"))
            with self.writing() as connection:
                connection.execute(here.values(bytes=sa.bindparam("size"), changed=sa.bindparam("at")), rows)

    def failed(self, columns: Iterable[int]) -> int:
        """How many units of these columns have no map."""
        failed = sa.select(sa.func.coalesce(sa.func.sum(SHARDS.c.failed), 0))
        with self.reading() as connection:
            return connection.execute(failed.where(SHARDS.c.column.in_(columns))).scalar_one()

    def shards(self) -> int:
        """How many shards it has."""
        with self.reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(SHARDS)).scalar_one()

    def unmeasured(self) -> list[str]:
        """The paths of photos with heat of which it is not known how much lies outside of a box or mask."""
        wanted = sa.select(PHOTOS.c.path).join(UNITS, UNITS.c.photo == PHOTOS.c.photo)
        has_heat = UNITS.c.on_border.is_not(None)
        wanted = wanted.where(UNITS.c.outside_box.is_(None), has_heat).distinct().order_by(PHOTOS.c.photo)
        with self.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def rate(self, since: float) -> float | None:
        """Units a second between the first and the last shard since then; None where there are not two."""
        recent = sa.select(SHARDS.c.at, SHARDS.c.rows).where(SHARDS.c.at >= since).order_by(SHARDS.c.at)
        with self.reading() as connection:
            found = connection.execute(recent).all()
        seconds = found[-1][0] - found[0][0] if found else 0.0
        return sum(rows for _, rows in found[1:]) / seconds if seconds > 0 else None


# ------------------------------------------------------------------------------- what a shard comes to


def _add_units(
    connection: sa.Connection,
    store: Store,
    plan: Plan,
    shard: Shard,
    numbers: Sequence[Mapping[str, Any]],
    finished: Mapping[tuple[int, int], Shard],
) -> None:
    others = _other_shards(connection, shard, plan, finished)
    model = plan.columns[shard.column].model
    units = [_unit(numbered, row, shard, model, plan) for row, numbered in enumerate(numbers)]
    connection.execute(UNITS.insert().prefix_with("OR REPLACE"), units)
    connection.execute(MEANS.delete().where(MEANS.c.model == model))  # they hold for other maps
    connection.execute(CONFUSIONS.delete())
    _describe_photos(connection, numbers)
    if agreements := _agreements(store, shard, numbers, others, plan):
        connection.execute(AGREEMENTS.insert().prefix_with("OR REPLACE"), agreements)
    summarize(connection, numbers[0]["photo"], numbers[-1]["photo"])


def _unit(row: Mapping[str, Any], number: int, shard: Shard, model: int, plan: Plan) -> dict[str, Any]:
    """A row of a shard as a row of `UNITS`."""
    names, top = plan.models[model].classes, row["top"]
    same = ("photo", "method", "target", "key", "reason", "class_name", "score", "probability", "rank")
    known = top and row["label_class"] is not None
    return {name: row[name] for name in (*same, "peak", "mean", "positive", "outside_box", "on_border")} | {
        "model": model,
        "predicted": class_name(names, top[0]) if top else None,
        "predicted_probability": row["top_probabilities"][0] if top else None,
        "right": top[0] == row["label_class"] if known else None,
        "shard_column": shard.column,
        "shard_batch": shard.batch,
        "row": number,
    }


def class_name(names: Sequence[str], index: int) -> str:
    """The name of a class; a head with a single logit may have one name for its two classes."""
    return names[index] if len(names) > 1 else names[0] if index else f"not {names[0]}"


def _describe_photos(connection: sa.Connection, numbers: Sequence[Mapping[str, Any]]) -> None:
    """Hash, size and reason of the photos of a shard."""
    first = [next(group) for _, group in groupby(numbers, key=lambda row: row["photo"])]
    opened = [row for row in first if row["photo_sha256"]]
    failed = [row for row in first if not row["photo_sha256"]]
    here = PHOTOS.c.photo == sa.bindparam("number")
    if opened:
        values: dict[str, Any] = {"sha256": sa.bindparam("hash")}
        values |= {"height": sa.bindparam("h"), "width": sa.bindparam("w")}
        still = sa.exists().where(UNITS.c.photo == PHOTOS.c.photo, UNITS.c.reason == PHOTOS.c.reason)
        values["reason"] = sa.case((still, PHOTOS.c.reason))  # of another model; null once it was tried again
        connection.execute(
            PHOTOS.update().where(here).values(values),
            [
                {"number": row["photo"], "hash": row["photo_sha256"], "h": row["height"], "w": row["width"]}
                for row in opened
            ],
        )
    if failed:
        connection.execute(
            PHOTOS.update().where(here).values(reason=sa.bindparam("why")),
            [{"number": row["photo"], "why": row["reason"]} for row in failed],
        )


def _other_shards(
    connection: sa.Connection, shard: Shard, plan: Plan, finished: Mapping[tuple[int, int], Shard]
) -> list[Shard]:
    """The shards of other models that are in the index with the same photos and some of the same questions."""
    there = connection.execute(sa.select(SHARDS.c.column).where(SHARDS.c.batch == shard.batch)).scalars()
    mine = plan.columns[shard.column]
    return [
        finished[number, shard.batch]
        for number in sorted(there)
        if (other := plan.columns[number]).model != mine.model
        and not other.prepared
        and set(other.methods) & set(mine.methods)
        and set(other.targets) & set(mine.targets)
        and (number, shard.batch) in finished
    ]


class _PhotoMap(NamedTuple):
    """Names of the explained class and of the first prediction, and the map on the photo."""

    explained: str
    predicted: str
    map: NDArray[np.float32]


def _photo_maps(
    path: str, numbers: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[tuple[int, str, str], _PhotoMap]:
    """By photo, method and target. names: of the model's classes."""
    maps: dict[tuple[int, str, str], _PhotoMap] = {}
    for row, raw in zip(numbers, shards.read_arrays(path, "map"), strict=True):
        if raw is not None:
            size = (row["height"], row["width"])
            left, top, right, bottom = row["view"]
            view = View((left, top, right, bottom), size, (1, 1), "crop")
            unit = row["photo"], row["method"], row["target"]
            maps[unit] = _PhotoMap(
                row["class_name"], class_name(names, row["top"][0]), measuring.heat_on_photo(raw, view)
            )
    return maps


def _agreements(
    store: Store, shard: Shard, numbers: Sequence[Mapping[str, Any]], others: Sequence[Shard], plan: Plan
) -> list[dict[str, Any]]:
    """How far the maps of a shard agree with those of other models."""
    if not others:
        return []
    a, found = plan.columns[shard.column].model, []
    mine = _photo_maps(str(store.path(shard)), numbers, plan.models[a].classes)
    for other in others:
        path, b = str(store.path(other)), plan.columns[other.column].model
        theirs = _photo_maps(path, shards.read_numbers(path), plan.models[b].classes)
        for unit in mine.keys() & theirs.keys():
            one, another = mine[unit], theirs[unit]
            pair = (one.map, another.map) if a < b else (another.map, one.map)
            correlation, iou = measuring.agreement(*pair)
            found.append(
                dict(zip(("photo", "method", "target"), unit, strict=True))
                | {"a": min(a, b), "b": max(a, b), "same_class": one.explained == another.explained}
                | {"same_prediction": one.predicted == another.predicted}
                | {"rank_correlation": correlation, "iou": iou}
            )
    return found


def summarize(connection: sa.Connection, first: int, last: int) -> None:
    """Work out the columns of photos that sum up their units, from the first to the last of these photos."""

    def of_units(value: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> Any:
        return sa.select(value).where(UNITS.c.photo == PHOTOS.c.photo, *conditions).scalar_subquery()

    probability = UNITS.c.predicted_probability
    agreement = sa.select(sa.func.min(AGREEMENTS.c.rank_correlation)).where(AGREEMENTS.c.photo == PHOTOS.c.photo)
    values = {
        "agreement": agreement.scalar_subquery(),
        "same_class": of_units(sa.func.count(sa.distinct(UNITS.c.predicted)) == 1),
        "wrong_confidence": of_units(sa.func.max(probability), UNITS.c.right.is_(False)),
        "confidence": of_units(sa.func.min(probability)),
        "outside_box": of_units(sa.func.max(UNITS.c.outside_box)),
        "on_border": of_units(sa.func.max(UNITS.c.on_border)),
        "likeness": of_units(sa.func.min(UNITS.c.likeness)),
    }
    connection.execute(PHOTOS.update().where(PHOTOS.c.photo.between(first, last)).values(values))


# ------------------------------------------------------------------------------- SQLite


@lru_cache(64)
def _engine(path: Path, can_write: bool) -> sa.Engine:
    """What opens an index for each use of it, and keeps no connection: the file may be deleted, the process forked.

    It is kept itself, for it knows the statements that it has compiled once, and a page asks twenty.
    """
    connect = partial(_connect, path, can_write)
    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.NullPool)
    event.listen(engine, "connect", _prepare if can_write else _prepare_to_read)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """What every connection starts with; waiting for a writer comes first, for the others may have to wait."""
    connection.isolation_level = None  # the driver begins no transaction by itself
    for pragma in (f"busy_timeout = {_WAIT}", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare_to_read(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _connect(path: Path, can_write: bool) -> sqlite3.Connection:
    """Open an index, also in a folder that cannot be written, where SQLite makes no files beside it.

    Without a log of writes beside it nobody writes it there, and SQLite, which asks for a log, is told so.
    """
    if can_write:
        return sqlite3.connect(path, check_same_thread=False)  # an iterator may end in another thread
    has_log = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?{'mode=ro' if has_log else 'immutable=1'}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _begin(connection: sa.Connection) -> None:
    """A writer takes its turn at once, so that it never has to give up what it has read."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _errors_as_sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise RunError(
            f"expected to use the index {quoted(path)}, but SQLite says {quoted(str(error.orig), 120)}; free some "
            "space, or delete the index, which is made anew"
        ) from error
