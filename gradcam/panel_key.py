"""What a panel is filed under: everything that it was computed from, with a digest that every process works out
alike."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

from gradcam.errors import OptionError, quoted
from gradcam.layers import LayerChoices
from gradcam.models.classifier import Classifier
from gradcam.scores import Output
from gradcam.types import Activation, Fit, Numerics, Preprocessing, Target

VERSION = 1
"""Of the keys. Raise it when a field is added or changes its meaning, or when the same fields give another map: no
panel that an older version has stored is found then."""


@dataclass(frozen=True)
class ModelKey:
    """All of a classifier that its answers depend on.

    id: `str(classifier.spec)`. device, dtype: what it computes on and in. numerics: how its modules do.
    """

    id: str
    weights_sha256: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    activation: Activation
    output: Output
    device: str
    dtype: str
    numerics: Numerics

    @classmethod
    def of(cls, classifier: Classifier) -> ModelKey:
        """The weights are hashed when this is first asked of a classifier."""
        return cls(
            id=str(classifier.spec),
            weights_sha256=classifier.weights_sha256,
            labels=classifier.labels.names,
            preprocessing=classifier.preprocessing,
            activation=classifier.activation,
            output=classifier.output,
            device=classifier.device.type,
            dtype=str(classifier.dtype).removeprefix("torch."),
            numerics=classifier.numerics,
        )

    @cached_property
    def digest(self) -> str:
        """As of `PanelKey`; it is worked out once for all panels of the model, whose labels may be many."""
        return _sha256_of_fields(self)


@dataclass(frozen=True)
class PanelKey:
    """What a panel is filed under: the contents that it was computed from, and no name that somebody gave them.

    photo_sha256: of a `Photo`. method: a row of `methods.METHODS`. layer: as it was asked for, such as `"auto"`.
    precision: a row of `forward.PRECISIONS`.
    parameters: of the method, name by name in alphabetical order; Grad-CAM has none.
    seed: of the random numbers that the method draws; None for a method that draws none.
    """

    photo_sha256: str
    model: ModelKey
    method: str
    target: Target
    layer: LayerChoices
    fit: Fit
    precision: str = "float32"
    parameters: tuple[tuple[str, str | int | float | bool], ...] = ()
    seed: int | None = None
    version: int = VERSION

    @cached_property
    def digest(self) -> str:
        """The key in 64 hexadecimal digits, for names of files and columns of tables: the SHA-256 of its fields as
        JSON. Equal keys have equal digests, on any machine.

        Raises: OptionError for a layer that is a module, or an output that is a function: neither can be written.
        """
        return _sha256_of_fields(self)


def _sha256_of_fields(key: ModelKey | PanelKey) -> str:
    """Hexadecimal SHA-256 of the fields as JSON in ASCII, without spaces, names in alphabetical order."""
    text = json.dumps(_fields(key), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    """A field's value as JSON. `1.0` equals `1`, so both are written as `1`; `Top(1)` is `{"Top": {"rank": 1}}`."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, ModelKey):
        return value.digest
    if is_dataclass(value):
        return {type(value).__name__: _fields(value)}
    raise OptionError(
        f"expected a layer and an output that can be written down, got {quoted(value)}; give the layer's name, or "
        "the output's index or key"
    )
