"""Runs: started, gone on with and looked at. What is missing is computed, and nothing else.

Where nothing is missing, PyTorch is not even imported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam.errors import GradcamError, OptionError, RunBusyError, RunError, quoted
from gradcam.kinds import by_id, expect, expect_functions, expect_numbers, expect_one_of
from gradcam.layers import read_layer
from gradcam.panel_key import ModelKey
from gradcam.runs import class_means, file_states, plan as plans
from gradcam.runs.class_names import read_mapping
from gradcam.runs.data_set import DataSet, Files, Folder, read_data, sample_set
from gradcam.runs.file_states import FileStates
from gradcam.runs.index import Index
from gradcam.runs.plan import Plan, PlannedModel, Settings
from gradcam.runs.run import Run, Status, run_folder
from gradcam.runs.store import Store, new_rows
from gradcam.targets import known_names, names_in, write_target
from gradcam.text import count, first_few

if TYPE_CHECKING:
    from gradcam._compare import Use
    from gradcam.models import Classifier

OnProgress = Callable[[Status], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """How a run is computed, and how the caller is told about it.

    name: one of `ENGINES`. workers: how many batches are computed in parallel; by default as fits the machine.
    address: of a Ray cluster; by default a cluster is started on this machine.
    stop: another thread sets it to end the run within a few forwards.
    on_progress: is called after each shard. say: is called with each sentence that the user should read.
    """

    name: str = "local"
    workers: int | None = None
    address: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    on_progress: OnProgress = lambda status: None
    say: Say = lambda sentence: None

    def __post_init__(self) -> None:
        expect_one_of(ENGINES, self.name, "an engine")
        if self.workers is not None and not 1 <= self.workers <= 10_000:
            raise OptionError(
                f"expected from 1 to 10,000 workers, got {quoted(self.workers)}; choose another number"
            )


def start(
    data: str | Path | DataSet,
    models: Sequence[str | Classifier],
    targets: Sequence[str] = ("top",),
    *,
    out: str | Path,
    methods: Sequence[str] = ("Grad-CAM",),
    layer: str | Mapping[str, str] | None = None,
    labels_are: str | Path | None = None,
    settings: Settings | None = None,
    new: bool = False,
    engine: Engine | None = None,
    use: Use | None = None,
) -> Run:
    """Run models over a data set into a folder. Results that the folder already has are not computed again.

    data: as `read_data` takes it. models: ids or classifiers.
    targets: as a user types them; `label` stands for each photo's own label.
    layer: for every model, or by id; by default the run's layers, or each model's own target layer.
    labels_are: a mapping file of labels to classes, see `read_mapping`.
    settings: of a new run; by default those of the existing run.
    new: if the folder holds a run, make a new folder beside it.
    use: turns an id into a classifier while a block runs; by default the pool of this process.
    Raises: RunError or another GradcamError, one sentence; RunBusyError if another process computes the run.
    """
    expect_functions(use=use)
    engine = engine or Engine()
    expect(Engine, engine)
    expect(Settings | None, settings)
    data = data if isinstance(data, DataSet) else read_data(data)
    given = _by_name(models)
    use_model = _lender(given, use)
    mapping = None if labels_are is None else read_mapping(Path(labels_are))
    store = Store(folder_beside(run_folder(out)) if new else run_folder(out))
    with _computing(store), ExitStack() as stack:
        plan = store.plan() if store.exists() else plans.new_plan(settings or Settings())
        plan.check_continues(settings or plan.settings)
        rows, gone = new_rows(data, store.photos(plan))
        location = _where(data)
        is_elsewhere = bool(plan.parts) and location != _location(store)
        if is_elsewhere:
            _check_same_photos(store, plan, data.files)
        _say_left_out(data, gone, engine.say)
        layers = dict.fromkeys(given) | by_id(layer, list(given), "layers")
        wanted = plans.read_targets(targets, _class_names(plan, given)), _method_names(plan, methods)
        if len(rows) or mapping or not _is_planned(plan, given, layers, *wanted):
            request = _Request(*wanted, layers, data.labels, mapping, engine.say)
            plan = store.write_plan(
                request.extend(plan, lambda name: stack.enter_context(use_model(name))), location, rows
            )
        elif is_elsewhere:
            store.write_location(location)
        return _go_on(store, plan, data.files, use_model, engine)


def resume(folder: str | Path, *, engine: Engine | None = None, use: Use | None = None) -> Run:
    """Compute the missing shards of a run. Arguments and errors are those of `start`."""
    expect_functions(use=use)
    store = Store(run_folder(folder))
    store.plan()  # else a folder without a run would get a lock
    with _computing(store):
        files = read_data(store.data()).files
        return _go_on(store, store.plan(), files, _lender({}, use), engine or Engine())


MOST_LABELS = 50
"""The most classes that a run can be prepared for."""


def prepare(folder: str | Path, *, engine: Engine | None = None, use: Use | None = None) -> Run:
    """Compute each channel's contribution to the class of every label, for `Run.contributions`.

    A model with a linear head on the channels' means needs no such pass and is skipped.
    Raises: the errors of `resume`, and RunError for more than `MOST_LABELS` classes.
    """
    expect_functions(use=use)
    from gradcam.forward import is_linear_in_means

    engine, store = engine or Engine(), Store(run_folder(folder))
    plan = store.plan()
    plan.check_versions()
    use_model = _lender({}, use)
    with _computing(store), ExitStack() as stack:
        for position, model in enumerate(plan.models):
            classes = sorted({index for index in model.label_classes.values() if index is not None})
            if len(classes) > MOST_LABELS:
                raise RunError(
                    f"expected labels of at most {MOST_LABELS} classes, for each is asked of every photo, got "
                    f"{len(classes)} for {model.id}; start a run over fewer labels"
                )
            if not classes:
                engine.say(f"{model.id} has no class for any label: there is nothing to prepare")
            elif is_linear_in_means(stack.enter_context(use_model(model.requested_id)), read_layer(model.layer)):
                engine.say(f"{model.id} needs no preparing: its scores are linear in the channels' means")
            else:
                plan = plan.prepared(position, [write_target(index) for index in classes])
        plan = store.write_plan(plan, store.data(), None)
        return _go_on(store, plan, read_data(store.data()).files, use_model, engine)


def watch(folder: str | Path, on_progress: OnProgress, seconds: float = 1.0) -> Status:
    """Follow a run that another process computes, until that process ends."""
    expect_functions(on_progress=on_progress)
    expect_numbers(seconds=seconds)
    run, store = Run(run_folder(folder)), Store(run_folder(folder))
    while True:
        with store.locked() as is_over:
            pass
        found = run.status()
        if is_over:
            return found
        on_progress(found)
        time.sleep(seconds)


# ------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class _Request:
    """What `start` was asked: targets, methods, a layer for each model, and the labels of the photos.

    layers: by model id; None if no layer was named.
    """

    targets: tuple[str, ...]
    methods: tuple[str, ...]
    layers: Mapping[str, str | None]
    labels: tuple[str, ...]
    mapping: Mapping[str, str] | None
    say: Say

    def extend(self, plan: Plan, load: Callable[[str], Classifier]) -> Plan:
        """The plan extended by this request. Its other models are loaded where they have to match new labels."""
        there = {model.requested_id: model for model in plan.models}
        others = [
            self._planned(model, self._load_other(load, name), name)
            for name, model in there.items()
            if name not in self.layers and (self.mapping or not model.label_classes.keys() >= set(self.labels))
        ]
        named = [self._planned(there.get(name), load(name), name) for name in self.layers]
        return plan.extended(others, (), ()).extended(named, self.methods, self.targets)

    @staticmethod
    def _load_other(load: Callable[[str], Classifier], name: str) -> Classifier:
        """Raises: RunError that names the model, which was not asked for now."""
        try:
            return load(name)
        except GradcamError as error:
            raise RunError(
                f"expected {name}, a model of the run, to match labels that are new to it, but could not load it: "
                f"{error}"
            ) from error

    def _planned(self, before: PlannedModel | None, classifier: Classifier, name: str) -> PlannedModel:
        plans.check_targets(self.targets, classifier)
        known = before.label_classes if before else {}
        checked = self.mapping or plans.LABEL in self.targets
        labels = [label for label in self.labels if checked or label not in known]
        found = plans.label_classes(labels, classifier, self.targets, self.mapping, self.say)
        for label in known.keys() & found.keys():
            if known[label] != found[label]:
                raise RunError(
                    f"expected the label {quoted(label)} to mean what it meant when the run began, got another "
                    "class; begin beside with --new"
                )
        layer = self.layers.get(name) or (before.layer if before else "auto")
        return PlannedModel.of(classifier, name, layer, known | found)


def _is_planned(
    plan: Plan,
    given: Mapping[str, str | Classifier],
    layers: Mapping[str, str | None],
    targets: Sequence[str],
    methods: Sequence[str],
) -> bool:
    """Whether the plan already covers the request, as far as is known without loading a model."""
    positions = {model.requested_id: position for position, model in enumerate(plan.models)}
    return all(
        name in positions
        and (isinstance(model, str) or ModelKey.of(model).digest == plan.models[positions[name]].digest)
        and layers[name] in (None, plan.models[positions[name]].layer)
        and not plans.missing_columns(plan.columns, positions[name], methods, targets)
        for name, model in given.items()
    )


def _class_names(plan: Plan, given: Mapping[str, str | Classifier]) -> frozenset[str]:
    """The class names of models, from the plan if it has them, because looking an id up imports PyTorch."""
    there = {model.requested_id: model.classes for model in plan.models}
    new = names_in(model for name, model in given.items() if name not in there)
    return new | known_names(chain.from_iterable(there[name] for name in given.keys() & there))


def _method_names(plan: Plan, methods: Sequence[str]) -> tuple[str, ...]:
    """The methods as the table calls them. Those that the plan has are not looked up, for that imports PyTorch."""
    methods = [methods] if isinstance(methods, str) else methods
    return tuple(methods) if set(methods) <= set(plan.methods) else plans.method_names(methods)


def _by_name(models: Sequence[str | Classifier]) -> dict[str, str | Classifier]:
    """Models by the name that the plan asks for them by: an id as it was typed, or a classifier's own."""
    if isinstance(models, str):
        raise OptionError(f"expected a list of models, got {quoted(models)} alone; put it in a list")
    return {model if isinstance(model, str) else str(model.spec): model for model in models}


def _lender(given: Mapping[str, str | Classifier], use: Use | None) -> Use:
    """A function that turns a name into a classifier while a block runs: the given one, or what `use` loads."""

    def use_model(name: str) -> AbstractContextManager[Classifier]:
        model = given.get(name, name)
        if not isinstance(model, str):
            return nullcontext(model)
        from gradcam.models import shared_pool

        return (use or shared_pool().use)(name)

    return use_model


def _where(data: DataSet) -> str:
    """Where a data set is, in a form that `resume` understands from any working folder."""
    is_sample = data.files == Folder(sample_set().parent)
    return str(sample_set() if is_sample else Path(data.source).expanduser().absolute())


def _location(store: Store) -> str | None:
    """Where the photos of a run are, as far as it knows."""
    with suppress(RunError):
        return store.data()
    return None


def _check_same_photos(store: Store, plan: Plan, files: Files) -> None:
    """Check that the photos of a run are in another place, too, for a run remembers a single one.

    Where the place of before is no longer there, some of them are enough.
    Raises: RunError.
    """
    index, before = Index(store.folder), _location(store)
    index.follow(store, plan)
    lost = file_states.look(index, files).lost
    if len(lost) == plan.photos or (lost and before is not None and Path(before).exists()):
        as_before = "" if before is None else f", as {quoted(before)} has them"
        raise RunError(
            f"expected a place with the photos of the run{as_before}, got one without "
            f"{count(len(lost), 'photo')} of them ({first_few(list(lost.values()))}); begin beside with --new, or "
            "give a manifest that has both"
        )


def folder_beside(folder: Path) -> Path:
    """The folder itself if it holds no run; else the first of `NAME-2`, `NAME-3`, … that holds none."""
    number = 1
    found = folder
    while Store(found).exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _say_left_out(data: DataSet, gone: Sequence[str], say: Say) -> None:
    if gone:
        say(f"{count(len(gone), 'photo')} of the run no longer in {quoted(data.source)} ({first_few(gone)})")
    if data.left_out:
        say(f"{count(data.left_out, 'file')} left out, no pictures by their names")


# ------------------------------------------------------------------------------- what is missing


def _go_on(store: Store, plan: Plan, files: Files, use_model: Use, engine: Engine) -> Run:
    """Compute every missing shard."""
    plan.check_versions()
    index, run = Index(store.folder), Run(store.folder)
    finished = index.follow(store, plan, files)
    index.mark_whole()
    found = file_states.look(index, files)
    _say_lost(found, engine.say)
    file_states.forget_failed(store, plan, files, finished, found, engine.say)
    engine.on_progress(run.status())
    positions = product(range(len(plan.columns)), (batch.number for batch in plan.batches()))
    if not finished.keys() >= set(positions):
        from gradcam.runs.engines import compute_missing  # with PyTorch

        if (divided := plan.divided({column for column, _ in finished})) != plan:
            plan = store.write_plan(divided, store.data(), None)
        compute_missing(store, plan, files, finished, use_model, engine)
    class_means.update(index, store, plan, finished)
    _say_unmeasured(store, plan, index, engine.say)
    return run


def _say_lost(found: FileStates, say: Say) -> None:
    """Tell the caller which photos are gone or have changed since a model saw them."""
    for photos, what in ((found.gone, "gone"), (found.changed, "changed")):
        if photos:
            paths = first_few(list(photos.values()))
            say(f"{count(len(photos), 'photo')} {what} since the run saw them ({paths}): put them back")


def _say_unmeasured(store: Store, plan: Plan, index: Index, say: Say) -> None:
    """Tell the caller which photos have a box or mask that nothing can be measured by."""
    described = store.described(plan)
    if described and (unfit := [path for path in index.unmeasured() if path in described]):
        say(
            f"{count(len(unfit), 'photo')} with a box or mask that does not fit ({first_few(unfit)}): how much "
            "heat lies outside is not known; a box lies on its photo, a mask can be read and is as large as its "
            "photo"
        )


@contextmanager
def _computing(store: Store) -> Iterator[None]:
    """Reserve the run for this process while the block runs. Raises: RunBusyError if another one computes it."""
    with ExitStack() as stack:
        for _ in range(5):  # somebody who only asks whether it is free holds it for an instant
            if stack.enter_context(store.locked()):
                break
            stack.close()
            time.sleep(0.1)
        else:
            raise RunBusyError(
                f"expected to compute the run in {quoted(store.folder)}, but another process does; watch it with "
                "`gradcam run status`"
            )
        yield


ENGINES = ("local", "ray")
"""The names of the engines, as `engines` has them."""
