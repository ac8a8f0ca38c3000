"""Photos: any common picture file, opened into upright RGB or refused with one sentence."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import re
import struct
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gradcam.errors import PhotoError, nearest
from gradcam.types import Photo

MAX_BYTES = 50_000_000
MAX_PIXELS = 50_000_000

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")

SAMPLES: dict[str, tuple[str, ...]] = {
    "chelsea": ("chelsea.png",),
    "coffee": ("coffee.png",),
    "cat and coffee": ("chelsea.png", "coffee.png"),
    "coffee and cat": ("coffee.png", "chelsea.png"),
}
"""Sample photographs that ship with scikit-image: one file, or two that share a square, left and right."""

_SIGNATURES = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF.{4}WEBP|GIF8[79]a|II[*+]\0|MM\0[*+]|BM", re.DOTALL)

# What white is in the modes that hold more than 8 bits: Pillow's own conversion clips them instead.
_WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}

# Everything that Pillow's readers raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error)

# Warnings filters belong to the whole process, so only one thread may have them changed at a time.
_one_decoder = threading.Lock()


def open_photo(
    source: str | Path | bytes | BinaryIO,
    *,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Photo:
    """Open a PNG, JPEG, WebP, GIF, TIFF or BMP, of an animation the first frame.

    The result is RGB uint8 whatever the file holds: EXIF orientation is applied, transparency laid over white,
    and 16-bit levels divided by 257. Floating-point levels count as 0 black to 1 white.

    source: a path, the encoded bytes, or a file opened in binary mode (read from where it stands).
    name: what to call the photo; by default the file's name. Folders are cut off.
    max_bytes, max_pixels: what is larger is refused before it is read, and before it is decoded.
    Raises: PhotoError.
    """
    called = _basename(name or _name_of(source))
    data = _read(source, called, max_bytes)
    if not data:
        raise PhotoError(f"expected a photo, got an empty file for {called!r}; choose another file")
    if len(data) > max_bytes:
        raise PhotoError(_too_large(called, max_bytes))
    return Photo(_decode(data, called, max_pixels), called, hashlib.sha256(data).hexdigest())


@cache
def sample_photo(name: str) -> Photo:
    """One of `SAMPLES`, from the installed package, without the network.

    Raises: PhotoError for a name that is not among them.
    """
    if name not in SAMPLES:
        raise PhotoError(f"expected a sample photo, got {name!r}; try {nearest(name, SAMPLES)}")
    folder = importlib.resources.files("skimage") / "data"
    files = [(folder / file).read_bytes() for file in SAMPLES[name]]
    return open_photo(files[0] if len(files) == 1 else _side_by_side(files), name=name)


def _side_by_side(halves: list[bytes], side: int = 400) -> bytes:
    """A square with the middle of one photo in each half, as BMP: uncompressed, so always the same bytes."""
    square = Image.new("RGB", (side, side))
    for x, data in zip((0, side // 2), halves, strict=True):
        with Image.open(io.BytesIO(data)) as image:
            square.paste(ImageOps.fit(image.convert("RGB"), (side // 2, side), Image.Resampling.BICUBIC), (x, 0))
    encoded = io.BytesIO()
    square.save(encoded, "BMP")
    return encoded.getvalue()


def _name_of(source: object) -> str:
    name = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return str(name) if isinstance(name, str | Path) else "photo"


def _basename(name: str) -> str:
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1] or "photo"


def _read(source: object, name: str, max_bytes: int) -> bytes:
    """The encoded bytes; of a longer source at most one more than `max_bytes`."""
    if isinstance(source, str | Path):
        return _read_path(Path(source), name, max_bytes)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    read = getattr(source, "read", None)
    if read is None:
        raise PhotoError(f"expected a path, bytes or an open file, got {type(source).__name__}; pass one of those")
    try:
        data = read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise PhotoError(f"expected a readable file, but {name!r} cannot be read: {error}") from error
    if not isinstance(data, bytes):
        raise PhotoError(f"expected {name!r} opened in binary mode, got text; open it with mode 'rb'")
    return data


def _read_path(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise PhotoError(f"expected a photo, got the folder {name!r}; name a file in it")
        if path.stat().st_size > max_bytes:
            raise PhotoError(_too_large(name, max_bytes))
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError as error:
        raise PhotoError(f"expected a photo, but there is no file {str(path)!r}; check the path") from error
    except (OSError, ValueError) as error:
        raise PhotoError(f"expected a readable file, but {name!r} cannot be read: {error}") from error


def _decode(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    with _one_decoder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on size and metadata: what matters becomes a PhotoError.
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise PhotoError(_too_many(name, f"{image.width} × {image.height}", max_pixels))
                image.load()
                upright = ImageOps.exif_transpose(image)
        except Image.DecompressionBombError as error:
            raise PhotoError(_too_many(name, "far more", max_pixels)) from error
        except _DAMAGE as error:
            raise PhotoError(_unreadable(data, name)) from error
        return _to_rgb(upright, name)


def _to_rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode in _WHITE:
        image = _to_8_bits(image, name)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    pixels = np.array(image.convert("RGB"))
    pixels.flags.writeable = False
    return pixels


def _to_8_bits(image: Image.Image, name: str) -> Image.Image:
    white = _WHITE[image.mode]
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):
        raise PhotoError(
            f"expected gray levels from 0 to {white} in {name!r}, got {low:g} to {high:g}; "
            "save it with 8 or 16 bits a channel"
        )
    levels = np.rint(values * (255 / white)).astype(np.uint8)
    return Image.fromarray(np.where(values == image.info.get("transparency"), np.uint8(255), levels))


def _too_large(name: str, max_bytes: int) -> str:
    return f"expected a file of at most {max_bytes / 1e6:g} MB, got a larger one, {name!r}; save it smaller"


def _too_many(name: str, found: str, max_pixels: int) -> str:
    return f"expected a photo of at most {max_pixels / 1e6:g} megapixels, got {found} pixels in {name!r}; shrink it"


def _unreadable(data: bytes, name: str) -> str:
    if _SIGNATURES.match(data):
        return f"expected a whole picture, but {name!r} is truncated or damaged; fetch or save it again"
    return f"expected a picture ({', '.join(FORMATS)}), got another kind of file, {name!r}; save it as PNG or JPEG"
