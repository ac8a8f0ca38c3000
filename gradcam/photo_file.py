"""Photos that stay in their files: many are explained and drawn while few are in memory."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import PhotoError, quoted
from gradcam.kinds import expect_each, expect_functions
from gradcam.photo import MAX_BYTES, open_photo, photo_name
from gradcam.types import Photo, UnreadablePhoto

KEPT, KEPT_BYTES = 100, 2**28
"""How many photos of files stay decoded, and bytes of their pixels: the most recently used, and one in any case.
The command line and programs open photos so. The dashboard and runs use `open_photo`, and keep none here."""

_GREY = np.full((300, 400, 3), 208, np.uint8)
_GREY.flags.writeable = False

_kept: OrderedDict[tuple[Path, str, bool], NDArray[np.uint8]] = OrderedDict()
_guard = threading.Lock()


@dataclass(frozen=True, eq=False)
class PhotoFile(Photo):
    """A photo whose pixels are decoded when they are read, and forgotten after enough others were, see `KEPT`.

    path: of the file. dimensions: height and width in pixels.
    The pixels are those of the file when it was first opened. Decoding them again raises PhotoError if the file has
    changed since; while they are kept, the file is not read.
    """

    pixels: NDArray[np.uint8] = field(init=False, repr=False)
    path: Path
    dimensions: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.dimensions

    def __getattr__(self, name: str) -> NDArray[np.uint8]:
        if name != "pixels":  # the one field that is never set
            raise AttributeError(name)
        key = self.path, self.sha256, self.stretched
        with _guard:
            if key in _kept:
                _kept.move_to_end(key)
                return _kept[key]
        photo = open_photo(self.path, stretch=self.stretched)
        if photo.sha256 != self.sha256:
            raise PhotoError(f"expected {quoted(self.path)} as it was opened first, got another; leave it as it is")
        return _keep(self.path, photo)


def photo_file(path: str | Path, *, stretch: bool = False) -> PhotoFile:
    """The photo in a file, which is opened once to check it. Raises: PhotoError."""
    path = Path(path)
    photo = open_photo(path, stretch=stretch)
    _keep(path, photo)
    return PhotoFile(photo.name, photo.sha256, path, photo.size, stretched=stretch, note=photo.note)


def open_photos(names: Iterable[str | Path], open_one: Callable[[str | Path], Photo] = photo_file) -> list[Photo]:
    """The photos in these files, in order; one that cannot be opened is an `UnreadablePhoto` with its reason.

    open_one: opens one file, or raises PhotoError. By default at most `KEPT`, or `KEPT_BYTES`, are in memory.
    """
    expect_functions(open_one=open_one)
    return [_open(name, open_one) for name in expect_each(str | Path, names)]


def refuse_none_readable(photos: Sequence[Photo]) -> None:
    """Raises: PhotoError with the first photo's reason, if none could be opened."""
    reasons = [photo.reason for photo in photos if isinstance(photo, UnreadablePhoto)]
    if photos and len(reasons) == len(photos):
        raise PhotoError(reasons[0])


def _open(name: str | Path, open_one: Callable[[str | Path], Photo]) -> Photo:
    try:
        return open_one(name)
    except PhotoError as error:
        return UnreadablePhoto(_GREY, photo_name(str(name)), _sha256(Path(name)), str(error))


def _sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes; of no bytes if the file cannot be read or is too large."""
    data = b""
    with suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            data = path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _keep(path: Path, photo: Photo) -> NDArray[np.uint8]:
    key = path, photo.sha256, photo.stretched
    with _guard:
        _kept[key] = photo.pixels
        _kept.move_to_end(key)
        held = sum(one.nbytes for one in _kept.values())
        while len(_kept) > KEPT or (len(_kept) > 1 and held > KEPT_BYTES):
            held -= _kept.popitem(last=False)[1].nbytes
    return photo.pixels
