"""Photos: any common picture file, opened into upright RGB or refused with one sentence."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gradcam.errors import PhotoError, machine_trouble, nearest, quoted
from gradcam.headers import MAX_PIXELS, Header, check_size, holds_all_rows, read_header
from gradcam.kinds import expect, expect_numbers
from gradcam.text import percent
from gradcam.types import Photo

T = TypeVar("T")

MAX_BYTES = 50_000_000

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")

SAMPLES: dict[str, tuple[str, ...]] = {
    "chelsea": ("chelsea.png",),
    "coffee": ("coffee.png",),
    "cat and coffee": ("chelsea.png", "coffee.png"),
    "coffee and cat": ("coffee.png", "chelsea.png"),
}
"""Sample photographs in `data/samples`: one file, or two that share a square, left and right."""

_SIGNATURES = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF.{4}WEBP|GIF8[79]a|II[*+]\0|MM\0[*+]|BM", re.DOTALL)

# What white is in the modes that hold more than 8 bits: Pillow's own conversion clips them instead.
_WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}

# Everything that Pillow's readers raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error)

_ORIENTATION = 0x0112
Turn: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
_TURNS: dict[object, Turn] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""What makes a picture upright, by the orientation in its EXIF data."""

_STRETCHED = "levels {low:g} to {high:g} were stretched from black to white"

_BAND = 2_000_000
"""Pixels that are converted at a time."""

_one_reader = threading.Lock()


def open_photo(
    source: str | Path | bytes | BinaryIO,
    *,
    name: str | None = None,
    stretch: bool = False,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Photo:
    """Open a PNG, JPEG, WebP, GIF (its first frame), TIFF or BMP.

    The result is RGB uint8 whatever the file holds: EXIF orientation is applied, transparency laid over white,
    and 16-bit levels divided by 257. Floating-point levels count as 0 black to 1 white. If the file's tags name
    another level as white, that level counts; if all levels are below half of white, the photo's `note` says so.

    source: a path, the encoded bytes, or a file opened in binary mode (read from where it stands).
    name: what to call the photo; by default the file's name. Folders are cut off.
    stretch: show the darkest level as black and the brightest as white, for example for a camera that fills 12 of
        16 bits. Such a photo has another `sha256` than the same file opened without `stretch`.
    max_bytes, max_pixels: larger files are refused before they are read, and larger pictures before they are
        decoded.
    Raises: PhotoError.
    """
    expect(str | None, name)
    expect_numbers(max_bytes=max_bytes, max_pixels=max_pixels)
    called = photo_name(name or _name_of(source))
    data = _read(source, called, max_bytes)
    if not data:
        raise PhotoError(f"expected a photo, got an empty file for {quoted(called)}; choose another file")
    if len(data) > max_bytes:
        raise PhotoError(_too_large(called, max_bytes))
    pixels, note = _decode(data, called, max_pixels, stretch)
    identity = hashlib.sha256(data + b"stretched" * stretch).hexdigest()
    return Photo(pixels, called, identity, stretched=stretch, note=note)


PhotoLike: TypeAlias = Photo | str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A photo in any form that `as_photo` takes."""


def as_photo(source: object) -> Photo:
    """A photo in any form: a `Photo`, a path, encoded bytes, a Pillow image, or pixels as a NumPy array.

    Arrays are uint8 `[H, W]`, `[H, W, 3]` or `[H, W, 4]`, from 0 to 255.
    Raises: PhotoError, with what to pass instead.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, str | Path | bytes):
        return open_photo(source)
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or not (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))):
            raise PhotoError(
                f"expected pixels uint8 [height, width, 3] from 0 to 255, got {source.dtype} {list(source.shape)}; "
                "put the channels last and scale and convert the numbers, or pass prepared batches to heatmaps()"
            )
        if source.size == 0:
            raise PhotoError(f"expected a photo, got an array without pixels {list(source.shape)}; pass another")
        source = Image.fromarray(source)
    if not isinstance(source, Image.Image):
        raise PhotoError(
            f"expected a photo, got {type(source).__name__}; pass a path, a Pillow image or uint8 pixels [height, "
            "width, 3], or prepared batches to heatmaps()"
        )
    encoded = io.BytesIO()
    upright = ImageOps.exif_transpose(source)
    plain = upright if upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else upright.convert("RGB")
    plain.save(encoded, "PNG", compress_level=1)
    return open_photo(encoded.getvalue(), name=photo_name(str(getattr(source, "filename", "") or "photo")))


def sample_photo(name: str) -> Photo:
    """One of `SAMPLES`, from the package itself, without the network.

    Raises: PhotoError for a name that is not among them.
    """
    if not isinstance(name, str) or name not in SAMPLES:
        raise PhotoError(f"expected a sample photo, got {quoted(name)}; try {nearest(str(name), SAMPLES)}")
    return _sample(name)


@cache
def _sample(name: str) -> Photo:
    folder = importlib.resources.files("gradcam") / "data" / "samples"
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


def photo_name(name: str) -> str:
    """The name of a photo with this path, whichever system wrote the path."""
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1] or "photo"


def _read(source: object, name: str, max_bytes: int) -> bytes:
    """The first `max_bytes` + 1 encoded bytes."""
    if isinstance(source, str | Path):
        return _read_path(Path(source), name, max_bytes)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    read = getattr(source, "read", None)
    if read is None:
        raise PhotoError(
            f"expected a path, bytes or an open file, got {type(source).__name__[:200]}; pass one of those"
        )
    try:
        data = read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise PhotoError(
            f"expected a readable file, but {quoted(name)} cannot be read: {machine_trouble(error)}"
        ) from error
    if not isinstance(data, bytes):
        raise PhotoError(f"expected {quoted(name)} opened in binary mode, got text; open it with mode 'rb'")
    return data


def _read_path(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise PhotoError(f"expected a photo, got the folder {quoted(name)}; name a file in it")
        if path.stat().st_size > max_bytes:
            raise PhotoError(_too_large(name, max_bytes))
        if not path.is_file():
            raise PhotoError(f"expected a photo, got the device {quoted(name)}; name a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        advice = f"the sample is sample_photo({quoted(str(path))})" if str(path) in SAMPLES else "check the path"
        raise PhotoError(f"expected a photo, but there is no file {quoted(path)}; {advice}") from error
    except (OSError, ValueError) as error:
        raise PhotoError(
            f"expected a readable file, but {quoted(name)} cannot be read: {machine_trouble(error)}"
        ) from error


def _decode(data: bytes, name: str, max_pixels: int, stretch: bool) -> tuple[NDArray[np.uint8], str]:
    """The pixels, and a note on their levels."""
    header = read_header(data, name, max_pixels)
    try:
        with _quietly(lambda: Image.open(io.BytesIO(header.data), formats=FORMATS)) as image:
            check_size(*image.size, name, max_pixels)
            if image.format == "TIFF":
                _turn_in_exif(image)  # read before its pixels: Pillow asks for it again while it decodes
            pixels = _decode_usual_jpeg(image, header)
            if pixels is None:
                image.load()
            turn = _TURNS.get(header.turned) or _turn_in_exif(image)
            pixels, note = _to_rgb(image, header, name, stretch) if pixels is None else _stretched(pixels, stretch)
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise PhotoError(_unreadable(data, name)) from error
    except MemoryError as error:
        raise PhotoError(f"expected memory enough for {quoted(name)}, got too little; shrink it") from error
    if not pixels[-1].any() and not holds_all_rows(header):  # rows that a PNG lacks are left black
        raise PhotoError(_unreadable(data, name))
    if turn:
        pixels = np.ascontiguousarray(turn(pixels))
    pixels.flags.writeable = False
    return pixels, note


def _decode_usual_jpeg(image: Image.Image, header: Header) -> NDArray[np.uint8] | None:
    """Decode with OpenCV, in a third of the time, to the pixels that Pillow gives; None if Pillow has to decode.

    Both use libjpeg-turbo, but Pillow feeds it small pieces.
    """
    if not header.is_usual_jpeg or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    import cv2

    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(header.data, np.uint8), flags)
    except cv2.error:
        return None
    usable = pixels is not None and pixels.dtype == np.uint8 and pixels.shape == (image.height, image.width, 3)
    return cast("NDArray[np.uint8]", pixels) if usable else None


def _turn_in_exif(image: Image.Image) -> Turn | None:
    """The turn that makes the picture upright; None if its EXIF data are missing or damaged."""
    try:
        return _TURNS.get(_quietly(image.getexif).get(_ORIENTATION))
    except _DAMAGE:
        return None


def _quietly(ask: Callable[[], T]) -> T:
    """Call `ask` without Pillow's warnings about size and metadata: what matters becomes a PhotoError.

    Warning filters belong to the whole process. They are changed only while a header is read, which takes
    milliseconds, and not while pixels are decoded, so that one file never holds up another.
    """
    with _one_reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ask()


# ---------------------------------------------------------------------------------------------- levels


def _to_rgb(image: Image.Image, header: Header, name: str, stretch: bool) -> tuple[NDArray[np.uint8], str]:
    """RGB uint8 `[H, W, 3]`, and a note on levels that are not shown as they are."""
    if image.mode in _WHITE:
        return _from_deep(_deep_grey(image, header), image, header, name, stretch)
    if header.bits == 16 and (stretch or _brightest(image) < 128):
        import cv2

        deep = cv2.imdecode(np.frombuffer(header.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if deep is not None and deep.dtype == np.uint16 and deep.shape[:2] == (image.height, image.width):
            return _from_deep(deep, image, header, name, stretch)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows in _bands(image.height, image.width):
        pixels[rows] = _plain(image.crop((0, rows.start, image.width, rows.stop)))
    return _stretched(pixels, stretch)


def _stretched(pixels: NDArray[np.uint8], stretch: bool) -> tuple[NDArray[np.uint8], str]:
    if not stretch:
        return pixels, ""
    low, high = int(pixels.min()), int(pixels.max())
    scale = np.rint((np.arange(256.0) - low).clip(0, high - low) * (255 / max(high - low, 1))).astype(np.uint8)
    return scale[pixels], _STRETCHED.format(low=low, high=high)


def _from_deep(
    values: NDArray[Any], image: Image.Image, header: Header, name: str, stretch: bool
) -> tuple[NDArray[np.uint8], str]:
    """Levels of more than 8 bits `[H, W]`, or `[H, W, C]` with blue first as OpenCV has them."""
    grey = values.ndim == 2
    colours = values[..., None] if grey else values[..., 2::-1]
    black, white, note = _black_and_white(colours, image.mode if grey else "I;16", header, name, stretch)
    exact = np.float32 if values.dtype == np.uint16 else np.float64
    pixels = np.empty((*values.shape[:2], 3), np.uint8)
    for rows in _bands(*values.shape[:2]):
        shifted = colours[rows].astype(exact) - exact(black)
        share = shifted / exact(white - black) if white > black else shifted
        levels = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
        if header.zero_is_white and grey:
            levels = 255 - levels
        if not grey and values.shape[2] == 4:
            alpha = np.rint(values[rows][..., 3:] / 257).astype(np.uint8)
            levels = _plain(Image.fromarray(np.concatenate((levels, alpha), axis=2)))
        elif (transparent := image.info.get("transparency")) is not None:
            levels = np.where(colours[rows] == transparent, np.uint8(255), levels) if grey else levels
        pixels[rows] = levels
    return pixels, note


def _black_and_white(
    values: NDArray[Any], mode: str, header: Header, name: str, stretch: bool
) -> tuple[float, float, str]:
    """The levels that are shown as black and as white, and a note on them."""
    low, high = float(values.min()), float(values.max())
    usual = _WHITE[mode]
    if mode == "I" and high > usual:
        usual = 2.0**32 - 1 if header.unsigned else 2.0**31 - 1
    tagged = header.white or usual
    white = tagged if high <= tagged < usual and not _is_scaled(values, header) else usual
    known = low >= 0 and high <= white
    if not np.isfinite((low, high)).all() or not (known or stretch):
        raise PhotoError(
            f"expected gray levels from 0 to {white:g} in {quoted(name)}, got {low:g} to {high:g}; "
            "save it with 8 or 16 bits a channel, or stretch it from its darkest to its brightest level"
        )
    if stretch:
        return low, high, _STRETCHED.format(low=low, high=high)
    if white < usual:
        return 0, white, f"white is level {white:g}, as the file's own tags say"
    if 0 < high < usual / 2:
        share = percent(high / usual, 0) if high / usual >= 0.01 else "less than 1 %"
        return 0, white, f"its brightest level is {share} of white; stretch it to see more"
    return 0, white, ""


def _is_scaled(values: NDArray[Any], header: Header) -> bool:
    """Whether a PNG with fewer bits per sample stores its levels at full scale, as the standard demands."""
    if header.rows is None or not header.white or not values.any():
        return False
    return not (values % (65536 // (int(header.white) + 1))).any()


def _deep_grey(image: Image.Image, header: Header) -> NDArray[Any]:
    values = np.asarray(image)
    return values.view(np.uint32) if image.mode == "I" and header.bits == 32 and header.unsigned else values


def _brightest(image: Image.Image) -> int:
    """The highest 8-bit level of any colour."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return 255
    colours = "L" if image.mode == "LA" else "RGB"
    return max(int(image.getchannel(colour).getextrema()[1]) for colour in colours)  # pyright: ignore[reportArgumentType]


def _bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows, so small that converting a large photo takes little extra memory."""
    step = max(1, _BAND // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _plain(image: Image.Image) -> NDArray[np.uint8]:
    """8-bit RGB, transparency laid over white."""
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _too_large(name: str, max_bytes: int) -> str:
    return f"expected a file of at most {max_bytes / 1e6:g} MB, got a larger one, {quoted(name)}; save it smaller"


def _unreadable(data: bytes, name: str) -> str:
    if _SIGNATURES.match(data):
        return f"expected a whole picture, but {quoted(name)} is truncated or damaged; fetch or save it again"
    kinds = ", ".join(FORMATS)
    return f"expected a picture ({kinds}), got another kind of file, {quoted(name)}; save it as PNG or JPEG"
