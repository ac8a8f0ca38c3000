"""The process that meets the inputs: it may be ended, or end itself, without harm to anybody."""

from __future__ import annotations

import gc
import os
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import kind_named
from tests.fuzz.kind import Kind, wrong
from tests.fuzz.memory import measured

HEADROOM_MB = 2000
"""What an input may ask for beyond its kind's limit before the system refuses it: no run may harm the machine."""
MUCH_MB = 20
WARM_UP = range(4)
"""Seeds of inputs that are met first and not counted: they import what is imported when it is first used."""


def meet_inputs(name: str, first: int, count: int, out: Connection) -> None:
    """Meet inputs of a kind; sends one dictionary as each input begins and another as it ends."""
    _silence()
    warnings.simplefilter("ignore")
    kind = kind_named(name)
    _limit_memory(kind.megabytes + HEADROOM_MB)
    for seed in WARM_UP:
        wrong(kind, _made(kind, seed, out))
    gc.collect()
    gc.freeze()
    for seed in range(first, first + count):
        given = _made(kind, seed, out)
        out.send({"begins": seed})
        outcome = _outcome(kind, given)
        out.send({"ends": seed, **outcome})
        if outcome["megabytes"] > MUCH_MB:
            gc.collect()  # or the next input could use it without being seen


def _outcome(kind: Kind, given: Any) -> dict[str, Any]:
    """What is wrong with how an input is met, if anything, and what it took."""
    with measured() as growth:
        started = _cpu()
        problem = wrong(kind, given)
        seconds, megabytes = _cpu() - started, growth()
    if problem is None and seconds > kind.seconds:
        problem = f"took {seconds:.1f} s of {kind.seconds:g}"
    if problem is None and megabytes > kind.megabytes:
        problem = f"took {megabytes:.0f} MB of {kind.megabytes}"
    return {"wrong": problem, "seconds": seconds, "megabytes": megabytes}


def _made(kind: Kind, seed: int, out: Connection) -> Any:
    try:
        return kind.make(Random(seed))
    except Exception as error:
        out.send({"fails": f"{kind.name} cannot make the input of {seed}: {error!r}"})
        raise


def _silence() -> None:
    """Let what the package and its libraries print go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended: what a busy machine does not change."""
    return sum(os.times()[:4]) if os.name == "posix" else time.process_time()


def _limit_memory(megabytes: int) -> None:
    """Let the system refuse this process more than so much address space beyond what it has."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    size = int(statm.read_text().split()[0]) * resource.getpagesize()
    most = size + megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
