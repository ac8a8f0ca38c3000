"""Pictures stand in even rows."""

from __future__ import annotations

import pytest

from gradcam.draw.even_rows import even_columns


@pytest.mark.parametrize(
    ("pictures", "most", "columns"),
    [(0, 4, 1), (1, 4, 1), (3, 4, 3), (4, 3, 2), (4, 4, 4), (5, 4, 3), (7, 4, 4), (8, 4, 4), (9, 4, 3), (17, 8, 6)],
)
def test_the_rows_are_as_few_and_as_even_as_they_can_be(pictures: int, most: int, columns: int):
    assert even_columns(pictures, most) == columns
