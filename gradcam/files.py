"""Files of ours on somebody's disk: written whole or not at all, and nothing left behind.

A file is written under a temporary name beside the final one, and renamed in one step when it is complete. A
reader, a full disk, Ctrl-C or a kill therefore finds the old file or the new one, never a half. Leftovers of a
killed process are known by their names, and removed when the next process writes there.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import psutil

from gradcam.errors import GradcamError, OptionError, machine_trouble, quoted

DAY = 86_400.0
"""Seconds after which another machine's unfinished file in a shared folder counts as left behind."""

_UNFINISHED = re.compile(r"(?:\.|gradcam).*\.(?P<host>[0-9a-f]{8})-(?P<process>[0-9]{1,9})-\w+\.part", re.DOTALL)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}

_swept: set[Path] = set()
_sweeping = threading.Lock()


@contextmanager
def write_whole(
    path: str | Path, *, force: bool = True, error: type[GradcamError] = OptionError, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """Open a file for bytes that appears under `path`, whole, when the block has ended, or not at all.

    force: replace an existing file; without it, even a file that appears at the last moment stays as it is.
    mode: who may read and write the file, less what the process masks.
    error: raised if the file exists or the disk refuses it. Other exceptions of the block pass.
    """
    path = Path(path)
    refuse_existing(path, force, error=error)
    target = path.resolve() if path.is_symlink() else path
    remove_leftovers(target.parent)
    part = target.with_name(f".{target.name[:40]}.{_owner()}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            part.replace(target)
        else:
            _give_new_name(part, target)
    except FileExistsError as trouble:
        raise error(_exists(path)) from trouble
    except OSError as trouble:
        if trouble.errno in _NO_ROOM or trouble.filename in (str(part), str(target)):
            raise error(f"expected to write {quoted(path)}, but {machine_trouble(trouble)}") from trouble
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def refuse_existing(path: str | Path, force: bool = False, *, error: type[GradcamError] = OptionError) -> None:
    """Refuse a path that cannot or must not be written, before any work is done.

    Raises: `error`.
    """
    path = Path(path)
    try:
        folder, found = _kind(path.parent), _kind(path)
    except (OSError, ValueError) as trouble:
        raise error(f"expected to write {quoted(path)}, but {machine_trouble(trouble)}") from trouble
    if folder != "folder":
        raise error(
            f"expected a folder for {quoted(path.name)}, got {quoted(path.parent)}, which is none; make it first"
        )
    if found == "folder":
        raise error(f"expected a file to write, got the folder {quoted(path)}; name a file in it")
    if found == "device":
        raise error(f"expected a file to write, got the device {quoted(path)}; name a file in a folder")
    if found == "file" and not force:
        raise error(_exists(path))
    if not os.access(path.parent, os.W_OK):
        raise error(
            f"expected a folder to write in, got {quoted(path.parent)}, which can only be read; choose another"
        )


def read_file(path: str | Path, most: int, what: str, *, error: type[GradcamError] = OptionError) -> bytes:
    """The first `most` + 1 bytes of a file. Devices and pipes are refused, because they may never end.

    what: what is expected there, such as `a report`. Raises: `error`.
    """
    path = Path(path)
    try:
        found = _kind(path)
        if found == "file":
            with path.open("rb") as file:
                return file.read(most + 1)
    except (OSError, ValueError) as trouble:
        raise error(f"expected {what} at {quoted(path)}, but {machine_trouble(trouble)}") from trouble
    got = f"got a {found}" if found else "but there is no such file or folder"
    raise error(f"expected {what} at {quoted(path)}, {got}; check the path")


def is_file(file: str | Path) -> bool:
    """Whether there is a file of this name; False for a text that cannot be a file's name."""
    try:
        return Path(file).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long a name, a NUL in it, no such home
        return False


def refuse_full_folder(folder: Path, force: bool = False) -> None:
    """Refuse a folder that holds files already or cannot be made, before any work is done.

    Raises: OptionError.
    """
    try:
        found = _kind(folder)
        if found == "folder":
            remove_leftovers(folder)
            if any(folder.iterdir()) and not force:
                raise OptionError(
                    f"expected an empty folder for --out, got {quoted(folder)} with files in it; add --force"
                )
        elif found:
            raise OptionError(f"expected a folder for --out, got the {found} {quoted(folder)}; name another")
        above = next(parent for parent in (folder, *folder.absolute().parents) if _kind(parent))
        if _kind(above) != "folder":
            raise OptionError(f"expected a folder for --out, got {quoted(folder)} in a file; name another")
        if not os.access(above, os.W_OK):
            raise OptionError(
                f"expected a folder to write in, got {quoted(above)}, which can only be read; choose another"
            )
    except (OSError, ValueError) as trouble:
        raise OptionError(
            f"expected a folder for --out, got {quoted(folder)}, but {machine_trouble(trouble)}"
        ) from trouble


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it. Raises: OptionError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as trouble:
        raise OptionError(f"expected a folder, got {quoted(folder)} where a file is; name another") from trouble
    except (OSError, ValueError) as trouble:
        raise OptionError(
            f"expected to make the folder {quoted(folder)}, but {machine_trouble(trouble)}"
        ) from trouble


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for files that are needed for a while, removed with all of them when the block ends.

    Raises: OptionError where the machine has no room for it. Other exceptions of the block pass.
    """
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"gradcam.{_owner()}-", suffix=".part"))
        yield folder
    except OSError as trouble:
        if folder is not None and trouble.errno not in _NO_ROOM:
            raise
        raise OptionError(
            f"expected room for temporary files, but {machine_trouble(trouble)}; TMPDIR names another folder"
        ) from trouble
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(*folders: str | Path) -> None:
    """Remove unfinished files of ended processes from these folders and the folder of temporary files.

    A process looks into each folder once. Files that cannot be listed or removed stay.
    """
    with suppress(OSError):  # a machine without any folder for temporary files
        folders = (*folders, tempfile.gettempdir())
    with _sweeping:
        new = {Path(folder).absolute() for folder in folders} - _swept
        _swept.update(new)
    for folder in new:
        with suppress(OSError, ValueError):
            for path in [folder / name for name in os.listdir(folder) if name.endswith(".part")]:
                if _is_left_over(path):
                    _remove(path)


def _is_left_over(path: Path) -> bool:
    """Whether the process that wrote this has ended; for another machine's file, whether it is a day old."""
    name = _UNFINISHED.fullmatch(path.name)
    if name is None:
        return False
    changed = path.lstat().st_mtime
    if name["host"] != _host():
        return time.time() - changed > DAY
    try:
        return psutil.Process(int(name["process"])).create_time() > changed + 1  # a reused number
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _owner() -> str:
    """The part of an unfinished file's name that identifies this process."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"


def _kind(path: Path) -> Literal["file", "folder", "device"] | None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "device"


def _give_new_name(part: Path, path: Path) -> None:
    """Give a finished file its final name, unless that exists. Raises: FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: an empty file holds the name until the finished one replaces it
        path.open("xb").close()
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise


def _exists(path: Path) -> str:
    return (
        f"expected a new file, got {quoted(path)}, which exists; choose another name, or replace it: --force, in "
        "Python force=True"
    )
