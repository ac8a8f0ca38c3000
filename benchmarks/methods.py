"""`python -m benchmarks methods`: many methods from one call, beside the bare forward of the same round."""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

from benchmarks.contenders import MODELS, Work, bare, build
from gradcam import heatmaps, resolve_target_layer
from gradcam.methods import METHODS

AIMS = {"ResNet-50": 1.2, "VGG16": 1.5, "ViT-S/16": 2.0}
"""The ratio to a bare forward that all methods together are to stay below."""

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
    parser.add_argument("--models", nargs="+", default=list(AIMS), choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--each", action="store_true", help="every method by itself, too")
    options = parser.parse_args(arguments)
    print("Time as a ratio to a bare forward, medians. " + ", ".join(f"{k} {v}" for k, v in machine.items()))
    for model in options.models:
        for batch in options.batches:
            sets = {"12 methods": TOGETHER, "Grad-CAM": ["Grad-CAM"]}
            if options.each:
                one_forward = [name for name, row in METHODS.items() if "forwards" not in row.needs]
                sets |= {name: [name] for name in one_forward if name not in ("CAM", "Grad-CAM")}
            for name, ratio in _ratios(model, batch, options.classes, sets, options.rounds).items():
                aim = f", aim {AIMS[model]}" if name == "12 methods" and model in AIMS else ""
                print(f"{model}, batch {batch}, {options.classes} classes: {name} {ratio:.2f}{aim}")


def _ratios(model: str, batch: int, classes: int, sets: dict[str, list[str]], rounds: int) -> dict[str, float]:
    """The median ratio of each set of methods to the forward of the same round, all in a drawn order."""
    module = build(model)
    layer = resolve_target_layer(module)
    pixels = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def work(names: list[str]) -> Work:
        return lambda: heatmaps(module, pixels, range(classes), layer, method=names)

    works = {"forward": bare(module, pixels, range(classes), layer)}
    works |= {name: work(names) for name, names in sets.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order, draw = list(works), random.Random(0)
    for round_number in range(rounds + 1):  # the first one warms up
        draw.shuffle(order)
        for name in order:
            started = time.perf_counter()
            works[name]()
            if round_number:
                seconds[name].append(time.perf_counter() - started)
    return {
        name: statistics.median(mine / floor for mine, floor in zip(values, seconds["forward"], strict=True))
        for name, values in seconds.items()
        if name != "forward"
    }
