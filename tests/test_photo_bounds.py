"""Files that promise more than they hold or than anybody wants, and levels whose white is not the usual one."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcam.cli import terminal
from gradcam.errors import PhotoError
from gradcam.photo import open_photo
from gradcam.photo_file import open_photos, photo_file
from gradcam.report import Report
from gradcam.report.reproduce import command, python_lines
from gradcam.types import Photo
from tests import report_fakes
from tests.test_photo import encoded, png, refusal

DATA = Path(__file__).parent / "data" / "photos"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(width: int, height: int, tags: dict[int, tuple[int, list[int]]], pixels: bytes = b"") -> bytes:
    """A little-endian TIFF of one strip with these tags on top: type (3 is 16 bits, 4 is 32) and values."""
    usual = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1])}
    usual |= {273: (4, [0]), 278: (4, [height]), 279: (4, [len(pixels)])}
    tags = usual | tags
    start = 8 + 2 + 12 * len(tags) + 4
    tail = b""
    packed = {tag: struct.pack(f"<{len(values)}{'HI'[kind - 3]}", *values) for tag, (kind, values) in tags.items()}
    pixels_at = start + sum(len(data) for data in packed.values() if len(data) > 4)
    if tags[273] == (4, [0]):
        packed[273] = struct.pack("<I", pixels_at)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = packed[tag]
        place = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", start + len(tail))
        tail += data if len(data) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, len(values)) + place
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + tail + pixels


def a_jpeg(**options: Any) -> bytes:
    return encoded(Image.new("RGB", (64, 64), "red"), "JPEG", **options)


def many_scans(scans: int) -> bytes:
    data = a_jpeg(progressive=True)
    at = data.index(b"\xff\xda")
    following = data.index(b"\xff", at + 2)
    return data[:at] + data[at:following] * scans + data[at:]


def full_of_tags(tags: int, each: int) -> bytes:
    """EXIF data whose tags all point to the same bytes."""
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, each, 8) for tag in range(tags))
    return (b"II*\0" + struct.pack("<IH", 8, tags) + entries).ljust(each + 8, b"\0")


GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
GIF_FRAME = b",\0\0\0\0\1\0\1\0\0\2\2L\1\0;"
RLE_HEADER = struct.pack("<IiiHHIIiiII", 40, 60_000, 800, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "one column": (lambda: (DATA / "px1x50M.png").read_bytes(), "sides have at most 65535 pixels"),
    "no data": (lambda: png(7000, 7000), "small part of its 7000 × 7000 pixels|truncated"),
    "half the rows": (lambda: png(200, 200, data=bytes(201 * 100)), "truncated or damaged"),
    "a JPEG without data": (
        lambda: a_jpeg().replace(b"\0\x11\x08\0\x40\0\x40", b"\0\x11\x08\x1b\x58\x1b\x58"),
        "small part of its 7000 × 7000 pixels|truncated",
    ),
    "chunks": (lambda: png(1, 1, data=b"\0\0", extra=chunk(b"tEXt", b"a\0b") * 100_001), "at most 100,000 chunks"),
    "scans": (lambda: many_scans(200), "at most 100 scans"),
    "fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 3_000_000, "at most 100,000 segments"),
    "junk between segments": (lambda: b"\xff\xd8\xff\xe0\0\2" + bytes(3_000_000) + b"\xff", "100,000 segments"),
    "segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000, "at most 100,000 segments"),
    "blocks": (lambda: GIF + b"!\xfe" + b"\1a" * 200_000 + b"\0" + GIF_FRAME, "at most 100,000 blocks"),
    "run lengths": (lambda: b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + RLE_HEADER + bytes(99), "run-length"),
    "strips": (
        lambda: tiff(1, 60_000, {273: (4, [8] * 2_000_000), 278: (4, [1]), 279: (4, [1] * 2_000_000)}),
        "at most 100,000 strips",
    ),
    "tiles": (
        lambda: tiff(60_000, 800, {322: (4, [16]), 323: (4, [10**6]), 324: (4, [8] * 9), 325: (4, [1] * 9)}),
        "pixels in its tiles",
    ),
    "tags": (lambda: full_of_tags(5000, 1_000_000), "bytes in its tags"),
    "tags of a JPEG": (
        lambda: b"\xff\xd8\xff\xe1\xff\xff" + (b"Exif\0\0" + full_of_tags(5000, 60_000))[:65_533] + a_jpeg()[2:],
        "bytes in its tags",
    ),
    "tags of a PNG": (
        lambda: png(1, 1, data=b"\0\0", extra=chunk(b"eXIf", full_of_tags(5000, 1_000_000))),
        "bytes in its tags",
    ),
    "a canvas": (
        lambda: b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6 + bytes(50),
        "at most 50 megapixels",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_its_own_sentence(bomb: str) -> None:
    make, words = BOMBS[bomb]
    with pytest.raises(PhotoError, match=words):
        open_photo(make())


def test_text_that_unpacks_enormously_is_left_out() -> None:
    bomb = zlib.compress(bytes(20_000_000))
    extra = (
        chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"iCCP", b"a\0\0" + bomb) + chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)
    )
    assert open_photo(png(1, 1, data=b"\0\x07", extra=extra)).pixels.tolist() == [[[7, 7, 7]]]


def test_a_comment_of_many_blocks_is_left_out() -> None:
    assert open_photo(GIF + b"!\xfe" + (b"\xff" + b"a" * 255) * 50_000 + b"\0" + GIF_FRAME).size == (1, 1)


def test_a_black_interlaced_png_is_whole() -> None:
    data = bytearray(png(3, 3, data=bytes(2 + 2 + 3 + 6 + 4)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    assert open_photo(bytes(data)).pixels.max() == 0


def test_damaged_exif_data_leave_the_picture_as_it_lies() -> None:
    assert open_photo(a_jpeg(exif=b"Exif\0\0" + b"\xff" * 40)).size == (64, 64)


def test_one_file_never_holds_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one photo is decoded, others are opened: nothing of the whole process is held."""
    decoding, go_on = threading.Event(), threading.Event()
    load = Image.Image.load

    def slow(self: Image.Image) -> Any:
        if self.size == (64, 64) and threading.current_thread() is slow_thread:
            decoding.set()
            assert go_on.wait(60)
        return load(self)

    monkeypatch.setattr(Image.Image, "load", slow)
    slow_thread = threading.Thread(target=lambda: open_photo(a_jpeg()))
    slow_thread.start()
    assert decoding.wait(60)
    assert open_photo(encoded(Image.new("RGB", (3, 2)))).size == (2, 3)
    go_on.set()
    slow_thread.join()


def test_a_name_is_quoted_on_one_line_and_cut() -> None:
    sentence = refusal(b"no picture", name="a\nb" + "x" * 1000)
    assert "\n" not in sentence
    assert len(sentence) < 350


# -- levels -----------------------------------------------------------------------------------------------------

TWELVE = np.array([[0, 1024, 2048, 4095]], np.uint16)
DIM = "its brightest level is 6 % of white; stretch it to see more"


def grey_png(levels: np.ndarray, extra: bytes = b"") -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return png(levels.shape[1], levels.shape[0], depth=16, data=rows, extra=extra)


def grey(data: bytes, **options: Any) -> list[int]:
    return open_photo(data, **options).pixels[0, :, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "int32"])
def test_12_bits_in_16_are_dark_say_so_and_can_be_stretched(kind: str) -> None:
    image = Image.fromarray(TWELVE.astype(np.int32) if kind == "int32" else TWELVE)
    data = encoded(image, "PNG" if kind == "PNG" else "TIFF")
    as_it_is, stretched = open_photo(data), open_photo(data, stretch=True)
    assert as_it_is.pixels.max() == 16
    assert as_it_is.note == DIM
    assert stretched.pixels[0, :, 0].tolist() == [0, 64, 128, 255]
    assert stretched.note == "levels 0 to 4095 were stretched from black to white"
    assert stretched.stretched
    assert stretched.sha256 != as_it_is.sha256


def test_12_bits_in_16_of_a_colour_png_are_stretched_from_all_their_bits() -> None:
    levels = np.array([[[0, 1, 2], [4, 8, 16]]], ">u2")
    data = png(2, 1, depth=16, colour=2, data=b"\0" + levels.tobytes())
    assert open_photo(data).pixels.max() == 0
    assert "less than 1 % of white" in open_photo(data).note
    assert open_photo(data, stretch=True).pixels.tolist() == [[[0, 16, 32], [64, 128, 255]]]


@pytest.mark.parametrize("tag", [281, 341])
def test_the_white_that_the_tags_of_a_tiff_name_is_white(tag: int) -> None:
    photo = open_photo(tiff(4, 1, {258: (3, [16]), tag: (3, [4095])}, TWELVE.tobytes()))
    assert photo.pixels[0, :, 0].tolist() == [0, 64, 128, 255]
    assert photo.note == "white is level 4095, as the file's own tags say"


def test_a_tiff_of_12_bits_a_sample_is_as_bright_as_it_is() -> None:
    packed = bytes.fromhex("000400800fff")  # 0, 1024, 2048, 4095 in 12 bits each
    assert grey(tiff(4, 1, {258: (3, [12])}, packed)) == [0, 64, 128, 255]


def test_a_tag_that_the_levels_belie_is_not_believed() -> None:
    full = np.array([[0, 65535]], np.uint16)
    assert grey(tiff(2, 1, {258: (3, [16]), 281: (3, [4095])}, full.tobytes())) == [0, 255]


def test_significant_bits_of_a_png_count_where_the_levels_fill_only_these() -> None:
    twelve = chunk(b"sBIT", b"\x0c")
    assert grey(grey_png(TWELVE, twelve)) == [0, 64, 128, 255]
    assert grey(grey_png(TWELVE * 16, twelve)) == [0, 64, 128, 255]  # at full scale, as the standard wants it
    dark = np.array([[0, 16, 32, 1024]], np.uint16)
    assert grey(grey_png(dark, twelve)) == [0, 0, 0, 4]


def test_a_16_bit_tiff_whose_zero_is_white_is_no_negative() -> None:
    levels = np.array([[0, 65535]], np.uint16)
    assert grey(tiff(2, 1, {258: (3, [16]), 262: (3, [0])}, levels.tobytes())) == [255, 0]


def test_32_bit_levels_reach_as_far_as_their_type() -> None:
    unsigned = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert grey(tiff(3, 1, {258: (3, [32])}, unsigned.tobytes())) == [0, 128, 255]
    signed = np.array([[0, 2**30, 2**31 - 1]], np.int32)
    assert grey(tiff(3, 1, {258: (3, [32]), 339: (3, [2])}, signed.tobytes())) == [0, 128, 255]


def test_levels_below_zero_and_fractions_above_one_can_be_stretched() -> None:
    data = encoded(Image.fromarray(np.array([[-100.0, 0.0, 300.0]], np.float32)), "TIFF")
    assert "or stretch it" in refusal(data)
    assert grey(data, stretch=True) == [0, 64, 255]


def test_levels_that_are_no_numbers_are_refused_even_stretched() -> None:
    assert "got nan" in refusal(
        encoded(Image.fromarray(np.array([[0.0, np.nan]], np.float32)), "TIFF"), stretch=True
    )


def test_a_photo_of_8_bits_and_of_one_level_can_be_stretched_too() -> None:
    assert grey(encoded(Image.fromarray(np.array([[10, 20, 30]], np.uint8))), stretch=True) == [0, 128, 255]
    assert grey(encoded(Image.new("L", (2, 1), 7)), stretch=True) == [0, 0]
    assert grey(encoded(Image.fromarray(np.full((1, 2), 700, np.uint16))), stretch=True) == [0, 0]


def test_a_bright_photo_of_16_bits_has_no_note() -> None:
    assert open_photo(encoded(Image.fromarray(np.array([[0, 40_000]], np.uint16)))).note == ""


def test_gray_with_alpha_of_16_bits_is_laid_over_white() -> None:
    levels = np.array([[65535, 65535, 65535, 0]], ">u2")
    assert grey(png(2, 1, depth=16, colour=4, data=b"\0" + levels.tobytes())) == [255, 255]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_stretched_colour_photo_of_16_bits_is_upright(orientation: int) -> None:
    exif = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    rows = np.zeros((2, 3, 3), ">u2")
    rows[0, 0] = 900
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    photo = open_photo(png(3, 2, depth=16, colour=2, data=data, extra=chunk(b"eXIf", exif)), stretch=True)
    corner = {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0)}[orientation]
    assert photo.pixels[corner].tolist() == [255, 255, 255]
    assert photo.pixels.sum() == 3 * 255


def test_colours_of_all_kinds_stay_right() -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    for mode in ("CMYK", "YCbCr", "LAB"):
        image_of_mode = image.convert(mode) if mode != "LAB" else Image.new("LAB", (8, 8), (136, 208, 195))
        pixel = open_photo(encoded(image_of_mode, "TIFF")).pixels[4, 4].astype(int)
        assert abs(pixel - (255, 0, 0)).max() <= 30, mode


def test_an_empty_buffer_is_no_bomb() -> None:
    for data in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"BM", b"RIFF\0\0\0\0WEBP"):
        with pytest.raises(PhotoError):
            open_photo(io.BytesIO(data))


def loadable(*photos: Photo) -> Report:
    made = report_fakes.report(*photos)
    return replace(made, models=tuple(replace(model, origin="installed package") for model in made.models))


def test_a_report_says_what_is_doubtful_of_a_photo_and_makes_it_again_stretched() -> None:
    data = encoded(Image.fromarray(np.tile(TWELVE, (40, 15))))
    dark, bright = open_photo(data, name="x.png"), open_photo(data, name="x.png", stretch=True)
    made = loadable(dark)
    assert made.heatmaps[0].warnings[-1] == f"About the photo: {DIM}."
    assert "--stretch" not in command(made)
    assert "open_photo('x.png')" in python_lines(made)
    again = loadable(bright)
    assert again.photos[0].stretched
    assert " --stretch " in command(again)
    assert "open_photo('x.png', stretch=True)" in python_lines(again)
    assert command(loadable(dark, bright)).startswith("# No command stretches some photos")


def test_a_photo_that_stays_in_its_file_is_stretched_each_time(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encoded(Image.fromarray(TWELVE)))
    kept = photo_file(path, stretch=True)
    assert kept.pixels.max() == 255
    assert kept.sha256 == open_photo(path, stretch=True).sha256


def test_the_command_line_says_that_a_photo_is_dark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(TWELVE)))
    terminal.say_notes(open_photos([tmp_path / "x.png"]))
    assert capsys.readouterr().err == f"x.png: {DIM}\n"
