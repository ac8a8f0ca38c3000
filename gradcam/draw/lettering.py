"""Words as pixels: how wide they are, what fits, and writing them on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from gradcam.draw.render import Pixels
from gradcam.text import shorten


@dataclass(frozen=True)
class Ink:
    """A size in pixels, a weight from 100 to 900, and an RGB colour to write in."""

    size: int
    weight: int
    colour: tuple[int, int, int]

    @property
    def line(self) -> int:
        """Pixels from one line to the next."""
        return round(self.size * 1.45)

    @property
    def baseline(self) -> int:
        """Pixels from the top of a line to the foot of its letters."""
        return round(self.size * 1.05)


def write(canvas: Pixels, lines: Sequence[tuple[str, Ink]], x: int, top: int) -> None:
    """Lines of text below each other; OpenCV's own face `sans` covers Latin, Greek, Cyrillic and Chinese."""
    for text, ink in lines:
        face = cv2.FontFace("sans")
        cv2.putText(canvas, plain(text), (x, top + ink.baseline), ink.colour, face, ink.size, ink.weight)
        top += ink.line


def plain(text: str) -> str:
    """One line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def text_width(text: str, ink: Ink) -> int:
    """Pixels from the first letter's left edge to the last one's right edge."""
    x, _, width, _ = cv2.getTextSize((0, 0), plain(text), (0, 0), cv2.FontFace("sans"), ink.size, ink.weight)
    return x + width


def fit(text: str, width: int, ink: Ink) -> str:
    """`text`, or as much of its beginning and end as fits into `width` pixels."""
    text = plain(text)
    short, keep = text, len(text)
    while keep > 1 and text_width(short, ink) > width:
        keep = min(keep - 1, max(1, keep * width // text_width(short, ink)))
        short = shorten(text, keep)
    return short


def wrap(text: str, width: int, ink: Ink, most: int) -> list[str]:
    """`text` in lines no wider than `width`; what does not fit into `most` lines ends in an ellipsis."""
    lines: list[str] = [""]
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, ink) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, width, ink))
    lines = [line for line in lines if line]
    if len(lines) > most:
        last = f"{lines[most - 1]} …"
        while text_width(last, ink) > width and " " in last[:-2]:
            last = f"{last[:-2].rsplit(' ', 1)[0]} …"
        lines = [*lines[: most - 1], last]
    return lines
