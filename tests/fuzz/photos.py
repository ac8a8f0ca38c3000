"""Pictures: spoiled files of every format and mode, and PNGs and TIFFs that promise what they do not hold."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from gradcam.photo import open_photo
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import spoil_bytes

SIZES = (1, 2, 3, 17, 255, 256, 7000, 30_000, 65_535, 65_536, 10**6, 50_000_000, 2**31 - 1, 2**32 - 1)
_MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
}
_OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "PNG": ({}, {"save_all": True}, {"dpi": (72, 72)}),
    "JPEG": ({}, {"progressive": True}, {"restart_marker_blocks": 1}),
    "WEBP": ({"lossless": True}, {"quality": 10}, {"save_all": True}),
    "GIF": ({}, {"interlace": 0}, {"save_all": True}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"}),
    "BMP": ({},),
}


@cache
def honest() -> tuple[bytes, ...]:
    """A small file of every format, mode and option that can be written."""
    y, x = np.mgrid[:40, :48]
    colours = Image.fromarray(np.stack([x * 5, y * 6, 255 - x * 5], axis=2).astype(np.uint8))
    deep = np.asarray(colours.convert("L"), np.uint16) * 257
    levels = {"I;16": deep, "I;16B": deep.astype(">u2"), "I": deep.astype(np.int32)}
    files: list[bytes] = []
    for kind, modes in _MODES.items():
        for mode in modes:
            image = Image.fromarray(levels[mode]) if mode in levels else colours.convert(mode, palette=1)
            for options in _OPTIONS[kind]:
                more = {"append_images": [image, image]} if "save_all" in options else {}
                exif = Image.Exif()
                exif[0x0112], exif[0x010E] = 6, "text"
                out = io.BytesIO()
                image.save(out, kind, exif=exif, **options, **more)
                files.append(out.getvalue())
    return tuple(files)


def make(random: Random) -> bytes:
    match random.randrange(10):
        case 0:
            return _png(random)
        case 1:
            return _tiff(random)
        case 2:
            return random.randbytes(random.choice((1, 100, 5000)))
        case _:
            return spoil_bytes(random.choice(honest()), random)


def _png(random: Random) -> bytes:
    """Well-formed chunks, whatever they say: any size, any depth, as much or as little data, long texts."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    width, height = random.choice(SIZES), random.choice(SIZES)
    depth, colour = random.choice((1, 2, 4, 8, 16)), random.choice((0, 2, 3, 4, 6))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, random.choice((0, 0, 0, 1, 7)))
    bomb = zlib.compress(bytes(random.choice((0, 100, 10**5, 3 * 10**7))), 9)
    extras = (
        b"",
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        chunk(b"iCCP", b"x\0\0" + bomb),
        chunk(b"tEXt", b"Comment\0" + b"a" * 10**5) * 20,
        chunk(b"acTL", struct.pack(">II", random.choice((0, 1, 2**31 - 1)), 0)),
        chunk(b"sBIT", random.randbytes(random.choice((0, 1, 3, 4)))),
        chunk(b"tRNS", random.randbytes(random.choice((0, 1, 2, 6, 256)))),
        chunk(b"PLTE", random.randbytes(random.choice((0, 3, 4, 768)))),
        chunk(b"eXIf", b"MM\0*\0\0\0\x08" + random.randbytes(40)),
    )
    body = b"".join(random.sample(extras, 2)) + chunk(b"IDAT", bomb)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def _tiff(random: Random) -> bytes:
    """One directory of plausible tags with implausible values, and long lists of strips or tiles."""
    order = random.choice("<>")
    strips = random.choice((1, 1, 2, 1000, 300_000))
    width, height = random.choice(SIZES), random.choice(SIZES)
    values: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [random.choice((1, 8, 12, 16, 32, 64))] * random.choice((1, 3, 4, 5000))),
        259: (3, [random.choice((1, 2, 5, 6, 7, 8, 32773, 34712, 50001))]),
        262: (3, [random.choice((0, 1, 2, 3, 5, 6, 8, 32803))]),
        273: (4, [random.choice((8, 100, 2**32 - 1))] * strips),
        277: (3, [random.choice((1, 3, 4, 300))]),
        278: (4, [random.choice((0, 1, height, 2**32 - 1))]),
        279: (4, [random.choice((0, 1, 100, 2**32 - 1))] * strips),
        339: (3, [random.choice((1, 2, 3, 4))]),
    }
    if random.random() < 0.3:
        values |= {tag: (4, [random.choice(SIZES)]) for tag in (322, 323)}
        values |= {tag: (4, [random.choice((8, 100))] * strips) for tag in (324, 325)}
    for tag in random.sample(sorted(values), random.choice((0, 0, 1, 2))):
        values.pop(tag)
    if random.random() < 0.3:
        values |= {random.randrange(254, 40_000): (random.randrange(14), [1] * random.choice((1, 100)))}
    start = 8 + 2 + 12 * len(values) + 4
    entries, tail = b"", b""
    for tag, (kind, numbers) in sorted(values.items()):
        packed = struct.pack(f"{order}{len(numbers)}{ {3: 'H', 4: 'I'}.get(kind, 'I') }", *numbers)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", start + len(tail))
            tail += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    next_page = struct.pack(f"{order}I", random.choice((0, 0, 8)))
    return head + struct.pack(f"{order}H", len(values)) + entries + next_page + tail + random.randbytes(200)


def meet(data: bytes) -> None:
    pixels = open_photo(data).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)


KIND = Kind("photos", make, meet, seconds=5, megabytes=800)
