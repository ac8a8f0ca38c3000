"""A small model trained on drawn shapes, so that the place of the evidence is known.

Its weights are kept in a file, for another kind of processor trains another model, and all tests need a good one.
`python -m tests.shapes` trains it anew, in half a minute.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.classifier import Classifier
from gradcam.types import Photo, Preprocessing

ARCHITECTURE = "timm/test_resnet"
KINDS = ("disc", "cross")
SIDE = 128
STEPS = 300
WEIGHTS = Path(__file__).parent / "data" / "weights" / "shapes.safetensors"
PREPROCESSING = Preprocessing((SIDE, SIDE), (SIDE, SIDE), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def draw(kind: str, x: int, y: int, radius: int = 18, side: int = SIDE, seed: int = 0) -> NDArray[np.uint8]:
    """A shape with its middle at (x, y) on a grey ground with some noise; RGB uint8 `[side, side, 3]`."""
    picture = Image.new("RGB", (side, side), (110, 110, 110))
    pen = ImageDraw.Draw(picture)
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "disc":
        pen.ellipse(box, fill=(230, 230, 230))
    else:
        pen.line((x - radius, y, x + radius, y), fill=(230, 230, 230), width=14)
        pen.line((x, y - radius, x, y + radius), fill=(230, 230, 230), width=14)
    noise = np.random.default_rng(seed).integers(-20, 21, (side, side, 1))
    return np.clip(np.asarray(picture).astype(int) + noise, 0, 255).astype(np.uint8)


def photo(kind: str, x: int, y: int) -> Photo:
    pixels = draw(kind, x, y, seed=99)
    return Photo(pixels, f"{kind}.png", f"{kind}-{x}-{y}")


@cache
def trained() -> nn.Module:
    """A classifier of `KINDS`, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        module = timm.create_model("test_resnet", num_classes=len(KINDS))
    module.load_state_dict(safetensors.torch.load_file(WEIGHTS))  # float16 in the file, float32 in the model
    return module.eval()


def train() -> nn.Module:
    """The classifier of `KINDS` after `STEPS` steps."""
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=len(KINDS)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(module.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        batch, classes = _batch(rng, 12, step)
        loss = nn.functional.cross_entropy(module(batch), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return module


def _batch(rng: np.random.Generator, count: int, step: int) -> tuple[Tensor, Tensor]:
    classes = rng.integers(0, len(KINDS), count)
    places = rng.integers(24, SIDE - 24, (count, 2))
    radii = rng.integers(14, 22, count)
    pictures = [
        draw(KINDS[kind], int(x), int(y), int(radius), seed=1000 * step + place)
        for place, (kind, (x, y), radius) in enumerate(zip(classes, places, radii, strict=True))
    ]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)  # channels last in memory: a fifth sooner
    return (pixels.float() / 255 - 0.5) / 0.5, torch.from_numpy(classes)


def state() -> dict[str, Tensor]:
    """The weights of the trained model."""
    return trained().state_dict()


def saved(content: object) -> bytes:
    """What `torch.save` writes."""
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def load(content: object, name: str = "shapes.pt", **options: Any) -> Classifier:
    """The checkpoint that holds `content`, or these bytes themselves, loaded as a model of shapes."""
    data = content if isinstance(content, bytes) else saved(content)
    return load_checkpoint(data, ARCHITECTURE, name=name, preprocessing=PREPROCESSING, **options)


if __name__ == "__main__":
    halved = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in train().state_dict().items()
    }
    safetensors.torch.save_file(halved, WEIGHTS)
