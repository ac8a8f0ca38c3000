"""Many processes write to one store, and some are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter

from tests.reviews.examples import PHOTO

VERDICTS = int(os.environ.get("GRADCAM_VERDICTS", "40"))
"""Of each of eight processes; `GRADCAM_VERDICTS=1000` is what README gives a figure of."""

SAY = """
import sys
from gradcam.reviews import ReviewStore, Subject
address, person, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = ReviewStore(address)
review = store.reviews()[0]
for number in range(many):
    said = store.say(review, "approved", person, Subject("photo", f"{number}.jpg"))
    print(said.id, flush=True)
"""


def test_eight_processes_lose_nothing_and_none_finds_it_locked(store, review, address):
    people = [f"person {number}" for number in range(8)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAY, address, person, str(VERDICTS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for person in people
    ]
    ends = [process.communicate(timeout=1800) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, ends
    said = store.history(review)
    assert Counter(verdict.reviewer for verdict in said) == dict.fromkeys(people, VERDICTS)
    assert len({verdict.id for verdict in said}) == 8 * VERDICTS


def test_a_killed_process_leaves_every_verdict_that_it_acknowledged(store, review, address):
    process = subprocess.Popen([sys.executable, "-c", SAY, address, "Anna", "100000"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().decode().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += [line for line in rest.decode().splitlines() if len(line) == 32]
    kept = {verdict.id for verdict in store.history(review)}
    assert set(acknowledged) <= kept
    store.say(review, "rejected", "Ben", PHOTO)
