"""`python -m tests.fuzz --minutes 5`: as many inputs of every kind as fit in the time, and a table of outcomes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random, SystemRandom

from tests.fuzz import KINDS, kind_named
from tests.fuzz.kind import wrong
from tests.fuzz.run import HEADER, run

SEEDS = 10**9


def main() -> int:
    """Returns 1 where an outcome was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="for each kind, from its first input on [5]")
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable [all]")
    parser.add_argument("--seed", type=int, help="the first seed [a random one]")
    parser.add_argument("--once", action="store_true", help="meet the input of --seed here, to debug it")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table there, too")
    options = parser.parse_args()
    first = SystemRandom().randrange(SEEDS) if options.seed is None else options.seed
    if options.once:
        for kind in map(kind_named, options.kind or KINDS):
            given = kind.make(Random(first))
            print(f"{kind.name} {first}: {given!r:.2000}\n{wrong(kind, given) or 'right'}")
        return 0
    print(HEADER, flush=True)
    tallies = []
    for kind in map(kind_named, options.kind or KINDS):
        tallies.append(run(kind, first, SEEDS, options.minutes))
        print(tallies[-1].row, flush=True)
        for seed, problem in tallies[-1].wrong.items():
            print(f"{kind.name} --seed {seed} --once: {problem}", file=sys.stderr, flush=True)
    if options.out:
        options.out.write_text("\n".join((HEADER, *(tally.row for tally in tallies), "")), encoding="utf-8")
    return 1 if any(tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
