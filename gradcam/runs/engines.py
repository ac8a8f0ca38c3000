"""Compute the shards that a run lacks, on one of the engines, with PyTorch, which a whole run does without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from gradcam.models.classifier import Classifier
from gradcam.runs.data_set import Files
from gradcam.runs.index import Index
from gradcam.runs.local_engine import Computing, Task, run_locally
from gradcam.runs.plan import Plan, PlannedModel
from gradcam.runs.ray_engine import run_on_ray
from gradcam.runs.run import Run
from gradcam.runs.store import Shard, Store, rows_of

if TYPE_CHECKING:
    from gradcam._compare import Use
    from gradcam.runs import Engine

ENGINES: dict[str, Callable[[Computing, Iterator[Task], str | None], Iterator[Shard]]] = {
    "local": run_locally,
    "ray": run_on_ray,
}
"""The engines, by name."""


def compute_missing(
    store: Store, plan: Plan, files: Files, finished: dict[tuple[int, int], Shard], use_model: Use, engine: Engine
) -> None:
    """Compute every shard of the plan that is not in `finished`, and add it there and to the index.

    Raises: RunError if a model has changed, and the errors of the engine.
    """
    index, photos, now = Index(store.folder), store.photos(plan), Run(store.folder).status()

    def tasks() -> Iterator[Task]:
        for batch in plan.batches():
            columns = tuple(c for c in range(len(plan.columns)) if (c, batch.number) not in finished)
            if columns:
                yield Task(batch, rows_of(photos, batch), index.sha256s(batch.start, batch.stop), columns)

    missing = sorted({column for task in tasks() for column in task.columns})
    begun, done = time.monotonic(), 0
    with ExitStack() as stack:
        classifiers = {column: _load(plan, column, use_model, stack) for column in missing}
        computing = Computing(plan, files, classifiers, store.add, engine.stop, engine.workers)
        for shard in ENGINES[engine.name](computing, tasks(), engine.address):
            finished[shard.column, shard.batch] = shard
            failed = now.failed + index.add_shard(store, plan, shard, finished)
            done += shard.rows
            rate = done / max(time.monotonic() - begun, 1e-9)
            now = replace(now, state="running", done=now.done + shard.rows, failed=failed, rate=rate)
            engine.on_progress(now)


def _load(plan: Plan, column: int, use_model: Use, stack: ExitStack) -> Classifier:
    """Load the classifier of a column. Raises: RunError if it has changed."""
    planned = plan.models[plan.columns[column].model]
    classifier = stack.enter_context(use_model(planned.requested_id)).with_activation(planned.activation)
    planned.check_same(PlannedModel.of(classifier, planned.requested_id, planned.layer, planned.label_classes))
    return classifier
