"""How well places are measured to answer to their own part of the image, in numbers found by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gradcam.layers.placement import NOTHING, Measurement, judge, orbit


def test_the_places_touch_the_first_and_last_rows_and_columns() -> None:
    cells = orbit((7, 7))
    assert len(cells) == 8
    assert {row for row, _ in cells} == {column for _, column in cells} == {0, 2, 4, 6}
    assert all(row in (0, 6) or column in (0, 6) for row, column in cells)
    assert orbit((1, 2)) == [(0, 0), (0, 1)]
    assert sorted(orbit((2, 2))) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def maps_at(cells: list[tuple[int, int]], side: int = 7, common: float = 0.0) -> Tensor:
    maps = torch.full((len(cells), side, side), common / side**2, dtype=torch.float64)
    for image, (row, column) in enumerate(cells):
        maps[image, row, column] += 1 - common
    return maps


def judged(seen: Callable[[int, int], tuple[int, int]], common: float = 0.0) -> Measurement:
    cells = orbit((7, 7))
    return judge(maps_at([seen(*cell) for cell in cells], common=common), torch.tensor(cells, dtype=torch.float64))


def test_places_felt_at_themselves_are_confirmed_and_by_how_much_is_their_own() -> None:
    assert judged(lambda row, column: (row, column)) == Measurement(1.0, pytest.approx(1.0), 0.0)
    mixed = judged(lambda row, column: (row, column), common=0.95)
    assert (mixed.verdict, mixed.own) == ("confirmed", pytest.approx(0.05))


@pytest.mark.parametrize(
    "seen",
    [
        lambda row, column: (row, 6 - column),
        lambda row, column: (6 - row, column),
        lambda row, column: (column, row),
        lambda row, column: (column, 6 - row),
        lambda row, column: (row, (column + 1) % 7),
        lambda row, column: ((row * 7 + column - 1) % 49 // 7, (row * 7 + column - 1) % 7),
        lambda row, column: (row, 3),
        lambda row, column: ((row * 7 + column) * 5 % 49 // 7, (row * 7 + column) * 5 % 7),
    ],
    ids=["mirrored", "upside down", "transposed", "turned", "rolled", "shifted tokens", "rows", "another order"],
)
def test_places_felt_elsewhere_are_contradicted(seen: Callable[[int, int], tuple[int, int]]) -> None:
    assert judged(seen).verdict == "contradicted"
    assert judged(seen, common=0.95).verdict == "inconclusive"


def test_where_nothing_is_felt_nothing_is_concluded() -> None:
    cells = torch.tensor(orbit((7, 7)), dtype=torch.float64)
    assert judge(torch.zeros(8, 7, 7).double(), cells) == NOTHING
    assert judge(torch.full((8, 7, 7), float("nan")).double(), cells).verdict == "inconclusive"
    assert judge(torch.ones(8, 7, 7).double(), cells).verdict == "inconclusive"
