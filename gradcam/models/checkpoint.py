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
from math import floor
from pathlib import Path
from typing import Any, Literal, cast, get_args

import safetensors.torch
import torch
from torch import Tensor, nn

from gradcam.errors import ModelError, OptionError, nearest, quoted
from gradcam.models.classifier import Classifier, seeded, sha256_of
from gradcam.models.devices import laid_out, pick_device
from gradcam.models.ids import CHECKPOINT, known
from gradcam.models.label_files import read_labels
from gradcam.models.labels import Labels, imagenet, numbered
from gradcam.models.sources import SOURCES
from gradcam.types import ModelSpec, OwnFile, Preprocessing

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params", "ema")
"""Keys under which training scripts put the state, the first one found taken."""

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
"""What preprocessing can be asked for: which values fit, and what is said to others."""

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
    sha256: str | None = None,
    device: str | torch.device = "auto",
) -> Classifier:
    """Load somebody's own weights, ready to be explained.

    file: `.safetensors`, or `.pt`, `.pth`, `.ckpt`, `.bin` with tensors alone; a path, or bytes with their `name`.
    architecture: an id such as `timm/resnet18` or `torchvision/vgg16`.
    labels: a file as `read_labels` takes it, or a set such as `imagenet-1k`; without them classes are numbered.
    classes: what the head must have; by default what it has.
    preprocessing: None for the architecture's own, which a model trained otherwise will not like.
    sha256: hexadecimal, of the file that is meant; another file is refused.
    The id is made of the file's name and the hash of its weights: `checkpoint/timm/resnet18@mine~0123456789abcdef`.
    Raises: ModelError for a file that cannot be trusted or does not fit; tensors that do not fit are named.
    """
    place = pick_device(device)
    name = name or (Path(file).name if isinstance(file, (str, Path)) else "the file")
    spec = _architecture(architecture)
    builder = SOURCES[spec.source]
    found, digest = read_state(file, name), sha256_of(file)
    if sha256 not in (None, digest):
        raise ModelError(
            f"expected a checkpoint with SHA-256 {sha256}, got {name!r} with {digest}; take the former"
        )
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old names and initial weights, which are overwritten
        heads = _heads(builder.headed, spec.name)
        fitting = _unprefixed(found, heads)
        count = _count_classes(fitting, heads, classes, name)
        _check_fit(_shapes(builder.headed, spec.name, count), fitting, f"{architecture} in {name!r}")
        module = builder.headed(spec.name, count)  # only now: the size of an architecture is up to the caller
    state = module.state_dict()  # with what PyTorch notes about versions, which MNASNet needs
    state.update(fitting)
    module.load_state_dict(state)
    classifier = Classifier(
        module=laid_out(module.eval().requires_grad_(False), place),
        preprocessing=preprocessing or builder.preprocessing(spec),
        labels=_labels(labels, count),
        spec=ModelSpec(CHECKPOINT, f"{spec.source}/{spec.name}"),
    )
    stem = re.sub(r"[^\w.-]+", "-", Path(name).stem)[:40]
    origin = OwnFile(name, digest, *_named(classifier.labels))
    spec = replace(classifier.spec, weights=f"{stem}~{classifier.weights_sha256[:16]}", file=origin)
    return replace(classifier, spec=spec)


def preprocessing_for(
    architecture: str,
    *,
    size: int | None = None,
    crop: float | None = None,
    mode: str | None = None,
    interpolation: str | None = None,
    mean: str | Sequence[float] | None = None,
    std: str | Sequence[float] | None = None,
) -> Preprocessing:
    """An architecture's own preprocessing, but for what is given.

    size: of the square input in pixels. crop: the share of the resized photo's side that is shown, 0.1 to 1.
    mode, interpolation, mean, std: as in `Preprocessing`; numbers may come as text, such as `0.5, 0.5, 0.5`.
    Raises: ModelError for an unknown architecture, OptionError for what no photo can be prepared with.
    """
    spec = _architecture(architecture)
    own = SOURCES[spec.source].preprocessing(spec)
    mean, std = _numbers(mean), _numbers(std)
    given = (size, crop, mode, interpolation, mean, std)
    for (what, (fits, wanted)), value in zip(INPUT.items(), given, strict=True):
        if value is not None and not fits(value):
            raise OptionError(
                f"expected {wanted} as {what} of the input, got {quoted(value)}; "
                "leave it out for the architecture's own"
            )
    height, width = own.size if size is None else (size, size)
    share = own.size[0] / own.resize[0] if crop is None else crop
    return replace(
        own,
        size=(height, width),
        resize=own.resize if size is crop is None else (floor(height / share), floor(width / share)),
        mode=cast(CropMode, mode) or own.mode,
        interpolation=interpolation or own.interpolation,
        mean=mean or own.mean,
        std=std or own.std,
    )


def _numbers(given: str | Sequence[float] | None) -> tuple[float, ...] | None:
    """Numbers, as somebody may have typed them; None for none."""
    values = given.replace(",", " ").split() if isinstance(given, str) else given or ()
    try:
        return tuple(map(float, values)) or None
    except ValueError:
        raise OptionError(f"expected three numbers, got {quoted(given)}; write them as 0.5, 0.5, 0.5") from None


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
        reason = _why_unreadable(error, _start(file))
        raise ModelError(
            f"expected a checkpoint in {name!r}, got {reason}; save the model's state_dict(), best as .safetensors"
        ) from error
    state = _unwrapped(stored)
    if not state:
        raise ModelError(f"expected a model's tensors in {name!r}, got none; save the model's state_dict()")
    if sum(tensor.numel() for tensor in state.values()) > _bytes_behind(state.values()):
        raise ModelError(
            f"expected a model's tensors in {name!r}, got some numbers repeated; save its state_dict() anew"
        )
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


def _start(file: str | Path | bytes) -> bytes:
    """The first two bytes of a file."""
    if isinstance(file, bytes):
        return file[:2]
    with Path(file).expanduser().open("rb") as opened:
        return opened.read(2)


def _why_unreadable(error: Exception, start: bytes) -> str:
    """The reason in words; PyTorch's own text advises to open the file without protection."""
    if found := re.search(r"Unsupported (?:global|class|type): (?:GLOBAL )?([\w.]+)", str(error)):
        return f"a pickled {found[1][:80]} beside or instead of tensors, which could run code when opened"
    if "Weights only load failed" in str(error) and start[:1] in (b"\x80", b"P"):
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
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_quantized or value.is_meta or value.is_complex())
    )


def _bytes_behind(tensors: Iterable[Tensor]) -> int:
    """Bytes that the tensors lie in: a file of some bytes can hold views that repeat them without end."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


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
    """How many classes the head in the file has; where it has none, `_check_fit` says what is missing.

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


def _check_fit(shapes: Mapping[str, Shape], found: Mapping[str, Tensor], wanted: str) -> None:
    """Raises: ModelError that lists the tensors that do not fit."""
    missing = [key for key in shapes if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in shapes]
    other = [
        f"{key} {_times(found[key].shape)} instead of {_times(shape)}"
        for key, shape in shapes.items()
        if key in found and found[key].shape != shape
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


def _times(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _labels(labels: Labels | str | Path | None, count: int) -> Labels:
    if labels is None:
        return numbered(count)
    if isinstance(labels, str) and labels in LABEL_SETS:
        labels = imagenet(labels)
    elif isinstance(labels, str) and not Path(labels).expanduser().is_file():
        raise ModelError(
            f"expected a file of class names, or a known set of classes, got {labels!r}, which is neither; "
            f"name a file, or {nearest(labels, LABEL_SETS)}"
        )
    if not isinstance(labels, Labels):
        labels = read_labels(labels)
    if len(labels) != count:
        raise ModelError(
            f"expected {count} class names, one for each class of the head, got {len(labels)} in "
            f"{labels.source!r}; give them in the head's order"
        )
    return labels


def _named(labels: Labels) -> tuple[str, tuple[str, ...]]:
    """What names the classes, a file or a known set, or else their names, or neither where they are numbered."""
    if named := labels.file or (labels.source if labels.source in LABEL_SETS else ""):
        return named, ()
    return "", () if labels == numbered(len(labels)) else labels.names


def input_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """What `preprocessing_for` has to be given for this preprocessing, by its names.

    Without `size` and `crop` where these are the architecture's own, for no square and no share gives them.
    """
    (height, width), canvas = preprocessing.size, preprocessing.resize
    is_square = height == width and canvas[0] == canvas[1]
    given: dict[str, Any] = {"size": height, "crop": _share(height, canvas[0])} if is_square else {}
    given |= {name: getattr(preprocessing, name) for name in ("mode", "interpolation", "mean", "std")}
    return {name: value for name, value in given.items() if INPUT[name][0](value)}


def _share(size: int, canvas: int) -> float:
    """The shortest share of which `floor(size / share) == canvas`."""
    shares = ((floor(size / (canvas + 1) * 10**digits) + 1) / 10**digits for digits in range(1, 16))
    return next((share for share in shares if floor(size / share) == canvas), size / canvas)
