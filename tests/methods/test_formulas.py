"""Every method over activations and gradients is what its paper says, computed here step by step in NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradcam import MethodError, heatmaps
from gradcam.methods import METHODS, from_gradients
from gradcam.methods.from_gradients import expected_grad_cam, smooth_pictures
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
    others = {"CAM", "Shapley-CAM", "Finer-CAM", "Smooth Grad-CAM++", "Integrated Grad-CAM", "Expected Grad-CAM"}
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
        handle = model.get_submodule("norm").register_forward_hook(lambda *call: call[2] * scale)
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
    first, second, third = (torch.stack([one**power for one in drawn]).mean(0) for power in (1, 2, 3))
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


def smooth(batch: Tensor, generator: torch.Generator) -> Tensor:
    """A picture of 7×7 random colours for each image, a quarter as far apart as its own."""
    colours = torch.randn(1, 3, 7, 7, generator=generator).double()
    ranges = torch.stack([one.max() - one.min() for one in batch])[:, None, None, None]
    return 0.25 * ranges * nn.functional.interpolate(colours, (12, 12), mode="bicubic")


@pytest.mark.parametrize("kind", NETS)
def test_expected_grad_cam_is_the_mean_over_seeded_pictures_and_parts_of_the_way(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    whole, _ = walked(model, batch, [1])
    generator, parts = torch.Generator().manual_seed(0), torch.rand(8, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(2, 6, 6).double()
    for number in range(8):
        picture = smooth(batch, generator)
        start, _ = walked(model, picture, [1])
        way = (number + float(parts[number])) / 8
        _, gradients = walked(model, (1 - way) * picture + way * batch, [1])
        total += (gradients[0].mean((2, 3), keepdim=True) * (whole - start)).sum(1) / 8
    assert total.max() > 0
    for _ in range(2):  # the same pictures in every call
        found = heatmaps(model, batch, 1, model.layer, method="Expected Grad-CAM")[:, 0]
        assert torch.allclose(found, total.relu(), rtol=0, atol=1e-9 * float(total.max()))


def test_expected_gradients_add_up_to_the_score_less_its_mean_over_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before ReLU, which takes them apart into those for the score and those for its negative."""
    model, batch = net(PooledHead), images()
    compute = expected_grad_cam(samples=5, cells=3, noise=0.5, seed=4)
    monkeypatch.setitem(METHODS, "Expected Grad-CAM", replace(METHODS["Expected Grad-CAM"], compute=compute))
    both = [lambda logits: logits[2], lambda logits: -logits[2]]
    rising, falling = heatmaps(model, batch, both, model.layer, method="Expected Grad-CAM").sum((2, 3)).T
    alone = torch.stack([model(picture)[:, 2] for picture in smooth_pictures(batch, 5, 3, 0.5, 4)]).mean(0)
    assert (rising * falling).min() > 0
    assert torch.allclose(rising - falling, model(batch)[:, 2] - alone, rtol=1e-9)


def test_from_a_plain_picture_alone_expected_grad_cam_is_integrated_grad_cam_where_the_layer_is_linear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There Aₖ(t) − Aₖ(0) is t times Aₖ(x) − Aₖ(0), whose mean over t = 1/16, 2/16, …, 1 is 17/32 of it."""
    model, batch = net(PooledHead), images()
    model.body = nn.Sequential(nn.Conv2d(3, 5, 2, 2).double().requires_grad_(False))
    compute = expected_grad_cam(samples=16, cells=7, noise=0, seed=0)
    monkeypatch.setitem(METHODS, "Expected Grad-CAM", replace(METHODS["Expected Grad-CAM"], compute=compute))
    names = ["Expected Grad-CAM", "Integrated Grad-CAM"]
    expected, integrated = heatmaps(model, batch, CLASSES, model.layer, method=names)
    assert integrated.amax((2, 3)).min() > 0
    assert torch.allclose(17 / 32 * expected, integrated, rtol=0, atol=1e-12 * float(integrated.max()))


def test_a_kernel_between_too_many_places_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam.methods.from_gradients.MOST_PLACES", 3)
    model = net(PooledHead)
    with pytest.raises(MethodError, match="expected a grid of at most 3 places for KPCA-CAM, got"):
        heatmaps(model, images(), CLASSES, model.layer, method="KPCA-CAM")


BUSY = """
import psutil, torch
from gradcam.methods.from_gradients import _first_component

def seconds():
    return {one.id: one.user_time + one.system_time for one in psutil.Process().threads()}

torch.set_num_threads(1)
rows = torch.randn(1, 600, 700, dtype=torch.float64)
before = seconds()
for _ in range(3):
    _first_component(rows)
print(sum(after > before.get(one, 0) for one, after in seconds().items()))
"""


def test_eigenvectors_take_no_more_threads_than_pytorch_may() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-c", BUSY], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1"]


def test_a_matrix_that_is_not_finite_has_no_component_and_spoils_no_other() -> None:
    rows = torch.randn(3, 4, 20).double()
    alone = from_gradients._first_component(rows)
    rows[1, 2, 3] = torch.inf
    found = from_gradients._first_component(rows)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], alone[[0, 2]])


def spectrum(*first: float, rows: int = 300) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues, and 0.1 for all others."""
    noise = torch.randn(rows, rows, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors, values = torch.linalg.qr(noise)[0], torch.full((rows,), 0.1, dtype=torch.float64)
    values[: len(first)] = torch.tensor(first)
    return vectors * values @ vectors.mT


@pytest.mark.parametrize(
    ("grams", "whole"),
    [
        ([spectrum(3.0, 1.0, 0.9), spectrum(1.0)], 0),
        ([spectrum(3.0, 2.4)], 0),
        ([spectrum(3.0, *(3.0 * 0.97**n for n in range(1, 200)))], 0),  # falls slowly
        ([spectrum(3.0), spectrum(3.0, 3.0 - 1e-9)], 1),  # the first two of the second are nearly equal
        ([torch.zeros(300, 300).double(), spectrum(1.0)], 0),
        ([spectrum(3.0, -2.0)], 0),
        ([spectrum(3.0, rows=49)] * 10, 0),
        ([spectrum(3.0, rows=100)], 1),  # all of a single smaller matrix are computed sooner
        ([spectrum(3.0, rows=20)] * 50, 50),
    ],
)
def test_first_eigenvectors_of_large_matrices_are_found_without_the_others(
    grams: list[torch.Tensor], whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gram, eigh, computed = torch.stack(grams), torch.linalg.eigh, list[torch.Tensor]()
    values, vectors = eigh(gram)
    monkeypatch.setattr(torch.linalg, "eigh", lambda one: (computed.append(one), eigh(one))[1])
    found, value = from_gradients._leading(gram)
    assert sum(len(one) for one in computed if one.shape[-1] == gram.shape[-1]) == whole
    assert torch.allclose(value, values[:, -1], rtol=0, atol=1e-12)
    expected = vectors[..., -1] * (vectors[..., -1] * found).sum(-1, keepdim=True).sign()
    close = 1e-6 * expected.abs().amax(-1, keepdim=True)
    assert (((found - expected).abs() <= close) | (values[:, -1:] == 0)).all()


def test_matrices_that_are_not_finite_have_no_eigenvector_and_leave_the_others_theirs() -> None:
    gram = torch.stack([spectrum(2.0), spectrum(2.0)])
    gram[0, 3, 3] = torch.nan
    vectors, values = from_gradients._leading(gram)
    assert vectors[0].isnan().all()
    assert values[0].isnan()
    assert values[1] == pytest.approx(2.0)
