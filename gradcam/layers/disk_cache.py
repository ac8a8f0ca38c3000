"""Layers that were found in models loaded by id, kept on disk: a second process need not search them again.

They are a convenience. A file that is missing, damaged or cannot be written costs a search, and nothing else. Those
of the models whose weights are installed come along, so that the first page need not wait for a search.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, get_args

import torch
from torch import nn

from gradcam.config import weights_folder
from gradcam.errors import GradcamError
from gradcam.files import write_whole
from gradcam.inputs import Inputs
from gradcam.loaded_modules import is_loaded_by_id, state_sha256
from gradcam.types import Layout, TargetLayer

log = logging.getLogger(__name__)

FORMAT = 1
"""Raise it when the search may give other answers than before."""

MAX_BYTES = 1_000_000

PACKAGES = ("gradcam", "torch", "torchvision", "timm", "transformers")


SHIPPED = resources.files("gradcam") / "data" / "bundled_layers.json"
"""The layers of the bundled models by `request_of`; `python -m tests.layers.shipped` writes it."""


def request_of(model: nn.Module, inputs: Inputs, layer: str) -> str | None:
    """What tells a search of `model` from all others, in any process and version; None if its answer is not kept.

    Answers are kept only for models that were loaded by id and have weights, if the images are the only input and
    no function picks the scores.
    """
    images = inputs.images
    alone = len(inputs.args) + len(inputs.kwargs) == 1
    if not alone or callable(inputs.output) or images.is_meta or not is_loaded_by_id(model):
        return None
    request = (inputs.at, inputs.output, tuple(images.shape[1:]), images.dtype, images.device.type, layer)
    key = repr((FORMAT, request, state_sha256(model), _settings(model)))
    return hashlib.sha256(key.encode()).hexdigest()


def kept_at(request: str) -> Path | None:
    """The file for the answer to a request by these versions of all packages; None if there is no place for it."""
    key = repr(([(package, _version(package)) for package in PACKAGES], request))
    try:
        return weights_folder().with_name("layers") / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    except (RuntimeError, ValueError, GradcamError) as error:  # no home folder
        log.info("found layers are not kept: %s", error)
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def read_shipped(request: str, model: nn.Module) -> list[TargetLayer] | None:
    """The answer that came along with the installation; None if none did."""
    rows = _shipped().get(request)
    found = [_layer(row) for row in rows or ()]
    for layer in found:
        model.get_submodule(layer.name)
    return found or None


@cache
def _shipped() -> dict[str, list[dict[str, Any]]]:
    return json.loads(SHIPPED.read_bytes())


def read_kept(file: Path, model: nn.Module) -> list[TargetLayer] | None:
    """The layers in the file; None if it is unreadable or names layers that the model does not have."""
    try:
        with file.open("rb") as opened:
            rows = json.loads(opened.read(MAX_BYTES))
        found = [_layer(row) for row in rows]
        for layer in found:
            model.get_submodule(layer.name)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if not isinstance(error, FileNotFoundError):
            log.info("%s is not read: %s", file, error)
        return None
    return found or None


def write_kept(file: Path, found: Sequence[TargetLayer]) -> None:
    """Write the layers that were found, if the disk allows it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(file) as opened:
            opened.write(json.dumps([asdict(layer) for layer in found]).encode())
    except (OSError, GradcamError) as error:
        log.info("%s is not written: %s", file, error)


def _layer(row: dict[str, Any]) -> TargetLayer:
    """Raises: KeyError, TypeError or ValueError if the row describes no layer."""
    height, width = row["grid"]
    layer = TargetLayer(**{**row, "grid": (height, width)})
    numbers = (height, width, layer.channels, layer.prefix, layer.call)
    if not all(type(number) is int and number >= 0 for number in numbers) or 0 in numbers[:3]:
        raise ValueError(f"expected whole numbers, got {numbers}")
    if not isinstance(layer.name, str) or not isinstance(layer.rule, str) or layer.layout not in get_args(Layout):
        raise ValueError(f"expected a layer, got {layer}")
    return layer


def _settings(model: nn.Module) -> str:
    """A hash of the types of all modules and of their plain attributes, the same in every process."""
    digest = hashlib.sha256()
    for module in model.modules():
        digest.update(_word(type(module)).encode())
        for name, value in module.__dict__.items():
            if name != "training":
                digest.update(f"{name}={_word(value)}\n".encode())
    return digest.hexdigest()


def _word(value: Any) -> str:
    """A setting as text; for a value that is not plain, its type."""
    if isinstance(value, (bool, int, float, str, type(None), torch.Size)):
        return repr(value)
    if isinstance(value, tuple):
        return f"({','.join(map(_word, value))})"
    if isinstance(value, partial):
        return f"partial {_word(value.func)}{_word(value.args)}"
    if isinstance(value, MethodType):
        return f"method {_word(value.__func__)}"
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__} {value.__code__.co_code.hex()}"
    if isinstance(value, (type, BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    return _word(type(value))
