"""Methods that must agree: at a pooled linear head several are one map, and one forward serves all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from gradcam import heatmaps
from gradcam.methods import METHODS, from_gradients
from gradcam.methods.method import Signals
from gradcam.methods.wrappers import finer_cam
from tests.methods.nets import NETS, DeepHead, PooledHead, images, net

CLASSES = [2, 0]


def test_at_a_pooled_linear_head_cam_grad_cam_hirescam_and_xgrad_cam_are_one_map() -> None:
    model = net(PooledHead)
    names = ["CAM", "Grad-CAM", "HiResCAM", "XGrad-CAM"]
    assert model.body(images()).sum((2, 3)).min() > 0  # where a sum is zero, XGrad-CAM leaves the channel out
    cam, grad, hires, xgrad = heatmaps(model, images(), CLASSES, model.layer, method=names)
    places = 36  # ∂y/∂A = w / places
    assert torch.allclose(cam, places * hires, rtol=1e-12)
    assert torch.allclose(grad, hires.relu(), rtol=1e-12)
    assert torch.allclose(grad, xgrad, rtol=1e-9)
    assert hires.min() < 0 < hires.max()


@pytest.mark.parametrize("base", ["Grad-CAM", "LayerCAM", "Eigen-Grad-CAM"])
def test_finer_cam_without_strength_is_its_base(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = METHODS[base]
    monkeypatch.setitem(METHODS, "weak", replace(row, name="weak", compute=finer_cam(3, 0.0)(row.compute)))
    model = net(DeepHead)
    strong, weak = heatmaps(model, images(), CLASSES, model.layer, method=[base, "weak"])
    assert torch.equal(strong, weak)


@pytest.mark.parametrize("kind", NETS)
def test_grad_cam_is_the_same_to_the_last_bit_beside_other_methods(kind: type[PooledHead]) -> None:
    model = net(kind).float()
    alone = heatmaps(model, images().float(), CLASSES, model.layer)
    beside = heatmaps(model, images().float(), CLASSES, model.layer, method=["LayerCAM", "Grad-CAM"])[1]
    assert torch.equal(alone, beside)


@pytest.mark.parametrize("kind", NETS)
def test_all_methods_share_one_forward_and_one_batch_of_gradients(
    kind: type[PooledHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = net(kind), images()
    more = {
        "linear head",
        "curvature",
        "scores",
        "forwards",
        "attention",
        "pixel gradients",
    }  # other scores, or other forwards
    names = [name for name, method in METHODS.items() if more.isdisjoint(method.needs)]
    heatmaps(model, batch, CLASSES, model.layer)  # what is learnt of a model once
    forwards: list[torch.nn.Module] = []
    handle = model.head.register_forward_hook(lambda *_: forwards.append(model))
    backwards: list[object] = []
    grad = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *args, **named: (backwards.append(args[0]), grad(*args, **named))[1]
    )
    heatmaps(model, batch, CLASSES, model.layer, method=names)
    handle.remove()
    assert len(forwards) == 1
    # The model's end, unless its weights are the gradient, and the way back through a pooling or a copy.
    assert (
        len(backwards)
        == {"PooledHead": 1, "DeepHead": 2, "ChannelsLast": 2, "Tokens": 1, "Blocks": 1}[kind.__name__]
    )


def test_the_scores_of_similar_classes_walk_the_model_s_end_together_with_the_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, batch = net(DeepHead), images()
    alone = heatmaps(model, batch, CLASSES, model.layer, method="Finer-CAM")
    backwards: list[object] = []
    grad = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *args, **named: (backwards.append(args[0]), grad(*args, **named))[1]
    )
    _, beside = heatmaps(model, batch, CLASSES, model.layer, method=["Grad-CAM", "Finer-CAM"])
    assert len(backwards) == 1
    assert torch.allclose(alone, beside, rtol=1e-9)


def test_several_methods_come_in_the_order_in_which_they_were_asked_for() -> None:
    model = net(PooledHead)
    one, two = heatmaps(model, images(), 0, model.layer, method=["fem", "grad-cam"])
    assert torch.equal(one, heatmaps(model, images(), 0, model.layer, method="FEM"))
    assert torch.equal(two, heatmaps(model, images(), 0, model.layer))


def test_a_channel_of_one_value_is_all_peak_for_fem() -> None:
    values = torch.rand(1, 500, 1, 1, generator=torch.Generator().manual_seed(0))
    (heat,) = from_gradients.fem(cast(Signals, SimpleNamespace(activation=values.expand(1, 500, 7, 7).clone())))
    assert torch.allclose(heat, values.sum().expand(1, 7, 7))


def test_a_grid_finer_than_its_channels_takes_the_smaller_gram_matrix() -> None:
    wide, narrow = torch.randn(3, 4, 20).double(), torch.randn(3, 20, 4).double()
    for rows in (wide, narrow):
        found = from_gradients._first_component(rows)
        left, values, _ = torch.linalg.svd(rows, full_matrices=False)
        assert torch.allclose(found.abs(), (left[..., 0] * values[:, :1]).abs())
