"""What a picture's file declares, read and bounded before a decoder sees it.

Decoders believe their files: a few bytes can make them loop for minutes or ask for gigabytes. So sizes, and the
numbers of chunks, segments, scans, strips, tiles and tags, are counted here first. Data that no pixel depends on
are left out.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gradcam.errors import PhotoError, quoted

MAX_PIXELS = 50_000_000
MAX_SIDE = 65_535
"""Pixels of a photo and of its longer side."""

MAX_PARTS = 100_000
"""Chunks, segments, strips, tiles, frames or blocks of one file."""

MAX_SCANS = 100
MAX_SCANNED = 2_000_000_000
"""Scans of a JPEG, and its pixels times its scans: each scan goes over all pixels."""

MAX_RUN_LENGTH_PIXELS = 10_000_000
MAX_RUN_LENGTH_BYTES = 5_000_000
"""Bytes of a run-length encoded BMP, which Pillow decodes in Python."""

_DEFLATE = 1032
"""The most bytes that one byte of deflate can stand for."""
_JPEG_PIXELS = 1024
"""More pixels than one byte of a JPEG can stand for: each block of 8 × 8 takes a bit at least."""
_TAG_BYTES = 1_000_000


@dataclass(frozen=True)
class Header:
    """What a file says of its picture.

    data: the file, without data that no pixel depends on. size: width and height.
    bits: per sample. unsigned: whether samples are unsigned. white: the level that the file's tags call white.
    zero_is_white: whether 0 is white in a TIFF. turned: the EXIF orientation of a TIFF.
    rows: how many bytes the rows of a PNG must unpack to.
    is_usual_jpeg: whether every decoder reads this kind of JPEG alike, and the file ends right after its scans.
    """

    data: bytes = field(repr=False)
    size: tuple[int, int] | None = None
    bits: int = 8
    white: float | None = None
    zero_is_white: bool = False
    unsigned: bool = False
    turned: int = 1
    rows: int | None = None
    is_usual_jpeg: bool = False


def read_header(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Header:
    """The header of a PNG, JPEG, WebP, GIF, TIFF or BMP; for any other file only `data` is set.

    Raises: PhotoError if the file declares more than the bounds of this module allow, or more than it can hold.
    """
    reader = next((reader for signature, reader in _READERS if data.startswith(signature)), None)
    if reader is None:
        return Header(data)
    try:
        header = reader(data, name)
    except (struct.error, IndexError):  # a decoder must not see a file whose sizes could not be bounded
        return Header(b"")
    if header.size is not None:
        check_size(*header.size, name, max_pixels)
    _check_holds(header, name)
    return header


def check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raises: PhotoError for a side or a number of pixels beyond the bounds."""
    if width * height > max_pixels:
        raise PhotoError(
            f"expected a photo of at most {max_pixels / 1e6:g} megapixels, got {width} × {height} pixels in "
            f"{quoted(name)}; shrink it"
        )
    if max(width, height) > MAX_SIDE:
        raise PhotoError(
            f"expected a photo whose sides have at most {MAX_SIDE} pixels, got {width} × {height} in "
            f"{quoted(name)}; cut it into pieces"
        )


def holds_all_rows(header: Header) -> bool:
    """Whether a PNG's data unpack to as many rows as it declares: decoders leave missing rows black."""
    if header.rows is None:
        return True
    unpacker, found = zlib.decompressobj(), 0
    for kind, chunk in _chunks(header.data):
        if kind == b"IDAT":
            rest = bytes(chunk[8:-4])
            while rest and not unpacker.eof:
                try:
                    found += len(unpacker.decompress(rest, 1_000_000))
                except zlib.error:  # a wrong checksum; the decoder has refused any other damage
                    return True
                rest = unpacker.unconsumed_tail
            if found >= header.rows:
                return True
    return found >= header.rows


def _check_holds(header: Header, name: str) -> None:
    """Refuse a file with less data than its pixels take at the very best compression."""
    if header.size is None:
        return
    packed = len(header.data)
    is_jpeg = header.data.startswith(b"\xff\xd8")
    least = header.size[0] * header.size[1] / _JPEG_PIXELS if is_jpeg else (header.rows or 0) / _DEFLATE
    if least > packed:
        width, height = header.size
        raise PhotoError(
            f"expected a whole picture, but {quoted(name)} has data for no more than a small part of its "
            f"{width} × {height} pixels; fetch or save it again"
        )


def _count(found: int, most: int, what: str, name: str) -> None:
    if found > most:
        raise PhotoError(
            f"expected a picture of at most {most:,} {what}, got more in {quoted(name)}; "
            "save it again as PNG or JPEG"
        )


# ------------------------------------------------------------------------------------------------- PNG

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TURNED = {
    b"zTXt": b"Raw profile type exif\0",
    b"tEXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}
"""The texts in which a PNG may say how it is turned."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top, and the steps across and down of each pass of an interlaced PNG."""


def _png(data: bytes, name: str) -> Header:
    if data[12:16] != b"IHDR":
        return Header(b"")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    kept, white = [memoryview(data)[:8]], None
    for number, (kind, chunk) in enumerate(_chunks(data), start=1):
        _count(number, MAX_PARTS, "chunks", name)
        body = chunk[8:-4]
        if kind == b"sBIT" and len(body) and depth == 16:
            white = 2.0 ** min(body[: _CHANNELS.get(colour, 1)]) - 1
        elif kind in _TURNED and bytes(body[:22]).startswith(_TURNED[kind]):
            if kind != b"iTXt":
                _check_tags(_profile(kind, bytes(body)), name)
            kept.append(chunk)
        elif kind == b"eXIf":
            _check_tags(bytes(body), name)
            kept.append(chunk)
        elif kind[:1].isupper() or kind == b"tRNS":
            kept.append(chunk)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    shapes = [(len(range(x, width, across)), len(range(y, height, down))) for x, y, across, down in passes]
    rows = sum(high * (1 + -(-wide * bits // 8)) for wide, high in shapes if wide)
    return Header(b"".join(kept), (width, height), depth, white, rows=rows)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Every chunk by kind, whole: its length, kind, body and checksum. The last may be cut off."""
    at, view = 8, memoryview(data)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], view[at : at + 12 + length]
        at += 12 + length


def _profile(kind: bytes, body: bytes) -> bytes:
    """The EXIF data that ImageMagick writes as hexadecimal digits; empty if `body` holds none."""
    text = body.partition(b"\0")[2]
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], 1_048_576)
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:])).removeprefix(b"Exif\0\0")
    except (ValueError, zlib.error):
        return b""


# ------------------------------------------------------------------------------------------------ JPEG

_NO_FILL = re.compile(rb"[^\xff]")
_ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length."""
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEXT = re.compile(rb"\xff[^\0\xd0-\xd7]")
"""What ends a scan: any marker but those that restart it."""
_USUAL_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive, with Huffman's code."""
_USUAL_SAMPLINGS = {b"\x11", b"\x21", b"\x22", b"\x11\x11\x11", b"\x21\x11\x11", b"\x22\x11\x11"}
"""Grey, and colours that are whole, halved or quartered."""


def _jpeg(data: bytes, name: str) -> Header:
    at, parts, size, frame, exif, is_usual = 2, 0, None, 0, b"", data.endswith(b"\xff\xd9")
    while at < len(data):
        mark = data.find(b"\xff", at)
        found = _NO_FILL.search(data, mark) if mark >= 0 else None
        end = found.start() if found else len(data)
        parts += end - at  # Pillow takes fill bytes and junk one by one
        _count(parts, MAX_PARTS, "segments", name)
        if end == len(data):
            break
        kind, at = data[end], end + 1
        if kind == 0xDA:
            _check_scans(data, at, size or (1, 1), name)
            is_usual = is_usual and size is not None and _ends_at_last(data, at, several=frame == 0xC2)
            break
        if kind == 0 or kind in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        at += length
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            is_usual = is_usual and size is None and _is_usual_frame(kind, body)
            size, frame = (width, height), kind
        elif body.startswith((b"Adobe", b"MPF\0")):
            is_usual = False
        if body.startswith(b"Exif\0\0"):
            exif += body[6:]
        elif body.startswith(b"MPF\0"):
            parts += 1000  # each is a directory to be read
            _check_tags(body[4:], name)
    _check_tags(exif, name)
    return Header(data, size, is_usual_jpeg=is_usual)


def _is_usual_frame(kind: int, body: bytes) -> bool:
    bits, components = body[0], body[5]
    return kind in _USUAL_FRAMES and bits == 8 and body[7 : 6 + 3 * components : 3] in _USUAL_SAMPLINGS


def _ends_at_last(data: bytes, at: int, *, several: bool) -> bool:
    """Whether the scan that begins at `at`, or with `several` the last scan, ends exactly where the file ends."""
    if several:
        return data.find(b"\xff\xd9", at) == len(data) - 2
    marker = _NEXT.search(data, at)
    return marker is not None and marker.start() == len(data) - 2


def _check_scans(data: bytes, at: int, size: tuple[int, int], name: str) -> None:
    end = data.find(b"\xff\xd9", at)
    scans = 1 + data.count(b"\xff\xda", at, len(data) if end < 0 else end)
    _count(scans, MAX_SCANS, "scans", name)
    _count(scans * size[0] * size[1], MAX_SCANNED, "pixels times scans", name)


# --------------------------------------------------------------------------------- GIF, WebP and BMP


def _gif(data: bytes, name: str) -> Header:
    """Keep only those extensions that say how the first frame is shown."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0)
    kept, parts = [data[:at]], 0
    while data[at] not in b",;":
        parts += 1
        _count(parts, MAX_PARTS, "blocks", name)
        start, label, at = at, data[at + 1], at + 1
        if data[start] != 0x21:  # junk, one by one
            continue
        at += 1
        while data[at]:
            at += 1 + data[at]
            parts += 1
            _count(parts, MAX_PARTS, "blocks", name)
        at += 1
        if label == 0xF9:
            kept = [kept[0], data[start:at]]
    return Header(b"".join((*kept, data[at:])), (width, height))


def _webp(data: bytes, name: str) -> Header:
    size, at, parts = None, 12, 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length] if kind in (b"VP8X", b"EXIF") else b""
        if kind == b"VP8X":
            size = 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        elif kind == b"EXIF":
            _check_tags(body.removeprefix(b"Exif\0\0"), name)
        at += 8 + length + length % 2
        parts += 1
        _count(parts, MAX_PARTS, "chunks", name)
    return Header(data, size)


def _bmp(data: bytes, name: str) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        return Header(data, struct.unpack_from("<HH", data, 18))
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (1, 2):
        _count(abs(width * height), MAX_RUN_LENGTH_PIXELS, "pixels with run-length encoding", name)
        _count(len(data), MAX_RUN_LENGTH_BYTES, "bytes with run-length encoding", name)
    return Header(data, (abs(width), abs(height)))


# ------------------------------------------------------------------------------------------------ TIFF

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q"}
"""Bytes of a tag's type, and what `struct` calls it."""
_INSIDE = (34665, 34853, 40965)
"""Tags that point to directories of their own."""
_STRIPS, _TILES, _ORIENTATION = 273, 324, 274
_WHITE_TAGS = (341, 281)
"""SMaxSampleValue and MaxSampleValue."""


@dataclass(frozen=True)
class _Directory:
    """The tags of a TIFF or of EXIF data. next_at: where the pointer to the next directory is. width: its bytes."""

    data: bytes
    order: str
    tags: dict[int, tuple[int, int, int]]
    size: int
    next_at: int
    width: int

    def values(self, tag: int, most: int = 16) -> tuple[float, ...]:
        """The first numbers of a tag; empty if it is missing, of another type, or cut off."""
        kind, count, at = self.tags.get(tag, (0, 0, 0))
        form = f"{self.order}{min(count, most)}{_CODES.get(kind, 'B')}"
        if kind not in _CODES or at + struct.calcsize(form) > len(self.data):
            return ()
        return struct.unpack_from(form, self.data, at)

    def first(self, tag: int, default: int) -> int:
        return int(next(iter(self.values(tag, 1)), default))


def _directory(data: bytes, at: int | None = None) -> _Directory:
    """Each tag's type, count and position of its values. Raises: struct.error if the data end too early."""
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    big = version == 43
    entry, counter = (f"{order}HHQ", "Q") if big else (f"{order}HHI", "H")
    width = 8 if big else 4
    pointer = order + ("Q" if big else "I")
    if at is None:
        at = int(struct.unpack_from(pointer, data, 8 if big else 4)[0])
    (count,) = struct.unpack_from(order + counter, data, at)
    at += struct.calcsize(counter)
    tags, size = {}, 0
    for _ in range(min(count, 65_535)):
        if at + struct.calcsize(entry) + width > len(data):
            break
        tag, kind, number = struct.unpack_from(entry, data, at)
        value = at + struct.calcsize(entry)
        long = _WIDTHS.get(kind, 1) * number
        if long > width:
            (value,) = struct.unpack_from(pointer, data, value)
            size += min(long, max(len(data) - value, 0))
        tags[tag] = kind, number, value
        at += struct.calcsize(entry) + width
    return _Directory(data, order, tags, size, at, width)


def _check_tags(data: bytes, name: str) -> _Directory | None:
    """The directory of a TIFF or of EXIF data, if it can be read; few of its tags may point to the same bytes."""
    try:
        found = _directory(data)
    except (struct.error, OverflowError):
        return None
    size = found.size
    for tag in _INSIDE:
        try:
            size += _directory(data, found.first(tag, len(data))).size
        except (struct.error, OverflowError):
            continue
    _count(size, 4 * len(data) + _TAG_BYTES, "bytes in its tags", name)
    return found


def _tiff(data: bytes, name: str) -> Header:
    tags = _check_tags(data, name)
    if tags is None:
        return Header(data)
    width, height = tags.first(256, 0), tags.first(257, 0)
    for tag, what in ((_STRIPS, "strips"), (_TILES, "tiles")):
        _count(tags.tags.get(tag, (0, 0, 0))[1], MAX_PARTS, what, name)
    if _TILES in tags.tags:
        across, down = tags.first(322, 1) or 1, tags.first(323, 1) or 1
        padded = -(-width // across) * across * -(-height // down) * down
        _count(padded, 4 * (width * height + 1_000_000), "pixels in its tiles", name)
    if tags.first(259, 1) in (6, 7):
        parts = tags.tags.get(_TILES, tags.tags.get(_STRIPS, (0, 0, 0)))[1]
        _count(data.count(b"\xff\xda"), MAX_SCANS + parts, "scans", name)
    white = next((float(min(found)) for tag in _WHITE_TAGS if (found := tags.values(tag))), None)
    bits = tags.first(258, 1)
    return Header(
        _one_upright_page(tags),
        (width, height),
        bits,
        white or (2.0**bits - 1 if 8 < bits < 16 else None),
        zero_is_white=tags.first(262, 1) == 0,
        unsigned=tags.first(339, 1) == 1,
        turned=tags.first(_ORIENTATION, 1) if tags.tags.get(_ORIENTATION, (0, 0, 0))[:2] == (3, 1) else 1,
    )


def _one_upright_page(tags: _Directory) -> bytes:
    """The first page of a TIFF, without further directories, and upright: `turned` keeps its orientation."""
    data = bytearray(tags.data)
    data[tags.next_at : tags.next_at + tags.width] = bytes(tags.width)
    for tag in _INSIDE:
        if tags.tags.get(tag, (0, 0, 0))[1] == 1:
            at = tags.tags[tag][2] - (10 if tags.width == 8 else 6)  # type 0 is unknown, so readers skip the tag
            data[at : at + 2] = bytes(2)
    if tags.tags.get(_ORIENTATION, (0, 0, 0))[:2] == (3, 1):
        at = tags.tags[_ORIENTATION][2]
        data[at : at + 2] = struct.pack(f"{tags.order}H", 1)
    return bytes(data)


_READERS: tuple[tuple[bytes, Callable[[bytes, str], Header]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
    (b"II", _tiff),
    (b"MM", _tiff),
    (b"BM", _bmp),
)
