"""The models that are measured, and every way to compute the same Grad-CAM maps, one row each.

A contender turns a model (its own copy), a batch, classes and a target layer into a callable that does the work
once. All get the same weights, the same layer and the same classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import timm
import torch
import torchvision
from torch import Tensor, nn

from gradcam import heatmaps
from gradcam.inputs import Inputs
from gradcam.models.devices import to_device_layout
from gradcam.models.numerics import numerics_for, runner_for
from gradcam.running import unwrapped
from gradcam.types import TargetLayer

Work: TypeAlias = Callable[[], object]
Contender: TypeAlias = Callable[[nn.Module, Tensor, Sequence[int], TargetLayer], Work]


def _timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "VGG16": torchvision.models.vgg16,
    "ResNet-18": torchvision.models.resnet18,
    "ResNet-50": torchvision.models.resnet50,
    "EfficientNet-Lite0": _timm("tf_efficientnet_lite0"),
    "MobileNetV3-L": torchvision.models.mobilenet_v3_large,
    "ConvNeXt-Tiny": _timm("convnext_tiny"),
    "ViT-S/16": _timm("vit_small_patch16_224"),
}


def build(name: str) -> nn.Module:
    """The model of a row of `MODELS` with seeded random weights (time does not depend on them), frozen."""
    torch.manual_seed(0)
    return MODELS[name]().eval().requires_grad_(False)


class NotPossibleError(Exception):
    """A library has no way to do this."""


def bare(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    """A forward in inference mode and nothing else: what predicting costs."""

    def work() -> None:
        with torch.inference_mode():
            model(batch)

    return work


AFTER: dict[str, Callable[[Any], tuple[nn.Module, int]]] = {
    "VGG": lambda model: (model.classifier, 1),
    "ResNet": lambda model: (model.fc, 1),
    "EfficientNet": lambda model: (model.classifier, 1),
    "MobileNetV3": lambda model: (model.classifier, 1),
    "ConvNeXt": lambda model: (model.head.fc, 1),
    "VisionTransformer": lambda model: (model.blocks[-1], 197),
}
"""The part with weights after the target layer, and how many rows an image gives to each of its matrices."""


def floor(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    """A bare forward, then one product with every matrix after the target layer for each class of each image.

    The gradient of a class is multiplied by those matrices, transposed, whoever computes it.
    """
    after, rows = AFTER[type(model).__name__](model)
    matrices = [module.weight for module in after.modules() if isinstance(module, nn.Linear)]
    gradients = [torch.zeros(len(batch) * len(classes) * rows, len(matrix)) for matrix in matrices]

    def work() -> None:
        with torch.inference_mode():
            model(batch)
            for gradient, matrix in zip(gradients, matrices, strict=True):
                gradient @ matrix

    return work


def ours(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    """This package."""
    return lambda: heatmaps(model, batch, classes, layer)


def channels_last(contender: Contender) -> Contender:
    """A contender with weights and batch laid out as `load_classifier` and `explain` lay them."""

    def relaid(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
        model = to_device_layout(model, batch.device)
        return contender(model, batch.contiguous(memory_format=torch.channels_last), classes, layer)

    return relaid


def folded(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    """This package, on the copy of the model that `explain` runs for what `load_classifier` gives."""
    model, modules = unwrapped(model)
    most, inputs = numerics_for(model, batch.device, exact=False), Inputs.of(batch, model)

    def work() -> None:
        runner = runner_for(model, modules, inputs, (layer,), most)
        heatmaps(runner.module, batch, classes, layer)

    work()  # the copy is made once for a model
    return work


def grad_cam(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def to_maps(tokens: Tensor) -> Tensor:
        return tokens[:, layer.prefix :].transpose(1, 2).unflatten(2, layer.grid)

    reshape = to_maps if layer.layout == "tokens" else None
    model.requires_grad_()  # it does not work on frozen parameters
    module = model.get_submodule(layer.name)

    def work() -> None:
        with GradCAM(model, [module], reshape_transform=reshape) as cam:
            for index in classes:
                cam(batch, [ClassifierOutputTarget(index)] * len(batch))  # pyright: ignore

    return work


def torch_cam(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    from torchcam.methods import GradCAM

    if layer.layout != "NCHW":
        raise NotPossibleError("no way to say that the layer gives tokens")
    model.requires_grad_()

    def work() -> None:
        with GradCAM(model, layer.name) as extractor:
            scores = model(batch)
            for index in classes:
                extractor([index] * len(batch), scores, retain_graph=True)

    return work


def captum(model: nn.Module, batch: Tensor, classes: Sequence[int], layer: TargetLayer) -> Work:
    from captum.attr import LayerGradCam

    if layer.layout != "NCHW":
        raise NotPossibleError("no way to say that the layer gives tokens")
    attribution = LayerGradCam(model, model.get_submodule(layer.name))
    pixels = batch.clone().requires_grad_()

    def work() -> None:
        for index in classes:
            attribution.attribute(pixels, index, relu_attributions=True)

    return work


CONTENDERS: dict[str, Contender] = {
    "bare forward": bare,
    "floor": floor,
    "floor, channels last": channels_last(floor),
    "gradcam": channels_last(ours),
    "gradcam, BatchNorm folded": channels_last(folded),
    "gradcam, weights as they are": ours,
    "torchcam": torch_cam,
    "captum": captum,
    "pytorch-grad-cam": grad_cam,
}
