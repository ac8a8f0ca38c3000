"""`python -m benchmarks methods --from-forwards`: methods of many forwards beside the peers', in one run.

Each is asked once for one class of one image; the images that enter the model, and those whose scores leave it, are
counted by hooks: some of our methods make many of one image behind the target layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from benchmarks.contenders import Work, bare, build
from gradcam import heatmaps, resolve_target_layer
from gradcam.methods import find_methods
from gradcam.types import TargetLayer

CLASS = 7
PEERS: dict[str, tuple[tuple[str, str], ...]] = {
    "Score-CAM": (("pytorch_grad_cam", "ScoreCAM"), ("torchcam.methods", "ScoreCAM")),
    "Ablation-CAM": (("pytorch_grad_cam", "AblationCAM"),),
    "SS-CAM": (("torchcam.methods", "SSCAM"),),
    "IS-CAM": (("torchcam.methods", "ISCAM"),),
}
"""Which peers have a method: the module and the class, for every row that has one."""

COMPARED = ["Score-CAM", "Ablation-CAM", "Recipro-CAM", "RISE", "Occlusion"]
"""Those that take a few minutes; SS-CAM and IS-CAM are Score-CAM several times, and no peer has Opti-CAM."""

MODELS = ["EfficientNet-Lite0"]


def main(models: Sequence[str], methods: Sequence[str], machine: dict[str, str]) -> None:
    print(", ".join(f"{key} {value}" for key, value in machine.items()), "\n")
    print("| model | method | by | images in | scores out | seconds | in bare forwards |")
    print("|---|---|---|--:|--:|--:|--:|")
    for name in models:
        for row in _rows(name, methods):
            print(f"| {name} | " + " | ".join(row) + " |", flush=True)


def _rows(name: str, methods: Sequence[str]) -> Iterator[tuple[str, ...]]:
    model = build(name)
    layer = resolve_target_layer(model)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    heatmaps(model, image, CLASS, layer)  # what is learnt of a model once
    floor = min(_measured(model, bare(model, image, [CLASS], layer))[2] for _ in range(5))
    for method in find_methods(methods):
        works: dict[str, Work] = {"gradcam": _ours(model, image, layer, method.name)}
        for module, kind in PEERS.get(method.name, ()):
            works[module.partition(".")[0].replace("_", "-")] = _peer(module, kind, model, image, layer)
        for by, work in works.items():
            entered, left, seconds = _measured(model, work)
            yield method.name, by, f"{entered:,}", f"{left:,}", f"{seconds:.1f}", f"{seconds / floor:.0f}"


def _ours(model: nn.Module, image: Tensor, layer: TargetLayer, method: str) -> Work:
    return lambda: heatmaps(model, image, CLASS, layer, method=method)


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


def _measured(model: nn.Module, work: Work) -> tuple[int, int, float]:
    """How many images `work` sends into the model, of how many the scores leave it, and its seconds."""
    entered = left = 0

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal entered
        entered += len(args[0])

    def leave(_module: nn.Module, _args: tuple[Tensor, ...], scores: Tensor) -> None:
        nonlocal left
        left += len(scores)

    with model.register_forward_pre_hook(enter), model.register_forward_hook(leave):
        started = time.perf_counter()
        work()
        return entered, left, time.perf_counter() - started
