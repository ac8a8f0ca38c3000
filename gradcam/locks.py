"""One process at a time: locks that the system gives back when whoever holds them ends, however that happens."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gradcam.errors import GradcamError, OptionError, machine_trouble, quoted

WAIT = 60.0
"""Seconds that `alone_with` waits for another process."""
_PAUSE = 0.02

try:
    import fcntl

    def try_lock(number: int) -> bool:
        """Lock an open file by its descriptor. Returns: False where another process holds it."""
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_UN)

except ImportError:  # Windows
    import msvcrt

    def try_lock(number: int) -> bool:
        """Lock an open file by its descriptor. Returns: False where another process holds it."""
        try:
            os.lseek(number, 0, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        except OSError:
            return False
        return True

    def unlock(number: int) -> None:
        os.lseek(number, 0, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_UNLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def alone_with(path: Path, *, error: type[GradcamError] = OptionError) -> Iterator[None]:
    """Read a file and replace it while the block runs: whoever else asks for the same waits until it has ended.

    Raises: `error` where the folder cannot be written, or another process holds the file for longer than `WAIT`.
    """
    held = path.resolve().parent / f".{path.resolve().name[:200]}.lock"
    end = time.monotonic() + WAIT
    while (file := hold(held, error)) is None:
        if time.monotonic() > end:
            raise error(f"expected to write {quoted(path)}, but another process has held it for long; try again")
        time.sleep(_PAUSE)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file; it is found again by its name
                held.unlink()
            unlock(file.fileno())


def hold(path: Path, error: type[GradcamError]) -> BinaryIO | None:
    """The file of this name, locked; None where another process holds it or has just removed it.

    Raises: `error` where the file can neither be opened nor made, or the disk knows no locks.
    """
    try:
        file = path.open("a+b")
    except OSError as trouble:
        raise error(f"expected to write beside {quoted(path)}, but {machine_trouble(trouble)}") from trouble
    try:
        is_mine = try_lock(file.fileno())
    except OSError as trouble:
        file.close()
        with suppress(OSError):  # nobody can hold it
            path.unlink()
        raise error(
            f"expected a disk that knows locks for {quoted(path.parent)}, but {machine_trouble(trouble)}"
        ) from trouble
    with suppress(FileNotFoundError):
        if is_mine:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            unlock(file.fileno())
    file.close()
    return None
