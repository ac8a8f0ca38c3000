"""What may be said of a checkpoint: the suffixes of its file, names of class sets, and how it wants its photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
"""What a checkpoint's name may end in; `.tar` stands for `.pth.tar`, which is no archive."""

LABEL_SETS = ("imagenet-1k", "imagenet-12k", "imagenet-21k-goog", "imagenet-21k-miil", "imagenet-22k")
"""Label sets that can be named instead of a file."""

CropMode = Literal["center", "squash", "border"]
CROPS: tuple[CropMode, ...] = get_args(CropMode)
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "box", "hamming")
MAX_SIZE, MIN_CROP, MIN_STD = 1024, 0.1, 0.001


def _are_three(least: float) -> Callable[[Sequence[float]], bool]:
    return lambda values: len(values) == 3 and all(least <= value <= 1 for value in values)


INPUT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "size": (lambda size: 16 <= size <= MAX_SIZE, f"16 to {MAX_SIZE} pixels"),
    "crop": (lambda crop: MIN_CROP <= crop <= 1, f"a share from {MIN_CROP} to 1"),
    "mode": (CROPS.__contains__, f"one of {', '.join(CROPS)}"),
    "interpolation": (INTERPOLATIONS.__contains__, f"one of {', '.join(INTERPOLATIONS)}"),
    "mean": (_are_three(0), "three numbers from 0 to 1 (R, G, B of pixels between 0 and 1)"),
    "std": (_are_three(MIN_STD), f"three numbers from {MIN_STD} to 1 (R, G, B of pixels between 0 and 1)"),
}
"""Settings of preprocessing: which values fit, and what is said about others."""
