from __future__ import annotations

import hashlib
import io
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcam import photo as photo_module
from gradcam.errors import PhotoError
from gradcam.photo import MAX_PIXELS, SAMPLES, open_photo, sample_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def flag() -> Image.Image:
    """Two rows of three: red green blue, and below white black red."""
    rows = [[RED, GREEN, BLUE], [WHITE, (0, 0, 0), RED]]
    return Image.fromarray(np.array(rows, dtype=np.uint8))


def smooth(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 5, y * 7, 255 - x * 5], axis=2).astype(np.uint8))


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"", extra: bytes = b""
) -> bytes:
    """A PNG written by hand: 16-bit depth and sizes without the pixels to go with them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_file_gives_back_every_pixel(kind: str) -> None:
    assert (open_photo(encoded(flag(), kind, **LOSSLESS[kind])).pixels == np.asarray(flag())).all()


def test_a_jpeg_gives_back_nearly_every_level() -> None:
    pixels = open_photo(encoded(smooth(), "JPEG", quality=100, subsampling=0)).pixels.astype(int)
    assert abs(pixels - np.asarray(smooth())).max() <= 3


def test_path_text_bytes_and_file_give_the_same_photo(tmp_path: Path) -> None:
    data = encoded(flag())
    path = tmp_path / "flag.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        photos = [open_photo(path), open_photo(str(path)), open_photo(file), open_photo(data, name="flag.png")]
    assert {photo.name for photo in photos} == {"flag.png"}
    assert {photo.sha256 for photo in photos} == {hashlib.sha256(data).hexdigest()}
    assert all((photo.pixels == np.asarray(flag())).all() for photo in photos)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/home/me/cat.png", "cat.png"), ("C:\\Users\\me\\cat.png", "cat.png"), ("cat.png", "cat.png"), ("", "photo")],
)
def test_a_name_never_holds_a_folder(name: str, shown: str) -> None:
    assert open_photo(encoded(flag()), name=name).name == shown


def test_pixels_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_photo(encoded(flag())).pixels[0, 0] = 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    undo = {  # how a camera with this orientation would have stored the upright flag
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = flag().transpose(undo[orientation]) if orientation in undo else flag()
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(encoded(stored, kind, exif=exif, **LOSSLESS[kind]))
    assert (photo.pixels == np.asarray(flag())).all()


def test_a_phone_jpeg_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = open_photo(encoded(smooth(48, 32), "JPEG", exif=exif))
    assert photo.size == (48, 32)


def test_a_palette_comes_out_as_its_colours() -> None:
    assert (open_photo(encoded(flag().quantize(8))).pixels == np.asarray(flag())).all()


def test_a_transparent_palette_entry_comes_out_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        assert open_photo(encoded(image, kind, transparency=1)).pixels.tolist() == [[list(RED), list(WHITE)]]


def test_several_half_transparent_palette_entries_are_laid_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    assert open_photo(encoded(image, transparency=bytes([128, 0]))).pixels.tolist() == [
        [[255, 127, 127], list(WHITE)]
    ]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(kind: str) -> None:
    rows = [[(*RED, 255), (*RED, 128), (0, 0, 0, 0)]]
    image = Image.fromarray(np.array(rows, dtype=np.uint8))
    options = {**LOSSLESS[kind], **({"exact": True} if kind == "WEBP" else {})}
    assert open_photo(encoded(image, kind, **options)).pixels.tolist() == [
        [list(RED), [255, 127, 127], list(WHITE)]
    ]


def test_gray_with_alpha_is_laid_over_white() -> None:
    image = Image.fromarray(np.array([[(100, 255), (100, 0)]], dtype=np.uint8), "LA")
    assert open_photo(encoded(image)).pixels.tolist() == [[[100] * 3, [255] * 3]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_and_one_bit_pictures_have_three_equal_channels(mode: str) -> None:
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert(mode)
    for kind in ("PNG", "TIFF", "BMP"):
        assert open_photo(encoded(image, kind)).pixels.tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_printing_colours_come_out_as_light(kind: str) -> None:
    """Pillow writes CMYK JPEGs the way Adobe does, inverted: read wrongly, white would come out black."""
    inks = np.zeros((16, 32, 4), dtype=np.uint8)
    inks[:, 16:] = (0, 255, 255, 0)
    options = {"quality": 100} if kind == "JPEG" else {}
    pixels = open_photo(encoded(Image.fromarray(inks, "CMYK"), kind, **options)).pixels.astype(int)
    assert abs(pixels[8, 4] - WHITE).max() <= 2
    assert abs(pixels[8, 28] - RED).max() <= 2


LEVELS_16 = [0, 257, 32896, 65535]
LEVELS_8 = [[[level] * 3 for level in (0, 1, 128, 255)]]


def test_a_16_bit_png_is_scaled_by_257_not_clipped() -> None:
    data = png(4, 1, depth=16, data=b"\0" + struct.pack(">4H", *LEVELS_16))
    assert open_photo(data).pixels.tolist() == LEVELS_8


def test_the_transparent_level_of_a_16_bit_png_comes_out_white() -> None:
    body = b"tRNS" + struct.pack(">H", 257)
    extra = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    data = png(4, 1, depth=16, data=b"\0" + struct.pack(">4H", *LEVELS_16), extra=extra)
    assert open_photo(data).pixels[0, :, 0].tolist() == [0, 255, 128, 255]


def test_a_16_bit_colour_png_is_scaled_not_clipped() -> None:
    data = png(1, 1, depth=16, colour=2, data=b"\0" + struct.pack(">3H", 65535, 32896, 257))
    assert open_photo(data).pixels.tolist() == [[[255, 128, 1]]]


@pytest.mark.parametrize("dtype", [np.uint16, np.dtype(">u2"), np.int32])
def test_a_16_bit_tiff_is_scaled_by_257_not_clipped(dtype: Any) -> None:
    assert (
        open_photo(encoded(Image.fromarray(np.array([LEVELS_16], dtype=dtype)), "TIFF")).pixels.tolist() == LEVELS_8
    )


def test_floating_point_levels_run_from_0_black_to_1_white() -> None:
    image = Image.fromarray(np.array([[0.0, 0.2, 1.0]], dtype=np.float32))
    assert open_photo(encoded(image, "TIFF")).pixels[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("level", [-0.5, 3000.0, float("nan")])
def test_floating_point_levels_without_a_known_white_are_refused(level: float) -> None:
    image = Image.fromarray(np.array([[0.0, level]], dtype=np.float32))
    with pytest.raises(
        PhotoError, match=r"^expected gray levels from 0 to 1 in 'photo', got .*; save it with 8 or 16"
    ):
        open_photo(encoded(image, "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_shows_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **LOSSLESS[kind])
    assert (open_photo(data).pixels == RED).all()


# -- refusals ---------------------------------------------------------------------------------------------------


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(PhotoError) as caught:
        open_photo(source, **options)
    return str(caught.value)


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7 ...", b"RIFF\0\0\0\0WAVEfmt ", b"\0" * 100])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refusal(data, name="a.txt") == (
        "expected a picture (PNG, JPEG, WEBP, GIF, TIFF, BMP), got another kind of file, 'a.txt'; "
        "save it as PNG or JPEG"
    )


def test_a_picture_in_a_format_not_offered_is_refused() -> None:
    assert "got another kind of file" in refusal(encoded(smooth(), "PPM"))


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    assert refusal(data[: int(len(data) * share)], name="half.png") == (
        "expected a whole picture, but 'half.png' is truncated or damaged; fetch or save it again"
    )


def opens(data: bytes) -> bool:
    try:
        open_photo(data)
    except PhotoError:
        return False
    return True


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG"])
def test_random_damage_is_refused_or_survived_but_never_another_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    outcomes = set()
    whole = encoded(smooth(), kind)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), int(rng.choice([40, 200, 10_000]))), size=5):
            damaged[place] = int(rng.integers(256))
        outcomes.add(opens(bytes(damaged)))
    assert outcomes == {True, False}


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    for source in (path, b"", io.BytesIO()):
        assert "got an empty file" in refusal(source)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.png"
    assert refusal(path) == f"expected a photo, but there is no file {str(path)!r}; check the path"
    assert "cannot be read" in refusal("null\0byte.png")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"expected a photo, got the folder {tmp_path.name!r}; name a file in it"


def test_a_file_in_text_mode_and_other_objects_are_refused() -> None:
    assert "open it with mode 'rb'" in refusal(io.StringIO("text"))
    assert refusal(7) == "expected a path, bytes or an open file, got int; pass one of those"


@pytest.mark.parametrize("size", [(7072, 7072), (10_000, 9_000), (40_000, 40_000)])
def test_too_many_pixels_are_refused_from_the_header(size: tuple[int, int]) -> None:
    """Just over the limit, where Pillow itself would warn, and where it would raise; no pixels are in the file."""
    assert size[0] * size[1] > MAX_PIXELS
    assert refusal(png(*size)).startswith("expected a photo of at most 50 megapixels, got ")


def test_the_pixel_limit_can_be_set_and_is_itself_allowed() -> None:
    assert open_photo(encoded(flag()), max_pixels=6).size == (2, 3)
    assert "got 3 × 2 pixels in 'photo'; shrink it" in refusal(encoded(flag()), max_pixels=5)


def test_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(bytes(1001))
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("was read"))
    for source in (path, bytes(1001), io.BytesIO(bytes(1001))):
        assert "expected a file of at most 0.001 MB, got a larger one" in refusal(source, max_bytes=1000)


def test_of_an_open_file_no_more_is_read_than_shows_that_it_is_too_large() -> None:
    file = io.BytesIO(bytes(10_000))
    refusal(file, max_bytes=1000)
    assert file.tell() == 1001


def test_the_byte_limit_itself_is_allowed() -> None:
    data = encoded(flag())
    assert open_photo(data, max_bytes=len(data)).size == (2, 3)


# -- samples ----------------------------------------------------------------------------------------------------


def test_samples_open_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *args, **options: pytest.fail("asked for the network"))
    photo_module._sample.cache_clear()
    photos = {name: sample_photo(name) for name in SAMPLES}
    assert photos["chelsea"].size == (300, 451)
    assert photos["coffee"].size == (400, 600)
    assert len({photo.sha256 for photo in photos.values()}) == len(SAMPLES)
    assert [photo.name for photo in photos.values()] == list(SAMPLES)


def test_two_samples_share_a_square_and_swap_sides() -> None:
    one, other = sample_photo("cat and coffee"), sample_photo("coffee and cat")
    assert one.size == other.size == (400, 400)
    assert (one.pixels[:, :200] == other.pixels[:, 200:]).all()
    assert (one.pixels[:, 200:] == other.pixels[:, :200]).all()
    # The coffee is 400 pixels high: its middle 200 columns stand there as they are, neither squashed nor scaled.
    assert (one.pixels[:, 200:] == sample_photo("coffee").pixels[:, 200:400]).all()


def test_the_composed_sample_has_a_digest_of_its_own_that_never_changes() -> None:
    assert sample_photo("cat and coffee").sha256.startswith("8185d0f0a8f147ed")


def test_an_unknown_sample_names_the_nearest() -> None:
    with pytest.raises(PhotoError, match=r"got 'cofee'; try 'coffee'"):
        sample_photo("cofee")


def test_a_samples_name_where_a_path_is_expected_leads_to_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PhotoError, match=r"no file 'coffee'; the sample is sample_photo\('coffee'\)"):
        open_photo("coffee")
