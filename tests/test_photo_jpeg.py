"""Usual JPEGs are decoded by OpenCV, to the very pixels that Pillow gives; Pillow decodes all others."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from gradcam.errors import PhotoError
from gradcam.photo import open_photo

SIZES = [(64, 64), (63, 65), (1, 1), (17, 200), (301, 207), (8, 9)]


def picture(width: int, height: int) -> Image.Image:
    """Waves of every colour, with noise."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 17 + y / 9), np.cos(x / 7), np.sin(y / 5)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return Image.fromarray((127 + 100 * waves + noise).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that OpenCV is given."""
    import cv2

    sizes: list[int] = []
    decode = cv2.imdecode

    def noted(data: np.ndarray, flags: int) -> np.ndarray | None:
        sizes.append(len(data))
        return decode(data, flags)

    monkeypatch.setattr(cv2, "imdecode", noted)
    return sizes


def turned(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

USUAL: dict[str, dict[str, Any]] = {
    **{f"{name}, quality {quality}": {"subsampling": name, "quality": quality}
       for name in ("4:4:4", "4:2:2", "4:2:0") for quality in (30, 95)},
    "progressive": {"progressive": True},
    "progressive 4:4:4 with restart markers": {
        "progressive": True, "subsampling": "4:4:4", "restart_marker_blocks": 3,
    },
    "restart markers": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
    "a profile of colours": {"icc_profile": PROFILE},
    "a comment": {"comment": b"by hand"},
    **{f"turned {turn}": {"exif": turned(turn)} for turn in range(1, 9)},
}  # fmt: skip


@pytest.mark.parametrize("options", USUAL.values(), ids=USUAL)
def test_a_usual_jpeg_has_the_pixels_that_pillow_gives(options: dict[str, Any], decoded: list[int]) -> None:
    for size in SIZES:
        for mode in ("RGB", "L"):
            data = jpeg(picture(*size).convert(mode), **options)
            np.testing.assert_array_equal(open_photo(data).pixels, by_pillow(data))
    assert len(decoded) == 2 * len(SIZES)


def test_a_large_jpeg_has_the_pixels_that_pillow_gives(decoded: list[int]) -> None:
    data = jpeg(picture(4000, 3000), quality=88)
    np.testing.assert_array_equal(open_photo(data).pixels, by_pillow(data))
    assert decoded == [len(data)]


def test_a_stretched_jpeg_is_stretched(decoded: list[int]) -> None:
    data = jpeg(picture(64, 48).point(lambda level: level // 2 + 20))
    photo = open_photo(data, stretch=True)
    assert (photo.pixels.min(), photo.pixels.max()) == (0, 255)
    assert photo.note.startswith("levels ")
    assert decoded


def _with_segment(data: bytes, kind: int, body: bytes) -> bytes:
    return data[:2] + bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def _mpo() -> bytes:
    file = io.BytesIO()
    picture(64, 48).save(file, "MPO", save_all=True, append_images=[picture(32, 24)])
    return file.getvalue()


RGB = picture(64, 48)
UNUSUAL: dict[str, Callable[[], bytes]] = {
    "four inks": lambda: jpeg(RGB.convert("CMYK")),
    "Adobe's transform": lambda: _with_segment(jpeg(RGB), 0xEE, b"Adobe\0\x64\0\0\0\0\0"),
    "colours that are not transformed": lambda: jpeg(RGB, keep_rgb=True),
    "several pictures": _mpo,
    "bytes after the end": lambda: jpeg(RGB) + b"more",
    "two ends": lambda: jpeg(RGB) + b"\xff\xd9",
    "an unusual sampling": lambda: jpeg(RGB, subsampling="4:2:0").replace(b"\x01\x22\0", b"\x01\x12\0", 1),
}


@pytest.mark.parametrize("made", UNUSUAL.values(), ids=UNUSUAL)
def test_every_other_jpeg_is_decoded_by_pillow(made: Callable[[], bytes], decoded: list[int]) -> None:
    data = made()
    np.testing.assert_array_equal(open_photo(data).pixels, by_pillow(data))
    assert decoded == []


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused_whatever_it_ends_in(keep: float) -> None:
    data = jpeg(picture(200, 150))
    cut = data[: int(keep * len(data))]
    with pytest.raises(PhotoError, match="truncated or damaged"):
        open_photo(cut)
