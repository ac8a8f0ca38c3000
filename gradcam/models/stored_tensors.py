"""A tensor that lies in a file: its shape and where its numbers begin, before any of them is read."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from gradcam.models.pickles import PickleError

MAX_AXES = 64


@dataclass(eq=False)
class Storage:
    """Numbers that lie one after the other in a file: so many bytes of it, from byte `start`."""

    dtype: torch.dtype
    size: int
    start: int = -1


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file: its shape, and how its numbers lie in a storage; `read` brings them to memory."""

    source: Source
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def span(self) -> int:
        """How many numbers of the storage lie between the first and the last of the tensor's."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    @property
    def cost(self) -> int:
        """Bytes that reading takes, or that a copy takes, whichever is more."""
        return max(self.span, prod(self.shape)) * self.dtype.itemsize

    @property
    def first_byte(self) -> int:
        """The first byte of the file that holds its numbers."""
        return self.storage.start + self.offset * self.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor in memory of its own."""
        numbers = torch.empty(self.span * self.dtype.itemsize, dtype=torch.uint8)
        self.source.read_into(self.first_byte, numbers)
        return numbers.view(self.dtype).as_strided(self.shape, self.stride)

    def mapped(self) -> Tensor:
        """The tensor as pages of its file, for whoever copies it at once; in memory of its own where it cannot be.

        Nothing is read before it is used. What is written to it stays in memory. It must not be kept: whoever
        writes the file anew changes it, and whoever shortens the file ends the process that reads it.
        """
        first, rest = divmod(self.first_byte, self.dtype.itemsize)
        pages = None if rest else self.source.pages
        if pages is None:
            return self.read()
        return torch.empty(0, dtype=self.dtype).set_(pages, first, self.shape, self.stride)


class Source:
    """A file, or bytes that came from one."""

    def __init__(self, file: str | Path | bytes) -> None:
        self.file = file if isinstance(file, bytes) else Path(file).expanduser()
        self.size = len(self.file) if isinstance(self.file, bytes) else self.file.stat().st_size

    @cached_property
    def pages(self) -> torch.UntypedStorage | None:
        """The whole file, mapped to memory for this process alone; None for bytes and where the system cannot."""
        if isinstance(self.file, bytes):
            return None
        try:
            pages = torch.UntypedStorage.from_file(str(self.file), shared=False, nbytes=self.size)
        except RuntimeError:
            return None
        return cast(torch.UntypedStorage, pages)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.file) if isinstance(self.file, bytes) else self.file.open("rb")

    def read_into(self, start: int, numbers: Tensor) -> None:
        """Fill a tensor of uint8 with the bytes from `start`."""
        rest = memoryview(cast(Any, numbers.numpy()))
        with self.open() as opened:
            opened.seek(start)
            while rest:
                count = cast(io.BufferedReader, opened).readinto(rest)
                if not count:
                    raise PickleError
                rest = rest[count:]


def check_inside(condition: bool) -> None:
    """Raises: PickleError, without a reason of its own, where a file contradicts itself."""
    if not condition:
        raise PickleError


def are_sizes(values: Iterable[Any]) -> bool:
    """Whether all values are whole numbers that a file may hold as sizes: not negative, below 2⁶²."""
    return all(type(value) is int and 0 <= value < 2**62 for value in values)
