"""Grad-CAM as a script of a few lines of PyTorch: the computation of one explanation, to copy and to run."""

from __future__ import annotations

from gradcam.kinds import expect
from gradcam.model_spec import architecture_of
from gradcam.types import Explanation, Preprocessing, TargetLayer, WeightsFile


def to_script(explanation: Explanation, photo: str) -> str:
    """A Python script that computes the first map of `explanation` anew, without this package's own Grad-CAM.

    photo: a line of Python that gives the photo, such as `sample_photo("chelsea")`.
    The script leaves the map in `heat`, `[h, w]`.
    """
    expect(Explanation, explanation)
    expect(str, photo)
    layer = explanation.target_layer
    loads = _loads(explanation)
    names = [
        name for name in ("Labels", "Preprocessing", "load_checkpoint", "load_classifier") if f"{name}(" in loads
    ]
    return f"""\
import torch
from gradcam import {", ".join(sorted((*names, photo.partition("(")[0])))}
from gradcam.preprocess import to_input, view_of
from gradcam.scores import class_scores, first_tensor

classifier = {loads}
photo = {photo}
view = view_of(photo.size, classifier.preprocessing, {explanation.view.fit!r})
pixels = to_input(photo, view, classifier.preprocessing)[None]  # [1, 3, H, W]
model = classifier.module.to("cpu")

# 1. Feature maps: keep what the target layer gives, and let autograd begin there.
outputs = []

def keep(module, inputs, output):
    maps = first_tensor(output)  # of several the first
    outputs.append(maps.detach().clone().requires_grad_())
    maps.copy_(outputs[-1])

hook = model.get_submodule({layer.name!r}).register_forward_hook(keep)
logits = class_scores(model(pixels), 1)  # [1, classes]
hook.remove()
A = outputs[{layer.call}]

# 2. Weights: the gradient of the score, averaged over the places of the grid (equation 1).
{_score(explanation)}
(gradients,) = torch.autograd.grad(y, A)
{_channels_first(layer)}
alpha = gradients.mean(dim=(1, 2))  # [C]

# 3. Weighted sum and ReLU (equation 2).
heat = torch.relu((alpha[:, None, None] * A).sum(0))  # [h, w]

# 4. Upsampling, for the eye only.
smooth = torch.nn.functional.interpolate(heat[None, None], pixels.shape[2:], mode="bilinear")[0, 0]
"""


def loading(model: str, file: WeightsFile, preprocessing: Preprocessing | None) -> tuple[str, list[str]]:
    """The function that loads somebody's own weights as they were loaded, and its arguments, in Python.

    model: the id. preprocessing: as it was found; None if it was not.
    """
    if file.given_for:
        return "load_classifier", [repr(file.given_for), f"weights={file.name!r}"]
    arguments = [repr(file.name), repr(architecture_of(model))]
    if file.prefix:
        arguments.append(f"prefix={file.prefix!r}")
    if file.labels:
        arguments.append(f"labels={file.labels!r}")
    if file.class_names:
        arguments.append(f"labels=Labels({file.class_names!r})")
    if preprocessing is not None:
        arguments.append(f"preprocessing={preprocessing!r}")
    return "load_checkpoint", arguments


def _loads(explanation: Explanation) -> str:
    spec = explanation.model
    if spec.file is None:
        return f"load_classifier({str(spec)!r})"
    verb, arguments = loading(str(spec), spec.file, explanation.preprocessing)
    return "\n    ".join([f"{verb}(", *(f"{argument}," for argument in arguments)]) + "\n)"


def _score(explanation: Explanation) -> str:
    """Lines that leave the number to explain in `y`."""
    target, scores, lines = explanation.targets[0], "logits", []
    if len(explanation.labels) == 2 and explanation.activation == "sigmoid":
        scores = "scores"
        lines = [
            "# of the negative and the positive class, where the head has a single logit",
            "scores = torch.cat((-logits, logits), 1) if logits.shape[1] == 1 else logits",
        ]
    of, against = (f"{scores}[0, {index}]" for index in (target.index, target.against))
    if target.against is None:
        line = f"y = {of}  # {_comment(target.label)}, before {explanation.activation}"
    else:
        line = f"y = {of} - {against}  # {_comment(str(target))}"
    return "\n".join([*lines, line])


def _comment(label: str) -> str:
    """A label on one line: what somebody wrote must not become a line of code."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in label).split())


def _channels_first(layer: TargetLayer) -> str:
    """Lines that lay A and its gradients out as `[C, h, w]`."""
    height, width = layer.grid
    patches = f"{layer.prefix}:{layer.prefix + height * width}"
    turn = {
        "NCHW": "A, gradients = A.detach()[0], gradients[0]  # [C, h, w]",
        "NHWC": "A, gradients = (x.detach()[0].permute(2, 0, 1) for x in (A, gradients))  # [C, h, w]",
        "tokens": f"A, gradients = (x.detach()[0, {patches}].T.unflatten(1, ({height}, {width})) "
        "for x in (A, gradients))  # [C, h, w]",
    }
    return turn[layer.layout]
