"""The same maps as pytorch-grad-cam and torchcam make where these are right, on networks with random weights.

Both come with `benchmarks/requirements.txt`; without them these tests are skipped here and fail in CI, and
`test_formulas.py` holds every method to its paper all the same.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

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
