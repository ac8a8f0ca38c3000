"""`python -m benchmarks methods --from-forwards`: methods of many forwards beside the peers', in one run.

Each is asked once for one class of one image, for there is no time for more rounds. The images that enter the
model, and those whose scores leave it, are counted by hooks: some of our methods make many of one image behind the
target layer. A row that would take longer than there is patience for is left out, and says how long it would take.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from benchmarks.contenders import Work, bare, build
from gradcam import heatmaps, resolve_target_layer
from gradcam.methods import Method, find_methods
from gradcam.methods.method import USUAL, Part
from gradcam.types import TargetLayer

CLASS = 7
PEERS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "Score-CAM": (("pytorch_grad_cam", "ScoreCAM", 1), ("torchcam.methods", "ScoreCAM", 1)),
    "Ablation-CAM": (("pytorch_grad_cam", "AblationCAM", 1),),
    "SS-CAM": (("torchcam.methods", "SSCAM", 35),),
    "IS-CAM": (("torchcam.methods", "ISCAM", 10),),
}
"""Which peers have a method: the module, the class, and its forwards a channel, for every row that has one."""

BEHIND = ("Ablation-CAM", "Recipro-CAM")
"""Those whose many forwards are of our model's part behind the layer, which is small, and so never left out."""

COMPARED = ["Score-CAM", "Ablation-CAM", "Recipro-CAM", "RISE", "Occlusion"]
"""Those that take a few minutes; SS-CAM and IS-CAM are Score-CAM several times, and no peer has Opti-CAM."""

MODELS = ["ResNet-18", "VGG16"]


Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One method by one package. images_in, scores_out, seconds: measured; None if it was left out.

    floor: seconds of a bare forward. about: the seconds that were expected of it.
    """

    model: str
    method: str
    by: str
    floor: float
    about: float
    images_in: int | None = None
    scores_out: int | None = None
    seconds: float | None = None


def main(
    models: Sequence[str],
    methods: Sequence[str],
    machine: dict[str, str],
    patience: float,
    out: Path | None,
    *,
    busy: bool,
) -> None:
    clock = time.process_time if busy else time.perf_counter
    rows = [row for name in models for row in _rows(name, methods, patience, clock)]
    text = markdown(rows, machine, patience, busy=busy)
    print(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine, "patience": patience, "busy": busy, "rows": [*map(asdict, rows)]}
        (out / "from-forwards.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (out / "FROM-FORWARDS.md").write_text(text, encoding="utf-8")


def markdown(rows: Sequence[Row], machine: dict[str, str], patience: float, *, busy: bool) -> str:
    """The table for a person to read."""
    lines = [
        "# What methods of many forwards cost",
        "",
        "One call for one class of one image, once, float32, 224×224; in bare forwards: seconds as a ratio to a "
        "forward in `inference_mode`, the least of five. "
        + ", ".join(f"{name} {value}" for name, value in machine.items())
        + "."
        + (" Processor time, for others computed on the machine meanwhile." if busy else ""),
        "",
        f"A row that would take more than {patience:.0f} s here, by its forwards, is left out and says so. Of "
        f"{' and '.join(BEHIND)} only the part behind the target layer runs so often in gradcam, or no forward at "
        "all. SS-CAM is Score-CAM 8 times (35 times in torchcam) and IS-CAM 10 times; no peer has Opti-CAM.",
        "",
        "| model | method | by | images in | scores out | seconds | in bare forwards |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = ["–", "–", f"left out: about {row.about:.0f}", f"about {row.about / row.floor:,.0f}"]
        if row.seconds is not None:
            measured = f"{row.seconds:.1f}", f"{row.seconds / row.floor:,.0f}"
            cells = [f"{row.images_in:,}", f"{row.scores_out:,}", *measured]
        lines.append(f"| {row.model} | {row.method} | {row.by} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rows(name: str, methods: Sequence[str], patience: float, clock: Clock) -> Iterator[Row]:
    model = build(name)
    layer = resolve_target_layer(model)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    heatmaps(model, image, CLASS, layer)  # what is learnt of a model once
    floor = min(_measured(model, bare(model, image, [CLASS], layer), clock)[2] for _ in range(5))
    for method in find_methods(methods):
        for by, forwards, work in _works(model, image, layer, method):
            about = forwards * floor
            left_out = Row(name, method.name, by, floor, about)
            if about > patience:
                yield left_out
                continue
            entered, left, seconds = _measured(model, work, clock)
            yield replace(left_out, images_in=entered, scores_out=left, seconds=seconds)


def _works(model: nn.Module, image: Tensor, layer: TargetLayer, method: Method) -> Iterator[tuple[str, int, Work]]:
    """Who has the method, its forwards of the whole model, and a call of it."""
    counts: dict[Part, int] = {**USUAL, "channel": layer.channels, "place": layer.grid[0] * layer.grid[1]}
    forwards = 1 if method.name in BEHIND else method.forwards_for(counts)
    yield "gradcam", forwards, partial(heatmaps, model, image, CLASS, layer, method=method.name)
    for module, kind, times in PEERS.get(method.name, ()):
        by = module.partition(".")[0].replace("_", "-")
        yield by, times * layer.channels, _peer(module, kind, model, image, layer)


def _peer(module: str, kind: str, model: nn.Module, image: Tensor, layer: TargetLayer) -> Work:
    made: Callable[..., object] = getattr(__import__(module, fromlist=[kind]), kind)

    def grad_cam() -> None:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        with made(model, [model.get_submodule(layer.name)]) as cam:  # pyright: ignore
            cam(image, [ClassifierOutputTarget(CLASS)])

    def torch_cam() -> None:
        with made(model, layer.name, input_shape=(3, 224, 224)) as extractor:  # pyright: ignore
            with torch.no_grad():
                scores = model(image)
            extractor(CLASS, scores)

    return grad_cam if module == "pytorch_grad_cam" else torch_cam


def _measured(model: nn.Module, work: Work, clock: Clock) -> tuple[int, int, float]:
    """How many images `work` sends into the model, of how many the scores leave it, and its seconds."""
    entered = left = 0

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal entered
        entered += len(args[0])

    def leave(_module: nn.Module, _args: tuple[Tensor, ...], scores: Tensor) -> None:
        nonlocal left
        left += len(scores)

    with model.register_forward_pre_hook(enter), model.register_forward_hook(leave):
        started = clock()
        work()
        return entered, left, clock() - started
