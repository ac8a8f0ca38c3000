"""`python -m benchmarks methods`: many methods from one call, beside the bare forward of the same round."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import forwards
from benchmarks.contenders import MODELS, Work, bare, build
from gradcam import heatmaps, resolve_target_layer
from gradcam.methods import METHODS

AIMS = {"ResNet-50": 1.2, "VGG16": 1.5, "ViT-S/16": 2.0}
"""The ratio to a bare forward that all methods together are to stay below."""

MOST_MEMORY = 1.15
"""The ratio of peak memory to a bare forward's that they are to stay below."""

TOGETHER = [
    "Grad-CAM",
    "Grad-CAM++",
    "XGrad-CAM",
    "HiResCAM",
    "Element-wise Grad-CAM",
    "LayerCAM",
    "Finer-CAM",
    "Counterfactual Grad-CAM",
    "Eigen-CAM",
    "Eigen-Grad-CAM",
    "Seg-Eigen-CAM",
    "FEM",
]
"""Twelve methods that one forward answers."""


def main(arguments: list[str], machine: dict[str, str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks methods", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--each", action="store_true", help="every method by itself, too")
    parser.add_argument("--busy", action="store_true", help="others compute on the machine: count processor time")
    parser.add_argument("--from-forwards", action="store_true", help="only methods of many forwards, beside peers")
    parser.add_argument("--methods", nargs="+", default=forwards.COMPARED, help="of many forwards, by name")
    parser.add_argument("--patience", type=float, default=90, help="seconds beyond which such a method is left out")
    parser.add_argument("--out", type=Path, help="a folder for the table, as Markdown and as JSON")
    parser.add_argument("--peak", help=argparse.SUPPRESS)  # one memory measurement, in a process of its own
    options = parser.parse_args(arguments)
    if options.from_forwards:
        models = options.models or forwards.MODELS
        forwards.main(models, options.methods, machine, options.patience, options.out, busy=options.busy)
        return
    if options.peak:
        print(_peak_here(*json.loads(options.peak)))
        return
    rows = [
        _row(model, batch, options.classes, options.rounds, each=options.each, busy=options.busy)
        for model in options.models or AIMS
        for batch in options.batches
    ]
    result = {"machine": machine, "busy": options.busy, "rows": rows}
    print(markdown(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "methods.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (options.out / "METHODS.md").write_text(markdown(result), encoding="utf-8")


def _row(model: str, batch: int, classes: int, rounds: int, *, each: bool, busy: bool) -> dict[str, Any]:
    """Median seconds of a bare forward, the ratios to it, and the ratio of peak memory; None off Linux."""
    sets = {"12 methods": TOGETHER, "Grad-CAM": ["Grad-CAM"]}
    if each:
        one_forward = [name for name, row in METHODS.items() if "forwards" not in row.needs]
        sets |= {name: [name] for name in one_forward if name not in ("CAM", "Grad-CAM")}
    forward, ratios = _ratios(model, batch, classes, sets, rounds, time.process_time if busy else time.perf_counter)
    floor, peak = (_peak(model, batch, classes, names) for names in ([], TOGETHER))
    memory = peak / floor if floor and peak else None
    about = {"model": model, "batch": batch, "classes": classes}
    return {**about, "forward": forward, "ratio": ratios, "memory": memory}


def markdown(result: dict[str, Any]) -> str:
    """The table for a person to read."""
    names = list(result["rows"][0]["ratio"])
    lines = [
        "# What many methods cost",
        "",
        "Time of one call as a ratio to a bare forward of the same round, and peak memory of a fresh process as a "
        "ratio to the forward's; medians, float32, 224×224. "
        + ", ".join(f"{name} {value}" for name, value in result["machine"].items())
        + "."
        + (" Processor time, for others computed on the machine meanwhile." if result["busy"] else ""),
        "",
        f"12 methods: {', '.join(TOGETHER)}.",
        "",
        "| model, batch, classes | forward | " + " | ".join(names) + " | aim | peak memory | aim |",
        "|---|--:|" + "--:|" * (len(names) + 3),
    ]
    for row in result["rows"]:
        cells = [f"{row['ratio'][name]:.2f}" for name in names]
        memory = "–" if row["memory"] is None else f"{row['memory']:.2f}"
        about = f"{row['model']}, {row['batch']}, {row['classes']}"
        aims = f"{AIMS.get(row['model'], '–')} | {memory} | {MOST_MEMORY}"
        lines.append(f"| {about} | {1000 * row['forward']:.0f} ms | {' | '.join(cells)} | {aims} |")
    return "\n".join(lines) + "\n"


def _works(model: str, batch: int, classes: int, sets: dict[str, list[str]]) -> dict[str, Work]:
    """For each set of methods a call of them all on one model; a bare forward for an empty set."""
    module = build(model)
    layer = resolve_target_layer(module)
    pixels = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def work(names: list[str]) -> Work:
        if not names:
            return bare(module, pixels, range(classes), layer)
        return lambda: heatmaps(module, pixels, range(classes), layer, method=names)

    return {name: work(names) for name, names in sets.items()}


def _ratios(
    model: str, batch: int, classes: int, sets: dict[str, list[str]], rounds: int, clock: Callable[[], float]
) -> tuple[float, dict[str, float]]:
    """The forward's median seconds, and each set's median ratio to the forward of the same round; all in a drawn
    order."""
    works = _works(model, batch, classes, {"forward": [], **sets})
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order, draw = list(works), random.Random(0)
    for round_number in range(rounds + 1):  # the first one warms up
        draw.shuffle(order)
        for name in order:
            started = clock()
            works[name]()
            if round_number:
                seconds[name].append(clock() - started)
    floor = seconds.pop("forward")
    ratios = {
        name: statistics.median(mine / bare for mine, bare in zip(values, floor, strict=True))
        for name, values in seconds.items()
    }
    return statistics.median(floor), ratios


def _peak(model: str, batch: int, classes: int, names: list[str]) -> int | None:
    """Bytes resident at the peak of a fresh process that loads the model and makes one call; None off Linux."""
    if not Path("/proc/self/status").exists():
        return None
    request = json.dumps([model, batch, classes, names])
    command = [sys.executable, "-m", "benchmarks", "methods", "--peak", request]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _peak_here(model: str, batch: int, classes: int, names: list[str]) -> int:
    """Measure in the fresh process of `_peak`."""
    _works(model, batch, classes, {"one": names})["one"]()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
