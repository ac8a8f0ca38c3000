"""Pictures, bars and words at their places on a white slide, as PNG or as SVG: for a lecture or a paper."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam.draw.captions import model_caption, target_caption
from gradcam.draw.lettering import Ink, fit, plain, text_width, write
from gradcam.draw.render import Pixels, png, resize, three_pictures
from gradcam.errors import OptionError
from gradcam.text import minus_sign
from gradcam.types import Heatmap, Style

CLASSIC = Style(colormap="jet", opacity=0.5, blend="even")
"""The look of most papers and tutorials: JET, half opaque everywhere."""

WIDTH = 1800
"""Pixels across a slide, by default."""
WIDTHS = (200, 8000)
"""The narrowest and the widest slide, in pixels."""
MOST_PIXELS = 100_000_000
"""Of a slide: one that would have more is made narrower."""

_HEAD, _TEXT = Ink(30, 650, (22, 27, 34)), Ink(24, 450, (36, 41, 47))
_ABOVE, _BELOW, _LINE = (214, 96, 77), (67, 147, 195), (89, 96, 106)
_GAP = 24


@dataclass(frozen=True, eq=False)
class _Picture:
    pixels: Pixels
    x: int
    y: int


@dataclass(frozen=True)
class _Line:
    text: str
    ink: Ink
    x: int
    top: int


@dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    colour: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Slide:
    """What lies where, in pixels from the upper left corner."""

    width: int
    height: int
    parts: tuple[_Picture | _Line | _Bar, ...]

    @property
    def pixels(self) -> Pixels:
        """The slide as RGB uint8 `[height, width, 3]`."""
        canvas = np.full((self.height, self.width, 3), 255, np.uint8)
        for part in self.parts:
            if isinstance(part, _Picture):
                height, width = part.pixels.shape[:2]
                canvas[part.y : part.y + height, part.x : part.x + width] = part.pixels
            elif isinstance(part, _Bar):
                left, top = round(part.x), round(part.y)
                right, foot = round(part.x + part.width), round(part.y + part.height)
                canvas[top : max(foot, top + 1), left : max(right, left + 1)] = part.colour
            else:
                write(canvas, [(part.text, part.ink)], part.x, part.top)
        return canvas

    def png(self) -> bytes:
        return png(self.pixels)

    def svg(self) -> bytes:
        """The slide as SVG: words stay words, bars stay bars, pictures are PNG inside it."""
        size = f'width="{self.width}" height="{self.height}"'
        box = f'viewBox="0 0 {self.width} {self.height}"'
        paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
        marks = "\n".join([paper, *map(_svg, self.parts)])
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box}>\n{marks}\n</svg>\n'.encode()


def _svg(part: _Picture | _Line | _Bar) -> str:
    if isinstance(part, _Picture):
        height, width = part.pixels.shape[:2]
        data = base64.b64encode(png(part.pixels)).decode()
        place = f'x="{part.x}" y="{part.y}" width="{width}" height="{height}"'
        return f'<image {place} href="data:image/png;base64,{data}"/>'
    if isinstance(part, _Bar):
        place = f'x="{part.x:.2f}" y="{part.y:.2f}" width="{part.width:.2f}" height="{part.height:.2f}"'
        return f'<rect {place} fill="{_hex(part.colour)}" shape-rendering="crispEdges"/>'  # no seam between two
    ink = part.ink
    look = f'font-family="sans-serif" font-size="{ink.size}" font-weight="{ink.weight}" fill="{_hex(ink.colour)}"'
    words = html.escape(plain(part.text), quote=False)
    return f'<text x="{part.x}" y="{part.top + ink.baseline}" {look}>{words}</text>'


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()


@dataclass(frozen=True, eq=False)
class PictureRow:
    """Pictures beside each other, equally wide, each with a caption of one or more lines under it.

    pictures: RGB uint8 `[H, W, 3]`, of one shape. captions: one for each picture, or none. title: above them.
    columns: how many pictures would fill the width; as many as there are if None.
    """

    pictures: Sequence[Pixels]
    captions: Sequence[str] = ()
    title: str = ""
    columns: int | None = None


def picture_slide(rows: Sequence[PictureRow], width: int = WIDTH) -> Slide:
    """Rows of pictures, one below the other.

    Raises: OptionError where `width` is outside `WIDTHS`.
    """
    check_width(width)
    parts: list[_Picture | _Line | _Bar] = []
    top = 0
    for row in rows:
        top += _GAP if top else 0
        top = _place_row(parts, row, width, top)
    return Slide(width, max(1, top), tuple(parts))


def _place_row(parts: list[_Picture | _Line | _Bar], row: PictureRow, width: int, top: int) -> int:
    """Add what a row shows from `top` on; returns where it ends."""
    if row.title:
        parts.append(_Line(fit(row.title, width, _HEAD), _HEAD, 0, top))
        top += _HEAD.line
    columns = max(1, row.columns or len(row.pictures))
    cell = max(1, (width - (columns - 1) * _GAP) // columns)
    height = max((round(cell * picture.shape[0] / picture.shape[1]) for picture in row.pictures), default=0)
    places = [column * (cell + _GAP) for column in range(len(row.pictures))]
    for x, picture in zip(places, row.pictures, strict=True):
        parts.append(_Picture(resize(picture, (max(1, height), cell)), x, top))
    top += height
    lines = [caption.splitlines() for caption in row.captions]
    for x, caption in zip(places, lines, strict=bool(lines)):
        for number, line in enumerate(caption):
            parts.append(_Line(fit(line, cell, _TEXT), _TEXT, x, top + 6 + number * _TEXT.line))
    return top + (6 + _TEXT.line * max(map(len, lines)) if lines else 0)


def panels_slide(panels: Sequence[Heatmap], style: Style = CLASSIC, width: int = WIDTH) -> Slide:
    """Photo, heatmap and overlay beside each other, a row a panel; several rows say which panel each is.

    Raises: OptionError for no panel, for a style outside its choices and a width outside `WIDTHS`; MapError where a
        map is not finite.
    """
    if not panels:
        raise OptionError("expected a heatmap to show, got none; ask for a class that a model can explain")
    check_width(width)
    shares = sum(panel.photo.size[0] / panel.photo.size[1] for panel in panels) / 3
    width = min(width, max(WIDTHS[0], int((MOST_PIXELS / shares) ** 0.5)))
    cell = (width - 2 * _GAP) // 3
    return picture_slide(list(_panel_rows(panels, style, cell)), width)


def _panel_rows(panels: Sequence[Heatmap], style: Style, cell: int) -> Iterator[PictureRow]:
    layers = {(panel.model, panel.explanation.layer) for panel in panels if panel.explanation.layer}
    by_layer = len(layers) > len({model for model, _ in layers})
    by_method = len({panel.method for panel in panels}) > 1
    for panel in panels:
        height, width = panel.photo.size
        size = max(1, round(cell * height / width)), cell
        words = f"{panel.photo.name} · {model_caption(panel)} · {target_caption(panel)}"
        words += f" · {panel.method}" if by_method else ""
        words += f" · {layer.name}" if by_layer and (layer := panel.explanation.layer) else ""
        yield PictureRow(three_pictures(panel, style, size=size), title=words if len(panels) > 1 else "")


def weights_slide(alpha: NDArray[np.float32], width: int = WIDTH) -> Slide:
    """The weights α of all feature maps (eq. 1) as bars, from the largest to the smallest.

    Raises: OptionError where `width` is outside `WIDTHS`.
    """
    check_width(width)
    ordered = np.sort(alpha)[::-1].astype(float)
    low, high = min(0.0, float(ordered.min())), max(0.0, float(ordered.max()))
    span = high - low or 1.0
    numbers = {value: minus_sign(f"{value:.2g}") for value in (high, 0.0, low)}
    left = max(text_width(number, _TEXT) for number in numbers.values()) + _GAP
    height = max(120, round(0.4 * width))
    step = (width - left) / len(ordered)

    def y(value: float) -> float:
        return _TEXT.line + (high - value) / span * height

    bars = [
        _Bar(left + k * step, y(max(value, 0.0)), step * (0.8 if step > 8 else 1), abs(value) / span * height, ink)
        for k, value in enumerate(ordered)
        for ink in (_ABOVE if value > 0 else _BELOW,)
        if value
    ]
    zero = _Bar(left, y(0.0) - 1, width - left, 2, _LINE)
    ticks = [_Line(text, _TEXT, 0, round(y(value)) - _TEXT.line // 2) for value, text in numbers.items()]
    foot = round(y(low)) + _GAP
    caption = fit(
        f"The weights α of {len(ordered):,} feature maps, from the largest to the smallest", width - left, _TEXT
    )
    parts = (*bars, zero, *ticks, _Line(caption, _TEXT, left, foot))
    return Slide(width, foot + 2 * _TEXT.line, parts)


def check_width(width: int) -> None:
    """Raises: OptionError where a slide cannot be this wide."""
    least, most = WIDTHS
    if not least <= width <= most:
        raise OptionError(f"expected a width from {least} to {most:,} pixels, got {width}; use {WIDTH}")
