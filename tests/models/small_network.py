"""A small network of torchvision, and its weights as files."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import nn

SQUEEZENET_FILE = "squeezenet1_1-b8a52dc0.pth"


def squeezenet(seed: int = 7) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torchvision.models.squeezenet1_1()


def place(file: Path, module: nn.Module) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        safetensors.torch.save_model(module, str(file))
    else:
        torch.save(module.state_dict(), file)
    return file


def same_state(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
