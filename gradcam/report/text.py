"""Text as a reader may safely see it: what cannot be seen, or turns other text round, is written out."""

from __future__ import annotations

import unicodedata


def clean(text: str, keep: str = "") -> str:
    """`text` with control characters as their pictures (`␊`) and invisible or unpaired ones as `⟨U+202E⟩`.

    Joiners between letters and emoji stay. keep: characters that stay although they would be replaced.
    """
    return "".join(character if character in keep else _shown(character) for character in text)


def paragraphs(text: str) -> str:
    """`clean`, but line breaks and tabs stay."""
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def listed(items: list[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def count(number: int, noun: str) -> str:
    """`1 photo`, `4 photos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


_JOINERS = "\u200c\u200d"
_TAGS = range(0xE0020, 0xE0080)  # make up the flags of England, Scotland and Wales


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    kind = unicodedata.category(character)
    hidden = kind in ("Cc", "Cs", "Cn", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)
    return f"⟨U+{code:04X}⟩" if hidden and code not in _TAGS else character
