"""`python -m benchmarks runs`: what a run costs beside a bare loop, and how fast its index answers."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from PIL import Image

from gradcam import Classifier, load_classifier, open_photo, sample_photo
from gradcam.preprocess import to_input, view_of
from gradcam.runs import Filter, Pair, Settings, queries, start
from gradcam.runs.index import Index, summarize
from gradcam.runs.index_tables import AGREEMENTS, CONFUSIONS, UNITS
from gradcam.runs.manifest import PhotoRow
from gradcam.runs.queries import confusions

MODELS = ["bundled/tf_efficientnet_lite0", "torchvision/resnet50 (untrained, seed 0)"]
THREADS = 2
"""Threads of the bare loop, each with one of PyTorch's, like the two workers of a run."""
PAIR = Pair(0, 1, "Grad-CAM", "label")
MIXED = {"label": "label 2", "predicted": "class 7", "site": "site 2"}


def page(by: str, first: int = 0, **wanted: Unpack[Filter]) -> Callable[[Index], object]:
    """Asks for the 48 photos of a page. first: where it begins."""
    return lambda index: queries.ranked(index, by, first=first, most=48, **wanted)


def count(by: str, **wanted: Unpack[Filter]) -> Callable[[Index], object]:
    """Asks how many photos a ranking has."""
    return lambda index: queries.how_many(index, by, **wanted)


QUESTIONS: dict[str, Callable[[Index], object]] = {
    "first page by disagreement": page("disagreement"),
    "page 1,000 by disagreement": page("disagreement", 48_000),
    "one label, by disagreement": page("disagreement", where={"label": "label 3"}),
    "one prediction, by disagreement": page("disagreement", where={"predicted": "class 7"}),
    "one slice, by disagreement": page("disagreement", where={"site": "site 2"}),
    "one of two, page 500": page("disagreement", 24_000, slices={"half": "1"}),
    "one slice, page 500": page("disagreement", 24_000, where={"site": "site 2"}),
    "one label, prediction and slice, by border": page("border", where=MIXED),
    "confidence, by border": page("border", confidence=(0.2, 0.4)),
    "same answer, page 1,000": page("same-answer", 48_000),
    "same place, page 500": page("same-place", 24_000),
    "a pair, page 1,000": page("disagreement", 48_000, pair=PAIR),
    "a pair, same answer, page 1,000": page("same-answer", 48_000, pair=PAIR),
    "a pair, same place, page 500": page("same-place", 24_000, pair=PAIR),
    "a pair, one label, page 100": page("disagreement", 4_800, pair=PAIR, where={"label": "label 3"}),
    "a pair, one slice, page 500": page("disagreement", 24_000, pair=PAIR, where={"site": "site 2"}),
    "a pair, confidence, page 100": page("same-answer", 4_800, pair=PAIR, confidence=(0.2, 0.4)),
    "how many": count("disagreement"),
    "how many of a label, prediction and slice": count("border", where=MIXED),
    "how many of a prediction": count("border", where={"predicted": "class 7"}),
    "how many of a confidence": count("border", confidence=(0.2, 0.4)),
    "how many of the same answer": count("same-answer"),
    "how many of a pair": count("disagreement", pair=PAIR),
    "how many of a pair, same answer": count("same-answer", pair=PAIR),
    "how many of a pair, a label": count("disagreement", pair=PAIR, where={"label": "label 3"}),
    "all in order, for the way to the next": lambda index: queries.ranked(index, "disagreement"),
    "what is taken for what": lambda index: queries.confusion(index, 0, "Grad-CAM", "label"),
    "labels to choose from": lambda index: queries.choices(index, "label"),
    "predictions to choose from": lambda index: queries.choices(index, "predicted"),
    "columns, and values of one": lambda index: [queries.slices(index), queries.slice_choices(index, "site")],
    "which rankings say something": queries.rankings,
}
"""What the page *Data set* asks of an index."""
SMALL_MODEL = "timm/test_resnet (untrained, seed 0)"
FEW = 100
"""Photos of the run that the memory of the long one is compared with."""


def main(arguments: list[str], machine: dict[str, str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks runs", description=__doc__)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
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


FRESH = """
import sys
from gradcam.cli import main
from benchmarks.peak import peak_kilobytes

main(sys.argv[1:])
print(peak_kilobytes())
"""
"""A whole life of the command, and its peak memory."""


def growth(folder: Path, many: int) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds and peak memory, in MB, of `gradcam run start` over few and many small photos, first and again."""
    found: dict[str, dict[str, float]] = {}
    for size in (FEW, many):
        data, out = write_photos(folder / f"small-{size}", size, (96, 64)), folder / f"run-{size}"
        command = ["run", "start", str(data), "--model", SMALL_MODEL, "--out", str(out)]
        for what in ("first", "second"):
            begun = time.perf_counter()
            ended = subprocess.run([sys.executable, "-c", FRESH, *command], stdout=subprocess.PIPE, check=True)
            took, peak = time.perf_counter() - begun, int(ended.stdout.split()[-1]) / 1e3
            found[f"{what} start, {size:,} photos"] = {"seconds": took, "megabytes": peak}
    return {"growth": found}


def index_times(folder: Path, photos: int) -> dict[str, float]:
    """Milliseconds of questions to an index of generated photos with two models: medians of nine."""
    folder.mkdir()
    index = Index(folder)
    index.prepare()
    draw = random.Random(0)
    rows = [
        PhotoRow(f"{n:07}.jpg", f"label {n % 10}", {"site": f"site {n % 4}", "half": f"{n % 2}"})
        for n in range(photos)
    ]
    index.add_photos(0, rows, [None] * photos)
    with index.writing() as connection:
        for table, made in ((UNITS, _units(photos)), (AGREEMENTS, _agreements(photos, draw))):
            connection.execute(table.insert(), made)
        summarize(connection, 0, photos - 1)
        connection.execute(CONFUSIONS.insert().from_select([one.name for one in CONFUSIONS.columns], confusions()))
    taken = {name: [seconds(lambda ask=ask: ask(index)) for _ in range(9)] for name, ask in QUESTIONS.items()}
    return {name: 1000 * statistics.median(times) for name, times in taken.items()}


def _units(photos: int) -> list[dict[str, Any]]:
    """Two models, which predict one of eleven classes and agree on which of it on two photos of three."""
    draw = random.Random(1)
    return [
        {"photo": photo, "model": model, "method": "Grad-CAM", "target": "label"}
        | {"predicted": f"class {(photo + (model if photo % 3 == 0 else 0)) % 11}", "on_border": draw.random()}
        | {"predicted_probability": draw.random(), "right": photo % 2 == 0}
        | {"shard_column": model, "shard_batch": photo // 64, "row": photo % 64}
        for photo in range(photos)
        for model in range(2)
    ]


def _agreements(photos: int, draw: random.Random) -> list[dict[str, Any]]:
    return [
        PAIR._asdict()
        | {"photo": photo, "same_class": True, "same_prediction": photo % 3 > 0}
        | {"rank_correlation": draw.uniform(-1, 1), "iou": draw.random()}
        for photo in range(photos)
    ]


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
        f"Small photos and a small model ({SMALL_MODEL}): the whole command `gradcam run start`, imports and all.",
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
