"""Command lines: every option with values that nobody means. No model is loaded, no photo explained."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from random import Random
from typing import NoReturn
from unittest import mock

from gradcam.cli._main import main
from gradcam.errors import GradcamError
from tests.fuzz import photos, report_zip
from tests.fuzz.kind import Kind, wrong_sentence
from tests.fuzz.mutate import NUMBERS, TEXTS

_ODD = (
    *(text for text in TEXTS if len(text) < 10_000),
    *map(str, NUMBERS),
    *("top-2", "prediction 3", "A rather than B", "1=x", "0=x", "1=approved", "photo.png=1,2,3,4", "photo.png=cat"),
    *("photo.png", "report.json", "report.zip", "out", ".", "/dev/null", "/proc/self/mem", "review.zip", "x.pdf"),
    *("timm/resnet18", "timm/nothing", "torchvision/vgg16@X", "hf-hub:a..b/c", "checkpoint/x", "2026-11-22T12:00Z"),
    *("crop", "viridis", "each", "approved", "zip", "0.1,0.2,0.3", "1,2", "auto", "bilinear", "numbers", "b" * 300),
)
_SHARED = (
    *("--model", "--class", "--out", "--layer", "--fit", "--activation", "--seed", "--what"),
    *("--colormap", "--opacity", "--scale", "--interpolation", "--threshold", "--blend"),
    *("--checkpoint", "--arch", "--labels", "--sha256", "--prefix"),
    *("--input-size", "--input-crop", "--input-mean", "--input-std", "--input-mode"),
)
_FLAGS = {
    "explain": _SHARED,
    "report": (
        *_SHARED,
        *("--format", "--title", "--status", "--reviewer", "--date", "--summary", "--note", "--photo-status"),
        *("--photos", "--now", "--min-agreement", "--expect-class", "--max-outside-box", "--box"),
    ),
    "replay": ("--tolerance", "--input-size", "--arch"),
    "diff": (),
    "models": (),
}
_USUAL = {
    "explain": ["photo.png", "--model=bundled/efficientnet_lite0", "--out=out"],
    "report": ["photo.png", "--model=bundled/efficientnet_lite0", "--out=review.zip"],
    "replay": ["report.json"],
    "diff": ["report.json", "report.zip"],
    "models": [],
}


def make(random: Random) -> list[str]:
    command = random.choice(list(_USUAL))
    arguments = [command, *_USUAL[command]]
    for _ in range(random.randint(0, 4)):
        flag = random.choice((*_FLAGS[command], "", ""))
        value = random.choice(_ODD).replace("\0", "")  # no shell can pass it on
        arguments += [f"{flag}={value}" if flag else value]
    return arguments if random.random() < 0.9 else [random.choice(_ODD), *arguments[1:]]


class _ReachedError(GradcamError):
    """All options were read."""


def _reached(*arguments: object, **options: object) -> NoReturn:
    raise _ReachedError("all options were read")


def meet(arguments: list[str]) -> None:
    said, printed = io.StringIO(), io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch("gradcam.cli.options.compare", _reached),
        mock.patch("gradcam.cli.options.compare", _reached),
        mock.patch("gradcam.report._replay.compare", _reached),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
    ):
        Path("photo.png").write_bytes(photos.honest()[4])
        Path("report.zip").write_bytes(report_zip.honest())
        Path("report.json").write_bytes(report_zip.members()["report.json"])
        try:
            code = main(arguments)
        except SystemExit as stopped:
            code = stopped.code
    assert code in (0, 1, 2), f"exit code {code}"
    if code == 2:
        *_, sentence = said.getvalue().removesuffix("\n").split("gradcam: ", 1)
        problem = wrong_sentence(sentence)
        assert problem is None, problem


KIND = Kind("options", make, meet, seconds=8, megabytes=600)
