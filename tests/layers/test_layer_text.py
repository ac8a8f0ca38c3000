"""A layer's text is split by one rule, whether it is read or counted."""

from __future__ import annotations

import pytest

from gradcam.layers import TypedLayer, count_layers, read_layer, write_layer


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("auto", ["auto"]),
        ("-1", [-1]),
        ("a+b", ["a+b"]),  # a name, without spaces around the sign
        ("layer3 + layer4", ["layer3", "layer4"]),
        ("-2 + head.norm + 3", [-2, "head.norm", 3]),
    ],
)
def test_as_many_layers_are_counted_as_are_read(text: str, layers: list[TypedLayer]) -> None:
    assert read_layer(text) == (tuple(layers) if len(layers) > 1 else layers[0])
    assert count_layers(text) == len(layers)
    assert write_layer(layers) == text
