"""A forward in which a layer's output is changed, and a model that stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcam.capture import logits_with
from gradcam.errors import LayerError
from gradcam.types import TargetLayer
from tests import plain

GRID = TargetLayer("grid", (2, 2), 3, "by name")


def without_red(output: Tensor) -> None:
    output[:, 0] = 0


def test_the_scores_follow_from_the_changed_output() -> None:
    model = plain.classifier(["red", "blue"], [[8, 0, 0], [0, 0, 8]]).module
    batch = torch.full((2, 3, 8, 8), 0.5)
    assert logits_with(model, batch, []).tolist() == [[4, 4], [4, 4]]
    assert logits_with(model, batch, [(GRID, without_red)]).tolist() == [[0, 4], [0, 4]]
    assert logits_with(model, batch, []).tolist() == [[4, 4], [4, 4]]
    assert not model.grid._forward_hooks


class Pair(nn.Module):
    """Gives its input twice, by name and in a tuple; the second is what the scores are made of."""

    def forward(self, pixels: Tensor) -> dict[str, tuple[Tensor, int]]:
        return {"maps": (pixels, 3)}


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.pair(pixels)["maps"][0].mean((2, 3)).softmax(1)


def test_a_tensor_within_an_output_is_replaced_and_the_layers_input_is_not_touched() -> None:
    batch = torch.rand(2, 3, 4, 4)
    kept = batch.clone()
    layer = TargetLayer("pair", (4, 4), 3, "by name")
    changed = logits_with(Named(), batch, [(layer, without_red)])
    means = batch.mean((2, 3))
    means[:, 0] = 0
    assert (changed - changed.mean(1, keepdim=True)).numpy() == pytest.approx(
        (means - means.mean(1, keepdim=True)).numpy(), abs=1e-5
    )
    assert torch.equal(batch, kept)


def test_a_layer_that_does_not_run_so_often_is_refused() -> None:
    model = plain.classifier(["red", "blue"], [[8, 0, 0], [0, 0, 8]]).module
    again = TargetLayer("grid", (2, 2), 3, "by name", call=1)
    with pytest.raises(LayerError, match="did not run 2 time"):
        logits_with(model, torch.zeros(1, 3, 8, 8), [(again, without_red)])
    assert not model.grid._forward_hooks
