"""Every method over activations and gradients is what its paper says, computed here step by step in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gradcam import MethodError, heatmaps
from gradcam.methods import METHODS
from tests.methods.nets import NETS, DeepHead, PooledHead, Tokens, images, net, walked

Maps = NDArray[np.float64]
CLASSES = [2, 0]


def plus_plus(a: Maps, g: Maps) -> Maps:
    """With the derivatives of exp(y) written out, at a y of 1.3."""
    first, second, third = (np.exp(1.3) * g**power for power in (1, 2, 3))
    weights = []
    for k in range(len(a)):
        alpha = np.zeros_like(a[k])
        for place in np.ndindex(alpha.shape):
            if g[k][place] != 0:
                alpha[place] = second[k][place] / (2 * second[k][place] + a[k].sum() * third[k][place])
        weights.append((alpha * np.maximum(first[k], 0)).sum() / np.exp(1.3))
    return np.maximum(np.tensordot(weights, a, 1), 0)


def xgrad(a: Maps, g: Maps) -> Maps:
    weights = [(g[k] * a[k]).sum() / a[k].sum() if a[k].sum() else 0 for k in range(len(a))]
    return np.maximum(np.tensordot(weights, a, 1), 0)


def component(maps: Maps, towards: Maps | None) -> Maps:
    """The first principal component by SVD; positive along `towards`, or else at its largest value."""
    rows = maps.reshape(len(maps), -1).T
    projected = (rows @ np.linalg.svd(rows)[2][0]).reshape(maps.shape[1:])
    sign = projected.max() + projected.min() if towards is None else (projected * towards).sum()
    return np.maximum(projected if sign >= 0 else -projected, 0)


def centred(maps: Maps) -> Maps:
    return maps - maps.mean((1, 2), keepdims=True)


def kernel_component(a: Maps) -> Maps:
    rows = centred(a).reshape(len(a), -1).T
    kernel = np.array([[np.tanh(one @ other / len(a) + 1) for other in rows] for one in rows])
    middle = np.eye(len(rows)) - 1 / len(rows)
    values, vectors = np.linalg.eigh(middle @ kernel @ middle)
    found = (vectors[:, -1] * np.sqrt(values[-1])).reshape(a.shape[1:])
    return np.maximum(found if found.max() >= -found.min() else -found, 0)


def peaks(a: Maps) -> Maps:
    kept = [one.mean() * (one >= one.mean() + 2 * one.std()) for one in a]
    return np.maximum(np.sum(kept, axis=0), 0)


REFERENCES: dict[str, Callable[[Maps, Maps], Maps]] = {
    "Grad-CAM": lambda a, g: np.maximum(np.tensordot(g.mean((1, 2)), a, 1), 0),
    "Counterfactual Grad-CAM": lambda a, g: np.maximum(np.tensordot(-g.mean((1, 2)), a, 1), 0),
    "Grad-CAM++": plus_plus,
    "XGrad-CAM": xgrad,
    "HiResCAM": lambda a, g: (g * a).sum(0),
    "Element-wise Grad-CAM": lambda a, g: np.maximum(g * a, 0).sum(0),
    "LayerCAM": lambda a, g: np.maximum((np.maximum(g, 0) * a).sum(0), 0),
    "Eigen-CAM": lambda a, g: component(a, None),
    "Eigen-Grad-CAM": lambda a, g: component(centred(g * a), (g * a).sum(0)),
    "Seg-Eigen-CAM": lambda a, g: component(centred(abs(g) * a), None),
    "KPCA-CAM": lambda a, g: kernel_component(a),
    "FEM": lambda a, g: peaks(a),
}


@pytest.mark.parametrize("kind", NETS)
def test_each_map_is_the_papers_step_by_step(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    activation, gradients = walked(model, batch, CLASSES)
    found = heatmaps(model, batch, CLASSES, model.layer, method=list(REFERENCES))
    for (name, reference), maps in zip(REFERENCES.items(), found, strict=True):
        for image in range(len(batch)):
            for k in range(len(CLASSES)):
                expected = reference(activation[image].numpy(), gradients[k, image].numpy())
                assert maps[image, k].numpy() == pytest.approx(expected, abs=1e-9 * abs(expected).max()), name


def test_the_methods_that_are_left_have_tests_of_their_own() -> None:
    others = {"CAM", "Shapley-CAM", "Finer-CAM", "Smooth Grad-CAM++", "Integrated Grad-CAM"}
    others |= {"FullGrad", "Guided Grad-CAM", "RefineCAM", "LeGrad", "Generic attention", "Attention rollout"}
    others |= {"Score-CAM", "SS-CAM", "IS-CAM", "Ablation-CAM", "Recipro-CAM", "Opti-CAM", "RISE", "Occlusion"}
    assert METHODS.keys() - REFERENCES.keys() == others


def test_cam_is_the_head_s_weights_over_the_feature_maps() -> None:
    model, batch = net(PooledHead), images()
    (maps,) = heatmaps(model, batch, CLASSES, model.layer, method=["CAM"])
    expected = torch.einsum("kc,bchw->bkhw", model.head.weight[CLASSES], model.body(batch))
    assert torch.allclose(maps, expected, rtol=1e-12)
    assert torch.allclose(maps.mean((2, 3)) + model.head.bias[CLASSES], model(batch)[:, CLASSES])


@pytest.mark.parametrize("kind", [DeepHead, Tokens])
def test_cam_says_why_it_cannot_explain_a_model_that_computes_more(kind: type[PooledHead]) -> None:
    model = net(kind)
    with pytest.raises(MethodError, match="one linear layer of the means"):
        heatmaps(model, images(), 0, model.layer, method="CAM")


def test_shapley_cam_takes_half_of_the_second_derivative_off() -> None:
    model, batch = net(Tokens), images()
    activation, gradients = walked(model, batch, [1])
    step = 1e-5

    def gradient_at(scale: float) -> torch.Tensor:
        """The gradient where the whole activation, class token and all, is `scale` times as large."""
        handle = model.norm.register_forward_hook(lambda module, args, output: output * scale)
        try:
            return walked_behind(model, batch)
        finally:
            handle.remove()

    def walked_behind(model: PooledHead, batch: torch.Tensor) -> torch.Tensor:
        return walked(model, batch, [1])[1]

    curvature = (gradient_at(1 + step) - gradient_at(1 - step)) / (2 * step)
    weights = (gradients - curvature / 2).mean((3, 4))
    expected = torch.einsum("kbc,bchw->bkhw", weights, activation).relu()
    found = heatmaps(model, batch, [1], model.layer, method="Shapley-CAM")
    assert torch.allclose(found, expected, atol=1e-6 * float(expected.max()))
    assert not torch.allclose(found, heatmaps(model, batch, [1], model.layer), rtol=1e-3)


@pytest.mark.parametrize("kind", [PooledHead, DeepHead])
def test_shapley_cam_is_grad_cam_where_the_end_is_piecewise_linear(kind: type[PooledHead]) -> None:
    model = net(kind)
    plain, shapley = heatmaps(model, images(), CLASSES, model.layer, method=["Grad-CAM", "Shapley-CAM"])
    assert torch.allclose(plain, shapley, rtol=1e-12)
    assert plain.max() > 0


def test_finer_cam_asks_for_the_class_rather_than_the_three_closest() -> None:
    model, batch = net(DeepHead), images(1)
    logits = model(batch)[0]
    others = sorted({0, 1, 2, 3} - {2}, key=lambda one: abs(float(logits[one] - logits[2])))
    activation, gradients = walked(model, batch, [2, *others])
    weights = (gradients[0] - 0.6 * gradients[1:].mean(0)).mean((2, 3))
    expected = torch.einsum("bc,bchw->bhw", weights, activation).relu()
    found = heatmaps(model, batch, 2, model.layer, method="Finer-CAM")
    assert torch.allclose(found[:, 0], expected, rtol=1e-9)


def test_smooth_grad_cam_plus_plus_averages_over_seeded_noise_and_draws_on_the_clean_photo() -> None:
    model, batch = net(Tokens), images()
    clean, _ = walked(model, batch, [1])
    generator, drawn = torch.Generator().manual_seed(0), []
    for _ in range(8):
        noise = torch.randn(3, 12, 12, generator=generator).double()
        ranges = torch.stack([0.15 * (one.max() - one.min()) for one in batch])
        drawn.append(walked(model, batch + ranges[:, None, None, None] * noise, [1])[1][0])
    first, second, third = (sum(one**power for one in drawn) / 8 for power in (1, 2, 3))
    share = second / (2 * second + third * clean.sum((2, 3), keepdim=True))
    weights = (share * first.relu()).sum((2, 3), keepdim=True)
    expected = (weights * clean).sum(1).relu()
    for _ in range(2):  # the same noise in every call
        found = heatmaps(model, batch, 1, model.layer, method="Smooth Grad-CAM++")[:, 0]
        assert torch.allclose(found, expected, rtol=0, atol=1e-6 * float(expected.max()))


def test_integrated_grad_cam_adds_up_the_way_from_zero() -> None:
    model, batch = net(DeepHead), images()
    start, _ = walked(model, 0 * batch, [1])
    total = torch.zeros(2, 6, 6).double()
    for step in range(1, 17):
        activation, gradients = walked(model, batch * step / 16, [1])
        total += (gradients[0].mean((2, 3), keepdim=True) * (activation - start)).sum(1) / 16
    found = heatmaps(model, batch, 1, model.layer, method="Integrated Grad-CAM")[:, 0]
    assert torch.allclose(found, total.relu(), rtol=1e-9)


def test_a_kernel_between_too_many_places_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam.methods.from_gradients.MOST_PLACES", 3)
    model = net(PooledHead)
    with pytest.raises(MethodError, match="expected a grid of at most 3 places for KPCA-CAM, got"):
        heatmaps(model, images(), CLASSES, model.layer, method="KPCA-CAM")


def test_one_thread_at_a_time_imports_what_eigenvectors_are_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam.methods.from_gradients.IMPORTING", importing := mock.MagicMock())
    model = net(PooledHead)
    heatmaps(model, images(1), [0], model.layer, method="Eigen-CAM")
    assert importing.__enter__.called
