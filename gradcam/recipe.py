"""Grad-CAM as a script of a few lines of PyTorch: the computation of one explanation, to copy and to run."""

from __future__ import annotations

from gradcam.models.ids import CHECKPOINT
from gradcam.types import Explanation, ScoredTarget, TargetLayer


def recipe(explanation: Explanation, photo: str) -> str:
    """A Python script that computes the first map of `explanation` anew, without this package's own Grad-CAM.

    photo: a line of Python that gives the photo, such as `sample_photo("chelsea")`.
    The script leaves the map in `heat`, `[h, w]`.
    """
    layer, target = explanation.layer, explanation.targets[0]
    opens = photo.partition("(")[0]
    return f"""\
import torch
from gradcam import {", ".join(sorted((_loader(explanation), opens)))}
from gradcam.preprocess import to_input, view_of

classifier = {_loads(explanation)}
photo = {photo}
view = view_of(photo.size, classifier.preprocessing, {explanation.view.fit!r})
pixels = to_input(photo, view, classifier.preprocessing)[None]  # [1, 3, H, W]
model = classifier.module.to("cpu")

# 1. Feature maps: keep what the target layer gives, and let autograd begin there.
outputs = []

def keep(module, inputs, output):
    outputs.append(output.detach().requires_grad_())
    return outputs[-1].clone()

hook = model.get_submodule({layer.name!r}).register_forward_hook(keep)
logits = model(pixels)
hook.remove()
A = outputs[{layer.call}]

# 2. Weights: the gradient of the score, averaged over the places of the grid (equation 1).
y = {_score(target)}
(gradients,) = torch.autograd.grad(y, A)
{_channels_first(layer)}
alpha = gradients.mean(dim=(1, 2))  # [C]

# 3. Weighted sum and ReLU (equation 2).
heat = torch.relu((alpha[:, None, None] * A).sum(0))  # [h, w]

# 4. Upsampling, for the eye only.
smooth = torch.nn.functional.interpolate(heat[None, None], pixels.shape[2:], mode="bilinear")[0, 0]
"""


def _loader(explanation: Explanation) -> str:
    return "load_checkpoint" if explanation.model.source == CHECKPOINT else "load_classifier"


def _loads(explanation: Explanation) -> str:
    spec = explanation.model
    if spec.source != CHECKPOINT:
        return f"load_classifier({str(spec)!r})"
    stem = (spec.weights or "").rpartition("~")[0]
    return f"load_checkpoint({f'{stem}.pt'!r}, {spec.name!r})  # your file, and its labels"


def _score(target: ScoredTarget) -> str:
    of = f"logits[0, {target.index}]"
    if target.against is None:
        return f"{of}  # {_comment(target.label)}, before softmax"
    return f"{of} - logits[0, {target.against}]  # {_comment(str(target))}"


def _comment(label: str) -> str:
    """A label on one line: what somebody wrote must not become a line of code."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in label).split())


def _channels_first(layer: TargetLayer) -> str:
    """Lines that lay A and its gradients out as `[C, h, w]`."""
    height, width = layer.grid
    turn = {
        "NCHW": "A, gradients = A.detach()[0], gradients[0]  # [C, h, w]",
        "NHWC": "A, gradients = (x.detach()[0].permute(2, 0, 1) for x in (A, gradients))  # [C, h, w]",
        "tokens": f"A, gradients = (x.detach()[0, {layer.prefix}:].T.unflatten(1, ({height}, {width})) "
        "for x in (A, gradients))  # [C, h, w]",
    }
    return turn[layer.layout]
