"""The engine for many machines: Ray actors with one model each. Ray places them, restarts them and repeats tasks.

The photos must have the same path on every node. Shards return to the process that started the run; only that
process writes into the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import tee
from typing import Any

import torch

from gradcam.errors import GradcamError, RunError, quoted
from gradcam.extras import packages_of
from gradcam.models import SOURCES
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.numerics import numerics_for
from gradcam.panel_key import ModelKey
from gradcam.runs import plan as plans
from gradcam.runs.computing import Work
from gradcam.runs.data_set import Files
from gradcam.runs.local_engine import Computing, Task, compute_task
from gradcam.runs.shards import Encoded
from gradcam.runs.store import Shard

WAIT = 1.0
"""Seconds between two checks of the stop event."""


class Worker:
    """An actor: one model that computes its columns of any batch.

    plan: as JSON. model: an id, or a classifier if no id can load it.
    """

    def __init__(self, plan: bytes, files: Files, columns: tuple[int, ...], model: str | Classifier) -> None:
        decoded = plans.decode(plan)
        torch.set_num_threads(decoded.settings.threads)
        planned = decoded.models[decoded.columns[columns[0]].model]
        classifier = load_classifier(model) if isinstance(model, str) else model
        classifier = classifier.with_activation(planned.activation)
        key = ModelKey.of(classifier)
        if key.digest != planned.digest:
            raise RunError(
                f"expected {planned.id} on every node as on the first, got other weights, another device or "
                "another version there; install the same everywhere"
            )
        self._files = files
        self._works = {
            column: Work(decoded, decoded.columns[column], classifier, key, classifier.module) for column in columns
        }

    def compute(self, task: Task) -> list[Encoded]:
        """As `compute_task`, for the columns of this model."""
        return compute_task(task, [self._works[column] for column in task.columns], self._files)


@dataclass(eq=False)
class _Line:
    """The actors of one model, and the tasks that wait for them."""

    tasks: Iterator[Task]
    actors: list[Any]
    idle: list[Any]


def run_on_ray(computing: Computing, tasks: Iterator[Task], address: str | None = None) -> Iterator[Shard]:
    """Compute tasks on a cluster and yield each shard once it is listed.

    address: of the cluster, as `ray.init` takes it; None starts a cluster on this machine and ends it with the run.
    An actor has one task at a time, so a killed driver loses at most one task for each actor.
    Raises: RunError if the cluster fails; the error of a worker that refuses its task.
    """
    with packages_of("ray"):
        import ray
    mine = not ray.is_initialized()
    if mine:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    lines = _lines(computing, tasks, ray)
    try:
        yield from _feed(computing, lines, ray)
    finally:
        for line in lines:
            for actor in line.actors:
                ray.kill(actor)
        if mine:
            ray.shutdown()


def _lines(computing: Computing, tasks: Iterator[Task], ray: Any) -> list[_Line]:
    """Start the actors of each model: as many as were asked for, or as the cluster has room for."""
    plan, places = computing.plan, {}
    for column in computing.classifiers:
        places.setdefault(plan.columns[column].model, []).append(column)
    resources = ray.cluster_resources()
    threads = plan.settings.threads
    workers = computing.workers or max(1, int(resources.get("CPU", 1)) // threads)
    each = max(1, workers // len(places))
    gpus = min(1.0, resources.get("GPU", 0) / (each * len(places)))
    worker = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=-1, max_task_retries=-1)(Worker)
    lines = []
    for columns, copy in zip(places.values(), tee(tasks, len(places)), strict=True):
        arguments = plans.encode(plan), computing.files, tuple(columns), _sent(computing, columns[0])
        actors = [worker.remote(*arguments) for _ in range(each)]
        lines.append(_Line(_of_columns(copy, frozenset(columns)), actors, [*actors]))
    return lines


def _sent(computing: Computing, column: int) -> str | Classifier:
    """What an actor is given: the id to load, or the classifier if no id loads the same, as of an exact model."""
    one = computing.classifiers[column]
    as_loaded = one.numerics == numerics_for(one.module, one.device, exact=False)
    by_id = one.spec.source in SOURCES and one.spec.file is None and as_loaded
    return computing.plan.models[computing.plan.columns[column].model].requested_id if by_id else one


def _of_columns(tasks: Iterator[Task], columns: frozenset[int]) -> Iterator[Task]:
    """The tasks, reduced to these columns."""
    for task in tasks:
        if mine := tuple(column for column in task.columns if column in columns):
            yield replace(task, columns=mine)


def _feed(computing: Computing, lines: list[_Line], ray: Any) -> Iterator[Shard]:
    """Give each idle actor its next task, and list the shards that come back."""
    busy: dict[Any, tuple[_Line, Any, Task]] = {}
    while not computing.stop.is_set():
        for line in lines:
            while line.idle and (task := next(line.tasks, None)):
                actor = line.idle.pop()
                busy[actor.compute.remote(task)] = line, actor, task
        if not busy:
            return
        done, _ = ray.wait(list(busy), timeout=WAIT)
        for answer in done:
            line, actor, task = busy.pop(answer)
            found = _got(answer, ray)
            line.idle.append(actor)
            for column, encoded in zip(task.columns, found, strict=True):
                yield computing.add(column, task.batch.number, encoded)


def _got(answer: Any, ray: Any) -> list[Encoded]:
    """The result of a task. Raises: the worker's own error, or RunError if the cluster failed."""
    try:
        return ray.get(answer)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, GradcamError):
            raise cause from error
        lines = str(cause or error).strip().splitlines()
        raise RunError(
            "expected the cluster to compute a batch, but it says "
            f"{quoted(lines[-1] if lines else type(error).__name__)}; look at its logs, then resume the run"
        ) from error
