"""One model shared by many threads: each thread gets its own right answer, and nothing piles up."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gradcam import Classifier, Explanation, Photo, Top, explain, load_classifier, sample_photo

THREADS, CALLS = 16, (6, 12, 12)
"""Memory is measured after the first calls of every thread, then twice, each time 192 calls later."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Real weights on small pictures, so that five hundred calls take seconds."""
    loaded = load_classifier("bundled/tf_efficientnet_lite0", device="cpu")
    return replace(loaded, preprocessing=replace(loaded.preprocessing, size=(96, 96), resize=(96, 96)))


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """A photo for every thread: the same scene, moved sideways."""
    scene = sample_photo("cat and coffee").pixels
    return [Photo(np.roll(scene, 20 * i, axis=1), f"{i}", f"{i}") for i in range(THREADS)]


def ask(classifier: Classifier, photos: list[Photo], mine: int) -> Explanation:
    return explain(classifier, photos[mine], [Top(1), 281 + mine, "espresso"], fit="squash")


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 if Path("/proc/self/statm").exists() else 0


def test_sixteen_threads_get_exactly_the_maps_of_a_serial_run_and_memory_stays_flat(
    classifier: Classifier, photos: list[Photo]
) -> None:
    expected = [ask(classifier, photos, mine) for mine in range(THREADS)]
    assert len({explanation.maps.tobytes() for explanation in expected}) == THREADS

    def right_answers(mine: int, calls: int) -> int:
        answers = (ask(classifier, photos, mine) for _ in range(calls))
        return sum(
            np.array_equal(answer.maps, expected[mine].maps)
            and np.array_equal(answer.logits, expected[mine].logits)
            for answer in answers
        )

    memory = []
    with ThreadPoolExecutor(THREADS) as threads:
        for calls in CALLS:
            assert list(threads.map(right_answers, range(THREADS), [calls] * THREADS)) == [calls] * THREADS
            memory.append(resident())
    # A leak grows every time, by 20 MiB if it is only the input of each call; what the allocator keeps does not.
    growth = [after - before for before, after in pairwise(memory)]
    assert min(growth) < 15 * 2**20, [bytes // 2**20 for bytes in memory]
    assert not any(module._forward_hooks for module in classifier.module.modules())
