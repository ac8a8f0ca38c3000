"""Read a run: its status, units, arrays and views. Nothing is computed here but `compare`."""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from gradcam.comparison import Comparison
from gradcam.errors import RunError, check_kind, quoted
from gradcam.kinds import expect_one_of
from gradcam.layers import read_layer
from gradcam.photo_file import open_photos
from gradcam.runs import class_means, queries, shards
from gradcam.runs.data_set import Files, open_one, read_data, read_one
from gradcam.runs.index import Index, class_name
from gradcam.runs.plan import LABEL, Plan, PlannedModel, encode
from gradcam.runs.queries import Confused, Filter, Labelled, MeanMap, Page, Pair
from gradcam.runs.shards import ARRAYS
from gradcam.runs.store import Shard, Store
from gradcam.targets import parse_target, write_target
from gradcam.text import count
from gradcam.types import Photo, Target, Top, View

if TYPE_CHECKING:
    from gradcam._compare import OnProgress, Use
    from gradcam.models import Classifier

Values = NDArray[np.float32]

RATE_SECONDS = 600.0
"""The rate of a run counts the shards of this many past seconds."""


@dataclass(frozen=True)
class Status:
    """The progress of a run, in units. Those that `prepare` adds count only until it has them all.

    state: `running` while a process computes it; `finished` once it has all maps and the mean map of each class.
    rate: units a second; None if nothing was computed lately.
    content: what it has so far, as `Run.evidence` hashes it: another run in the same folder has another.
    """

    state: Literal["running", "stopped", "finished"]
    photos: int
    models: tuple[str, ...]
    units: int
    done: int
    failed: int
    rate: float | None = None
    content: str = ""

    @property
    def seconds_left(self) -> float | None:
        return (self.units - self.done) / self.rate if self.rate and self.state == "running" else None


class Location(NamedTuple):
    """Where a unit's arrays are: the shard of this column and batch, and the row in it."""

    column: int
    batch: int
    row: int


@dataclass(frozen=True)
class Unit:
    """One unit of a run, photo × model × method × target, and its result.

    photo: its number in the run. path: the photo's path in the data set. key: the digest of its `PanelKey`.
    predicted, predicted_probability: the model's top class. right: whether that is the label; None if unknown.
    class_name, score, probability, rank: of the explained class.
    peak, mean, positive: the raw map's maximum and mean, and the share of its cells above 0.
    outside_box, on_border: shares of the heat. likeness: correlation with the mean map of the photo's class, known
    when the run has ended. reason: why there is no map; then the numbers are None.
    columns: the manifest's other columns. agreement, same_class: of the photo, see `index.PHOTOS`.
    location: where its arrays are.
    """

    photo: int
    path: str
    label: str | None
    model: str
    method: str
    target: str
    reason: str | None
    predicted: str | None
    predicted_probability: float | None
    right: bool | None
    class_name: str | None
    score: float | None
    probability: float | None
    rank: int | None
    peak: float | None
    mean: float | None
    positive: float | None
    outside_box: float | None
    on_border: float | None
    likeness: float | None
    agreement: float | None
    same_class: bool | None
    sha256: str | None
    key: str | None
    columns: Mapping[str, str]
    location: Location

    def __repr__(self) -> str:
        what = f"FAILED: {self.reason}" if self.reason else f"{self.class_name}, peak {self.peak:.3g}"
        return f"Unit({quoted(self.path, 60)}, {self.model}, {self.method}, {self.target}: {what})"


def run_folder(folder: str | Path) -> Path:
    """The folder of a run as a path. Raises: RunError for what is no path."""
    check_kind(folder, (str, Path), "the folder of a run", "give its path", RunError)
    return Path(folder)


@dataclass(frozen=True)
class Run:
    """A data set under review, stored in a folder. Opening it computes nothing.

    folder: its path, of which a text is taken, too. Raises: RunError for what is no path.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", run_folder(self.folder))

    def __repr__(self) -> str:
        photos, models = count(self.plan.photos, "photo"), count(len(self.plan.models), "model")
        return f"Run({quoted(self.folder, 60)}, {photos}, {models})"

    @property
    def plan(self) -> Plan:
        """The plan, read from the folder. Raises: RunError if the folder holds no run."""
        return self._store.plan()

    @property
    def data(self) -> str:
        """Where its photos are, as `read_data` takes it. Raises: RunError if the folder holds no run."""
        return self._store.data()

    def is_planned(self) -> bool:
        """Whether the folder holds a plan, of this version or of another."""
        return self._store.exists()

    def status(self) -> Status:
        """Its progress, whichever process computes it."""
        plan, index, finished = self.plan, self._index, self._store.finished()
        progress, content = _progress(plan, finished), _sha256_of(plan, finished)
        models, failed = tuple(model.id for model in plan.models), index.failed(progress.columns)
        found = Status("finished", plan.photos, models, progress.units, progress.done, failed, content=content)
        explained = {column.model for column in plan.columns if not column.prepared}
        if progress.is_whole and index.shards() >= len(finished) and not queries.lacks_means(index, explained):
            return found
        is_running = self._is_computed()
        state = "running" if is_running else "stopped"
        return replace(found, state=state, rate=index.rate(time.time() - RATE_SECONDS) if is_running else None)

    def _is_computed(self) -> bool:
        """Whether a process computes it, as far as can be told: a folder that cannot be written holds no lock."""
        with suppress(RunError), self._store.locked() as is_free:
            return not is_free
        return False

    @property
    def evidence(self) -> str:
        """SHA-256 of what a review of it is bound to: the plan, and every shard, which names its photos by hash.

        The hashes of the shards are those listed when they were written; `check_shards` computes them again.
        Raises: RunError for a run that has not finished.
        """
        plan, finished = self.plan, self._store.finished()
        progress = _progress(plan, finished)
        if not progress.is_whole:
            raise RunError(
                f"expected a finished run to review, got one with {progress.done:,} of "
                f"{count(progress.units, 'map')}; let it finish first"
            )
        return _sha256_of(plan, finished)

    def check_shards(self) -> None:
        """Read every shard again. Raises: RunError if one has another hash than was listed when it was written."""
        self._store.check()

    def ranked(self, by: str | None = None, **page: Unpack[Page]) -> list[int]:
        """The numbers of the photos that pass the filters, in order: see `queries.ranked`."""
        return queries.ranked(self._index, by, **page)

    def how_many(self, by: str | None = None, **wanted: Unpack[Filter]) -> int:
        """How many photos `ranked` has in all."""
        return queries.how_many(self._index, by, **wanted)

    def ranked_by(self, by: str, photos: Sequence[int], pair: Pair | None = None) -> dict[int, float]:
        """The numbers by which a ranking puts these photos in order: see `queries.ranked_by`."""
        return queries.ranked_by(self._index, by, photos, pair)

    def units(self, photos: Sequence[int] | None = None) -> Iterator[Unit]:
        """The finished units of these photos, or of all, ordered by photo, model and method."""
        models = [model.id for model in self.plan.models]
        for row in queries.units(self._index, photos):
            kept = {name: row[name] for name in _SAME}
            location = Location(row["shard_column"], row["shard_batch"], row["row"])
            yield Unit(model=models[row["model"]], columns=json.loads(row["columns"]), location=location, **kept)

    def arrays(self, units: Sequence[Unit], name: str = "map") -> list[NDArray[np.float32] | None]:
        """One array for each unit, in its own units; None for a unit without it.

        name: `map` `[h, w]`; `contributions` `[channels]`, each channel's share of the score; `means` `[channels]`
        `earlier` and `earlier_spread` `[channels]`, which only the first unit of a photo and model has. See
        `shards`.
        """
        expect_one_of(ARRAYS, name, "an array of a unit")
        finished = self._store.finished()
        read = lru_cache(64)(lambda column, batch: shards.read_arrays(self._path(finished[column, batch]), name))
        return [read(unit.location.column, unit.location.batch)[unit.location.row] for unit in units]

    def contributions(
        self, model: str, label: str, photos: Sequence[int], classifier: Classifier | None = None
    ) -> Values:
        """What each channel contributes to the class of a label, `[photos, channels]`.

        NaN for a photo that failed or is not computed yet. model: its id.
        classifier: the model itself. Where its scores are linear in the channels' means, its head and the means
            that the run keeps give the contributions; any other run has to be prepared, see `prepare`.
        Raises: RunError if the run is not prepared and the classifier does not give them.
        """
        plan = self.plan
        for number, column in enumerate(plan.columns):
            planned = plan.models[column.model]
            index = planned.label_classes.get(label)
            target = None if index is None else write_target(index)
            if column.prepared and planned.id == model and target in column.targets:
                return self._kept(number, "contributions", photos, column.targets.index(target))
        weights = None if classifier is None else self.head_weights(model, [label], classifier)
        if weights is None:
            raise RunError(
                f"expected a run that is prepared for {quoted(label)} and {quoted(model)}, got another; run "
                "`gradcam run prepare`, which says what needs no preparing"
            )
        return self.pooled(model, "means", photos) * weights

    def head_weights(self, model: str, labels: Sequence[str], classifier: Classifier) -> Values | None:
        """What a unit of each channel's mean adds to the class of each label, `[labels, channels]`.

        classifier: the model itself. None where its scores are not linear in the means, see `forward.head_weights`.
        Raises: RunError for a label that is no class of the model, and for a model that is another one now.
        """
        from gradcam.forward import head_weights

        planned = self.model(model)
        planned.check_same(PlannedModel.of(classifier, planned.requested_id, planned.layer, planned.label_classes))
        return head_weights(classifier, read_layer(planned.layer), [planned.class_of(label) for label in labels])

    def model(self, name: str) -> PlannedModel:
        """A model of the plan by its id. Raises: RunError."""
        models = {model.id: model for model in self.plan.models}
        expect_one_of(models, name, "a model of the run", RunError)
        return models[name]

    def pooled(
        self, model: str, name: Literal["means", "earlier", "earlier_spread"], photos: Sequence[int]
    ) -> Values:
        """Of each channel `[photos, channels]` the mean over places of the target layer, the mean of the earlier
        layer, or the standard deviation of the earlier layer.

        NaN for a photo that failed or is not computed yet. model: its id. Raises: RunError.
        """
        plan, position = self.plan, self.plan.models.index(self.model(model))
        columns = (number for number, column in enumerate(plan.columns) if column.model == position)
        return self._kept(next(columns), name, photos)

    def _kept(self, column: int, name: str, photos: Sequence[int], unit: int | None = None) -> Values:
        """An array of each photo in the shards of a column, `[photos, …]`, NaN where there is none.

        unit: which of a photo's units in that column has it; by default the first that has one.
        """
        plan, finished = self.plan, self._store.finished()
        batches = list(plan.batches())
        starts = [batch.start for batch in batches]
        units = plan.columns[column].units

        @lru_cache(4)
        def read(batch: int) -> list[Values | None] | None:
            shard = finished.get((column, batch))
            return shards.read_arrays(self._path(shard), name) if shard else None

        rows: list[Values | None] = []
        for photo in photos:
            batch = batches[bisect_right(starts, photo) - 1]
            first = (photo - batch.start) * units
            of_photo = (read(batch.number) or [])[first : first + units]
            chosen = of_photo if unit is None else of_photo[unit : unit + 1]
            rows.append(next((row for row in chosen if row is not None), None))
        width = next((len(row) for row in rows if row is not None), 0)
        return np.stack([np.full(width, np.nan, np.float32) if row is None else row for row in rows])

    def views(self, units: Sequence[Unit]) -> list[View | None]:
        """The `View` of each unit; None for a unit without a map."""
        finished = self._store.finished()
        read = lru_cache(64)(lambda column, batch: shards.read_numbers(self._path(finished[column, batch])))
        return [
            self._view(read(unit.location.column, unit.location.batch)[unit.location.row], unit) for unit in units
        ]

    def previews(self, units: Sequence[Unit]) -> list[bytes | None]:
        """Each unit's preview as JPEG; None if the run stored none."""
        finished = self._store.finished()

        @lru_cache(64)
        def read(column: int, batch: int) -> list[bytes | None] | None:
            path = self._store.previews(finished[column, batch])
            return shards.read_previews(str(path)) if path.exists() else None

        stored = [(read(unit.location.column, unit.location.batch), unit.location.row) for unit in units]
        return [None if batch is None else batch[row] for batch, row in stored]

    def slices(self) -> list[str]:
        """The manifest's other columns, sorted by name."""
        return queries.slices(self._index)

    def rankings(self) -> list[str]:
        """The rankings that can say something of any photo: see `queries.rankings`."""
        return queries.rankings(self._index)

    def choices(self, name: Literal["label", "predicted"]) -> dict[str, int]:
        """The labels of photos, or what models predict of them, sorted, and of how many photos."""
        return queries.choices(self._index, name)

    def slice_choices(self, name: str) -> dict[str, int]:
        """The values that photos have in a column of the manifest, sorted, and how many have each."""
        return queries.slice_choices(self._index, name)

    def measured(
        self, measure: str, method: str, target: str, label: str | None = None
    ) -> dict[int, dict[int, float]]:
        """A measure of each unit, by photo and position of the model: see `queries.measured`."""
        return queries.measured(self._index, measure, method, target, label)

    def confusion(self, model: int, method: str, target: str) -> list[Confused]:
        """How often a model, by its position in the plan, predicts which class of which label."""
        return queries.confusion(self._index, model, method, target)

    def labelled(self) -> list[Labelled]:
        """How many photos each label has, and how often each model is right: see `queries.labelled`."""
        return queries.labelled(self._index)

    def mean_maps(self, model: int, method: str, target: str) -> list[MeanMap]:
        """The mean map of each class and a model, by its position in the plan: see `queries.mean_maps`."""
        return queries.mean_maps(self._index, model, method, target)

    def compare(
        self, photos: Sequence[int], *, use: Use | None = None, on_progress: OnProgress = lambda progress: None
    ) -> Comparison:
        """Compute some photos again with the run's models, methods and targets, for figures and reports.

        photos: their numbers, as `ranked` returns them. If the run's target is the label, the classes of these
        photos' labels become targets for all of them.
        Raises: RunError for no photos, or for photos of more than `MOST_LABELS` labels if the target is the label.
        """
        from gradcam._compare import compare

        plan, rows = self.plan, {unit.photo: unit for number in photos for unit in self.units([number])}
        if not rows:
            raise RunError("expected photos that the run has computed, got none; wait, or choose others")
        paths = [rows[number].path for number in photos if number in rows]
        return compare(
            [model.requested_id for model in plan.models],
            open_photos(paths, self._open),
            self.targets([rows[number].label for number in photos if number in rows]),
            methods=plan.methods,
            fit=plan.settings.fit,
            layer={model.requested_id: read_layer(model.layer) for model in plan.models},
            activation={model.requested_id: model.activation for model in plan.models},
            precision=plan.settings.precision,
            use=use,
            on_progress=on_progress,
        )

    def targets(self, labels: Sequence[str | None]) -> list[Target]:
        """What it asks, with the classes of these labels in place of each photo's own.

        Raises: RunError for more than `MOST_LABELS` of them.
        """
        return _targets(self.plan, labels)

    def _open(self, path: str | Path) -> Photo:
        return self.photo(str(path))

    def photo(self, path: str) -> Photo:
        """Open a photo of the data set, to draw what the run keeps of it.

        Raises: PhotoError, also for a file that was changed since a model saw it; RunError.
        """
        return open_one(self._files, path, self._index.sha256_of(path))

    def read(self, path: str) -> bytes:
        """The file of a photo of the data set, as it is now. Raises: PhotoError, RunError."""
        return read_one(self._files, path)

    def _view(self, row: Mapping[str, Any], unit: Unit) -> View | None:
        if row["view"] is None:
            return None
        model = self.plan.models[self.plan.columns[unit.location.column].model]
        left, top, right, bottom = row["view"]
        size = row["height"], row["width"]
        return View((left, top, right, bottom), size, model.input_size, self.plan.settings.fit)

    def _path(self, shard: Shard) -> str:
        return str(self._store.path(shard))

    @cached_property
    def _files(self) -> Files:
        return read_data(self._store.data()).files

    @property
    def _store(self) -> Store:
        return Store(self.folder)

    @property
    def _index(self) -> Index:
        """The index, which is made from the shards where there is no whole one yet."""
        index = Index(self.folder)
        if index.prepare():
            plan = self.plan
            class_means.update(index, self._store, plan, index.follow(self._store, plan))
            index.mark_whole()
        return index


MOST_LABELS = 3
"""How many labels the photos of one report may have, if the target is the label."""


class _Progress(NamedTuple):
    """Units of a run, and how many are done. columns: those that count. is_whole: whether all shards are there."""

    columns: list[int]
    units: int
    done: int
    is_whole: bool


def _progress(plan: Plan, finished: Mapping[tuple[int, int], Shard]) -> _Progress:
    """How far a run is. A column that was prepared and is whole does not count, for nobody asked for its maps."""
    batches, there = sum(1 for _ in plan.batches()), Counter(column for column, _ in finished)
    columns = [
        number for number, column in enumerate(plan.columns) if not column.prepared or there[number] < batches
    ]
    units = plan.photos * sum(plan.columns[number].units for number in columns)
    done = sum(shard.rows for shard in finished.values() if shard.column in columns)
    return _Progress(columns, units, done, all(there[number] >= batches for number in columns))


def _sha256_of(plan: Plan, finished: Mapping[tuple[int, int], Shard]) -> str:
    """Hexadecimal SHA-256 of a plan and of shards by their hashes."""
    digest = hashlib.sha256(encode(plan))
    for (column, batch), shard in sorted(finished.items()):
        digest.update(f"{column} {batch} {shard.sha256}\n".encode())
    return digest.hexdigest()


def _targets(plan: Plan, labels: Sequence[str | None]) -> list[Target]:
    """The targets of a plan, with the classes of these labels in place of `LABEL`."""
    found: list[Target] = []
    for text in plan.targets:
        if text != LABEL:
            found.append(parse_target(text))
            continue
        model = plan.models[0]
        classes = {
            label: index for label in labels if label and (index := model.label_classes.get(label)) is not None
        }
        if len(classes) > MOST_LABELS:
            raise RunError(
                f"expected photos of at most {MOST_LABELS} labels, for each is asked of every photo, got "
                f"{len(classes)}; choose photos with --where label=NAME"
            )
        found += [class_name(model.classes, index) for index in classes.values()]
    return list(dict.fromkeys(found)) or [Top(1)]


_SAME = tuple(field.name for field in fields(Unit) if field.name not in ("model", "columns", "location"))
