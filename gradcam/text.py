"""Text for people: safe to see, numbers and sizes as a reader expects them, plurals and lists."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any


def clean(text: str, keep: str = "") -> str:
    """`text` with control characters as their pictures (`␊`) and invisible or unpaired ones as `⟨U+202E⟩`.

    Joiners between letters and emoji stay. keep: characters that stay although they would be replaced.
    """
    if text.isprintable():
        return text
    return "".join(character if character in keep else _shown(character) for character in text)


def spreadsheet_cell(text: str) -> str:
    """`clean`, and with a quote before what a spreadsheet would run as a formula."""
    text = clean(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "'")) else text


def paragraphs(text: str) -> str:
    """`clean`, but line breaks and tabs stay."""
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def is_whole(number: Any) -> bool:
    """Whether a value is a whole number of any library, and no truth value."""
    return hasattr(number, "__index__") and not isinstance(number, bool)


def listed(items: Sequence[str], last: str = "and") -> str:
    """`a, b and c`, or with another word before the last."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else "none"


def first_few(items: Sequence[str], most: int = 3) -> str:
    """`a, b, c, …`: at most `most` of the items."""
    return ", ".join([*items[:most], "…"] if len(items) > most else items)


def count(number: int, noun: str) -> str:
    """`1 photo`, `4 photos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def dimensions(*sides: int) -> str:
    """`14×14`."""
    return "×".join(map(str, sides))


def article(number: str) -> str:
    """`a`, or `an` before a number whose word begins with a vowel: 8, 11, 18, 80 to 89, 800 and so on."""
    whole = re.split(r"\D", number)[0]
    return "an" if whole.startswith("8") or (whole[:2] in ("11", "18") and len(whole) % 3 == 2) else "a"


def minus_sign(number: str) -> str:
    """A number with the sign that typesetters use, `−0.25`, in place of the hyphen."""
    return number.replace("-", "−")


_JOINERS = "\u200c\u200d"
_TAGS = range(0xE0020, 0xE0080)  # make up the flags of England, Scotland and Wales


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    kind = unicodedata.category(character)
    hidden = kind in ("Cc", "Cs", "Cn", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)
    return f"⟨U+{code:04X}⟩" if hidden and code not in _TAGS else character


def percent(share: float, digits: int = 1) -> str:
    """A share in words: `95.1 %`, `<0.1 %`; without digits after the point `95 %`, `<1 %`."""
    least = 10**-digits
    return f"<{least:g} %" if 0 < 100 * share < least / 2 else f"{100 * share:.{digits}f} %"


def unbroken(text: str) -> str:
    """The text with each number and its % on one line, wherever the line breaks."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


_BETWEEN_WORDS = re.compile(r"(?<=[^\W_][/_.@-])(?=[^\W\d_])|(?<=[^\W\d_][/_.@-])(?=[^\W_])")
"""After a mark between two words; between digits it makes a number or a date. The escapes of HTML have none."""


def breakable(html: str) -> str:
    """Escaped HTML whose long names may go on in the next line between two words; copied, they are as before."""
    return _BETWEEN_WORDS.sub("<wbr>", html)


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, an ellipsis in place of its middle."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def duration(seconds: float) -> str:
    """A wall time such as `0.21 s`; empty where it was not kept."""
    return f"{seconds:.2f} s" if math.isfinite(seconds) else ""
