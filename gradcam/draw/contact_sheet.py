"""A whole comparison on one sheet of paper: pictures in rows and columns with captions and a colour bar, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import cv2
import numpy as np

from gradcam.comparison import Comparison, Row
from gradcam.draw.captions import (
    FRAME_LABEL,
    SIGNED_LABEL,
    ColourBar,
    colour_bars,
    layer_caption,
    model_caption,
    opacity_caption,
    request_caption,
    scale_caption,
    scale_label,
    target_caption,
)
from gradcam.draw.even_rows import even_columns
from gradcam.draw.lettering import Ink, fit, text_width, wrap, write
from gradcam.draw.render import Pixels, blend, check_style, colourise, draw_panel, png, resize
from gradcam.model_spec import short_name
from gradcam.text import count, dimensions, listed
from gradcam.types import Failure, Heatmap, Panel, Photo, ScaledMap, Style

_TITLE = Ink(28, 700, (22, 27, 34))
_HEAD = Ink(17, 650, (22, 27, 34))
_BODY = Ink(16, 450, (36, 41, 47))
_SMALL = Ink(14, 400, (89, 96, 106))
_WARN = Ink(14, 600, (154, 52, 18))
_MARGIN, _GAP = 36, 20
_CAPTION = 8 + _HEAD.line + _BODY.line + 2 * _SMALL.line
_MOST = 5
"""Pictures beside each other; more of them are laid in even lines."""
_REASON_LINES = 8
"""Most lines of one reason."""

Reason: TypeAlias = tuple[str, str]
"""The name of a model without a map, and why it has none."""


def grid_png(comparison: Comparison, style: Style | None = None, cell: int = 340) -> bytes:
    """The whole comparison as one PNG: a row for each photo and target, a picture for each model that has a map.

    More than five pictures stand in even lines of their row: eight as 4 + 4. Models without a map take a line of
    text, together where the reason is the same.
    cell: width of a picture in pixels. The first column is the bare photo.
    Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
    """
    style = style or Style()
    check_style(style)
    scaled = comparison.scaled(style)
    columns = even_columns(max(map(len, map(_heatmaps, comparison.rows())), default=0), _MOST)
    width = 2 * _MARGIN + (columns + 1) * (cell + _GAP) - _GAP
    signed = any(one.signed for one in scaled.values())
    strips = [_header(comparison, style, width, signed)]
    by_method = len(comparison.methods) > 1
    said: set[Reason] = set()
    for row in comparison.rows():
        maps, about, reasons = _heatmaps(row), _about(row, by_method), _reasons(row, said)
        for first in range(0, max(1, len(maps)), columns):
            line = maps[first : first + columns]
            strips.append(_line(row.photo, line, scaled, style, cell, width, [] if first else about))
        if reasons:
            strip = _no_map(reasons, _MARGIN + cell + _GAP, width)
            if maps:
                strips.append(strip)
            else:
                strips[-1] = _beside(strips[-1], strip)
    strips.append(_footer(style, scaled, width))
    return png(np.vstack(strips))


def _heatmaps(row: Row) -> list[Heatmap]:
    return [panel for panel in row.panels if isinstance(panel, Heatmap)]


def _reasons(row: Row, said: set[Reason]) -> list[str]:
    """A sentence for each reason that models of a row have no map for; in full unless it was said of all of them.

    said: what was, to which this row's reasons are added.
    """
    models: dict[str, list[str]] = {}
    for panel in row.panels:
        if isinstance(panel, Failure):
            models.setdefault(panel.reason, []).append(model_caption(panel))
    again: list[str] = []
    sentences: list[str] = []
    for reason, names in models.items():
        told = {(name, reason) for name in names}
        if told <= said:
            again += names
        else:
            sentences.append(f"No map of {listed(names)}: {reason}")
        said |= told
    return [*sentences, f"No map of {listed(again)}, for the reason given above"] if again else sentences


def _header(comparison: Comparison, style: Style, width: int, signed: bool) -> Pixels:
    axes = {"model": comparison.models, "photo": comparison.photos, "question": comparison.targets}
    several = len(comparison.methods) > 1  # then each row names its own
    axes |= {"method": comparison.methods} if several else {}
    counts = " · ".join(count(len(axis), noun) for noun, axis in axes.items())
    words = [
        f"{counts}. {scale_label(style.scale, comparison.methods)}",
        *([SIGNED_LABEL] if signed else []),
        FRAME_LABEL,
    ]
    lines = [line for sentence in words for line in wrap(sentence, width - 2 * _MARGIN, _SMALL, 3)]
    strip = _paper(_MARGIN + _TITLE.line + len(lines) * _SMALL.line + _GAP, width)
    title = "What the models look at" + ("" if several else f": {comparison.methods[0]}")
    write(strip, [(fit(title, width - 2 * _MARGIN, _TITLE), _TITLE)], _MARGIN, _MARGIN - 8)
    write(strip, [(line, _SMALL) for line in lines], _MARGIN, _MARGIN + _TITLE.line - 4)
    return strip


def _about(row: Row, by_method: bool) -> list[tuple[str, Ink]]:
    """What stands under the bare photo of a row."""
    return [
        (row.photo.name, _HEAD),
        (request_caption(row.target), _BODY),
        (f"{dimensions(*reversed(row.photo.size))} px", _SMALL),
        *([(row.method, _SMALL)] if by_method else []),
    ]


def _line(
    photo: Photo,
    panels: Sequence[Heatmap],
    scaled: Mapping[Heatmap, ScaledMap],
    style: Style,
    cell: int,
    width: int,
    about_photo: Sequence[tuple[str, Ink]],
) -> Pixels:
    """Panels of a row; the bare photo stands before them if there is something to say about it."""
    factor = min(cell / photo.size[1], 1.5 * cell / photo.size[0])
    size = max(1, round(photo.size[0] * factor)), max(1, round(photo.size[1] * factor))
    strip = _paper(_GAP + size[0] + _CAPTION + _GAP, width)
    bare = resize(photo.pixels, size)
    if about_photo:
        _cell(strip, _MARGIN, cell, bare, about_photo)
    for place, panel in enumerate(panels, start=1):
        heat = scaled[panel]
        picture = draw_panel(panel, style, heat.vmax, size, photo=bare)
        about = [
            (_name(panel, cell), _HEAD),
            (target_caption(panel), _BODY),
            (layer_caption(panel), _SMALL),
            (scale_caption(heat), _WARN if heat.note else _SMALL),
        ]
        _cell(strip, _MARGIN + place * (cell + _GAP), cell, picture, about)
    return strip


def _no_map(sentences: Sequence[str], left: int, width: int) -> Pixels:
    """Why there is no map, from `left` on."""
    room = width - left - _MARGIN
    lines = [line for sentence in sentences for line in wrap(sentence, room, _SMALL, _REASON_LINES)]
    strip = _paper(len(lines) * _SMALL.line + _GAP, width)
    write(strip, [(line, Ink(_SMALL.size, _SMALL.weight, _WARN.colour)) for line in lines], left, 0)
    return strip


def _beside(one: Pixels, other: Pixels) -> Pixels:
    """Two strips, of which each is blank where the other is not, in one."""
    both = _paper(max(len(one), _GAP + len(other)), one.shape[1])
    both[: len(one)] = one
    both[_GAP : _GAP + len(other)] = np.minimum(both[_GAP : _GAP + len(other)], other)
    return both


def _name(panel: Panel, cell: int) -> str:
    """The model's name; where it is too long without its source, then cut in its middle, but for *untrained*."""
    name = model_caption(panel)
    if text_width(name, _HEAD) <= cell:
        return name
    stem, bracket, mark = short_name(name).partition(" (untrained")
    return fit(stem, cell - text_width(bracket + mark, _HEAD), _HEAD) + bracket + mark


def _cell(strip: Pixels, x: int, cell: int, picture: Pixels, about: Sequence[tuple[str, Ink]]) -> None:
    """A picture with its caption under it."""
    strip[_GAP : _GAP + picture.shape[0], x : x + picture.shape[1]] = picture
    write(strip, [(fit(text, cell, ink), ink) for text, ink in about if text], x, _GAP + picture.shape[0] + 8)


def _footer(style: Style, scaled: Mapping[Heatmap, ScaledMap], width: int) -> Pixels:
    bars = colour_bars(style, scaled)
    names = listed(["red-blue" if bar.signed else style.colormap for bar in bars])
    notes = [f"Colour map{'s' * (len(bars) > 1)} {names}, {opacity_caption(style)}"]
    if style.threshold:
        notes.append(f"heat below {100 * style.threshold:.0f} % of full colour is left out")
    strip = _paper(4 + _SMALL.line + _MARGIN, width)
    write(strip, [(fit("; ".join(notes) + ".", width - 2 * _MARGIN, _SMALL), _SMALL)], _MARGIN, 4)
    return np.vstack([*(_bar(bar, style, width) for bar in bars), strip])


def _bar(known: ColourBar, style: Style, width: int) -> Pixels:
    """A colour bar with its title and numbers."""
    length, top = min(420, width - 2 * _MARGIN), _GAP // 2 + _SMALL.line + 6
    strip = _paper(top + 22 + _SMALL.line, width)
    write(strip, [(known.title[0].upper() + known.title[1:], Ink(14, 600, _BODY.colour))], _MARGIN, _GAP // 2)
    ramp = np.broadcast_to(np.linspace(-1 if known.signed else 0, 1, length, dtype=np.float32), (18, length))
    bar = strip[top : top + 18, _MARGIN : _MARGIN + length]
    bar[:] = blend(bar.copy(), colourise(ramp, style.colormap, style.threshold, signed=known.signed), 1.0)
    cv2.rectangle(strip, (_MARGIN, top), (_MARGIN + length - 1, top + 17), (140, 149, 159), 1)
    for place, number in enumerate(known.numbers):
        wide = text_width(number, _SMALL)
        x = round(place / (len(known.numbers) - 1) * (length - 1))
        strip[top + 18 : top + 22, _MARGIN + x] = _SMALL.colour
        write(strip, [(number, _SMALL)], _MARGIN + min(max(0, x - wide // 2), length - wide), top + 22)
    return strip


def _paper(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 255, np.uint8)
