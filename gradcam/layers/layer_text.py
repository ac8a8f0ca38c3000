"""A layer as people type it and as a report keeps it: one text for one layer or several."""

from __future__ import annotations

import re
from collections.abc import Sequence

SEPARATOR = " + "

TypedLayer = str | int
"""A module's name, `"auto"`, or an index into `candidate_layers(model)`, whose last entry is -1."""


def read_layer(text: str) -> TypedLayer | tuple[TypedLayer, ...]:
    """A layer, or several joined by `+`; a number is an index into the candidates, everything else a name."""
    layers = tuple(int(part) if re.fullmatch(r"-?[0-9]{1,9}", part) else part for part in text.split(SEPARATOR))
    return layers[0] if len(layers) == 1 else layers


def count_layers(text: str) -> int:
    """How many layers `read_layer` reads in a text."""
    layers = read_layer(text)
    return len(layers) if isinstance(layers, tuple) else 1


def write_layer(layer: TypedLayer | Sequence[TypedLayer]) -> str:
    """The text that `read_layer` reads as the same layer."""
    return str(layer) if isinstance(layer, str | int) else SEPARATOR.join(map(str, layer))
