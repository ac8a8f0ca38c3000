"""Concepts of a layer's output: found by hand where they can be, told of by what they speak for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradcam import LayerError, MapError, OptionError, factorise
from gradcam._factorise import factors
from tests.test_explain import Colours, colours, quarters


class Headed(Colours):
    """As `Colours`, with a linear layer that hands each mean on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight = nn.Parameter(torch.eye(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(super().forward(x))


class Shifted(Colours):
    """As `Colours`, with what is less than a quarter bright below zero."""

    def __init__(self, shift: float = 0.25) -> None:
        super().__init__()
        self.maps.bias = nn.Parameter(torch.full((3,), -shift), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).square().mean((2, 3))


def test_factors_give_back_what_two_patterns_make() -> None:
    places = torch.tensor([[3.0, 0], [3, 0], [0, 2], [0, 2], [1, 1]]).double()
    patterns = torch.tensor([[0.6, 0.8, 0, 0], [0, 0, 0, 1]]).double()
    h, w = factors(places @ patterns, 2, seed=0)
    assert torch.allclose(w, patterns, atol=0.01)
    assert torch.allclose(h, places, atol=0.05)


def test_the_concepts_of_coloured_quarters_are_the_colours_and_speak_for_their_classes() -> None:
    found = factorise(colours(Headed()), quarters(), 3, layer="maps")
    assert found.maps.shape == (3, 4, 4)
    assert found.unexplained < 0.02
    assert found.note == ""
    expected = {
        "red": [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
        "green": [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]],
        "blue": [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]],
    }
    spoken = [found.speaks_for(n, 1)[0] for n in range(3)]
    assert {label for label, _ in spoken} == set(expected)
    for (label, added), heat in zip(spoken, found.maps, strict=True):
        assert np.allclose(heat, expected[label], atol=0.1)
        assert added == pytest.approx(0.5, abs=0.05)  # each colour covers half of the photo
    assert found.contributions is not None
    assert np.allclose(found.contributions.sum(0), found.explanation.logits, atol=0.02)


def test_a_seed_decides_and_values_below_zero_are_left_out_with_a_word() -> None:
    model = colours(Shifted())
    one, two = (factorise(model, quarters(), 2, layer="maps", seed=3) for _ in range(2))
    assert np.array_equal(one.maps, two.maps)
    assert one.maps.min() >= 0
    assert one.weights.min() >= 0
    assert one.note.startswith("25.0 % of the layer's output lies below zero and was left out")
    assert one.contributions is None
    assert one.speaks_for(0) == []


def test_it_shows_itself_with_a_picture_for_each_concept() -> None:
    found = factorise(colours(Headed()), quarters(), 2, layer="maps")
    page = found._repr_html_()
    assert page.count("<img") == 3  # and the photo
    assert "concept 1" in page
    assert "speaks for" in page
    assert sum(trace.type == "heatmap" for trace in found.figure().data) == 2
    assert "2 concepts at maps" in repr(found)


def test_what_cannot_be_factorised_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        OptionError, match=r"expected 1 to 3 concepts at layer maps .*, got 4; ask for another number"
    ):
        factorise(colours(), quarters(), 4, layer="maps")
    with pytest.raises(OptionError, match=r"expected 1 to 3 concepts at layer maps .*, got 2\.5; ask"):
        factorise(colours(), quarters(), 2.5, layer="maps")  # pyright: ignore[reportArgumentType]
    with pytest.raises(MapError, match=r"above zero at layer maps .*, got none; choose a layer after a ReLU"):
        factorise(colours(Shifted(2.0)), quarters(), 2, layer="maps")
    with pytest.raises(LayerError, match="expected one layer to factorise, got 2"):
        factorise(colours(), quarters(), 2, layer="maps + maps")
    with pytest.raises(OptionError, match=r"expected a seed from 0 to 2⁶³ − 1, got -1; give a whole number"):
        factorise(colours(), quarters(), 2, layer="maps", seed=-1)


@pytest.mark.parametrize(
    ("concept", "count", "sentence"),
    [
        (2, 3, "expected a concept from 0 to 1, got 2"),
        (-1, 3, "got -1"),
        (0, 0, "expected at least 1 class, got 0"),
    ],
)
def test_a_concept_that_is_not_there_speaks_for_nothing(concept: int, count: int, sentence: str) -> None:
    found = factorise(colours(Headed()), quarters(), 2, layer="maps")
    with pytest.raises(OptionError, match=sentence):
        found.speaks_for(concept, count)
