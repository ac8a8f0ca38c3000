"""The engine for one machine: a few parallel workers, each of which opens its photos and runs all models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

import torch
from torch import nn

from gradcam.models.classifier import Classifier
from gradcam.panel_key import ModelKey
from gradcam.running import clone_sharing_weights
from gradcam.runs.computing import Work, open_row
from gradcam.runs.data_set import Files
from gradcam.runs.manifest import PhotoRow
from gradcam.runs.plan import Batch, Plan
from gradcam.runs.shards import Encoded
from gradcam.runs.store import Shard

WORKERS = 2
"""How many batches are computed in parallel: while one opens photos, the other uses the processor."""


@dataclass(frozen=True)
class Task:
    """A batch of photos, and the columns of the plan that lack it.

    known: the hash of each photo that a model has already seen, else None.
    """

    batch: Batch
    rows: Sequence[PhotoRow]
    known: Sequence[str | None]
    columns: tuple[int, ...]


class Stopped(Exception):  # noqa: N818 — no error, a signal
    """The stop event was set."""


Add = Callable[[int, int, Encoded], Shard]
"""Writes and lists a shard, given its column, its batch and its bytes."""


@dataclass(frozen=True, eq=False)
class Computing:
    """What every engine needs.

    classifiers: by column, for the columns with missing batches.
    stop: ends the run within a few forwards. workers: batches that are computed in parallel; None for the default.
    """

    plan: Plan
    files: Files
    classifiers: Mapping[int, Classifier]
    add: Add
    stop: threading.Event
    workers: int | None = None

    def works(self, clone: bool = False) -> dict[int, Work]:
        """The `Work` of each column; `clone` gives another thread its own modules over the same weights."""
        kept: dict[int, tuple[ModelKey, nn.Module]] = {}
        for one in self.classifiers.values():
            if id(one) not in kept:
                kept[id(one)] = ModelKey.of(one), clone_sharing_weights(one.module) if clone else one.module
        return {
            column: Work(self.plan, self.plan.columns[column], one, *kept[id(one)])
            for column, one in self.classifiers.items()
        }


def run_locally(computing: Computing, tasks: Iterator[Task], address: str | None = None) -> Iterator[Shard]:
    """Compute tasks and yield each shard once it is listed. A worker lists its shards before its next task.

    address: not used; the engine computes on this machine.
    """
    workers, threads, stop = computing.workers or WORKERS, computing.plan.settings.threads, computing.stop
    ended = threading.Event()  # by an error, here or in a worker: the others need not go on
    benches: SimpleQueue[dict[int, Work]] = SimpleQueue()
    for number in range(workers):
        benches.put(computing.works(clone=number > 0))

    def compute(task: Task) -> list[Shard]:
        bench = benches.get()
        try:
            works = [bench[column] for column in task.columns]
            found = compute_task(task, works, computing.files, lambda: stop.is_set() or ended.is_set())
            pairs = zip(task.columns, found, strict=True)
            return [computing.add(column, task.batch.number, encoded) for column, encoded in pairs]
        finally:
            benches.put(bench)

    with _threads(threads), ThreadPoolExecutor(workers, "run", torch.set_num_threads, (threads,)) as pool:
        running = {pool.submit(compute, task) for task in islice(tasks, workers + 1)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                if not stop.is_set():
                    running |= {pool.submit(compute, task) for task in islice(tasks, len(done))}
                for future in done:
                    yield from _listed(future)
        finally:
            ended.set()
            for future in running:
                future.cancel()


def compute_task(
    task: Task, works: Sequence[Work], files: Files, stopped: Callable[[], bool] = lambda: False
) -> list[Encoded]:
    """Compute and encode a task's batch for each of its columns.

    A few photos are opened at a time, so that memory does not grow with the batch.
    Raises: Stopped.
    """
    units = [[] for _ in works]
    at_once = works[0].plan.settings.at_once
    numbered = list(zip(range(task.batch.start, task.batch.stop), task.rows, task.known, strict=True))
    for first in range(0, len(numbered), at_once):
        if stopped():
            raise Stopped
        opened = [open_row(files, *one) for one in numbered[first : first + at_once]]
        for found, work in zip(units, works, strict=True):
            found += work.results(opened)
    return [work.encoded(found) for found, work in zip(units, works, strict=True)]


def _listed(future: Future[list[Shard]]) -> list[Shard]:
    try:
        return future.result()
    except Stopped:
        return []


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads, which holds for the whole process, while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
