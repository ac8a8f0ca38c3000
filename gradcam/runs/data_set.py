"""A data set: its photos, and what is known about each.

A data set is a folder whose inner folders are labels, a manifest with a row for each photo, a ZIP of either, a
Hugging Face dataset on disk, or the bundled sample set. No photo is decoded here, so a million photos are listed in
seconds.
"""

from __future__ import annotations

import lzma
import os
import posixpath
import re
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

import pyarrow as pa

from gradcam.errors import PhotoError, RunError, check_kind, machine_trouble, quoted
from gradcam.photo import MAX_BYTES, open_photo
from gradcam.runs import manifest
from gradcam.runs.manifest import MANIFESTS, PhotoRow
from gradcam.runs.stored_dataset import StoredPictures, is_stored_dataset, read_rows
from gradcam.text import count
from gradcam.types import Photo

SAMPLE = "sample"
"""The name of the bundled sample set."""

PICTURES = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".gif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".avif",
        ".heic",
        ".heif",
        ".jp2",
        ".jxl",
        ".ppm",
        ".pgm",
        ".pbm",
        ".ico",
        ".dng",
        ".cr2",
        ".nef",
        ".arw",
    ]
)
"""Suffixes of the files that count as photos. A photo that cannot be opened becomes a failed unit with a reason."""

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])
"""Names of folders that split a data set. They hold the folders that are labels."""

MAX_ENTRIES = 100_000
MAX_RATIO = 200
"""Limits of a ZIP: its files, and how far each may be compressed."""


_DAMAGE = (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What a damaged file in a ZIP may raise while it is read."""


class Files(Protocol):
    """Opens the files of a data set. A path is relative, with `/` between its parts."""

    def paths(self) -> Iterable[str]:
        """All files outside hidden folders, in order; of the hidden ones those that are photos by their names."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Raises: OSError, KeyError or one of `_DAMAGE`, as reading may, if the file cannot be read."""
        ...

    def state(self, path: str) -> tuple[int, int] | None:
        """Size in bytes and time of the last change in nanoseconds; None if there is no such file."""
        ...


@dataclass(frozen=True)
class Folder:
    """The files in a folder and in the folders that links in it lead to.

    A name that is not UTF-8 has `\\xe9` in its path for the byte e9.
    """

    root: Path

    def paths(self) -> Iterator[str]:
        for folder, inner, files in os.walk(self.root, followlinks=True):
            inner[:] = sorted(name for name in inner if not is_hidden(name) and not _leads_back(folder, name))
            here = Path(folder).relative_to(self.root)
            for name in sorted(files):
                if _is_listed(name):
                    yield os.fsencode((here / name).as_posix()).decode("utf-8", "backslashreplace")

    def open(self, path: str) -> BinaryIO:
        return self._file(path).open("rb")

    def state(self, path: str) -> tuple[int, int] | None:
        try:
            found = self._file(path).stat()
        except (OSError, ValueError):
            return None
        return found.st_size, found.st_mtime_ns

    def _file(self, path: str) -> Path:
        file = self.root / path
        if "\\x" not in path or file.exists():
            return file
        name = re.sub(rb"\\x([89a-f][0-9a-f])", lambda byte: bytes.fromhex(byte[1].decode()), path.encode())
        return self.root / os.fsdecode(name)


def _leads_back(folder: str, name: str) -> bool:
    """Whether a folder is a link to one that it lies in, which would be read for ever."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(path))


@dataclass(frozen=True)
class Archive:
    """The files in a ZIP, which are read without unpacking them to disk."""

    file: Path

    def paths(self) -> list[str]:
        try:
            entries = list(_opened_zip(self).archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise RunError(
                f"expected a whole ZIP, got a damaged one, {quoted(self.file)}; fetch it again"
            ) from error
        if len(entries) > MAX_ENTRIES:
            raise RunError(
                f"expected at most {MAX_ENTRIES:,} files in a ZIP, got {len(entries):,} in {quoted(self.file)}; "
                "unpack it into a folder"
            )
        for entry in entries:
            self._check(entry)
        files = (entry.filename for entry in entries if not entry.filename.endswith(("/", "\\")))
        return sorted(filter(_is_listed_in_archive, map(_path_of_entry, files)))

    def open(self, path: str) -> BinaryIO:
        opened = _opened_zip(self)
        entry = opened.entries[_path_of_entry(path)]
        return opened.archive.open(entry)  # pyright: ignore[reportReturnType] - it reads like any file

    def state(self, path: str) -> tuple[int, int] | None:
        return Folder(self.file.parent).state(self.file.name)

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name, packed = entry.filename, max(entry.compress_size, 10_000)
        if manifest.leads_out(name):
            raise RunError(
                f"expected files inside the ZIP, got the path {quoted(name)}, which leads out; pack it anew"
            )
        if entry.flag_bits & 1:
            raise RunError(f"expected a ZIP without a password, got {quoted(name)} with one; pack it anew")
        if entry.file_size > MAX_RATIO * packed:
            raise RunError(
                f"expected photos in the ZIP, got {quoted(name)}, which claims {entry.file_size:,} bytes from "
                f"{entry.compress_size:,}; leave it out"
            )


class _OpenZip(NamedTuple):
    """A ZIP whose list of files has been read. entries: by path, as `Archive.paths` gives it."""

    of: Archive
    state: tuple[int, int] | None
    archive: zipfile.ZipFile
    entries: dict[str, zipfile.ZipInfo]


class _LastZip(threading.local):
    """The ZIP that this thread opened last. It stays open, for to list 60,000 files takes a third of a second.

    Each thread has its own, because Python's ZIPs count their readers without a lock.
    """

    opened: _OpenZip | None = None


_LAST_ZIP = _LastZip()


def _opened_zip(of: Archive) -> _OpenZip:
    """The ZIP as it is now. Raises: OSError, ValueError, NotImplementedError, zipfile.BadZipFile."""
    last, state = _LAST_ZIP.opened, of.state("")
    if last is None or (last.of, last.state) != (of, state):
        archive = zipfile.ZipFile(of.file)
        entries = {_path_of_entry(entry.filename): entry for entry in archive.infolist()}
        last = _LAST_ZIP.opened = _OpenZip(of, state, archive, entries)
    return last


def _path_of_entry(name: str) -> str:
    """The path of a file in a ZIP. Some programs write `\\` between its parts, or `./` before it."""
    return posixpath.normpath(name.replace("\\", "/"))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Photos, what is known about each, and the files that hold them.

    source: as it was given to `read_data`. rows: a row for each photo, with the columns of `manifest.SCHEMA`.
    left_out: how many files are no photos.
    """

    source: str
    rows: pa.Table
    files: Files = field(repr=False)
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return (
            f"DataSet({quoted(self.source, 60)}, {count(len(self), 'photo')}, {count(len(self.labels), 'label')})"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted(label for label in self.rows["label"].unique().to_pylist() if label is not None))


def read_data(data: str | Path) -> DataSet:
    """Read a data set: a folder, a manifest, a ZIP, a Hugging Face dataset on disk, or `sample`.

    In a folder, the names of inner folders are the labels of their pictures, as for torchvision's ImageFolder.
    Folders called as in `SPLITS` become the column `split`, and the folders in them the labels.
    A manifest is a CSV, Parquet or JSONL file with a column `path`, relative to the manifest's folder. Columns
    `label`, `box` and `mask` are optional; all other columns are kept for slicing. A ZIP holds a folder, or one
    manifest and its photos; a single outer folder is no label. Hidden folders are left out, and hidden photos are
    rows that are never opened. A folder written by `save_to_disk` of Hugging Face `datasets` needs
    `gradcam[datasets]`; its images, class labels and other columns are read.
    Raises: RunError, one sentence.
    """
    check_kind(data, (str, Path), "the path of a data set", f"give one, or {SAMPLE!r}", RunError)
    path = sample_set() if data == SAMPLE and not os.path.lexists(SAMPLE) else Path(data).expanduser()
    try:
        read = _reader(path)
        found = read(str(data), path)
    except (OSError, ValueError) as error:
        raise RunError(f"expected a data set at {quoted(data)}, but {machine_trouble(error)}") from error
    if not len(found):
        hidden = f", only {count(found.left_out, 'other file')}" if found.left_out else ""
        raise RunError(
            f"expected photos in {quoted(data)}, got none{hidden}; give a folder, manifest or ZIP with photos"
        )
    return found


def sample_set() -> Path:
    """The manifest of the sample set, in the package itself."""
    return Path(str(resources.files("gradcam") / "data" / "sample_set" / "photos.csv"))


def open_one(files: Files, path: str, seen: str | None = None) -> Photo:
    """Open the photo at a path of a data set.

    seen: the photo's hash when a model of a run saw it. Raises: PhotoError, also for a file that was changed since.
    """
    photo = open_photo(read_one(files, path), name=path)
    if seen not in (None, photo.sha256):
        raise PhotoError(
            f"expected {quoted(path)} as a model of the run saw it, got a file that was changed since; put it back"
        )
    return photo


def read_one(files: Files, path: str) -> bytes:
    """The bytes of a photo's file, at most one more than a photo may have. Raises: PhotoError."""
    if is_hidden(PurePosixPath(path).name):
        raise PhotoError(f"expected a photo, got a hidden file, {quoted(path)}; rename it to have it computed")
    try:
        with files.open(path) as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, KeyError) as error:
        raise PhotoError(f"expected a photo, but there is no file {quoted(path)}; check the path") from error
    except (OSError, *_DAMAGE) as error:
        why = machine_trouble(error) if isinstance(error, OSError) else "it is damaged; pack it anew"
        raise PhotoError(f"expected a readable file, but {quoted(path)} cannot be read: {why}") from error


def is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _is_listed(name: str) -> bool:
    return _is_picture(name) or not is_hidden(name)


def _is_listed_in_archive(entry: str) -> bool:
    path = PurePosixPath(entry)
    return _is_listed(path.name) and not any(map(is_hidden, path.parent.parts))


def _is_picture(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in PICTURES


def _reader(path: Path) -> Callable[[str, Path], DataSet]:
    if path.is_dir():
        return _read_stored if is_stored_dataset(path) else _read_folder
    kinds = {**dict.fromkeys(MANIFESTS, _read_manifest), ".zip": _read_archive}
    if path.suffix.lower() in kinds:
        return kinds[path.suffix.lower()]
    if path.exists():
        raise RunError(
            f"expected a folder, a ZIP or a manifest ({', '.join(MANIFESTS)}), got the file {quoted(path)}; name "
            "another"
        )
    raise RunError(
        f"expected a data set, but there is no file or folder {quoted(path)}; check the path, or take `{SAMPLE}`"
    )


def _read_folder(source: str, path: Path) -> DataSet:
    files = Folder(path)
    return _from_paths(source, files, _paths(source, files))


def _read_stored(source: str, path: Path) -> DataSet:
    return DataSet(source, read_rows(path), StoredPictures(path))


def _read_manifest(source: str, path: Path) -> DataSet:
    files = Folder(path.parent)
    return DataSet(source, manifest.read(path.name, files.open), files)


def _read_archive(source: str, path: Path) -> DataSet:
    files = Archive(path)
    paths = _paths(source, files)
    tables = [name for name in paths if PurePosixPath(name).suffix.lower() in MANIFESTS]
    if not tables:
        return _from_paths(source, files, paths)
    if len(tables) > 1:
        raise RunError(
            f"expected one manifest in the ZIP {quoted(path)}, got {quoted(tables[0])} and {quoted(tables[1])}; "
            "keep one"
        )
    return DataSet(source, manifest.read(tables[0], files.open), files)


def _paths(source: str, files: Folder | Archive) -> list[str]:
    """The paths of all files. Raises: RunError if two are the same, as they may be in a ZIP."""
    paths = list(files.paths())
    if twice := next((path for path, times in Counter(paths).items() if times > 1), None):
        raise RunError(
            f"expected each file once in {quoted(source)}, got {quoted(twice)} twice; rename one of the two"
        )
    return paths


def _from_paths(source: str, files: Folder | Archive, paths: list[str]) -> DataSet:
    photos = [path for path in paths if _is_picture(path)]
    rows = manifest.to_table(_labelled(photos, is_packed=isinstance(files, Archive)))
    return DataSet(source, rows, files, left_out=len(paths) - len(photos))


def _labelled(photos: list[str], *, is_packed: bool) -> Iterator[PhotoRow]:
    """Rows whose label is the photo's outermost folder, but for folders that only pack or split the set.

    A ZIP of one folder is labelled as that folder would be. Folders such as `train` become the column `split`.
    """
    folders = [path.split("/")[:-1] for path in photos]
    if is_packed and len({inner[0] if inner else None for inner in folders}) == 1:
        folders = [inner[1:] for inner in folders]
    are_splits = _are_splits(folders)
    for path, inner in zip(photos, folders, strict=True):
        split = {"split": inner.pop(0)} if are_splits else {}
        yield PhotoRow(path, inner[0] if inner else None, split)


def _are_splits(folders: list[list[str]]) -> bool:
    """Whether the outermost folders of all photos split the set, and further folders are in them."""
    return any(len(inner) > 1 for inner in folders) and all(
        inner and inner[0].lower() in SPLITS for inner in folders
    )
