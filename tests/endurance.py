"""What a long day does to the server and the package: `python -m tests.endurance` prints a table for README.

Visitors who come at once must see what one sees alone; threads must compute what one computes alone; and memory
must come to rest. Takes some minutes.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product

import numpy as np
import psutil

from gradcam import Classifier, Photo, explain, load_classifier, sample_photo
from tests.server import dashboard
from tests.visitors import Link, at_once, visiting

LITE = tuple(f"bundled/tf_efficientnet_lite{number}" for number in range(3))
PHOTOS = ("chelsea", "coffee", "cat and coffee", "coffee and cat")
CLASSES = (
    "tabby",
    "tiger cat",
    "Egyptian cat",
    "lynx",
    "espresso",
    "cup",
    "coffee mug",
    "eggnog",
    "soup bowl",
    "Persian cat",
)
WARM = 0.25
"""The share of the work after which memory is measured first: caches and allocators have filled by then."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--visitors", type=int, default=12, help="who come at once [12]")
    parser.add_argument("--interactions", type=int, default=200, help="of one visitor [200]")
    parser.add_argument("--threads", type=int, default=16, help="that explain at once [16]")
    parser.add_argument("--calls", type=int, default=12, help="of each thread [12]")
    parser.add_argument("--explanations", type=int, default=1000, help="one after the other [1000]")
    options = parser.parse_args()
    print("| what | result |\n|---|---|", flush=True)
    with dashboard() as address:
        right = visitors_right(address, options.visitors)
        say(f"{options.visitors} visitors at once", f"{right} saw what one sees alone")
        say(
            f"{options.interactions} interactions of a visitor",
            grown(interact(address, options.interactions), server_memory),
        )
    classifier = load_classifier(LITE[0])
    calls = options.threads * options.calls
    say(
        f"{options.threads} threads × {options.calls} calls",
        f"{calls_right(classifier, options.threads, options.calls)} of {calls} right",
    )
    say(
        f"{options.explanations:,} explanations",
        grown(explain_many_photos(classifier, options.explanations), own_memory),
    )
    return 0 if right == options.visitors else 1


def say(what: str, result: str) -> None:
    print(f"| {what} | {result} |", flush=True)


def grown(work: Callable[[float, float], None], memory: Callable[[], float]) -> str:
    """How much more memory there is after the work than when it was warm."""
    work(0, WARM)
    before = memory()
    work(WARM, 1)
    return f"{memory() - before:+.1f} MB, of {before:.0f} MB"


def own_memory() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def server_memory() -> float:
    """Of the processes that this one has started."""
    return sum(process.memory_info().rss for process in psutil.Process().children(recursive=True)) / 1e6


def visitors_right(address: str, count: int) -> int:
    """How many of so many visitors see the heatmaps that each of them sees alone."""
    asked = product(LITE, PHOTOS, CLASSES)
    links: list[tuple[str, Link]] = [
        ("compare_models", {"models": [model], "photos": [photo], "classes": [name]})
        for model, photo, name in islice(asked, 0, None, 7)
    ][:count]
    together = at_once(address, links)
    alone = [at_once(address, [link])[0] for link in links]
    return sum(
        one.titles == other.titles != [] and not one.crashed for one, other in zip(together, alone, strict=True)
    )


def interact(address: str, count: int) -> Callable[[float, float], None]:
    """One visitor who asks for one class after another, of one photo after another."""
    questions = [(photo, pair) for pair in product(CLASSES, CLASSES) if pair[0] < pair[1] for photo in PHOTOS]
    opened = visiting(address)
    visitor = opened.__enter__()
    seen = visitor.open("compare_models", {"models": [LITE[0]]})

    def work(since: float, until: float) -> None:
        nonlocal seen
        for number in range(int(since * count), int(until * count)):
            photo, pair = questions[number % len(questions)]
            seen = visitor.choose(seen, "Classes", *pair) if number % 2 else visitor.choose(seen, "Photos", photo)
            assert seen.titles, seen.crashed or seen.sentences
        if until == 1:
            opened.__exit__(None, None, None)

    return work


def calls_right(classifier: Classifier, threads: int, calls: int) -> int:
    """How many of the calls of all threads give the maps that a call alone gives."""
    photo = sample_photo("cat and coffee")
    alone = {index: explain(classifier, photo, [index]).maps for index in range(calls)}

    def call(index: int) -> bool:
        return np.allclose(explain(classifier, photo, [index]).maps, alone[index], rtol=1e-5, atol=1e-7)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(call, list(range(calls)) * threads))


def explain_many_photos(classifier: Classifier, count: int) -> Callable[[float, float], None]:
    """Explain so many photos, each of them new, for three classes."""

    def work(since: float, until: float) -> None:
        for number in range(int(since * count), int(until * count)):
            random = np.random.default_rng(number)
            photo = Photo(random.integers(0, 256, (240, 320, 3), np.uint8), f"{number}.png", f"{number:064}")
            explain(classifier, photo, [number % 1000, (number + 1) % 1000, (number + 2) % 1000])

    return work


if __name__ == "__main__":
    sys.exit(main())
