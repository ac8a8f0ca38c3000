"""Photos that travel in a report, decoded when they are shown: any number of them takes the memory of a few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar, overload

T = TypeVar("T")

KEPT = 4
"""How many photos stay decoded: the most recently used."""


@dataclass(frozen=True, eq=False)
class LazySequence(Sequence[T], Generic[T]):
    """Pictures `[H, W, 3]` by index, each made when it is asked for.

    make: the picture at an index.
    """

    length: int
    make: Callable[[int], T]
    _kept: OrderedDict[int, T] = field(default_factory=OrderedDict)
    _guard: Lock = field(default_factory=Lock)

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self.length))]
        if not -self.length <= index < self.length:
            raise IndexError(index)
        index %= self.length
        with self._guard:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        made = self.make(index)
        with self._guard:
            self._kept[index] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(self.length))
