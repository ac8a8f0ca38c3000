"""Reopening a report: checked, nothing unpacked to disk, no code in it run."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradcam.errors import PhotoError, ReportError, check_kind, quoted
from gradcam.files import read_file
from gradcam.headers import read_header
from gradcam.photo import open_photo
from gradcam.report.codec import decode
from gradcam.report.lazy_sequence import LazySequence
from gradcam.report.limits import MAX_BYTES, MAX_ENTRIES, MAX_RATIO, check_embedded
from gradcam.report.model import Embedded, HeatmapEntry, PhotoEntry, Pixels, Report, pixels_sha256
from gradcam.report.zip_layout import LAYOUT, MANIFEST, SIGNATURES, manifest, map_file, photo_file
from gradcam.signatures import MAX_BYTES as MAX_SIGNATURE, MAX_SIGNATURES, Signature, read_signature
from gradcam.text import paragraphs

_ARRAY_HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }"
_ARRAY = re.compile(rb"\{'descr': '<\w+', 'fortran_order': False, 'shape': \([\d, ]*\), \}")


def read_report(source: str | Path | bytes) -> Report:
    """Reopen a report from its ZIP or its `report.json`, checked; nothing is unpacked and no code in it is run.

    source: a path or the bytes themselves. From a JSON the report comes without the photos' pixels.
    Raises: ReportError, one sentence, for anything that is not as it was written.
    """
    return reopen(source).report


@dataclass(frozen=True, eq=False)
class Reopened:
    """A report with the file that it came from.

    content: the bytes of its `report.json`. hashes: SHA-256 of each file in the ZIP that the manifest lists.
    signatures: in the order of their numbers.
    """

    report: Report
    content: bytes
    hashes: Mapping[str, str] = field(default_factory=dict)
    signatures: tuple[Signature, ...] = ()


def reopen(source: str | Path | bytes) -> Reopened:
    """`read_report` with all that it read. Raises: ReportError."""
    data = bytes_of(source)
    if data.startswith(b"PK"):
        return _read_zip(data)
    if data.startswith(b"\x80"):
        raise ReportError("expected a report as ZIP or JSON, got a pickle, which could run code; it was not opened")
    if not data.lstrip().startswith(b"{"):
        raise ReportError(
            "expected a report as ZIP or JSON, got another kind of file; choose review.zip or report.json"
        )
    return Reopened(decode(data), data)


def bytes_of(source: str | Path | bytes) -> bytes:
    """The bytes of a report's file. Raises: ReportError where there is none, or it is larger than any report."""
    check_kind(source, (str, Path, bytes), "a report's path or bytes", "pass one of those", ReportError)
    data = source if isinstance(source, bytes) else read_file(source, MAX_BYTES, "a report", error=ReportError)
    if len(data) > MAX_BYTES:
        raise ReportError(
            f"expected a report of at most {MAX_BYTES / 1e9:g} GB, got a larger file; it was not opened"
        )
    return data


def _read_zip(data: bytes) -> Reopened:
    archive = _Archive(data)
    hashes = _checked_hashes(archive)
    content = archive.read("report.json")
    report = decode(content)
    for panel in report.heatmaps:
        name = map_file(report, panel)
        _check_map(archive.read(name), name, panel)
    photos = [_packed_photo(archive, index, photo, report.embedded) for index, photo in enumerate(report.photos)]
    check_embedded(read_header(data, "").size or (0, 0) for data in photos if data)
    pixels = LazySequence(len(photos), lambda index: _pixels(photos[index], index, report))
    return Reopened(replace(report, pixels=pixels), content, hashes, _signatures(archive))


def _signatures(archive: _Archive) -> tuple[Signature, ...]:
    names = [name for name in archive.names if name.startswith(SIGNATURES)]
    if len(names) > MAX_SIGNATURES:
        raise ReportError(f"expected at most {MAX_SIGNATURES:,} signatures, got {len(names):,}; it was not opened")
    names.sort(key=lambda name: (len(name), name))
    return tuple(read_signature(archive.read(name), name, error=ReportError) for name in names)


class _Archive:
    """The files in a ZIP, each unpacked when it is read, so that few are in memory at once.

    Raises: ReportError where the ZIP is damaged or any file in it could do harm; nothing is unpacked to know that.
    """

    def __init__(self, data: bytes) -> None:
        with _refuse_damaged():
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._entries = _checked_entries(self._zip)

    @property
    def names(self) -> Iterable[str]:
        """The files' names, in the order in which they were written."""
        return self._entries

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises: ReportError where there is none of this name, or it is damaged."""
        if name not in self._entries:
            raise ReportError(f"expected {name} in the ZIP, got none; export the report again")
        entry = self._entries[name]
        with _refuse_damaged(), self._zip.open(entry) as file:
            data = file.read(entry.file_size + 1)
        if len(data) != entry.file_size:
            raise ReportError(f"expected {entry.file_size} bytes in {quoted(name)}, got others; it was not opened")
        return data


@contextmanager
def _refuse_damaged() -> Iterator[None]:
    """Say in a sentence what `zipfile` raises for a damaged ZIP."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise ReportError(
            f"expected a whole ZIP, got a damaged one ({quoted(str(error), 120)}); fetch it again"
        ) from error


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, all of them harmless."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ReportError(
            f"expected at most {MAX_ENTRIES} files in a report, got {len(entries)}; it was not opened"
        )
    for entry in entries:
        _check_entry(entry)
    if len({entry.filename for entry in entries}) != len(entries):
        raise ReportError("expected every file once, got a ZIP that holds two of one name; it was not opened")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ReportError(
            f"expected at most {MAX_BYTES / 1e9:g} GB unpacked, got a ZIP that holds more; it was not opened"
        )
    return {entry.filename: entry for entry in entries}


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    shown = paragraphs(name)[:80]
    if name.startswith(("/", "\\")) or ":" in name or ".." in re.split(r"[\\/]", name):
        raise ReportError(
            f"expected files inside the report, got the path {quoted(shown)}, which leads out; it was not opened"
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ReportError(
            f"expected plain files, got {quoted(shown)}, which is a link or a device; it was not opened"
        )
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ReportError(
            f"expected plain files, got {quoted(shown)}, encrypted or packed otherwise; it was not opened"
        )
    if not LAYOUT.fullmatch(name):
        raise ReportError(f"expected the files of a report only, got {quoted(shown)} as well; it was not opened")
    if name.startswith(SIGNATURES) and entry.file_size > MAX_SIGNATURE:
        raise ReportError(f"expected signatures of at most {MAX_SIGNATURE:,} bytes, got more; it was not opened")
    if entry.file_size > MAX_RATIO * max(entry.compress_size, 10_000):
        raise ReportError(
            f"expected honest compression, got {quoted(shown)}, which would unpack enormously; it was not opened"
        )


def _checked_hashes(archive: _Archive) -> dict[str, str]:
    """The SHA-256 of each file that the manifest has to list. Raises: ReportError where it lists others."""
    listed = archive.read(MANIFEST).decode("utf-8", "replace")
    names = [name for name in archive.names if name != MANIFEST and not name.startswith(SIGNATURES)]
    hashes = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}
    if listed == manifest(hashes).decode():
        return hashes
    sums = {line[66:]: line[:64] for line in listed.splitlines()}
    for name in sorted(sums.keys() | hashes.keys()):
        if sums.get(name) != hashes.get(name):
            what = "was added" if name not in sums else "is missing" if name not in hashes else "was changed"
            raise ReportError(
                f"expected the files as they were written, but {quoted(paragraphs(name)[:80])} {what}; "
                "do not trust it"
            )
    raise ReportError(f"expected the files in the order they were written, got another {MANIFEST}; do not trust it")


def _check_map(data: bytes, name: str, panel: HeatmapEntry) -> None:
    """The array must be the map of report.json, written as NumPy writes it: nothing else in it is read."""
    values = panel.values
    length = int.from_bytes(data[8:10], "little")
    header, numbers = data[10 : 10 + length].rstrip(), data[10 + length :]
    if not data.startswith(b"\x93NUMPY\x01\x00") or not _ARRAY.fullmatch(header):
        raise ReportError(f"expected a plain array in {name}, got a pickle or a damaged file; it was not read")
    if header != _ARRAY_HEADER % values.shape or numbers != values.astype("<f4").tobytes():
        raise ReportError(f"expected the map of report.json in {name}, got another; do not trust it")


def _packed_photo(archive: _Archive, index: int, photo: PhotoEntry, embedded: Embedded) -> bytes | None:
    """The PNG of a photo that travels along, once it is known to declare no more pixels than its report."""
    if photo.embedded_sha256 is None:
        return None
    name = photo_file(index)
    data = archive.read(name)
    try:
        size = read_header(data, name).size
    except PhotoError as error:
        raise ReportError(f"expected the photo in {name}, got: {error}") from error
    if size is None or not data.startswith(b"\x89PNG"):
        raise ReportError(f"expected the photo in {name}, got no PNG; do not trust it")
    width, height = size
    whole = (height, width) == tuple(photo.size)
    if not (whole or (embedded == "small" and height <= photo.size[0] and width <= photo.size[1])):
        raise ReportError(f"expected the photo of report.json in {name}, got one of another size; do not trust it")
    return data


def _pixels(data: bytes | None, index: int, report: Report) -> Pixels | None:
    if data is None:
        return None
    name = photo_file(index)
    try:
        pixels = open_photo(data, name=name, max_bytes=MAX_BYTES).pixels
    except PhotoError as error:
        raise ReportError(f"expected the photo in {name}, got: {error}") from error
    if pixels_sha256(pixels) != report.photos[index].embedded_sha256:
        raise ReportError(f"expected the pixels that report.json names in {name}, got others; do not trust it")
    return pixels
