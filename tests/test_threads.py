"""One model shared by many threads: each thread gets its own right answer, and nothing piles up."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from gradcam import Classifier, Explanation, Photo, Top, explain, load_classifier, sample_photo

THREADS, CALLS = 16, 50


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("bundled/tf_efficientnet_lite0", device="cpu")


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """A photo for every thread: the same scene, moved sideways."""
    scene = sample_photo("cat and coffee").pixels
    return [Photo(np.roll(scene, 20 * i, axis=1), f"{i}", f"{i}") for i in range(THREADS)]


def ask(classifier: Classifier, photos: list[Photo], mine: int) -> Explanation:
    return explain(classifier, photos[mine], [Top(1), 281 + mine, "espresso"], fit="squash")


def test_sixteen_threads_get_exactly_the_maps_of_a_serial_run(classifier: Classifier, photos: list[Photo]) -> None:
    expected = [ask(classifier, photos, mine) for mine in range(THREADS)]
    assert len({explanation.maps.tobytes() for explanation in expected}) == THREADS
    right = [0] * THREADS

    def work(mine: int) -> None:
        for _ in range(CALLS):
            answer = ask(classifier, photos, mine)
            same = np.array_equal(answer.maps, expected[mine].maps)
            right[mine] += same and np.array_equal(answer.logits, expected[mine].logits)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [CALLS] * THREADS
    assert not any(module._forward_hooks for module in classifier.module.modules())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc")
def test_memory_is_flat_over_five_hundred_calls(classifier: Classifier, photos: list[Photo]) -> None:
    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for call in range(100):
        ask(classifier, photos, call % THREADS)
    before = resident()
    for call in range(500):
        ask(classifier, photos, call % THREADS)
    slack = 30 * 2**20  # one leaked activation a call would be 120 MiB
    assert resident() - before < slack
