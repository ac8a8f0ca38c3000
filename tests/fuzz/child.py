"""The process that meets the inputs: it may be ended, or end itself, without harm to anybody."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from random import Random
from typing import IO, Any

from tests.fuzz import kinds
from tests.fuzz.kind import Kind, wrong

HEADROOM_MB = 2000
"""What an input may ask for beyond its kind's limit before the system refuses it: no run may harm the machine."""

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """`child KIND FIRST COUNT`: a line of JSON as each input begins and another as it ends."""
    name, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kind = kinds()[name]
    out = os.fdopen(os.dup(1), "w")
    _silence()
    warnings.simplefilter("ignore")
    _limit_memory(kind.megabytes + HEADROOM_MB)
    for seed in range(first, first + count):
        given = _made(kind, seed, out)
        print(json.dumps({"begins": seed}), file=out, flush=True)
        before, started = _reset_peak(), _cpu()
        problem = wrong(kind, given)
        seconds, megabytes = _cpu() - started, _peak() - before
        if problem is None and seconds > kind.seconds:
            problem = f"took {seconds:.1f} s of {kind.seconds:g}"
        if problem is None and megabytes > kind.megabytes:
            problem = f"took {megabytes:.0f} MB of {kind.megabytes}"
        ended = {"ends": seed, "wrong": problem, "seconds": seconds, "megabytes": max(megabytes, 0)}
        print(json.dumps(ended), file=out, flush=True)


def _made(kind: Kind, seed: int, out: IO[str]) -> Any:
    try:
        return kind.make(Random(seed))
    except Exception as error:
        print(
            json.dumps({"fails": f"{kind.name} cannot make the input of {seed}: {error!r}"}), file=out, flush=True
        )
        raise


def _silence() -> None:
    """Let what the package and its libraries print go nowhere: none of it is a line of this protocol."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended: what a busy machine does not change."""
    return sum(os.times()[:4]) if os.name == "posix" else time.process_time()


def _peak() -> float:
    """The most memory held since `_reset_peak`, in MB; 0 where the system does not say."""
    if not _STATUS.exists():
        return 0.0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def _reset_peak() -> float:
    """Begin to measure anew; returns what is held now, in MB."""
    if _RESET.exists():
        _RESET.write_text("5")
    return _peak()


def _limit_memory(megabytes: int) -> None:
    """Let the system refuse this process more than so much address space beyond what it has."""
    if not _STATUS.exists():
        return
    import resource

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = size + megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
