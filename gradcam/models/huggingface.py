"""Image classifiers of the library transformers: what a repository or a folder says about one, and the module.

Whoever uploads a repository writes its JSON files. They are read here, within bounds, and what could name code,
other files or other weights is left out before transformers sees them. How photos are prepared is measured on the
image processor itself rather than read from its settings, whose meaning differs from class to class.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, float32, nn

from gradcam.errors import ModelError, quoted
from gradcam.model_spec import with_source
from gradcam.models.labels import Labels, imagenet, labels_of_head, make_labels
from gradcam.models.meta import MAX_UNTRAINED, built_on_meta
from gradcam.models.timm_config import MAX_CLASSES, MAX_SIZE, printable, table_of
from gradcam.preprocess import input_pixels, view_of
from gradcam.text import first_few
from gradcam.types import Activation, Photo, Preprocessing

CONFIG, PROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
"""The files that a repository or a folder must have."""

ACTIVATIONS: dict[str | None, Activation] = {
    None: "softmax",
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
}
"""What makes probabilities of the scores, by the `problem_type` of a configuration."""

MAX_LETTERS = 1000
"""Letters of a class name; ImageNet's names are lists of synonyms."""

_MAX_NUMBER, _MAX_EDGE, _MAX_ITEMS, _MAX_DEPTH = 10**6, 4096, 1000, 4


@dataclass(frozen=True, eq=False)
class HuggingFaceModel:
    """A classifier of transformers as its files describe it.

    config: of transformers. activation: `softmax` or `sigmoid`. configuration: plain settings, for reports.
    """

    config: Any
    preprocessing: Preprocessing
    labels: Labels
    activation: Activation
    configuration: Mapping[str, Any]


@lru_cache(maxsize=16)
def described(config: str, processor: str, where: str) -> HuggingFaceModel:
    """The model that the texts of `CONFIG` and `PROCESSOR` describe.

    where: the id, for sentences.
    Raises: ModelError if this is no classifier of transformers, a value is out of bounds, or photos are prepared in
        a way that `Preprocessing` cannot say.
    """
    fields, settings = table_of(config, CONFIG, where), table_of(processor, PROCESSOR, where)
    _check_kind(fields, where)
    _check_plain({key: value for key, value in fields.items() if key not in _LABELS}, _MAX_NUMBER, where)
    _check_plain(settings, _MAX_EDGE, where)
    names = _names(fields, where)
    fields, settings = _without_orders(fields), _without_orders(settings)
    with _READING, _library(where) as transformers, tempfile.TemporaryDirectory() as folder:
        Path(folder, CONFIG).write_text(json.dumps(fields), encoding="utf-8")
        Path(folder, PROCESSOR).write_text(json.dumps(settings), encoding="utf-8")
        known = {"trust_remote_code": False, "local_files_only": True}
        read = transformers.AutoConfig.from_pretrained(folder, **known)
        prepare = transformers.AutoImageProcessor.from_pretrained(folder, config=read, **known)
        preprocessing = _measured(_runner(prepare), prepare.to_dict(), where)
    if not names:
        names = [(read.id2label or {}).get(index, f"LABEL_{index}") for index in range(read.num_labels)]
    elif read.num_labels != len(names):  # PVT keeps a number of its own, which is not saved
        read.num_labels = len(names)
    configuration = {key: value for key, value in fields.items() if key not in _LABELS} | {"processor": settings}
    return HuggingFaceModel(read, preprocessing, _labels(names), _activation(fields, where), configuration)


def build(model: HuggingFaceModel, tensors: Mapping[str, Tensor] | None, where: str) -> nn.Module:
    """The module in its initial state, or with these tensors, which transformers renames where needed.

    Raises: ModelError where it would be much larger than its tensors, or where some that it needs are not there.
    """
    with _BUILDING, _library(where) as transformers:
        make = transformers.AutoModelForImageClassification.from_config
        most = MAX_UNTRAINED if tensors is None else 2 * sum(tensor.numel() for tensor in tensors.values())
        with _READING:
            planned = built_on_meta(lambda: make(model.config), most)
        if planned.main_input_name != "pixel_values":
            raise ModelError(f"expected a classifier of pixels at {where}, got one of {planned.main_input_name}")
        if tensors is None:
            return make(model.config).float()
        module, found = cast(Any, type(planned)).from_pretrained(
            None,
            config=model.config,
            state_dict=dict(tensors),
            dtype=float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]
    if missing:
        listed = first_few([quoted(key, 60) for key in sorted(missing)])
        raise ModelError(
            f"expected the trained tensors of {where}, got a file that lacks {len(missing)} of them or has them in "
            f"another shape ({listed}); name a model that was trained to classify"
        )
    return module


# Reading ------------------------------------------------------------------------------------------------------

_LABELS = ("id2label", "label2id")

_ORDERS = {
    "what names code": (
        "auto_map",
        "attn_implementation",
        "experts_implementation",
        "kernel_config",
        "use_kernels",
    ),
    "what names other models": ("backbone", "backbone_config", "backbone_kwargs", "use_timm_backbone"),
    "what names other weights": ("name_or_path", "transformers_weights", "use_pretrained_backbone"),
    "another way to compute": (
        "distributed_config",
        "dtype",
        "fusion_config",
        "quantization_config",
        "torch_dtype",
    ),
    "another output": ("output_attentions", "output_hidden_states", "return_dict", "torchscript"),
}
"""Settings that are left out, by what is wrong with them; so is every one that begins with an underscore."""

_LEFT_OUT = {name for names in _ORDERS.values() for name in names}


def _check_kind(config: Mapping[str, Any], where: str) -> None:
    """Raises: ModelError for a model of timm, with its right id, and for what is no classifier."""
    if "architecture" in config or config.get("model_type") == "timm_wrapper":
        raise ModelError(
            f"expected a classifier of transformers at {where}, got one of timm; name it "
            f"{quoted(with_source(where, 'hf-hub'))}"
        )
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"expected a classifier of transformers at {where}, got no model_type; name another model")
    made = config.get("architectures") or []
    if not (isinstance(made, list) and all("ForImageClassification" in str(name) for name in made)):
        raise ModelError(
            f"expected a classifier of images at {where}, got {quoted(made, 80)}; name a model whose architecture "
            "ends in ForImageClassification"
        )


def _check_plain(value: Any, most: int, where: str, name: str = "", depth: int = 0) -> None:
    """Raises: ModelError for numbers, lists or texts beyond bounds."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else ((name, part) for part in value)
        fits = len(value) <= _MAX_ITEMS and depth <= _MAX_DEPTH
        for key, part in parts if fits else ():
            _check_plain(part, most, where, key, depth + 1)
    elif isinstance(value, str):
        fits = len(value) <= 10_000
    elif isinstance(value, float):
        fits = isfinite(value) and abs(value) <= 1e12 and (name != "crop_pct" or value >= 0.1)
    else:
        fits = value is None or abs(value) <= most
    if not fits:
        raise ModelError(
            f"expected plain settings of {where}, got {quoted(name, 60)}: {quoted(value, 80)}, which is out of "
            "bounds; name another model"
        )


def _without_orders(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that would make transformers run or fetch something."""
    return {
        key: _without_orders(value) if isinstance(value, dict) and key not in _LABELS else value
        for key, value in config.items()
        if not key.startswith("_") and key not in _LEFT_OUT
    }


def _names(config: Mapping[str, Any], where: str) -> list[str]:
    """The class names in order; none if they are not stated. Raises: ModelError."""
    table = config.get("id2label") or {}
    is_table = isinstance(table, dict) and len(table) <= MAX_CLASSES
    names = [printable(str(table.get(str(index), ""))) for index in range(len(table))] if is_table else []
    if not is_table or not all(0 < len(name) <= MAX_LETTERS for name in names):
        raise ModelError(
            f"expected names for classes from 0 on, each of at most {MAX_LETTERS} letters, as id2label of {where}, "
            "got others; name another model"
        )
    count = config.get("num_labels", 0)  # where there are names, transformers counts these
    if not names and not (type(count) is int and 0 <= count <= MAX_CLASSES):
        raise ModelError(f"expected at most {MAX_CLASSES:,} classes at {where}, got {quoted(count, 40)}")
    return names


def _labels(names: list[str]) -> Labels:
    """The labels of a head with so many names; the known ones of ImageNet if the names are its synonyms."""
    known = imagenet()
    words = [tuple(part.strip() for part in name.split(",")) for name in names]
    synonyms = [{alias.lower() for alias in aliases} for aliases in known.aliases]
    if len(words) == len(synonyms) and all(
        own[0].lower() in also for own, also in zip(words, synonyms, strict=True)
    ):
        return known
    return labels_of_head(make_labels(names, "transformers", aliases=words), len(names))


def _activation(config: Mapping[str, Any], where: str) -> Activation:
    kind = config.get("problem_type")
    if not isinstance(kind, str | None) or kind not in ACTIVATIONS:
        raise ModelError(f"expected a classifier at {where}, got a model for {quoted(kind, 60)}; name another")
    return ACTIVATIONS[kind]


_READING = threading.RLock()
"""Held where transformers imports its parts, as it does when they are first asked for."""

_BUILDING = threading.RLock()
"""Held while a model is made and filled, for which transformers changes PyTorch's default type and functions of
`torch.nn.init` in the whole process. Whoever only reads what another model is does not wait for that."""


@contextmanager
def _library(where: str) -> Iterator[Any]:
    """transformers, imported when first needed, without its notices.

    Raises: ModelError where it is not installed, and for whatever it says about a model that it cannot use.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            f"expected the package transformers for {where}, got none; install it with "
            "pip install 'gradcam[transformers]'"
        ) from error
    with _silence.of(transformers.utils.logging):
        try:
            yield transformers
        except ModelError:
            raise
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"expected a classifier of transformers at {where}, got what it cannot use "
                f"({type(error).__name__}: {quoted(first)}); name another model"
            ) from error


class _Silence:
    """No notices while any thread uses transformers: whether it gives them is one setting of the process."""

    def __init__(self) -> None:
        self._guard, self._users = threading.Lock(), 0
        self._level, self._bars = 0, False

    @contextmanager
    def of(self, logs: Any) -> Iterator[None]:
        with self._guard:
            self._users += 1
            if self._users == 1:
                self._level, self._bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
                logs.set_verbosity(logging.CRITICAL)
                logs.disable_progress_bar()
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if self._users == 0:
                    logs.set_verbosity(self._level)
                    if self._bars:
                        logs.enable_progress_bar()


_silence = _Silence()


# Measuring an image processor -----------------------------------------------------------------------------------

Run = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From RGB uint8 `[H, W, 3]` to the model's input `[3, h, w]`."""


def _runner(processor: Any) -> Run:
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(
            processor(images=Image.fromarray(pixels), return_tensors="np")["pixel_values"][0], np.float64
        )

    return run


def _measured(run: Run, settings: Mapping[str, Any], where: str) -> Preprocessing:
    """What an image processor does to photos, found by giving it some.

    Raises: ModelError where no `Preprocessing` comes within one grey level of it.
    """
    mean, std = _colours(run, where)
    mean, std = _stated(mean, settings.get("image_mean")), _stated(std, settings.get("image_std"))
    interpolation = Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR)).name.lower()
    height, width = _shape(run(np.zeros((64, 64, 3), np.uint8)), where)
    probes = [_probe(round(height * tall), round(width * wide)) for tall, wide in ((1.31, 1.77), (2.13, 1.17))]
    expected = [(run(probe.pixels) * std + mean) * 255 for probe in probes]
    if any(levels.shape != (3, height, width) for levels in expected):
        raise ModelError(
            f"expected photos brought to one size at {where}, got an image processor that leaves them at several; "
            "load the model yourself and make a Classifier"
        )
    for mode, resize in _candidates((height, width), settings):
        found = Preprocessing((height, width), resize, mode, interpolation, _plain(mean), _plain(std))
        if all(_is_within_a_level(probe, found, levels) for probe, levels in zip(probes, expected, strict=True)):
            return found
    ways = {key: value for key, value in settings.items() if key.startswith("do_") or "size" in key}
    raise ModelError(
        f"expected photos prepared by resizing, cropping and normalising at {where}, got an image processor that "
        f"does something else ({quoted(ways)}); load the model yourself and make a Classifier"
    )


def _colours(run: Run, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std `[3, 1, 1]` for values in [0, 1], from what becomes of black and of pure colours."""

    def seen(*colour: int) -> NDArray[np.float64]:
        found = run(np.full((64, 64, 3), colour, np.uint8))
        _shape(found, where)
        if np.ptp(found, axis=(1, 2)).max() > 1e-3:
            raise ModelError(f"expected photos without bars at {where}, got an image processor that adds some")
        return found.mean((1, 2))

    black = seen(0, 0, 0)
    gains = np.stack([seen(*colour) - black for colour in np.eye(3, dtype=int) * 255])
    if np.abs(gains - np.diag(gains.diagonal())).max() > 1e-3 or gains.diagonal().min() <= 0:
        raise ModelError(
            f"expected the channels red, green and blue at {where}, got an image processor that mixes or reorders "
            "them; load the model yourself and make a Classifier"
        )
    std = 1 / gains.diagonal()
    mean, std = (np.round(values, 6).reshape(3, 1, 1) for values in (-black * std, std))
    if std.min() < 1e-3 or std.max() > 100 or np.abs(mean).max() > 100:
        raise ModelError(f"expected pixels normalised from [0, 1] at {where}, got mean {mean.flat[0]:.3g}")
    return mean, std


def _stated(measured: NDArray[np.float64], stated: Any) -> NDArray[np.float64]:
    """The settings' numbers if they equal the measured ones, which have only six digits; else the measured ones."""
    stated = np.asarray(stated if isinstance(stated, list | tuple) and len(stated) == 3 else measured, np.float64)
    return stated.reshape(3, 1, 1) if np.allclose(stated.flat, measured.flat, rtol=0, atol=1e-5) else measured


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(map(float, values.flat))


def _shape(found: NDArray[np.float64], where: str) -> tuple[int, int]:
    if found.ndim != 3 or found.shape[0] != 3 or not all(1 <= side <= MAX_SIZE for side in found.shape[1:]):
        raise ModelError(
            f"expected photos of 3 channels and at most {MAX_SIZE} pixels a side at {where}, got an image "
            f"processor that makes {list(found.shape)}; load the model yourself and make a Classifier"
        )
    return found.shape[1], found.shape[2]


def _probe(height: int, width: int) -> Photo:
    """A photo on which another crop, filter or size shows at once: noise, in middle tones that no filter clips."""
    pixels = np.random.default_rng(height).integers(64, 192, (height, width, 3), np.uint8)
    return Photo(pixels, "probe", "")


def _candidates(size: tuple[int, int], settings: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[int, int]]]:
    """Every mode and canvas that the settings may mean."""
    yield "squash", size
    stated = settings.get("size")
    if isinstance(stated, Mapping) and stated.get("height") and stated.get("width"):
        yield "squash", (stated["height"], stated["width"])
    edges = [*_numbers(stated), *_numbers(settings.get("crop_size"))]
    share = settings.get("crop_pct") or 1
    for edge in dict.fromkeys(
        whole for part in edges for whole in (part, int(part / share), int(256 / 224 * part))
    ):
        yield "center-floor", (edge, edge)
        yield "center", (edge, edge)


def _numbers(value: Any) -> list[int]:
    values = value.values() if isinstance(value, Mapping) else [value]
    return [int(part) for part in values if isinstance(part, int | float) and part > 0]


def _is_within_a_level(photo: Photo, preprocessing: Preprocessing, expected: NDArray[np.float64]) -> bool:
    """Whether the photo's pixels come out as `expected` `[3, h, w]`, in grey levels.

    Pillow and torchvision round twice, each in its own way: one pixel in some ten thousand may be two levels off.
    """
    pixels = input_pixels(photo, view_of(photo.size, preprocessing), preprocessing)
    off = np.abs(pixels.transpose(2, 0, 1) - expected)
    return bool(off.max() <= 2.01 and (off > 1.01).mean() < 1e-3)
