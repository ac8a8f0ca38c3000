"""A classifier: a module with everything needed to use and to explain it."""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from gradcam.errors import ModelError, check_kind, quoted
from gradcam.files import is_file
from gradcam.kinds import expect, expect_one_of, expect_seed
from gradcam.layers import resolve_target_layer
from gradcam.loaded_modules import note_loaded, weights_sha256
from gradcam.model_spec import spec_of_folder
from gradcam.models.devices import pick_device, to_device_layout
from gradcam.models.ids import checked, parse_model_id, with_weights_named
from gradcam.models.labels import Labels
from gradcam.models.numerics import numerics_for
from gradcam.models.sources import SOURCES, Source
from gradcam.models.weights import fetch
from gradcam.scores import Output
from gradcam.text import first_few
from gradcam.types import ACTIVATIONS, Activation, ModelSpec, Numerics, Preprocessing, TargetLayer, WeightsFile


@dataclass(frozen=True, eq=False)
class Classifier:
    """A module that turns photos into class scores, with its preprocessing, its labels and where it comes from.

    Make one by hand for a module of your own; `load_classifier` makes one by id, in eval mode and with frozen
    parameters.

    output: which of several outputs of the module are the class scores, as `heatmaps` takes it.
    labels: as many as the head has logits, in its order; one or two for a single logit, see `labels_of_head`.
    activation: how logits become probabilities. It is never guessed: `"sigmoid"` is for a multi-label head, and a
        head with a single logit has it whatever is said.
    numerics: how photos may be explained; an explanation says how its own was. See `models.numerics`.
    Raises: OptionError for another activation.
    """

    module: nn.Module
    preprocessing: Preprocessing
    labels: Labels
    spec: ModelSpec
    output: Output = None
    activation: Activation = "softmax"
    numerics: Numerics = "eager"

    def __post_init__(self) -> None:
        expect_one_of(ACTIVATIONS, self.activation, "an activation")

    def with_activation(self, activation: Activation) -> Classifier:
        """The same classifier, its logits read with another activation; nothing is copied or computed anew."""
        if activation == self.activation:
            return self
        return replace(self, activation=activation)

    @cached_property
    def without_copy(self) -> Classifier:
        """The same classifier, which runs the model itself and makes no faster copy of it."""
        return self if self.numerics == "eager" else replace(self, numerics="eager")

    @property
    def device(self) -> torch.device:
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self._weight.dtype

    @property
    def _weight(self) -> torch.Tensor:
        floating = (weight for weight in self.module.parameters() if weight.is_floating_point())
        return next(floating, torch.empty(0))

    @property
    def target_layer(self) -> TargetLayer:
        """Where heatmaps of this classifier lie; it is searched once.

        Raises: LayerError, ModelError.
        """
        return resolve_target_layer(self.module, self.preprocessing.size)

    @property
    def weights_sha256(self) -> str:
        """Hexadecimal SHA-256 over the names, types, shapes and bytes of the module's state.

        It is read once, and again after training or loading wrote to a tensor.
        """
        return weights_sha256(self.module)

    def __repr__(self) -> str:
        return f"Classifier({self.spec}, {len(self.labels)} classes)"


def load_classifier(
    model: str | Path | ModelSpec,
    *,
    weights: str | Path | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    activation: Activation | None = None,
    exact: bool = False,
) -> Classifier:
    """Load a model by its id, or one of transformers from its folder, ready to be explained.

    weights: None for the model's own; a weight file; or `"random"` for an untrained model made from `seed`,
        labelled as such in its spec. Random weights are never a fallback.
    device: `"auto"` takes CUDA or Apple's MPS where there is one, else the CPU.
    activation: `"sigmoid"` for a multi-label head; by default what the source says, which is softmax where it says
        nothing.
    exact: compute by the modules that the library built, and by no others. By default, on a processor, wide 1×1
        convolutions become matrix products over the same weights (`PointwiseConv2d`), and photos are explained with
        a copy in which BatchNorm is folded into convolutions where that is proved safe, see `models.numerics`. Maps
        differ by rounding.
    The weights lie channels last, which most convolutions are faster with.
    Raises: ModelError for an id, a device or a file that cannot be used; WeightsError, within 15 seconds, where the
        weights cannot be had.
    """
    advice = "give one, or a bare module to heatmaps()"
    check_kind(model, (str, Path, ModelSpec), "a model's id, folder or spec", advice, ModelError)
    expect(str | Path | None, weights)
    torch_device = pick_device(device)
    if isinstance(model, Path):
        model = spec_of_folder(model)
    spec = parse_model_id(model) if isinstance(model, str) else checked(model)
    source = SOURCES[spec.source]
    preprocessing, labels = source.preprocessing(spec), source.labels(spec)  # first: a hub's are in small files
    file = None
    if weights == "random":
        spec = checked(replace(spec, weights="random", seed=seed))
    elif weights is not None:
        file = Path(weights).expanduser()
        spec = with_weights_named(replace(spec, weights=None) if spec.untrained else spec)
    elif not spec.untrained:
        spec = with_weights_named(spec)
        file = fetch(source.location(spec))
    module = _build(source, spec, file).eval().requires_grad_(False)
    own = None if file is None or weights is None else WeightsFile(file.name, sha256_of(file), given_for=str(spec))
    module = to_device_layout(module, torch_device, fast=not exact)
    note_loaded(module)
    return Classifier(
        module=module,
        preprocessing=preprocessing,
        labels=labels,
        spec=spec if own is None else replace(spec, weights=own.name, file=own),
        activation=source.activation(spec) if activation is None else activation,
        numerics=numerics_for(module, torch_device, exact=exact),
    )


def sha256_of(file: str | Path | bytes) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    with Path(file).expanduser().open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _build(source: Source, spec: ModelSpec, file: Path | None) -> nn.Module:
    if file is not None and not is_file(file):
        raise ModelError(f"expected a weight file, got {quoted(file)}, which does not exist; name another file")
    with seeded(spec.seed):
        try:
            return source.build(spec, file)
        except ModelError:
            raise
        except Exception as error:
            wanted = f"the weights of {spec} in {quoted(file)}" if file else f"{spec} to build"
            raise ModelError(f"expected {wanted}, got {_mismatch(error)}") from error


_building = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from `seed`, one builder at a time, and leave the global generator as it was."""
    expect_seed(seed)
    with _building, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _mismatch(error: Exception) -> str:
    """What PyTorch says about a file that does not fit, in words."""
    if isinstance(error.__cause__ or error, pickle.UnpicklingError):
        return "a file that holds no tensors or could run code; save the model's state_dict(), or as safetensors"
    text = str(error)
    parts = [
        (f"{kind.lower()} tensors", re.findall(r'"([^"]+)"', names))
        for kind, names in re.findall(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)", text)
    ]
    parts.append(("tensors of another shape", re.findall(r"size mismatch for (\S+):", text)))
    mismatches = [f"{len(names)} {what} ({first_few(names)})" for what, names in parts if names]
    first = text.partition("\n")[0]
    return ", ".join(mismatches) or f"what PyTorch cannot use ({type(error).__name__}: {quoted(first)})"
