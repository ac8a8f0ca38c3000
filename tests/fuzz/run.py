"""Many inputs of one kind through processes that may die, each input with a deadline."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from tests.forks import FORKS
from tests.fuzz.child import meet_inputs
from tests.fuzz.kind import Kind

STARTING = 240.0
"""Seconds until a process must have begun its first input: the package is imported first, on a busy machine."""
PATIENCE = 12
"""How many times its CPU seconds an input may take by the clock: the machine may be busy."""


@dataclass
class Tally:
    """What became of the inputs of one kind. wrong: by seed, in words."""

    kind: str
    inputs: int = 0
    wrong: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0
    most_megabytes: float = 0.0

    def count(self, seed: int, problem: str | None, seconds: float = 0.0, megabytes: float = 0.0) -> None:
        self.inputs += 1
        self.slowest = max(self.slowest, seconds)
        self.most_megabytes = max(self.most_megabytes, megabytes)
        if problem is not None:
            self.wrong[seed] = problem

    @property
    def row(self) -> str:
        cells = (
            self.kind,
            f"{self.inputs:,}",
            len(self.wrong),
            f"{self.slowest:.2f}",
            f"{self.most_megabytes:.0f}",
        )
        return f"| {' | '.join(map(str, cells))} |"


HEADER = "| Kind | Inputs | Wrong outcomes | Slowest, CPU s | Most memory, MB |\n|---|---:|---:|---:|---:|"


def run(kind: Kind, first: int = 0, count: int = 300, minutes: float = float("inf")) -> Tally:
    """Meet the inputs of seeds `first` and up: `count` of them, or as many as fit in `minutes`.

    The time begins with the first input of each process: what comes before it does not count.
    """
    tally = Tally(kind.name)
    end, left = first + count, 60 * minutes
    while first < end and left > 0:
        first, took = _in_one_process(kind, first, end, left, tally)
        left -= took
    return tally


def _in_one_process(kind: Kind, first: int, end: int, left: float, tally: Tally) -> tuple[int, float]:
    """Go on until the process ends, is ended, or the time is over.

    Returns the seed to go on with, and the seconds since the first input.
    """
    lines, out = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=meet_inputs, args=(kind.name, first, end - first, out), daemon=True)
    child.start()
    out.close()
    begun: int | None = None
    deadline = STARTING
    started = math.inf
    try:
        while first < end and time.monotonic() - started < left:
            if not lines.poll(deadline):
                problem = f"did not end in {deadline:g} s"
                break
            try:
                line = lines.recv()
            except EOFError:
                child.join()
                problem = f"the process died with {child.exitcode}"
                break
            if "fails" in line:
                raise RuntimeError(line["fails"])
            if "begins" in line:
                begun, deadline = line["begins"], PATIENCE * kind.seconds
                started = min(started, time.monotonic())
            else:
                tally.count(line["ends"], line["wrong"], line["seconds"], line["megabytes"])
                first, begun = line["ends"] + 1, None
        else:
            return first, time.monotonic() - started
    finally:
        child.kill()
        child.join()
        lines.close()
    if begun is None:
        raise RuntimeError(f"no input was begun from seed {first} on: {problem}")
    tally.count(begun, problem)
    return begun + 1, time.monotonic() - started
