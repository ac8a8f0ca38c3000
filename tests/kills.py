"""Kill a run at thirty random instants: `python -m tests.kills [--kills 30]`; 1 where one ends otherwise."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.runs.kill_child import PHOTOS, WORKERS, Kills
from tests.runs.small_set import SETTINGS, rows_of, shards_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    count = parser.parse_args().kills
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder))
        for number, after in enumerate(kills.instants(count, seed=100)):
            killed = kills.kill(str(number), after)
            again = killed.computed - PHOTOS // SETTINGS.batch
            alike = shards_of(killed.run) == kills.shards and rows_of(killed.run) == kills.rows
            wrong += not (alike and 0 <= again <= WORKERS)
            print(
                f"{number}: killed after {after:.2f} s with {killed.listed} shards, {again} batches again, {alike=}"
            )
    print(f"{count} kills, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
