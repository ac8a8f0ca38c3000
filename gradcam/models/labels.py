"""The classes of a model: their names, their WordNet ids, and finding one by what a person types.

Nothing is typed by hand: the names come from torchvision's and timm's own metadata.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torchvision.models import AlexNet_Weights

from gradcam.errors import ClassError, nearest

IMAGENET_1K = "imagenet-1k"
ALIGNED = (IMAGENET_1K, "imagenet-12k", "imagenet-21k-goog")
"""The label sets whose names are understood by every other ImageNet set, first come first served."""


@dataclass(frozen=True)
class Labels:
    """The classes of a model, one name per index.

    names: unique; where two classes share a word the index tells them apart, as in `crane (517)`.
    wnids: WordNet ids such as `n02123045`, or None.
    source: the label set in words, such as `imagenet-1k`.
    aliases: per class every word it is also found by; empty where there are none.
    file: the name of the file they were read from, if any.
    """

    names: tuple[str, ...] = field(repr=False)
    wnids: tuple[str, ...] | None = field(default=None, repr=False)
    source: str = "own"
    aliases: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    file: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, wanted: int | str) -> int:
        """The index of a class given by index, name, alias, WordNet id or whole words that only one class has.

        Case does not matter, and `index(names[i]) == i` for every class. A name that means one class in an ImageNet
        set means that class, by its WordNet id, in all others: `tabby` is one cat in 1k and two words in 21k.

        Raises: ClassError naming the classes that match, or the nearest ones.
        """
        if isinstance(wanted, int) or (wanted.strip().isascii() and wanted.strip().isdigit()):
            index = int(wanted)
            if not 0 <= index < len(self):
                raise ClassError(f"expected a class from 0 to {len(self) - 1}, got {index}; name another class")
            return index
        word = wanted.strip().lower()
        found = self._exact.get(word, [])
        if len(found) != 1 and self.wnids:
            found = self._by_wnid(word) or found
        found = found or [index for (rank, _), index in self._ranked(word) if rank <= _WHOLE_WORDS]
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(f"{self.names[index]!r} [{index}]" for index in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise ClassError(f"expected one class, got {wanted!r}, which fits {shown}{more}; name one of them")
        raise ClassError(
            f"expected a class of {self.source}, got {wanted!r}; the nearest are {nearest(word, self._exact)}"
        )

    def search(self, text: str) -> list[tuple[int, str]]:
        """Every class that `text` is a part of, as (index, name).

        Whole words come first, then beginnings of words, and a class's name before its other words. An empty text
        finds every class, in order.
        """
        word = text.strip().lower()
        if not word:
            return list(enumerate(self.names))
        return [(index, self.names[index]) for _, index in self._ranked(word)]

    def _ranked(self, word: str) -> list[tuple[tuple[int, bool], int]]:
        """Every class that `word` is a part of with how well it fits, best first."""
        found = []
        for index, terms in enumerate(self._terms):
            ranks = [(_rank(word, term), place > 0) for place, term in enumerate(terms) if word in term]
            if ranks:
                found.append((min(ranks), index))
        return sorted(found)

    def _by_wnid(self, word: str) -> list[int]:
        """The class here that the first ImageNet set with a single class of this name means, if it is here."""
        for other in map(imagenet, ALIGNED):
            named = other._exact.get(word, [])
            if len(named) == 1 and other.wnids and (here := self._exact.get(other.wnids[named[0]])):
                return here
        return []

    @cached_property
    def _terms(self) -> list[list[str]]:
        """Per class everything it is found by, in lower case."""
        aliases = self.aliases or ((),) * len(self)
        wnids = self.wnids or ("",) * len(self)
        return [
            list(dict.fromkeys(term.lower() for term in (name, *also, wnid) if term))
            for name, also, wnid in zip(self.names, aliases, wnids, strict=True)
        ]

    @cached_property
    def _exact(self) -> dict[str, list[int]]:
        """Class indices by whole term."""
        table: dict[str, list[int]] = {}
        for index, terms in enumerate(self._terms):
            for term in terms:
                table.setdefault(term, []).append(index)
        return table


_WHOLE_WORDS = 1


def _rank(word: str, term: str) -> int:
    """How well a word fits a term that contains it: 0 the whole, 1 whole words, 2 a word's beginning, 3 inside."""
    if word == term:
        return 0
    padded = f" {term} "
    return _WHOLE_WORDS if f" {word} " in padded else 2 if f" {word}" in padded else 3


def make_labels(
    names: Sequence[str],
    source: str = "own",
    wnids: Iterable[str] | None = None,
    aliases: Sequence[Sequence[str]] | None = None,
) -> Labels:
    """Labels from plain names; a name that another class also goes by gets its index behind it."""
    aliases = [(name, *also) for name, also in zip(names, aliases or [()] * len(names), strict=True)]
    users = Counter(word for also in aliases for word in {alias.lower() for alias in also})
    unique = (name if users[name.lower()] == 1 else f"{name} ({index})" for index, name in enumerate(names))
    return Labels(
        names=tuple(unique),
        wnids=None if wnids is None else tuple(wnids),
        source=source,
        aliases=tuple(tuple(dict.fromkeys(also)) for also in aliases),
    )


@lru_cache
def imagenet(subset: str = IMAGENET_1K) -> Labels:
    """The labels of one of timm's ImageNet subsets.

    The 1000 classes carry torchvision's names (`crane bird`, not a second `crane`), so that a class reads the same
    whichever library a model comes from; every other set carries WordNet's first word for each class.
    """
    info = ImageNetInfo(subset)
    words = [tuple(description.split(", ")) for description in info.label_descriptions()]
    names = AlexNet_Weights.DEFAULT.meta["categories"] if subset == IMAGENET_1K else [first for first, *_ in words]
    return make_labels(names, subset, info.label_names(), words)


@lru_cache
def numbered(count: int) -> Labels:
    """Labels where nobody recorded names: `class 0`, `class 1`, …"""
    return make_labels([f"class {index}" for index in range(count)], f"{count} unnamed classes")


def labels_of_torchvision(categories: Sequence[str]) -> Labels:
    """The labels of a torchvision weights entry, from its `meta["categories"]`."""
    if list(categories) == AlexNet_Weights.DEFAULT.meta["categories"]:
        return imagenet(IMAGENET_1K)
    return make_labels(categories, "torchvision")


def labels_of_timm(cfg: dict[str, Any]) -> Labels:
    """The labels of a timm pretrained configuration: its own names, or the ImageNet subset of its class count."""
    if names := cfg.get("label_names"):
        return make_labels(names, "timm")
    subset = infer_imagenet_subset(cfg)
    return imagenet(subset) if subset else numbered(cfg["num_classes"])
