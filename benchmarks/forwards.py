"""`python -m benchmarks methods --from-forwards`: methods of many forwards beside the peers', in one run.

Each is asked once for one class of one image; the images that pass through the model are counted by a hook.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.contenders import Work, bare, build
from gradcam import heatmaps, resolve_target_layer
from gradcam.methods import METHODS
from gradcam.types import TargetLayer

CLASS = 7
PEERS: dict[str, tuple[tuple[str, str], ...]] = {
    "Score-CAM": (("pytorch_grad_cam", "ScoreCAM"), ("torchcam.methods", "ScoreCAM")),
    "Ablation-CAM": (("pytorch_grad_cam", "AblationCAM"),),
}
"""Which peers have a method: the module and the class, for every row that has one."""

LEFT_OUT = ("SS-CAM", "IS-CAM", "Opti-CAM")
"""They are Score-CAM several times, or forwards and backwards that no peer has."""


def main(models: Sequence[str], machine: dict[str, str]) -> None:
    print(", ".join(f"{key} {value}" for key, value in machine.items()), "\n")
    print("| model | method | by | images forward | seconds | in bare forwards |")
    print("|---|---|---|--:|--:|--:|")
    for name in models:
        for row in _rows(name):
            print(f"| {name} | " + " | ".join(row) + " |", flush=True)


def _rows(name: str) -> list[tuple[str, ...]]:
    model = build(name)
    layer = resolve_target_layer(model)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    heatmaps(model, image, CLASS, layer)  # what is learnt of a model once
    floor = min(_measured(model, bare(model, image, [CLASS], layer))[1] for _ in range(5))
    rows = []
    for method in METHODS.values():
        if not method.takes_long or method.name in LEFT_OUT:
            continue
        works: dict[str, Work] = {"gradcam": _ours(model, image, layer, method.name)}
        for module, kind in PEERS.get(method.name, ()):
            works[module.partition(".")[0].replace("_", "-")] = _peer(module, kind, model, image, layer)
        for by, work in works.items():
            images, seconds = _measured(model, work)
            rows.append((method.name, by, f"{images:,}", f"{seconds:.1f}", f"{seconds / floor:.0f}"))
    return rows


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


def _measured(model: nn.Module, work: Work) -> tuple[int, float]:
    """The images that `work` sends through the model, and its seconds."""
    images = 0

    def count(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal images
        images += len(args[0])

    handle = model.register_forward_pre_hook(count)
    started = time.perf_counter()
    try:
        work()
    finally:
        handle.remove()
    return images, time.perf_counter() - started
