"""Wall time, interleaved in one process; peak memory, each in a fresh one; throughput of a whole pipeline."""

from __future__ import annotations

import io
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.contenders import CONTENDERS, NotPossibleError, Work, build
from gradcam import TargetLayer, Top, explain_many, load_classifier, open_photo, sample_photo
from gradcam.preprocess import to_input, view_of
from tests.conftest import ARGUMENTS, CHROMIUM
from tests.server import dashboard


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    model: str
    batch: int
    classes: int

    def work(self, contender: str, layer: TargetLayer) -> Work:
        """A call of this contender on a model of its own."""
        model = build(self.model)
        pixels = torch.randn(self.batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        return CONTENDERS[contender](model, pixels, range(self.classes), layer)


def times(case: Case, layer: TargetLayer, rounds: int, patience: float) -> dict[str, list[float]]:
    """Seconds of every contender in every round; all take turns, so that a busy moment meets all of them, in an
    order drawn for each round, so that none always follows the same one.

    A contender that has taken more than `patience` seconds is not called again.
    """
    works: dict[str, Work] = {}
    for name in CONTENDERS:
        try:
            works[name] = case.work(name, layer)
        except NotPossibleError:
            continue
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order, draw = list(works), random.Random(0)
    for round_number in range(rounds + 1):  # the first one warms up
        draw.shuffle(order)
        for name in order:
            if sum(seconds[name]) > patience:
                continue
            started = time.perf_counter()
            works[name]()
            elapsed = time.perf_counter() - started
            if round_number or elapsed > patience:
                seconds[name].append(elapsed)
    return seconds


def peak_memory(case: Case, contender: str, layer: TargetLayer) -> int | None:
    """Bytes resident at the peak of a fresh process that loads the model and makes one call; None off Linux."""
    if not Path("/proc/self/status").exists():
        return None
    command = [sys.executable, "-m", "benchmarks", "--peak", json.dumps([vars(case), contender, vars(layer)])]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak_here(request: str) -> int:
    """Measure in the fresh process of `peak_memory`."""
    case, contender, layer = json.loads(request)
    layer["grid"] = tuple(layer["grid"])
    Case(**case).work(contender, TargetLayer(**layer))()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


ALLOCATORS: dict[str, dict[str, str]] = {
    "as it is": {},
    "keeps memory": {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    },
}
"""Environments of a process on Linux. As it is, glibc hands the memory of large feature maps back to the system and
asks for it again in the next layer, which takes up to half of a forward's time."""


def throughput(model_id: str, allocator: str) -> dict[str, float]:
    """Median photos a second in a fresh process: the bare forward on inputs ready in memory, and the whole way from
    files to maps.

    On a processor, preparation and forward share the cores: the rate of both by turns, each on every core, is about
    the most that a pipeline can reach.
    """
    command = [sys.executable, "-m", "benchmarks", "--throughput", model_id]
    environment = os.environ | ALLOCATORS[allocator]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def throughput_here(model_id: str, photos: int = 128, rounds: int = 9) -> dict[str, float]:
    """Measure in the fresh process of `throughput`."""
    encoded = io.BytesIO()
    Image.fromarray(sample_photo("chelsea").pixels).save(encoded, "JPEG", quality=90)
    files = [encoded.getvalue()] * photos
    classifier = load_classifier(model_id)
    photo = open_photo(files[0])
    view = view_of(photo.size, classifier.preprocessing)
    ready = torch.stack([to_input(photo, view, classifier.preprocessing)] * 8)
    ready = ready.contiguous(memory_format=torch.channels_last)

    def bare_forward() -> None:
        with torch.inference_mode():
            for _ in range(photos // 8):
                classifier.module(ready)

    def prepare(file: bytes) -> None:
        opened = open_photo(file)
        to_input(opened, view_of(opened.size, classifier.preprocessing), classifier.preprocessing)

    def decode_and_preprocess() -> None:
        with ThreadPoolExecutor(torch.get_num_threads()) as cores:
            list(cores.map(prepare, files))

    def pipeline() -> None:
        for _ in explain_many(classifier, map(open_photo, files), Top(1)):
            pass

    steps: dict[str, Callable[[], None]] = {
        "bare forward": bare_forward,
        "decode and preprocess, on every core": decode_and_preprocess,
        "decode, preprocess, explain": pipeline,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_number:
                seconds[name].append(time.perf_counter() - started)
    forward, preparation, whole = map(seconds.__getitem__, steps)
    turns = [a + b for a, b in zip(forward, preparation, strict=True)]
    rates = {name: photos / statistics.median(values) for name, values in seconds.items()}
    return rates | {
        "forward and preparation by turns": photos / statistics.median(turns),
        "to the bare forward": statistics.median(a / b for a, b in zip(forward, whole, strict=True)),
    }


IMPORTS = ("import torch", "import gradcam", "from gradcam import compare, explain, heatmaps, load_classifier")
"""What is timed, each time in a fresh process."""


def imports(rounds: int = 7) -> dict[str, float]:
    """How long each of `IMPORTS` takes as a ratio to the first, median over rounds in which all take turns."""
    ratios: dict[str, list[float]] = {code: [] for code in IMPORTS}
    for round_number in range(rounds + 1):  # the first one reads the files into memory
        seconds = {code: seconds_of(code) for code in IMPORTS}
        for code, value in seconds.items():
            if round_number:
                ratios[code].append(value / seconds["import torch"])
    return {code: statistics.median(values) for code, values in ratios.items()}


def seconds_of(code: str) -> float:
    timed = f"import time; started = time.perf_counter(); {code}; print(time.perf_counter() - started)"
    return float(subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout)


def startup() -> dict[str, float]:
    """Seconds from `streamlit run` until the server answers, and until a browser shows the first heatmaps."""
    started = time.perf_counter()
    with dashboard() as address, sync_playwright() as playwright:
        answers = time.perf_counter() - started
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(address)
        page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
        first = time.perf_counter() - started
        page.reload()
        opened = time.perf_counter()
        page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
        again = time.perf_counter() - opened
        browser.close()
    return {"server answers": answers, "first heatmaps": first, "the next visitor's first heatmaps": again}


def cases(models: Sequence[str], batches: Sequence[int], classes: Sequence[int]) -> Iterator[Case]:
    for model in models:
        for batch in batches:
            for count in classes:
                yield Case(model, batch, count)
