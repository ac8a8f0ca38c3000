"""`python -m benchmarks runs`: what a run costs beside a bare loop, and how fast its index answers."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gradcam import Classifier, load_classifier, open_photo, sample_photo
from gradcam.preprocess import to_input, view_of
from gradcam.runs import Settings, asking, start
from gradcam.runs.index import Index
from gradcam.runs.index_tables import PHOTOS, UNITS
from gradcam.runs.manifest import PhotoRow

MODELS = ["bundled/tf_efficientnet_lite0", "torchvision/resnet50 (untrained, seed 0)"]
THREADS = 2
"""Threads of the bare loop, each with one of PyTorch's, like the two workers of a run."""
QUERIES: dict[str, dict[str, Any]] = {
    "first page by disagreement": {"by": "disagreement"},
    "page 1,000 by disagreement": {"by": "disagreement", "first": 48_000},
    "one label, by disagreement": {"by": "disagreement", "where": {"label": "label 3"}},
    "one prediction, by disagreement": {"by": "disagreement", "where": {"predicted": "class 7"}},
    "one slice, by disagreement": {"by": "disagreement", "where": {"site": "site 2"}},
    "one slice, page 500": {"by": "disagreement", "where": {"site": "site 2"}, "first": 24_000},
    "one label, prediction and slice, by border": {
        "by": "border",
        "where": {"label": "label 2", "predicted": "class 7", "site": "site 2"},
    },
}
SMALL_MODEL = "timm/test_resnet (untrained, seed 0)"
FEW = 100
"""Photos of the run that the memory of the long one is compared with."""


def main(arguments: list[str], machine: dict[str, str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks runs", description=__doc__)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=10_000, help="photos of the run that is started twice")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = write_photos(Path(folder) / "photos", options.photos)
        result = {
            "machine": machine,
            "photos": options.photos,
            "ratios": {model: ratios(model, data, Path(folder), options.rounds) for model in MODELS},
            "rows": options.rows,
            "milliseconds": index_times(Path(folder) / "index", options.rows),
            "many": options.many,
            **growth(Path(folder), options.many),
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "runs.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "RUNS.md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))


def write_photos(folder: Path, count: int, size: tuple[int, int] = (1200, 800)) -> Path:
    """JPEGs of this width and height in pixels, rolled differently."""
    folder.mkdir()
    pixels = np.asarray(Image.fromarray(sample_photo("coffee").pixels).resize(size))
    for number in range(count):
        Image.fromarray(np.roll(pixels, 9 * number, axis=1)).save(folder / f"{number:05}.jpg", quality=90)
    return folder


def ratios(model: str, data: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds of the bare loop, and of runs without and with previews: medians over rounds that take turns."""
    bare, fast = load_classifier(model, exact=True), load_classifier(model)
    taken: dict[str, list[float]] = {"bare": [], "run": [], "previews": []}
    for number in range(rounds + 1):
        taken["bare"].append(seconds(lambda: bare_loop(bare, data)))
        for kind, settings in {"run": Settings(), "previews": Settings(previews=True)}.items():
            out = folder / f"{model.rpartition('/')[2]}-{kind}-{number}"
            taken[kind].append(
                seconds(lambda out=out, settings=settings: start(data, [fast], out=out, settings=settings))
            )
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


@torch.inference_mode()
def _forward(classifier: Classifier, paths: list[Path]) -> None:
    photos = [open_photo(path) for path in paths]
    sides = classifier.preprocessing
    inputs = [to_input(photo, view_of(photo.size, sides), sides) for photo in photos]
    classifier.module(torch.stack(inputs))


def bare_loop(classifier: Classifier, data: Path) -> None:
    """Open, prepare and predict, eight photos a forward, in two threads."""
    paths = sorted(data.iterdir())
    groups = [paths[first : first + 8] for first in range(0, len(paths), 8)]

    def work(group: list[Path]) -> None:
        with torch.inference_mode():
            _forward(classifier, group)

    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(work, groups))


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def growth(folder: Path, many: int) -> dict[str, dict[str, float]]:
    """Seconds and peak memory, in MB, of a run of few and of many small photos, and of a second start over each."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, float]] = {}
    for count in (FEW, many):
        data = write_photos(folder / f"small-{count}", count, (96, 64))
        for what in ("first", "second"):
            with ProcessPoolExecutor(1, context) as fresh:  # whose peak is of this start alone
                took, peak = fresh.submit(_start, data, folder / f"run-{count}").result()
            found[f"{what} start, {count:,} photos"] = {"seconds": took, "megabytes": peak}
    return {"growth": found}


def _start(data: Path, out: Path) -> tuple[float, float]:
    torch.set_num_threads(1)
    took = seconds(lambda: start(data, [SMALL_MODEL], out=out))
    return took, _peak_kilobytes() / 1e3


def _peak_kilobytes() -> int:
    """The most memory that this program has had; on Linux `getrusage` counts what its parent had, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def index_times(folder: Path, photos: int) -> dict[str, float]:
    """Milliseconds of questions to an index of generated photos with two models: medians of nine."""
    folder.mkdir()
    index = Index(folder)
    index.prepare()
    draw = random.Random(0)
    rows = [PhotoRow(f"{n:07}.jpg", f"label {n % 10}", {"site": f"site {n % 4}"}) for n in range(photos)]
    index.add_photos(0, rows, [None] * photos)
    units = [
        {
            "photo": photo,
            "model": model,
            "method": "Grad-CAM",
            "target": "label",
            "predicted": f"class {photo % 11}",
        }
        | {"shard_column": model, "shard_batch": photo // 64, "row": photo % 64}
        for photo in range(photos)
        for model in range(2)
    ]
    with index.writing() as connection:
        connection.execute(UNITS.insert(), units)
        for number in range(0, photos, 1000):
            values = {"agreement": draw.random(), "on_border": draw.random()}
            connection.execute(PHOTOS.update().where(PHOTOS.c.photo.between(number, number + 999)).values(values))
    taken = {
        name: [seconds(lambda query=query: asking.ranked(index, most=48, **query)) for _ in range(9)]
        for name, query in QUERIES.items()
    }
    return {name: 1000 * statistics.median(times) for name, times in taken.items()}


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Runs",
        "",
        f"{', '.join(f'{name} {value}' for name, value in result['machine'].items())}.",
        "",
        f"A folder of {result['photos']} JPEGs of 1200×800 pixels, decoded, explained and stored with maps, "
        "contributions and index, beside a bare eager loop that opens, prepares and predicts the same files in two "
        "threads. Above a ratio of 1 the run is faster.",
        "",
        "| model | bare loop, s | run, s | ratio | run with previews, s | ratio |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| {model} | {found['bare']:.2f} | {found['run']:.2f} | {found['bare'] / found['run']:.2f} "
            f"| {found['previews']:.2f} | {found['bare'] / found['previews']:.2f} |"
            for model, found in result["ratios"].items()
        ),
        "",
        f"Questions to the index of {result['rows']:,} generated photos with two models, 48 photos a page.",
        "",
        "| query | ms |",
        "|---|--:|",
        *(f"| {name} | {found:.0f} |" for name, found in result["milliseconds"].items()),
        "",
        f"Small photos and a small model ({SMALL_MODEL}), each start in a fresh process.",
        "",
        "| | s | peak memory, MB |",
        "|---|--:|--:|",
        *(
            f"| {name} | {found['seconds']:.1f} | {found['megabytes']:.0f} |"
            for name, found in result["growth"].items()
        ),
        "",
    ]
    return "\n".join(lines)
