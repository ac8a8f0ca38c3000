"""Small overlays: previews that are stored beside shards, and exported pictures."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.draw import render
from gradcam.geometry import fit_within, project_to_photo
from gradcam.scaling import is_signed, normalize
from gradcam.types import Style, View

Pixels = NDArray[np.uint8]

PREVIEW_SIDE = 256
"""Pixels of a preview's longer side."""


def shrink(pixels: Pixels, long_side: int) -> Pixels:
    """Shrink a photo, RGB uint8 `[H, W, 3]`, to at most this many pixels on its longer side."""
    return render.resize(pixels, fit_within((pixels.shape[0], pixels.shape[1]), long_side, long_side))


def overlay_jpeg(
    photo: Pixels, raw: NDArray[np.float32], method: str, view: View, style: Style, quality: int
) -> bytes:
    """A raw map `[h, w]` of a method over its photo, which may be shrunk, as JPEG. quality: from 0 to 95."""
    file = io.BytesIO()
    Image.fromarray(overlaid(photo, raw, method, view, style)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def overlaid(photo: Pixels, raw: NDArray[np.float32], method: str, view: View, style: Style) -> Pixels:
    """A raw map `[h, w]` of a method over its photo, which may be shrunk, in shares of the map's own peak."""
    scaled = normalize(raw, signed=is_signed(method, raw))
    heat = project_to_photo(scaled.values, view, photo.shape[:2], style.interpolation)
    return render.outline(render.overlay(photo, heat, style, signed=scaled.signed), view)
