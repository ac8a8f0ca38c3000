"""`python -m benchmarks folding`: Grad-CAM beside the bare eager forward, in fresh processes.

On a copy of the model with folded BatchNorm, and of a small model by its own modules.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmarks.contenders import Contender, Work, bare, build, channels_last, folded
from gradcam import TargetLayer, heatmaps, load_classifier, resolve_target_layer

BUNDLED = "bundled/tf_efficientnet_lite0"
FOLDED = channels_last(folded)


def bundled() -> nn.Module:
    """The bundled model with its weights, laid out as its library built it."""
    return load_classifier(BUNDLED, exact=True).module.to(memory_format=torch.contiguous_format)


def its_own_modules(model: nn.Module, batch: Tensor, classes: Sequence[int], _: TargetLayer) -> Work:
    """`heatmaps` of a model as it is, which finds the layer itself."""
    return lambda: heatmaps(model, batch, classes)


def timm_mobilenet() -> nn.Module:
    """The same network as torchvision's, with its activations inside the norms."""
    torch.manual_seed(0)
    return timm.create_model("mobilenetv3_large_100").eval().requires_grad_(False)


@dataclass(frozen=True)
class Case:
    """A model and so many photos a forward. most: the ratio that is aimed at. by: what explains it."""

    name: str
    model: Callable[[], nn.Module]
    photos: int
    most: float
    by: Contender = FOLDED
    classes: int = 1
    threads: int = 1


CASES = {
    "lite0": Case("EfficientNet-Lite0", bundled, 1, 0.82),
    "lite0-8": Case("EfficientNet-Lite0", bundled, 8, 0.70),
    "mobilenet": Case("MobileNetV3-L of torchvision (untrained, seed 0)", lambda: build("MobileNetV3-L"), 1, 0.87),
    "mobilenet-timm": Case("MobileNetV3-L of timm (untrained, seed 0)", timm_mobilenet, 1, 0.87),
    "resnet": Case("ResNet-50 (untrained, seed 0)", lambda: build("ResNet-50"), 1, 0.80),
    "lite0-itself": Case("EfficientNet-Lite0, by its own modules", bundled, 1, 1.08, its_own_modules, 5),
    "lite0-itself-2": Case("EfficientNet-Lite0, by its own modules", bundled, 1, 1.08, its_own_modules, 5, 2),
}


def main(arguments: list[str], machine: dict[str, str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks folding", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--here", choices=CASES, help=argparse.SUPPRESS)  # in a fresh process
    options = parser.parse_args(arguments)
    if options.here:
        print(ratio(CASES[options.here], options.rounds))
        return
    ratios: dict[str, list[float]] = {name: [] for name in options.cases}
    for _ in range(options.processes):
        for name, found in ratios.items():  # by turns, so that a busy moment meets all of them
            found.append(_in_a_fresh_process(name, options.rounds))
    del machine["threads"]  # each case has its own
    result = {"machine": machine, "rounds": options.rounds, "ratios": ratios}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "folding.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "FOLDING.md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))


def ratio(case: Case, rounds: int) -> float:
    """Median over rounds of Grad-CAM's time to the bare forward's, both on so many threads."""
    torch.set_num_threads(case.threads)
    pixels = torch.randn(case.photos, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    forward, explain = (_work(contender, case, pixels) for contender in (bare, case.by))
    order, draw, found = [forward, explain], random.Random(0), []
    for number in range(rounds + 2):  # the first two warm up
        draw.shuffle(order)
        taken = {work: _seconds(work) for work in order}
        if number > 1:
            found.append(taken[explain] / taken[forward])
    return statistics.median(found)


def _work(contender: Any, case: Case, pixels: Tensor) -> Callable[[], object]:
    model = case.model()
    return contender(model, pixels, range(case.classes), resolve_target_layer(model))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _in_a_fresh_process(case: str, rounds: int) -> float:
    command = [sys.executable, "-m", "benchmarks", "folding", "--here", case, "--rounds", str(rounds)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(said.splitlines()[-1])


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Beside the forward",
        "",
        f"{', '.join(f'{name} {value}' for name, value in result['machine'].items())}.",
        "",
        "Grad-CAM, on the copy of the model in which BatchNorm is folded into convolutions or by its own modules, "
        "as a ratio to a bare eager `inference_mode` forward of the model as its library built it: 224×224, "
        f"float32. Each process takes the median of {result['rounds']} rounds of one case, and the table that of "
        "fresh processes.",
        "",
        "| model | photos | classes | threads | ratio | each process | aimed at |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]
    for name, found in result["ratios"].items():
        case = CASES[name]
        each = " · ".join(f"{value:.3f}" for value in sorted(found))
        lines.append(
            f"| {case.name} | {case.photos} | {case.classes} | {case.threads} | {statistics.median(found):.3f} "
            f"| {each} | ≤ {case.most:.2f} |"
        )
    return "\n".join([*lines, ""])
