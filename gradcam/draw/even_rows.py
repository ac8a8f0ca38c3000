"""How many pictures stand beside one another, so that no row is left nearly empty."""

from __future__ import annotations


def even_columns(pictures: int, most: int) -> int:
    """The columns, at most `most`, of as few rows as hold the pictures, equally long as far as they can be: of at
    most four, eight pictures stand as 4 + 4, five as 3 + 2. One column for no picture.
    """
    rows = -(-pictures // most)
    return -(-pictures // rows) if rows else 1
