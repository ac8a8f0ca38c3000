"""The mean and the deviation of a layer's channels over the places of its grid."""

from __future__ import annotations

from dataclasses import replace

import torch

from gradcam.signals import mean_and_spread
from tests import plain


def test_the_spread_of_a_channel_is_the_deviation_over_the_places_of_the_grid() -> None:
    plain_layer = plain.classifier(["red", "blue"], [[4.0, 0, 0], [0, 0, 8.0]]).target_layer
    layer = replace(plain_layer, layout="tokens", grid=(1, 4), prefix=1)
    tokens = torch.tensor([[[9.0], [1.0], [1.0], [3.0], [3.0]]], dtype=torch.bfloat16)
    mean, spread = mean_and_spread(tokens, layer)
    assert mean.tolist() == [[2.0]]
    assert spread.tolist() == [[1.0]]
    assert spread.dtype == torch.float32
