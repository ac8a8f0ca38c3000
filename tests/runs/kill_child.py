"""A process that computes a run and may be killed at any instant, and what the run must be afterwards."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from gradcam.runs import Engine, Run, local_engine
from gradcam.runs.shards import Encoded
from gradcam.runs.store import Store
from tests.forks import FORKS
from tests.runs.small_set import rows_of, run_over, shards_of, write_set

WORKERS = 2
PHOTOS = 240


def compute(data: Path, out: Path, log: Path) -> None:
    """Compute what the run lacks, with a line for each task in `log`."""
    compute_task = local_engine.compute_task

    def noted(task: local_engine.Task, *rest: object) -> list[Encoded]:
        found = compute_task(task, *rest)  # pyright: ignore[reportArgumentType]
        with log.open("a") as file:
            file.write(f"{task.batch.number} {task.columns}\n")
        return found

    local_engine.compute_task = noted
    run_over(data, out, engine=Engine(workers=WORKERS))


@dataclass(frozen=True)
class Killed:
    """A run that was killed and gone on with. listed: its shards at the kill; computed: batches in both lives."""

    run: Run
    listed: int
    computed: int


class Kills:
    """One data set, the run that nobody interrupted, and others that are killed at random instants."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = write_set(folder / "set", PHOTOS)
        self._life("first")  # starts the server, which imports everything once
        begun = time.monotonic()
        self.whole = self._life("whole")
        self.seconds = time.monotonic() - begun
        self.shards, self.rows = shards_of(self.whole), rows_of(self.whole)

    def kill(self, name: str, after: float) -> Killed:
        """Start a run, kill it after so many seconds, and go on with it to its end."""
        self._life(name, after)
        listed = len(Store(self._folder / name).finished())
        run = self._life(name)
        computed = len((self._folder / f"{name}.log").read_text().splitlines())
        return Killed(run, listed, computed)

    def instants(self, count: int, seed: int = 0) -> list[float]:
        """Random instants of a run's life."""
        return [random.Random(seed + number).uniform(0, self.seconds) for number in range(count)]

    def _life(self, name: str, after: float | None = None) -> Run:
        arguments = self._data, self._folder / name, self._folder / f"{name}.log"
        process = FORKS.Process(target=compute, args=arguments)
        process.start()
        process.join(after)
        if process.is_alive():
            process.kill()
        process.join()
        assert after is not None or process.exitcode == 0, f"the run {name} ended with {process.exitcode}"
        return Run(self._folder / name)
