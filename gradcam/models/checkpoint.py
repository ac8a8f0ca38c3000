"""Somebody's own weights for an architecture of timm or torchvision, from a file that nobody has to trust.

A file is opened without running anything in it (`weight_files`); one of several networks is chosen (`networks`), a
replaced head recognised (`heads`), the architecture guessed where none is named (`guess`). Only when all tensors
fit (`fitting`), the model is built and the numbers are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any, cast

import torch

from gradcam.errors import ModelError, OptionError, check_kind, nearest, quoted
from gradcam.files import is_file
from gradcam.kinds import expect_numbers
from gradcam.model_spec import CHECKPOINT, checkpoint_spec, find_spec
from gradcam.models.architectures import LIBRARIES, architectures
from gradcam.models.checkpoint_settings import INPUT, LABEL_SETS, SUFFIXES, CropMode
from gradcam.models.classifier import Classifier, seeded, sha256_of
from gradcam.models.devices import pick_device, to_device_layout
from gradcam.models.fitting import fit
from gradcam.models.guess import the_architecture
from gradcam.models.heads import put_head
from gradcam.models.ids import known, nearest_ids
from gradcam.models.label_files import read_labels
from gradcam.models.labels import Labels, imagenet, labels_of_head, numbered
from gradcam.models.networks import States, states_in
from gradcam.models.numerics import numerics_for
from gradcam.models.sources import SOURCES
from gradcam.models.weight_files import open_weights
from gradcam.types import Activation, ModelSpec, Preprocessing, WeightsFile


def load_checkpoint(
    file: str | Path | bytes,
    architecture: str | None = None,
    *,
    name: str = "",
    prefix: str | None = None,
    labels: Labels | str | Path | None = None,
    classes: int | None = None,
    preprocessing: Preprocessing | None = None,
    sha256: str | None = None,
    device: str | torch.device = "auto",
    activation: Activation = "softmax",
    exact: bool = False,
) -> Classifier:
    """Load somebody's own weights, ready to be explained.

    file: `.safetensors`, or `.pt`, `.pth`, `.pth.tar`, `.ckpt`, `.bin`; a path, or bytes with their `name`.
    architecture: an id such as `timm/resnet18` or `torchvision/vgg16`; None for the only one that the tensors fit.
    prefix: of the network to take if a file holds several, such as `teacher` or `state_dict_ema`; `.` is the one
        without. None for the only one, trained weights rather than averaged (EMA) ones.
    labels: a file as `read_labels` takes it, or a set such as `imagenet-1k`; without them classes are numbered.
        A head with a single logit has two, the negative class first; one name is the positive one's.
    activation: `"sigmoid"` for a multi-label head.
    exact: as in `load_classifier`.
    classes: how many the head must have; by default as many as it has. A single Linear may have replaced the head.
    preprocessing: None for the architecture's own, which a model trained otherwise will not like.
    sha256: the file's expected hash, hexadecimal; another file is refused.
    The id is made of the file's name and the hash of its weights: `checkpoint/timm/resnet18@mine~0123456789abcdef`.
    `spec.file` says which network was taken, and in its `note` what else was recognised.
    Raises: ModelError for a file that cannot be trusted or does not fit; tensors that do not fit are named.
    """
    torch_device = pick_device(device)
    opened = _open(file, name, sha256)
    if architecture is None:
        architecture = the_architecture(opened.states, opened.content, opened.name, prefix)
    spec = _architecture(architecture)
    builder = SOURCES[spec.source]
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old names and initial weights, which are overwritten
        found = fit(opened.states, spec, opened.name, prefix, classes)
        module = builder.build_with_classes(
            spec.name, found.head.classes
        )  # the size of an architecture is up to the caller
        put_head(module, found.head)
    state = module.state_dict()  # with what PyTorch notes about versions, which MNASNet needs
    state.update({key: tensor.mapped() for key, tensor in found.tensors.items()})
    module.load_state_dict(state)
    module = to_device_layout(module.eval().requires_grad_(False), torch_device, fast=not exact)
    classifier = Classifier(
        module=module,
        preprocessing=preprocessing or builder.preprocessing(spec),
        labels=_labels(labels, found.head.classes),
        spec=ModelSpec(CHECKPOINT, spec.architecture),
        activation="sigmoid" if found.head.classes == 1 else activation,
        numerics=numerics_for(module, torch_device, exact=exact),
    )
    named, names = _named(classifier.labels)
    prefix = (found.network.name or ".") if found.others else ""
    origin = WeightsFile(opened.name, opened.sha256, named, names, prefix=prefix, note=found.note)
    return replace(classifier, spec=checkpoint_spec(spec.architecture, origin, classifier.weights_sha256))


@dataclass(frozen=True)
class _Opened:
    """A file whose tensors are known and not yet read."""

    name: str
    sha256: str
    content: Any
    states: States


def _open(file: str | Path | bytes, name: str, sha256: str | None) -> _Opened:
    """Raises: ModelError for a file of another kind, another hash, or one that cannot be trusted."""
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    if Path(name).suffix.lower() not in SUFFIXES:
        raise ModelError(f"expected a checkpoint ({', '.join(SUFFIXES)}), got {quoted(name)}; choose another file")
    if not isinstance(file, bytes) and not is_file(file):
        advice = f"copy the one with SHA-256 {quoted(sha256)} there" if sha256 else "name another"
        raise ModelError(f"expected a checkpoint, got {quoted(str(file))}, which is no file; {advice}")
    content = open_weights(file, name)
    states, digest = states_in(content, name), sha256_of(file)
    if sha256 not in (None, digest):
        raise ModelError(
            f"expected a checkpoint with SHA-256 {quoted(sha256)}, got {quoted(name)} with {digest}; "
            "take the former"
        )
    return _Opened(name, digest, content, states)


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
    """An architecture's own preprocessing, changed by the settings that are given.

    size: of the square input in pixels. crop: the share of the resized photo's side that is shown, 0.1 to 1.
    mode, interpolation, mean, std: as in `Preprocessing`; numbers may come as text, such as `0.5, 0.5, 0.5`.
    Raises: ModelError for an unknown architecture, OptionError for settings by which no photo can be prepared.
    """
    expect_numbers(size=size, crop=crop)
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
    """Numbers, which may be typed as text; None if nothing was given."""
    values = given.replace(",", " ").split() if isinstance(given, str) else given or ()
    try:
        return tuple(map(float, values)) or None
    except ValueError:
        raise OptionError(f"expected three numbers, got {quoted(given)}; write them as 0.5, 0.5, 0.5") from None


def _architecture(text: str) -> ModelSpec:
    check_kind(text, str, "an architecture's id", "pass a text such as 'timm/resnet18'", ModelError)
    spec = find_spec(text.strip())
    if spec is None or spec.source not in LIBRARIES or spec.untrained:
        raise ModelError(
            f"expected an architecture such as 'timm/resnet18', got {quoted(text)}; "
            f"try {nearest_ids(text.strip()[:100], architectures())}"
        )
    return known(spec)


def _labels(labels: Labels | str | Path | None, count: int) -> Labels:
    if labels is None:
        labels = numbered(count)
    if isinstance(labels, str) and labels in LABEL_SETS:
        labels = imagenet(labels)
    elif isinstance(labels, str) and not is_file(labels):
        raise ModelError(
            f"expected a file of class names, or a known set of classes, got {quoted(labels)}, which is neither; "
            f"name a file, or {nearest(labels, LABEL_SETS)}"
        )
    return labels_of_head(labels if isinstance(labels, Labels) else read_labels(labels), count)


def _named(labels: Labels) -> tuple[str, tuple[str, ...]]:
    """The file or known set that names the classes, else the names themselves; neither if classes are numbered."""
    if named := labels.file or (labels.source if labels.source in LABEL_SETS else ""):
        return named, ()
    return "", () if labels == numbered(len(labels)) else labels.names


def input_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """The arguments by which `preprocessing_for` returns this preprocessing.

    `size` and `crop` are missing if no square and no share gives them: they are then the architecture's own.
    """
    (height, width), canvas = preprocessing.size, preprocessing.resize
    is_square = height == width and canvas[0] == canvas[1]
    given: dict[str, Any] = {"size": height, "crop": _share(height, canvas[0])} if is_square else {}
    given |= {name: getattr(preprocessing, name) for name in ("mode", "interpolation", "mean", "std")}
    return {name: value for name, value in given.items() if INPUT[name][0](value)}


def _share(size: int, canvas: int) -> float:
    """The shortest share with `floor(size / share) == canvas`."""
    shares = ((floor(size / (canvas + 1) * 10**digits) + 1) / 10**digits for digits in range(1, 16))
    return next((share for share in shares if floor(size / share) == canvas), size / canvas)
