"""Photos that travel in a report, decoded when they are shown: any number of them takes the memory of a few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar, overload

T = TypeVar("T")

KEPT = 4
"""Photos that stay decoded: the last that were asked for."""


@dataclass(frozen=True, eq=False)
class LazySequence(Sequence[T], Generic[T]):
    """Pictures `[H, W, 3]` by place, each made when it is asked for.

    make: the picture at a place.
    """

    length: int
    make: Callable[[int], T]
    _kept: OrderedDict[int, T] = field(default_factory=OrderedDict)
    _guard: Lock = field(default_factory=Lock)

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self.length))]
        if not -self.length <= place < self.length:
            raise IndexError(place)
        place %= self.length
        with self._guard:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        made = self.make(place)
        with self._guard:
            self._kept[place] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def __iter__(self) -> Iterator[T]:
        return (self[place] for place in range(self.length))
