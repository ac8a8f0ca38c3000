"""The key of a stored panel: everything that the panel was computed from, with a digest that is the same in every
process."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradcam.errors import OptionError, quoted
from gradcam.types import Activation, Fit, Numerics, Preprocessing, Target

if TYPE_CHECKING:
    from gradcam.layers import LayerChoices
    from gradcam.models import Classifier
    from gradcam.scores import Output

VERSION = 2
"""Version of the keys. Raise it when a field is added or changes its meaning, or when the same fields give another
map: panels that an older version has stored are then no longer found."""


@dataclass(frozen=True)
class ModelKey:
    """Everything about a classifier that its answers depend on.

    id: `str(classifier.spec)`. device, dtype: where and in which type it computes.
    numerics: how its modules compute.
    """

    id: str
    weights_sha256: str
    labels: tuple[str, ...] = field(repr=False)
    preprocessing: Preprocessing
    activation: Activation
    output: Output
    device: str
    dtype: str
    numerics: Numerics

    @classmethod
    def of(cls, classifier: Classifier) -> ModelKey:
        """The key of a classifier; its weights are hashed at the first call."""
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
        """As `PanelKey.digest`; computed once for all panels of the model, because its labels may be many."""
        return _sha256_of_fields(self)


@dataclass(frozen=True)
class PanelKey:
    """The key of a stored panel: the contents that it was computed from, and no name that somebody gave them.

    photo_sha256: of a `Photo`. method: a row of `methods.METHODS`. layer: as it was requested, such as `"auto"`.
    precision: one of `types.PRECISIONS`.
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
