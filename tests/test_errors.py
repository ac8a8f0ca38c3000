"""Sentences quote somebody's text on one line, and not much of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gradcam.errors import machine_trouble, nearest, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("resnet", "'resnet'"),
        ("two\nlines\r\n", r"'two\nlines\r\n'"),
        ("\x1b[31m\x00\u2028\u202e", r"'\x1b[31m\x00\u2028\u202e'"),
        ("\udcff\ud800", r"'\udcff\ud800'"),
        ("ä✓", "'ä✓'"),
        (Path("a") / "b", repr(str(Path("a") / "b"))),
        (3, "3"),
        (None, "None"),
        (b"\x00\n", r"b'\x00\n'"),
        (["a\n"], r"['a\n']"),
    ],
)
def test_what_somebody_typed_is_quoted_on_one_line(text: object, shown: str) -> None:
    assert quoted(text) == shown


def test_a_number_that_python_does_not_write_is_told_by_its_length() -> None:
    assert quoted(10**5000) == "a number of about 4983 digits"
    assert quoted(-(10**5000)) == "a number of about 4983 digits"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10**7,
        "\x00" * 10**7,
        "'\n" * 500,
        b"\0" * 5000,
        list(range(10**6)),
        ["y" * 5000],
        {"z" * 999: "z" * 999},
    ],
)
def test_a_quotation_has_200_characters_at_most_and_shows_both_ends(text: object) -> None:
    shown = quoted(text)
    assert len(shown) <= 200
    assert shown[0] == repr(text)[0]
    assert "…" in shown or "..." in shown
    assert len(shown.splitlines()) == 1
    assert len(quoted(text, 40)) <= 40


def test_a_quotation_of_200_characters_is_whole_and_of_201_is_cut() -> None:
    assert quoted("x" * 198) == repr("x" * 198)
    assert len(quoted("x" * 199)) == 200
    assert quoted("a" * 250 + "end").endswith("aend'")


def test_choices_are_quoted_too() -> None:
    assert nearest("a", ["a" * 500]).count("a") < 200


def test_what_the_machine_refuses_is_said_in_words() -> None:
    assert machine_trouble(OSError(errno.ENOSPC, "No space")).startswith("the disk is full; free some space")
    assert machine_trouble(ValueError("embedded null byte")) == "the name holds a zero byte; choose another"
    assert "letters" in machine_trouble(UnicodeEncodeError("ascii", "ä", 0, 1, "no"))
    assert "'odd\\n'" in machine_trouble(OSError(12345, "odd\n"))
