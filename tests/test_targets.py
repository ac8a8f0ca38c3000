"""A target is typed as people speak."""

from __future__ import annotations

import pytest

from gradcam import ClassError, Contrast, Target, Top, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("281", 281),
        (" tabby ", "tabby"),
        ("top", Top(1)),
        ("Top-3", Top(3)),
        ("top 2", Top(2)),
        ("prediction 4", Top(4)),
        ("top hat", "top hat"),
        ("Egyptian cat rather than espresso", Contrast("Egyptian cat", "espresso")),
        ("top rather than 281", Contrast(Top(1), 281)),
    ],
)
def test_targets_are_read_as_people_write_them(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("target", [5, "tabby", Top(1), Top(3), Contrast("a b", Top(2)), Contrast(1, 2)])
def test_what_is_printed_can_be_read_again(target: Target) -> None:
    assert parse_target(str(target)) == target


@pytest.mark.parametrize("text", ["", "  ", "tabby rather than ", " rather than tabby"])
def test_nothing_is_no_class(text: str) -> None:
    with pytest.raises(ClassError, match="got nothing"):
        parse_target(text)
