"""How much memory one input takes at its peak."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_BETWEEN_LOOKS = 0.005
"""Seconds."""

Growth = Callable[[], float]
"""MB beyond what was held at the beginning, at the peak so far."""


@contextmanager
def measured() -> Iterator[Growth]:
    """Measure this process from here on. What earlier inputs have freed is given back to the system before."""
    _give_back()
    with counted_by_system() if can_be_counted() else watched() as growth:
        yield growth


def can_be_counted() -> bool:
    """Whether the system keeps a peak that can be reset, as Linux does."""
    try:
        _RESET.write_text("5")
        return _peak() is not None
    except OSError:
        return False


@contextmanager
def counted_by_system() -> Iterator[Growth]:
    """The peak that Linux keeps: nothing is missed, however short."""
    _RESET.write_text("5")
    before = _peak() or 0.0
    yield lambda: (_peak() or 0.0) - before


@contextmanager
def watched() -> Iterator[Growth]:
    """The highest of many looks, from another thread."""
    process, over = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss / 1e6

    def look() -> None:
        nonlocal highest
        highest = max(highest, process.memory_info().rss / 1e6)

    def watch() -> None:
        while not over.wait(_BETWEEN_LOOKS):
            look()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()

    def growth() -> float:
        look()
        return highest - before

    try:
        yield growth
    finally:
        over.set()
        watching.join()


def _peak() -> float | None:
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")), None)
    return None if line is None else int(line.split()[1]) * 1024 / 1e6


def _give_back() -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than GNU's has no such function
            ctypes.CDLL(None).malloc_trim(0)
