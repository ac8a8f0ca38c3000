"""How scaled maps become pictures: lay on the photo, colour, overlay. Each step is one function."""

from __future__ import annotations

import base64
import io
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.errors import MapError, OptionError, quoted
from gradcam.geometry import Interpolation, Values, fit_within, hides_part_of_photo, project_to_photo
from gradcam.kinds import expect, expect_one_of
from gradcam.regions import outline_of
from gradcam.scaling import difference, is_signed, normalize
from gradcam.types import Blend, Heatmap, Photo, Region, Scale, Style, View

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]


# ---------------------------------------------------------------------------------------------- colour maps


def _from_opencv(code: int) -> Pixels:
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(ramp, code)[:, 0, ::-1].astype(np.uint8)  # OpenCV answers in BGR


def _diverging(*anchors: tuple[int, int, int]) -> Pixels:
    places = np.linspace(0, 255, len(anchors))
    ramp = np.arange(256)
    return (
        np.stack([np.interp(ramp, places, channel) for channel in np.transpose(anchors)], 1)
        .round()
        .astype(np.uint8)
    )


SEQUENTIAL: dict[str, Pixels] = {
    "viridis": _from_opencv(cv2.COLORMAP_VIRIDIS),
    "cividis": _from_opencv(cv2.COLORMAP_CIVIDIS),
    "inferno": _from_opencv(cv2.COLORMAP_INFERNO),
    "turbo": _from_opencv(cv2.COLORMAP_TURBO),
    "jet": _from_opencv(cv2.COLORMAP_JET),
}
"""Colour maps for heat, from none to full; RGB uint8 `[256, 3]` each."""

DIVERGING: dict[str, Pixels] = {
    "red-blue": _diverging((5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31)),
}
"""Colour maps around zero, for differences: blue below, white at zero, red above."""

COLORMAPS: dict[str, Pixels] = SEQUENTIAL | DIVERGING
for _table in COLORMAPS.values():
    _table.flags.writeable = False


def colormap(name: str) -> Pixels:
    """The colours of a map, RGB uint8 `[256, 3]`.

    Raises: OptionError for a name that is no row of `COLORMAPS`.
    """
    expect_one_of(COLORMAPS, name, "a colour map")
    return COLORMAPS[name]


def check_style(style: Style) -> None:
    """Raises: OptionError where a field of `style` is outside its choices."""
    expect(Style, style)
    colormap(style.colormap)
    for name, kind in (("scale", Scale), ("interpolation", Interpolation), ("blend", Blend)):
        value, choices = getattr(style, name), get_args(kind)
        expect_one_of(choices, value, f"a {name}")
    for name in ("opacity", "threshold"):
        value = getattr(style, name)
        if not isinstance(value, int | float | np.number):
            raise OptionError(f"expected {name} as a number from 0 to 1, got {quoted(value)}; use 0.5")
        if not 0 <= value <= 1:
            raise OptionError(f"expected {name} from 0 to 1, got {quoted(value)}; use {min(max(value, 0), 1)}")


# ------------------------------------------------------------------------------------------------- scaling


# ------------------------------------------------------------------------------------------ laying on photos


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """A photo at another height and width, averaged where it shrinks."""
    if pixels.shape[:2] == tuple(size):
        return pixels
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (size[1], size[0]), interpolation=method).astype(np.uint8)


def jpeg_uri(photo: Photo, long_side: int, *, in_grey: bool = False) -> str:
    """The photo as a JPEG of at most `long_side` pixels inside its own address, `data:image/jpeg;base64,…`.

    in_grey: without its colours, for what is drawn over it in red and blue.
    """
    pixels = resize(photo.pixels, fit_within(photo.size, long_side, long_side))
    return pixels_uri(grey(pixels) if in_grey else pixels)


def pixels_uri(pixels: Pixels) -> str:
    """RGB uint8 `[H, W, 3]` as a JPEG inside its own address."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def png(pixels: Pixels) -> bytes:
    """RGB or RGBA uint8 `[H, W, 3 or 4]` as PNG without metadata, packed fast: it is a sixth larger."""
    to_bgr = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    packing = cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP
    _, packed = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(pixels), to_bgr), packing)
    return packed.tobytes()


# ---------------------------------------------------------------------------------------------- colouring


def colourise(
    values: Values,
    name: str = "viridis",
    threshold: float = 0.0,
    blend: Blend = "even",
    *,
    signed: bool | None = None,
) -> Pixels:
    """Values in [0, 1] as colours, RGBA uint8 `[H, W, 4]`; values in [−1, 1] around zero, in red and blue.

    signed: whether values are in [−1, 1]; where None, if there are values below zero.
    blend: as of a `Style`; with `evidence` a value is as opaque as it is high.
    Transparent where there is no value (NaN), below `threshold`, and everywhere if nothing is above 0.
    """
    signed = _is_signed(values) if signed is None else signed
    colours, shown, opaque = _heat(values, name, threshold, blend, signed)
    return cv2.merge((*cv2.split(colours), opaque * shown)).astype(np.uint8, copy=False)


def _is_signed(values: Values) -> bool:
    return bool((np.nan_to_num(values) < 0).any())


def _heat(
    values: Values, name: str, threshold: float, blend: Blend, signed: bool
) -> tuple[Pixels, NDArray[np.bool_], Pixels]:
    """The colours of values, RGB `[H, W, 3]`; where they are shown and how opaque they are there, `[H, W]` each."""
    finite = np.isfinite(values)
    known = np.where(finite, values, 0).astype(values.dtype, copy=False)
    size = np.abs(known) if signed else known
    shown = finite & (size >= threshold) & bool((size > 0).any())
    levels = _levels(known / 2 + 0.5 if signed else known)
    table = colormap("red-blue" if signed else name)
    colours = cv2.applyColorMap(levels, table[:, None]).astype(np.uint8, copy=False)
    if blend == "even":
        return colours, shown, np.full_like(levels, 255)
    return colours, shown, _levels(size) if signed else levels


def _levels(shares: NDArray[np.floating]) -> Pixels:
    """Shares in [0, 1] as the 256 levels of a colour map."""
    levels = shares * 255
    return np.clip(np.rint(levels, out=levels), 0, 255, out=levels).astype(np.uint8)


def blend(photo: Pixels, heat: Pixels, opacity: float) -> Pixels:
    """photo · (1 − α) + heat · α with α = `opacity` where the heat is not transparent; RGB uint8 `[H, W, 3]`."""
    colours, opaque = cv2.cvtColor(heat, cv2.COLOR_RGBA2RGB), cv2.extractChannel(heat, 3)
    return _mix(photo, colours.astype(np.uint8, copy=False), opaque.astype(np.uint8, copy=False), opacity)


_BAND = 2**15
"""Pixels that are blended at a time: their floats stay in the processor's cache, where a whole picture's do not."""


def _mix(photo: Pixels, colours: Pixels, opaque: Pixels, opacity: float) -> Pixels:
    """`blend` of colours that are as opaque as a picture of their own says, `[H, W]`."""
    mixed = np.empty_like(photo)
    step = max(1, _BAND // photo.shape[1])
    for top in range(0, photo.shape[0], step):
        rows = slice(top, top + step)
        alpha = opaque[rows].astype(np.float32) * np.float32(opacity / 255)
        alpha = cv2.merge((alpha, alpha, alpha))  # NumPy takes ten times as long to spread it over three channels
        band = colours[rows] * alpha
        band += photo[rows] * (1 - alpha)
        mixed[rows] = np.rint(band, out=band)
    return mixed


def grey(photo: Pixels) -> Pixels:
    """The photo without its colours, RGB, for what is drawn over it in red and blue."""
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)


def overlay(photo: Pixels, values: Values, style: Style, *, signed: bool | None = None) -> Pixels:
    """Heat over a photo. Each pixel depends on its own photo pixel and its own value only.

    photo: RGB uint8 `[H, W, 3]`; grey under what is drawn in red and blue.
    values: `[H, W]` in [0, 1] or [−1, 1], as `project_to_photo` returns them. signed: as `colourise` takes it.
    Raises: OptionError where the style is outside its choices.
    """
    check_style(style)
    signed = _is_signed(values) if signed is None else signed
    colours, shown, opaque = _heat(values, style.colormap, style.threshold, style.blend, signed)
    return _mix(grey(photo) if signed else photo, colours, opaque * shown, style.opacity)


def outline(pixels: Pixels, view: View, region: Region | None = None) -> Pixels:
    """A photo at any size with a thin dark and light frame around what the model saw, unless that is all of it, and
    with a dashed one around a region of the photo.
    """
    framed = _frame(pixels, view) if hides_part_of_photo(view) else pixels
    return _dashed(framed, region, view.photo_size) if region else framed


def _frame(pixels: Pixels, view: View) -> Pixels:
    height, width = pixels.shape[:2]
    across, down = width / view.photo_size[1], height / view.photo_size[0]
    left, top, right, bottom = view.seen
    corners = round(left * across), round(top * down), round(right * across) - 1, round(bottom * down) - 1
    thick = max(1, round(max(height, width) / 400))
    framed = np.ascontiguousarray(pixels).copy()
    for inset, grey in ((0, 20), (thick, 245)):
        for step in range(inset, inset + thick):
            x0, y0, x1, y1 = corners[0] + step, corners[1] + step, corners[2] - step, corners[3] - step
            cv2.rectangle(framed, (x0, y0), (x1, y1), (grey, grey, grey), 1)
    return framed


def _dashed(pixels: Pixels, region: Region, photo_size: tuple[int, int]) -> Pixels:
    """Light dashes on a dark line, which can be seen on any photo and told from a frame."""
    scale = np.divide(pixels.shape[1::-1], photo_size[::-1])
    corners = np.array(outline_of(region), np.float64) * scale - 0.5
    thick = max(1, round(max(pixels.shape) / 400))
    marked = np.ascontiguousarray(pixels).copy()
    cv2.polylines(marked, [np.rint(corners).astype(np.int32)], True, (20, 20, 20), 3 * thick)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dashes = max(1, round(float(np.hypot(*(end - start))) / (10 * thick)))
        for dash in range(dashes):
            a, b = (np.rint(start + (end - start) * share / dashes) for share in (dash, dash + 0.6))
            cv2.line(marked, [int(a[0]), int(a[1])], [int(b[0]), int(b[1])], (245, 245, 245), thick)
    return marked


# --------------------------------------------------------------------------------------------- whole panels


def draw_panel(
    panel: Heatmap,
    style: Style,
    vmax: float | None = None,
    size: tuple[int, int] | None = None,
    *,
    photo: Pixels | None = None,
) -> Pixels:
    """One panel as a picture: the heat over its photo, with the seen part outlined; RGB uint8 `[H, W, 3]`.

    vmax: the raw value of full colour; the map's own maximum if None. size: height and width; the photo's if None.
    photo: the panel's photo at `size`, where it has been resized already.
    Raises: MapError where the map is not finite, OptionError where the style is outside its choices.
    """
    photo, values, view, signed = _layers(panel, style, vmax, size, photo)
    return outline(overlay(photo, values, style, signed=signed), view, panel.photo.region)


def draw_map(values: Values, colormap: str, long_side: int) -> Pixels:
    """A map in shares of full scale by itself, enlarged to this many pixels: RGB uint8 `[H, W, 3]`."""
    height, width = (max(1, round(side * long_side / max(values.shape))) for side in values.shape)
    large = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(colourise(large.astype(np.float32), colormap)[..., :3])


def draw_grid(
    values: Values, side: int, vmax: float | None = None, style: Style | None = None, signed: bool | None = None
) -> Pixels:
    """Numbers on a layer's grid as a picture of their own; RGB uint8 `[H, W, 3]`, its longer side at least `side`.

    values: `[h, w]`. vmax: the value of full colour; the largest one's size if None.
    signed: colours around zero, red above it and blue below; where None, if there are values below zero.
    style: for its colour map and interpolation; by default cells with hard edges in viridis.
    Raises: MapError where a value is not finite, OptionError where the style is outside its choices.
    """
    style = style or Style(interpolation="nearest")
    check_style(style)
    if not np.isfinite(values).all():
        raise MapError("expected finite numbers to draw, got NaN or infinity; check the weights and the input")
    vmax = vmax or float(np.abs(values).max()) or 1.0
    signed = bool((values < 0).any()) if signed is None else signed
    shares = np.clip(values / vmax, -1, 1) / 2 + 0.5 if signed else np.clip(values / vmax, 0, 1)
    height, width = (cells * -(-side // max(values.shape)) for cells in values.shape)
    view = View((0, 0, width, height), (height, width), (height, width), "squash")
    laid = project_to_photo(shares, view, interpolation=style.interpolation)
    return colormap("red-blue" if signed else style.colormap)[np.rint(laid * 255).astype(np.uint8)]


def three_panels(
    panel: Heatmap, style: Style, vmax: float | None = None, size: tuple[int, int] | None = None
) -> Pixels:
    """Photo, heat alone and overlay side by side; RGB uint8 `[H, 3·W + 2·gap, 3]`.

    Takes and raises what `draw_panel` does.
    """
    photo, alone, over = three_pictures(panel, style, vmax, size)
    height, width = photo.shape[:2]
    gap = np.full((height, max(2, width // 40), 3), 255, np.uint8)
    return np.hstack([photo, gap, alone, gap, over])


def three_pictures(
    panel: Heatmap, style: Style, vmax: float | None = None, size: tuple[int, int] | None = None
) -> tuple[Pixels, Pixels, Pixels]:
    """The photo, the heat alone and both, each RGB uint8 `[H, W, 3]`. Takes and raises what `draw_panel` does."""
    photo, values, view, signed = _layers(panel, style, vmax, size)
    colours, shown, opaque = _heat(values, style.colormap, style.threshold, style.blend, signed)
    alone = colours if shown.all() else np.where(shown[..., None], colours, np.uint8(232))
    over = _mix(grey(photo) if signed else photo, colours, opaque * shown, style.opacity)
    alone, over = (outline(picture, view, panel.photo.region) for picture in (alone, over))
    return photo, alone, over


def _layers(
    panel: Heatmap,
    style: Style,
    vmax: float | None,
    size: tuple[int, int] | None,
    photo: Pixels | None = None,
) -> tuple[Pixels, Values, View, bool]:
    """The photo at `size`, the heat on it, how the model saw it, and whether the heat is around zero."""
    check_style(style)
    size = size or panel.photo.size
    view = panel.explanation.view
    scaled = normalize(panel.map, vmax, signed=is_signed(panel.method, panel.map))
    values = project_to_photo(scaled.values, view, size, style.interpolation)
    return resize(panel.photo.pixels, size) if photo is None else photo, values, view, scaled.signed


DIFFERS = 0.25
"""Two maps that are this share of full scale apart, or more, differ as clearly as `fade_alike` shows."""


def fade_alike(a: Heatmap, b: Heatmap, scale: Scale = "each", size: tuple[int, int] | None = None) -> Pixels:
    """The photo faded where two of its maps are alike: wholly where equal, not at all from `DIFFERS` apart.

    Returns: RGB uint8 `[H, W, 3]`; faded too where one of the two models saw nothing.
    Raises: what `difference` raises.
    """
    apart = np.abs(np.nan_to_num(difference(a, b, scale, size)))
    photo = resize(a.photo.pixels, apart.shape)
    fog = np.dstack(
        [np.full_like(photo, 232), np.rint(255 * (1 - np.clip(apart / DIFFERS, 0, 1))).astype(np.uint8)]
    )
    return blend(photo, fog, 0.85)
