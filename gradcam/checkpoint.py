"""Somebody's own weights for an architecture of timm or torchvision, from a file that nobody has to trust.

Only tensors are read: a safetensors file, or a PyTorch file with `weights_only=True`. A file that holds more, such
as a whole pickled model, could run code when it is opened, and is refused.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import floor, isfinite
from pathlib import Path
from typing import Any, Literal, cast, get_args

import safetensors.torch
import torch
from torch import Tensor, nn

from gradcam.classifier import Classifier, pick_device, seeded
from gradcam.errors import ModelError, OptionError, nearest
from gradcam.label_files import read_labels
from gradcam.labels import Labels, imagenet, numbered
from gradcam.types import ModelSpec, Preprocessing
from gradcam.zoo import CHECKPOINT, SOURCES, known

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params", "ema")
"""Keys under which training scripts put the state, the first one found taken."""

LABEL_SETS = ("imagenet-1k", "imagenet-12k", "imagenet-21k-goog", "imagenet-21k-miil", "imagenet-22k")
"""Label sets that can be named instead of a file."""

CropMode = Literal["center", "squash", "border"]
CROPS: tuple[CropMode, ...] = get_args(CropMode)
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "box", "hamming")
MAX_SIZE = 1024
"""What preprocessing can be asked for."""

AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Tensors of heads that only training uses."""


def load_checkpoint(
    file: str | Path | bytes,
    architecture: str,
    *,
    name: str = "",
    labels: Labels | str | Path | None = None,
    classes: int | None = None,
    preprocessing: Preprocessing | None = None,
    device: str | torch.device = "auto",
) -> Classifier:
    """Load somebody's own weights, ready to be explained.

    file: `.safetensors`, or `.pt`, `.pth`, `.ckpt`, `.bin` with tensors alone; a path, or bytes with their `name`.
    architecture: an id such as `timm/resnet18` or `torchvision/vgg16`.
    labels: a file as `read_labels` takes it, or a set such as `imagenet-1k`; without them classes are numbered.
    classes: what the head must have; by default what it has.
    preprocessing: None for the architecture's own, which a model trained otherwise will not like.
    The id is made of the file's name and the hash of its weights: `checkpoint/timm/resnet18@mine~0123456789abcdef`.
    Raises: ModelError for a file that cannot be trusted or does not fit; tensors that do not fit are named.
    """
    place = pick_device(device)
    name = name or (Path(file).name if isinstance(file, (str, Path)) else "the file")
    spec = _architecture(architecture)
    builder = SOURCES[spec.source]
    found = read_state(file, name)
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old names and initial weights, which are overwritten
        heads = _heads(builder.headed, spec.name)
        fitting = _unprefixed(found, heads)
        count = _count_classes(fitting, heads, classes, name)
        module = builder.headed(spec.name, count)
    _fill(module, fitting, f"{architecture} in {name!r}")
    classifier = Classifier(
        module=module.eval().requires_grad_(False).to(place).to(memory_format=torch.channels_last),
        preprocessing=preprocessing or builder.preprocessing(spec),
        labels=_labels(labels, count),
        spec=ModelSpec(CHECKPOINT, f"{spec.source}/{spec.name}"),
    )
    stem = re.sub(r"[^\w.-]+", "-", Path(name).stem)[:40]
    return replace(classifier, spec=replace(classifier.spec, weights=f"{stem}~{classifier.weights_sha256[:16]}"))


def preprocessing_for(
    architecture: str,
    *,
    size: int | None = None,
    crop: float | None = None,
    mode: str | None = None,
    interpolation: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Preprocessing:
    """An architecture's own preprocessing, but for what is given.

    size: of the square input in pixels. crop: the share of the resized photo's side that is shown, in (0, 1].
    mode, interpolation, mean, std: as in `Preprocessing`.
    Raises: ModelError for an unknown architecture, OptionError for what no photo can be prepared with.
    """
    spec = _architecture(architecture)
    own = SOURCES[spec.source].preprocessing(spec)
    height, width = own.size if size is None else (size, size)
    share = own.size[0] / own.resize[0] if crop is None else crop
    if not (16 <= height <= MAX_SIZE and 0 < share <= 1):
        raise OptionError(
            f"expected an input of 16 to {MAX_SIZE} pixels, a crop above 0 and up to 1, got {height} and {share:g}"
        )
    for what, values in (("mean", mean), ("std", std)):
        if values is not None and not (
            len(values) == 3 and all(map(isfinite, values)) and (what == "mean" or all(values))
        ):
            raise OptionError(f"expected three numbers for {what}, not 0 for std, got {list(values)}; give R, G, B")
    for wanted, choices in ((mode, CROPS), (interpolation, INTERPOLATIONS)):
        if wanted not in (None, *choices):
            raise OptionError(f"expected one of {', '.join(choices)}, got {wanted!r}")
    return replace(
        own,
        size=(height, width),
        resize=own.resize if size is crop is None else (floor(height / share), floor(width / share)),
        mode=cast(CropMode, mode) or own.mode,
        interpolation=interpolation or own.interpolation,
        mean=tuple(mean) if mean else own.mean,
        std=tuple(std) if std else own.std,
    )


def architectures() -> list[str]:
    """The ids that a checkpoint can be for."""
    return [f"{source}/{name}" for source in ("torchvision", "timm") for name in SOURCES[source].names()]


def _architecture(text: str) -> ModelSpec:
    source, _, rest = text.strip().partition("/")
    if source not in ("torchvision", "timm"):
        ids = architectures()
        same = [model for model in ids if model.partition("/")[2] == text.strip().lower()]
        raise ModelError(
            f"expected an architecture such as 'timm/resnet18', got {text!r}; try {nearest(text, same or ids)}"
        )
    name, _, weights = rest.partition(SOURCES[source].mark)
    return known(ModelSpec(source, name, weights or None))


# Reading ------------------------------------------------------------------------------------------------------


def read_state(file: str | Path | bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, out of whatever a training script wrapped them in; no code is ever run.

    Raises: ModelError for a file that holds more than tensors, or none.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ModelError(f"expected a checkpoint ({', '.join(SUFFIXES)}), got {name!r}; choose another file")
    if not isinstance(file, bytes) and not Path(file).expanduser().is_file():
        raise ModelError(f"expected a checkpoint, got {str(file)!r}, which is no file; name another")
    try:
        stored = _read_safetensors(file) if suffix == ".safetensors" else _read_pickled(file, name)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"expected a checkpoint in {name!r}, got {_why_unreadable(error)}; save the model's state_dict(), best "
            "as .safetensors"
        ) from error
    state = _unwrapped(stored)
    if not state:
        raise ModelError(f"expected a model's tensors in {name!r}, got none; save the model's state_dict()")
    return state


def _read_safetensors(file: str | Path | bytes) -> dict[str, Tensor]:
    return safetensors.torch.load(file if isinstance(file, bytes) else Path(file).expanduser().read_bytes())


def _read_pickled(file: str | Path | bytes, name: str) -> Any:
    source = io.BytesIO(file) if isinstance(file, bytes) else Path(file).expanduser()
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            parts = archive.infolist()
        if any(part.filename.endswith("/constants.pkl") for part in parts):
            raise ModelError(
                f"expected tensors alone in {name!r}, got a TorchScript program, which runs code when opened; "
                "save the model's state_dict(), best as .safetensors"
            )
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ModelError(
                f"expected a checkpoint that PyTorch saved, got the packed archive {name!r}; unpack it"
            )
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(source, map_location="cpu", weights_only=True)


def _why_unreadable(error: Exception) -> str:
    """The reason in words; PyTorch's own text advises to open the file without protection."""
    if found := re.search(r"Unsupported (?:global|class|type): (?:GLOBAL )?([\w.]+)", str(error)):
        return f"a pickled {found[1][:80]} beside or instead of tensors, which could run code when opened"
    if "Weights only load failed" in str(error):
        return "a pickled object, which could run code when opened"
    return "a file that is damaged or of another kind"


def _unwrapped(stored: Any, depth: int = 4) -> dict[str, Tensor]:
    if not isinstance(stored, Mapping) or depth == 0:
        return {}
    wrapped = next((stored[key] for key in WRAPPERS if isinstance(stored.get(key), Mapping)), None)
    if wrapped is not None:
        return _unwrapped(wrapped, depth - 1)
    return {key: value for key, value in stored.items() if isinstance(key, str) and _is_plain(value)}


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized and not value.is_meta
    )


# Fitting ------------------------------------------------------------------------------------------------------

Shape = tuple[int, ...]
Heads = dict[str, tuple[Shape, Shape]]
Headed = Callable[[str, int], nn.Module]

FEW_AND_MORE = (3, 5)
MAX_CLASSES = 100_000


def _heads(headed: Headed, name: str) -> Heads:
    """The shapes of an architecture's state with few and with more classes; they differ at the head."""
    few, more = (_shapes(headed, name, classes) for classes in FEW_AND_MORE)
    return {key: (few[key], more[key]) for key in few}


def _shapes(headed: Headed, name: str, classes: int) -> dict[str, Shape]:
    """The state's shapes, without numbers unless the builder computes with them."""
    try:
        with torch.device("meta"):
            module = headed(name, classes)
    except (RuntimeError, NotImplementedError):
        module = headed(name, classes)
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _unprefixed(found: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The tensors under the architecture's own names: DDP, torch.compile and trainers put a prefix before each."""
    own = list(own)
    starts = {key.removesuffix(own[0]) for key in found if key == own[0] or key.endswith(f".{own[0]}")}
    prefix = max(sorted(starts, key=len), key=lambda start: sum(start + key in found for key in own), default="")
    names = {key: key.removeprefix(prefix) for key in found if key.startswith(prefix)}
    return {name: found[key] for key, name in names.items() if not name.startswith(AUXILIARY)}


def _count_classes(found: Mapping[str, Tensor], heads: Heads, asked: int | None, file: str) -> int:
    """How many classes the head in the file has; where it has none, `_fill` says what is missing.

    Raises: ModelError where it is another number than asked for.
    """
    for key, shapes in heads.items():
        axis = next((axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if sizes == FEW_AND_MORE), None)
        if axis is None or key not in found or found[key].ndim <= axis:
            continue
        count = found[key].shape[axis]
        if asked not in (None, count):
            raise ModelError(f"expected a head of {asked} classes in {file!r}, got one of {count}; ask for {count}")
        if not 0 < count <= MAX_CLASSES:
            raise ModelError(f"expected a head of 1 to {MAX_CLASSES:,} classes in {file!r}, got one of {count:,}")
        return count
    return asked or FEW_AND_MORE[0]


def _fill(module: nn.Module, found: Mapping[str, Tensor], wanted: str) -> None:
    """Put the tensors into the module. Raises: ModelError that lists those that do not fit."""
    state = module.state_dict()
    missing = [key for key in state if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in state]
    other = [
        f"{key} {_times(found[key].shape)} instead of {_times(value.shape)}"
        for key, value in state.items()
        if key in found and found[key].shape != value.shape
    ]
    said = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' * (len(keys) > 3)})"
        for what, keys in (("missing", missing), ("unknown to it", extra), ("of another shape", other))
        if keys
    ]
    if said:
        raise ModelError(
            f"expected the tensors of {wanted}, got {', '.join(said)}; name the architecture that was trained"
        )
    state.update(found)
    module.load_state_dict(state)


def _times(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _labels(labels: Labels | str | Path | None, count: int) -> Labels:
    if labels is None:
        return numbered(count)
    if isinstance(labels, str) and labels in LABEL_SETS:
        labels = imagenet(labels)
    if not isinstance(labels, Labels):
        labels = read_labels(labels)
    if len(labels) != count:
        raise ModelError(
            f"expected {count} class names, one for each class of the head, got {len(labels)} in "
            f"{labels.source!r}; give them in the head's order"
        )
    return labels
