"""The same maps as pytorch-grad-cam and torchcam make where these are right, on networks with random weights.

Both come with `benchmarks/requirements.txt`; without them these tests are skipped here and fail in CI, and
`test_formulas.py` holds every method to its paper all the same.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from gradcam import heatmaps
from tests.methods.nets import NETS, DeepHead, PooledHead, images, net, walked

CLASS = 1
SAME = {
    "Grad-CAM": ("grad_cam", "GradCAM"),
    "Grad-CAM++": ("grad_cam_plusplus", "GradCAMPlusPlus"),
    "XGrad-CAM": ("xgrad_cam", "XGradCAM"),
    "HiResCAM": ("hirescam", "HiResCAM"),
    "Element-wise Grad-CAM": ("grad_cam_elementwise", "GradCAMElementWise"),
    "LayerCAM": ("layer_cam", "LayerCAM"),
    "Eigen-Grad-CAM": ("eigen_grad_cam", "EigenGradCAM"),
    "Seg-Eigen-CAM": ("seg_eigen_cam", "SegEigenCAM"),
    "KPCA-CAM": ("kpca_cam", "KPCA_CAM"),
}
"""Methods whose formula pytorch-grad-cam computes as we do, with its module and class."""

EITHER_SIGN = ("Eigen-Grad-CAM", "KPCA-CAM")
"""There the sign of its map is arbitrary."""


def installed(name: str) -> Any:
    """A peer's module. Skips the test where it is not installed; in CI the test fails."""
    return import_module(name) if os.environ.get("CI") else pytest.importorskip(name, exc_type=ImportError)


def scaled(kind: type[PooledHead]) -> PooledHead:
    """With gradients so large that the 1e-6 and 1e-7 which pytorch-grad-cam adds to its denominators vanish."""
    model = net(kind)
    model.head.weight *= 1e4
    return model


def peer(name: str, activation: Tensor, gradients: Tensor) -> Tensor:
    """What pytorch-grad-cam's class makes of an activation and its gradients, `[B, h, w]`."""
    module, kind = SAME[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        installed("pytorch_grad_cam")
        cam: Any = object.__new__(getattr(import_module(f"pytorch_grad_cam.{module}"), kind))
    cam.kernel, cam.gamma = "sigmoid", None
    cam.activations_and_grads = SimpleNamespace(release=lambda: None)  # which its end asks for
    found = cam.get_cam_image(activation, None, [], activation.numpy(), gradients.numpy(), False)
    return torch.from_numpy(np.asarray(found))


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("name", SAME)
def test_pytorch_grad_cam_makes_the_same_map(name: str, kind: type[PooledHead]) -> None:
    model, batch = scaled(kind), images()
    activation, gradients = walked(model, batch, [CLASS])
    theirs = peer(name, activation, gradients[0])
    ours = heatmaps(model, batch, CLASS, model.layer, method=name)[:, 0]
    for mine, other in zip(ours.relu(), theirs.to(ours), strict=True):
        signs = (1, -1) if name in EITHER_SIGN else (1,)
        apart = min(float((mine - (sign * other).relu()).abs().max()) for sign in signs)
        assert apart <= 1e-5 * float(mine.max()), name


def untrained_vgg() -> nn.Module:
    """VGG-11 with a first linear layer of 32 outputs instead of 4,096, which fits into a test."""
    with torch.device("meta"):
        model = torchvision.models.vgg11(num_classes=10)
        model.classifier[0], model.classifier[3] = nn.Linear(25088, 32), nn.Linear(32, 32)
        model.classifier[6] = nn.Linear(32, 10)
    return model.to_empty(device="cpu")


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "VGG": (untrained_vgg, "features.19", "classifier.6"),
    "ResNet": (lambda: torchvision.models.resnet18(num_classes=10), "layer4.1", "fc"),
    "ViT": (
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=10, depth=2),
        "blocks.1.norm1",
        "head",
    ),
}
"""How a real architecture is built, its target layer, and its last linear layer."""


@pytest.fixture(scope="module", params=ARCHITECTURES)
def real(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Tensor, Tensor, Tensor]:
    """A real architecture with random weights in float64, a batch, and A and g as pytorch-grad-cam's hooks read
    them. The last layer is enlarged as in `scaled`."""
    installed("pytorch_grad_cam")
    make, layer, head = ARCHITECTURES[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().double().eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
            elif request.param == "VGG":
                nn.init.zeros_(parameter)  # whose memory nobody has filled
        model.get_submodule(head).weight.mul_(1e4)
        batch = torch.randn(2, 3, 64, 64).double()
    hooks = import_module("pytorch_grad_cam.activations_and_gradients").ActivationsAndGradients

    def to_maps(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].mT.unflatten(2, (4, 4))

    kept = hooks(model, [model.get_submodule(layer)], to_maps if request.param == "ViT" else None)
    kept(batch.clone().requires_grad_())[:, CLASS].sum().backward()
    (activation,), (gradients,) = kept.activations, kept.gradients
    kept.release()
    return layer, model, batch, activation, gradients


def test_real_architectures_have_the_maps_of_pytorch_grad_cam(
    real: tuple[str, nn.Module, Tensor, Tensor, Tensor],
) -> None:
    layer, model, batch, activation, gradients = real
    found = heatmaps(model, batch, CLASS, layer, method=list(SAME))
    for name, ours in zip(SAME, found, strict=True):
        theirs = peer(name, activation, gradients).to(ours)
        for mine, other in zip(ours[:, 0].relu(), theirs, strict=True):
            signs = (1, -1) if name in EITHER_SIGN else (1,)
            apart = min(float((mine - (sign * other).relu()).abs().max()) for sign in signs)
            assert apart <= 1e-5 * float(mine.max()), name
            assert mine.max() > 0, name


def test_real_architectures_have_the_grad_cam_of_captum(
    real: tuple[str, nn.Module, Tensor, Tensor, Tensor],
) -> None:
    layer, model, batch, *_ = real
    module = model.get_submodule(layer)
    ours = heatmaps(model, batch, CLASS, layer)
    theirs = installed("captum.attr").LayerGradCam(model, module)
    found = theirs.attribute(batch.clone().requires_grad_(), target=CLASS, relu_attributions=True).detach()
    if layer.endswith("norm1"):
        assert found.shape != ours.shape  # captum takes tokens for channels; we do not
    else:
        assert float((ours - found).abs().max()) <= 1e-5 * float(ours.max())


@pytest.mark.parametrize("kind", [PooledHead, DeepHead])
@pytest.mark.parametrize(
    ("name", "theirs", "same"),
    [("Grad-CAM", "GradCAM", True), ("LayerCAM", "LayerCAM", True), ("Grad-CAM++", "GradCAMpp", False)],
)
def test_torchcam_makes_the_same_map_but_for_the_denominator_of_grad_cam_plus_plus(
    name: str, theirs: str, same: bool, kind: type[PooledHead]
) -> None:
    methods = installed("torchcam.methods")
    model, batch = net(kind), images(1)
    with getattr(methods, theirs)(model, "body", input_shape=(3, 12, 12)) as extractor:
        scores = model(batch.requires_grad_())
        (found,) = extractor(CLASS, scores, normalized=False)
    ours = heatmaps(model, batch.detach(), CLASS, model.layer, method=name)[:, 0]
    ours, found = (maps / maps.max() for maps in (ours, found.relu()))
    assert torch.allclose(ours, found.to(ours), rtol=0, atol=1e-5) is same


def at_stride(stride: int) -> PooledHead:
    """A pooled head on a grid of 12×12 or 4×4 cells, each with its middle in the middle of a pixel of 12×12."""
    model = net(PooledHead)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model.body[0] = nn.Conv2d(3, 8, 3, stride, 1).double().requires_grad_(False)
    model.head.weight /= 3  # a softmax that leaves more than one channel
    model.layer = replace(model.layer, grid=(12 // stride, 12 // stride))
    return model


@pytest.mark.parametrize(("by", "stride"), [("pytorch-grad-cam", 1), ("torchcam", 1), ("torchcam", 3)])
def test_score_cam_is_the_peers_where_they_upsample_alike(by: str, stride: int) -> None:
    model, batch = at_stride(stride), images(1)
    ours = heatmaps(model, batch, CLASS, model.layer, method="Score-CAM")[:, 0]
    if by == "torchcam":
        with installed("torchcam.methods").ScoreCAM(model, "body", input_shape=(3, 12, 12)) as extractor:
            (theirs,) = extractor(CLASS, model(batch), normalized=False)
    else:
        theirs = weighted_by_grad_cam("score_cam", "ScoreCAM", model, batch).relu()
    ours, theirs = (maps / maps.max() for maps in (ours, theirs))
    assert torch.allclose(ours, theirs.to(ours), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [PooledHead, DeepHead])
def test_ablation_cam_is_pytorch_grad_cams_but_for_the_sign_of_a_negative_score(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images(4)
    model.head.bias[CLASS] -= model(batch)[:, CLASS].mean()
    theirs = weighted_by_grad_cam("ablation_cam", "AblationCAM", model, batch)
    ours = heatmaps(model, batch, CLASS, model.layer, method="Ablation-CAM")[:, 0]
    signs = model(batch)[:, CLASS].sign()
    assert set(signs.tolist()) == {-1, 1}
    for mine, other, sign in zip(ours, theirs.to(ours), signs, strict=True):
        assert torch.allclose(mine, (sign * other).relu(), rtol=0, atol=1e-5 * float(mine.max()))


def weighted_by_grad_cam(module: str, kind: str, model: PooledHead, batch: Tensor) -> Tensor:
    """Σ wA before ReLU, `[B, h, w]`, with the weights of pytorch-grad-cam's class."""
    installed("pytorch_grad_cam")
    target = import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget(CLASS)
    activation = model.body(batch)
    with getattr(import_module(f"pytorch_grad_cam.{module}"), kind)(model, [model.body]) as cam:
        weights = cam.get_cam_weights(batch, model.body, [target] * len(batch), activation.numpy(), None)
    return torch.einsum("bc,bchw->bhw", torch.from_numpy(np.asarray(weights)).double(), activation)
