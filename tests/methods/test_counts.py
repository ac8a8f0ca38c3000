"""How many forwards a row of the table announces is how many it tells and takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gradcam import candidate_layers, explain, heatmaps
from gradcam.errors import OptionError
from gradcam.methods import METHODS, check_forwards, find_method
from gradcam.methods.method import Part
from gradcam.models.classifier import Classifier
from gradcam.models.labels import make_labels
from gradcam.types import ModelSpec, Photo, Preprocessing
from tests.methods.nets import Blocks, DeepHead, PooledHead, images, net
from tests.methods.test_attention import Reshaped
from tests.methods.test_every_row import can_explain

SIDE = 28
KINDS: dict[str, type[PooledHead]] = {"like a ResNet": PooledHead, "like VGG": DeepHead, "a transformer": Blocks}
FEWER = {("Ablation-CAM", PooledHead): (1, 1), ("LeGrad", Blocks): (3, 5)}
"""What a row tells and takes of a kind that spares it some: scores that are linear in the features, and an end that
takes what leaves all blocks as further images, of which one forward is told and the scores of each are counted."""


def classifier_of(kind: type[PooledHead]) -> Classifier:
    size = Preprocessing((SIDE, SIDE), (SIDE, SIDE), "squash", "nearest", mean=(0.5,) * 3, std=(0.2,) * 3)
    return Classifier(net(kind).float(), size, make_labels(["a", "b", "c", "d"]), ModelSpec("own", "small"))


def parts_of(kind: type[PooledHead], classes: int) -> dict[Part, int]:
    stages = {layer.grid for layer in candidate_layers(net(kind).float(), (SIDE, SIDE))}
    return {
        "class": classes,
        "channel": kind.layer.channels,
        "place": 14 * 14,
        "stage": len(stages),
        "block": 3,
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("classes", [1, 3])
def test_every_row_tells_and_takes_the_forwards_that_it_announces(kind: type[PooledHead], classes: int) -> None:
    classifier, layer = classifier_of(kind), replace(kind.layer, grid=(14, 14))
    photo = Photo(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8), "noise", "2" * 64)
    parts, names = parts_of(kind, classes), ["a", "b", "c"][:classes]
    model, scored = classifier.module, list[int]()
    heatmaps(model, images(1, size=SIDE).float(), 0, layer, method=["Grad-CAM", "RefineCAM"])  # learnt once
    model.register_forward_hook(lambda *call: scored.append(len(call[2])))
    checked = 0
    for name, method in METHODS.items():
        if not can_explain(method, kind):
            continue
        begun: list[int] = []
        scored.clear()
        explain(
            classifier,
            photo,
            names,
            method=name,
            layer=layer,
            on_forwards=lambda done, total, begun=begun: begun.append(total) if done == 0 else None,
        )
        announced = method.forwards_for(parts)
        assert (1 + sum(begun), sum(scored)) == FEWER.get((name, kind), (announced, announced)), name
        checked += 1
    assert checked >= len(METHODS) - 4


def test_legrad_announces_the_forward_of_each_block_that_some_models_need() -> None:
    model = net(Reshaped)
    heatmaps(model, images(1), 0, model.layer)
    ran: list[object] = []
    model.get_submodule("patches").register_forward_hook(lambda *_: ran.append(model))
    heatmaps(model, images(1), 0, model.layer, method="LeGrad")
    assert len(ran) == find_method("LeGrad").forwards_for(parts_of(Reshaped, 1))


def test_a_limit_counts_every_class_and_layer() -> None:
    opti, grad = find_method("Opti-CAM"), find_method("Grad-CAM")
    check_forwards([grad, opti], 302)
    with pytest.raises(
        OptionError, match="of at most 302 forwards of each photo and model, got about 501 with Opti"
    ):
        check_forwards([grad, opti], 302, classes=5)
    with pytest.raises(OptionError, match="got about 798 with Occlusion"):
        check_forwards([grad, opti, find_method("Occlusion")], 602, classes=3, layers=2)
    check_forwards([grad, find_method("RISE")], 1002, classes=5, layers=2)  # RISE reads no layer


@pytest.mark.parametrize(
    ("names", "forwards"),
    [
        (["LayerCAM", "HiResCAM", "Grad-CAM"], 2),
        (["Grad-CAM", "Smooth Grad-CAM++", "SmoothGrad(LayerCAM)"], 2 + 2 * 8 + 2 * 8),
        (["RISE"], 2 + 1000),
    ],
)
def test_a_forward_that_methods_share_counts_once_a_layer(names: list[str], forwards: int) -> None:
    model, methods, scored = net(DeepHead).float(), [*map(find_method, names)], list[int]()
    last = replace(DeepHead.layer, grid=(14, 14))
    layers = [last, replace(last, name="body.1", channels=8)]
    heatmaps(model, torch.zeros(1, 3, SIDE, SIDE), 0, layers, method="Grad-CAM")  # what is learnt of a model once
    model.register_forward_hook(lambda *call: scored.append(len(call[2])))
    heatmaps(model, images(1, size=SIDE).float(), 0, layers, method=names)
    assert sum(scored) == forwards
    check_forwards(methods, forwards, layers=2)
    with pytest.raises(OptionError, match=f"of at most {forwards - 1:,} forwards .* got about {forwards:,} with"):
        check_forwards(methods, forwards - 1, layers=2)


@pytest.mark.parametrize(
    ("names", "classes", "layers", "fewer"),
    [
        (["RISE"], 5, 2, "methods"),
        (["LayerCAM"], 5, 2, "methods or layers"),
        (["Opti-CAM"], 5, 1, "methods or classes"),
        (["Opti-CAM"], 5, 2, "methods, layers or classes"),
    ],
)
def test_a_refusal_names_what_takes_so_many_forwards(
    names: list[str], classes: int, layers: int, fewer: str
) -> None:
    with pytest.raises(OptionError, match=f"; take fewer {fewer}, or no wrapper$"):
        check_forwards([*map(find_method, names)], 1, classes, layers)


AT_SCORES = {DeepHead: "ReluBackward0", Blocks: "MeanBackward1", Reshaped: "MeanBackward1"}
"""The operation whose result the last linear layer takes, where a backward through the model's end begins."""


@pytest.mark.parametrize("kind", AT_SCORES)
def test_no_row_takes_more_backwards_than_it_announces(
    kind: type[PooledHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = net(kind).float(), images(1, size=SIDE).float()
    layer, parts = replace(kind.layer, grid=(14, 14)), parts_of(kind, 2)
    heatmaps(model, batch, [0, 1], layer, method=["Grad-CAM", "RefineCAM"])  # what is learnt of a model once
    begun: list[int] = []
    grad = torch.autograd.grad

    def counted(outputs: Any, inputs: Any, grad_outputs: Any = None, **named: Any) -> Any:
        (start,) = outputs if isinstance(outputs, list) else [outputs]
        node = start.grad_fn if isinstance(start, Tensor) else start.node
        if node.name() in (AT_SCORES[kind], "AddmmBackward0") or "BackwardBackward" in node.name():
            begun.append(len(grad_outputs) if named.get("is_grads_batched") else 1)
        return grad(outputs, inputs, grad_outputs, **named)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    for name, method in METHODS.items():
        of_forwards_alone = "forwards" in method.needs and method.backwards == 0
        if of_forwards_alone or not can_explain(method, Blocks if kind is Reshaped else kind):
            continue
        begun.clear()
        heatmaps(model, batch, [0, 1], layer, method=name)
        times = parts[method.part] if method.backwards_of_parts else 1
        assert sum(begun) <= 2 * times * method.backwards, name
