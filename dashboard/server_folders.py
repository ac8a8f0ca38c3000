"""Sentences for a visitor, who is not told where the server's files lie: its folders read as they were set."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

from gradcam.config import settings
from gradcam.errors import without_path

VARIABLES = (
    "GRADCAM_WEIGHTS",
    "GRADCAM_RUNS",
    "GRADCAM_STORE",
    "GRADCAM_KEYS",
    "GRADCAM_CONFIG",
    "TORCH_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "XDG_CACHE_HOME",
)
"""Of the environment, which name files and folders."""


def without_folders(sentence: str) -> str:
    """A sentence with the server's folders named as they were set: `$GRADCAM_WEIGHTS/timm/resnet18.safetensors`."""
    named = sorted(_folders(), key=lambda one: -len(one[0].parts))  # a folder before the one that holds it
    return reduce(lambda told, one: without_path(told, *one), named, sentence)


def _folders() -> Iterator[tuple[Path, str]]:
    """Folders of this server, the most telling name first, and what a visitor reads instead."""
    for variable in VARIABLES:
        path = Path(os.environ.get(variable, "")).expanduser()
        if path.is_absolute():  # a store may be an address
            yield path, f"${variable}"
    for folder, name in ((settings().data.weights, "data.weights"), (settings().runs.folder, "runs.folder")):
        if folder.is_absolute():  # others begin at home
            yield folder, name
    yield Path(tempfile.gettempdir()), "$TMPDIR"
    yield Path(sys.prefix), "the installation"
    yield Path(__file__).parents[1], "the installation"
    if len(Path.home().parts) > 1:  # of an account that has none it is the root
        yield Path.home(), "~"
