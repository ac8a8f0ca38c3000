"""The classes of a model: their names, their WordNet ids, and finding one by what a person types.

Nothing is typed by hand: the names come from torchvision's and timm's own metadata, which are imported when first
needed.
"""

from __future__ import annotations

import difflib
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from gradcam.errors import ClassError, ModelError, any_of, close_to, quoted
from gradcam.text import is_whole

IMAGENET_1K = "imagenet-1k"
ALIGNED = (IMAGENET_1K, "imagenet-12k", "imagenet-21k-goog")
"""The label sets whose names every other ImageNet set understands, too; an earlier set goes before a later one."""


@dataclass(frozen=True)
class Labels:
    """The classes of a model, one name per index.

    names: unique; where two classes share a word the index tells them apart, as in `crane (517)`. A head with a
        single logit y has two, the negative class (−y) and the positive one: see `labels_of_head`.
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

    def index(self, target: int | str) -> int:
        """The index of a class given by index, name, alias, WordNet id or whole words that only one class has.

        A text is a name first, without regard to case if one class is left: `index(names[i]) == i` for every class.
        Digits that are no class's name are an index, unless another class has digits for its name; `#10` is always
        an index. A name that means one class in an ImageNet set means that class, by its WordNet id, in all others:
        `tabby` is one cat in 1k and two words in 21k.

        Raises: ClassError naming the classes that match, or the nearest ones, or some where none is near.
        """
        if not isinstance(target, str):
            return self._checked(target)
        word = target.strip().lower()
        found = self._exactly(target) or [index for (rank, _), index in self._ranked(word) if rank <= _WHOLE_WORDS]
        if len(found) == 1:
            return found[0]
        raise self._not_one(found, target, close_to(word, [*self._exact]))

    def exact_index(self, label: str) -> int:
        """The index of the class that a label means which nobody typed, such as a folder's name.

        It is found as `index` finds a class, but never by some of its words, so that `night` is no night snake.
        `_` and a space are the same. Raises: ClassError as `index` does.
        """
        spellings = (label, label.replace("_", " "), label.replace(" ", "_"))
        found = next(filter(None, map(self._exactly, spellings)), [])
        if len(found) == 1:
            return found[0]
        near = self.nearest(label)
        raise self._not_one(found, label, [near] if near else close_to(label.lower(), [*self._exact]))

    def _exactly(self, target: str) -> list[int]:
        """The classes that a text is the name, an alias, the WordNet id or the index of."""
        word = target.strip().lower()
        found = self._by_name.get(target) or self._by_digits(word) or self._exact.get(word, [])
        if len(found) != 1 and self.wnids:
            found = self._by_wnid(word) or found
        return found

    def _not_one(self, found: Sequence[int], target: str, near: Sequence[str]) -> ClassError:
        """Why a text means no class, or several. near: the classes that are spelt like it, if any."""
        if found:
            shown = ", ".join(f"{quoted(self.names[index])} [{index}]" for index in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            return ClassError(
                f"expected one class, got {quoted(target)}, which fits {shown}{more}; name one of them, or its "
                f"index as #{found[0]}"
            )
        examples = f"none is spelt like it: give a name, such as {any_of(self.names[:3])}, or an index, such as #0"
        advice = f"the nearest: {any_of(near)}" if near else examples
        return ClassError(f"expected a class of {self._whose}, got {quoted(target)}; {advice}")

    @property
    def _whose(self) -> str:
        """What the classes are of, for a sentence: a file is told from a label set by its ending."""
        return self.file or self.source

    def _checked(self, index: int) -> int:
        if not (is_whole(index) and 0 <= index < len(self)):
            raise ClassError(f"expected a class from 0 to {len(self) - 1}, got {quoted(index)}; name another class")
        return operator.index(index)

    def _by_digits(self, word: str) -> list[int]:
        """The class whose name, or else whose index, these digits are; empty for any other text."""
        digits = word.removeprefix("#")
        if not (digits.isascii() and digits.isdigit()) or word in self._numerals:
            return self._numerals.get(word, [])
        if word == digits and self._numerals:
            raise ClassError(
                f"expected a class of {self._whose} by its name, got {quoted(word)}, which could be a name or an "
                f"index, for classes have numbers for names; write {quoted('#' + digits, 20)} for the index"
            )
        number = digits.lstrip("0") or "0"
        return [self._checked(int(number) if len(number) < 100 else 10 ** len(number))]

    @cached_property
    def with_negative(self) -> Labels:
        """The two classes of a head with a single logit, whose positive class is the only one here."""
        if self == numbered(1):
            return numbered(2)
        names = (f"not {self.names[0]}", self.names[0])
        return Labels(names, None, self.source, ((), *(self.aliases or ((),))), self.file)

    def search(self, text: str) -> list[tuple[int, str]]:
        """Every class that `text` is a part of, as (index, name).

        Whole words come first, then beginnings of words, and a class's name before its other words. An empty text
        finds every class, in order.
        """
        word = text.strip().lower()
        if not word:
            return list(enumerate(self.names))
        return [(index, self.names[index]) for _, index in self._ranked(word)]

    def nearest(self, text: str) -> str | None:
        """The name of the class that somebody may have meant: one that has the text in it, else one spelt alike."""
        if found := self.search(text):
            return found[0][1]
        close = difflib.get_close_matches(text.strip().lower(), self._exact, n=1, cutoff=0.7)
        return self.names[self._exact[close[0]][0]] if close else None

    def _ranked(self, word: str) -> list[tuple[tuple[int, bool], int]]:
        """Every class that `word` is a part of with how well it fits, best first."""
        found = []
        for index, terms in enumerate(self._terms):
            ranks = [(_rank(word, term), position > 0) for position, term in enumerate(terms) if word in term]
            if ranks:
                found.append((min(ranks), index))
        return sorted(found)

    def _by_wnid(self, word: str) -> list[int]:
        """The class that this name means in the first set of `ALIGNED` where it is unique, if it exists here."""
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
            list(dict.fromkeys(term.strip().lower() for term in (name, *also, wnid) if term.strip()))
            for name, also, wnid in zip(self.names, aliases, wnids, strict=True)
        ]

    @cached_property
    def _given(self) -> tuple[str, ...]:
        """The names as they were given, before classes of the same name were told apart."""
        aliases = self.aliases or ((),) * len(self)
        return tuple(also[0] if also else name for name, also in zip(self.names, aliases, strict=True))

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        """Class indices by exact name; outside of ImageNet's sets by the name as it was given."""
        return ({} if self.wnids else _indices(self._given)) | _indices(self.names)

    @cached_property
    def _numerals(self) -> dict[str, list[int]]:
        """Class indices by names that are digits."""
        return {name: found for name, found in _indices(map(str.strip, self._given)).items() if name.isdigit()}

    @cached_property
    def _exact(self) -> dict[str, list[int]]:
        """Class indices by whole term."""
        table: dict[str, list[int]] = {}
        for index, terms in enumerate(self._terms):
            for term in terms:
                table.setdefault(term, []).append(index)
        return table


def _indices(names: Iterable[str]) -> dict[str, list[int]]:
    """The indices of each name in the list."""
    table: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        table.setdefault(name, []).append(index)
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
    """Labels from plain names, each on one line; the index follows a name that another class also has."""
    names = [printable(name) or f"class {index}" for index, name in enumerate(names)]
    aliases = [(name, *also) for name, also in zip(names, aliases or [()] * len(names), strict=True)]
    users = Counter(word for also in aliases for word in {alias.lower() for alias in also})
    unique = [name if users[name.lower()] == 1 else f"{name} ({index})" for index, name in enumerate(names)]
    while len(taken := Counter(unique)) < len(unique):  # a class may already be called `cat (0)`
        unique = [name if taken[name] == 1 else f"{name} ({index})" for index, name in enumerate(unique)]
    return Labels(
        names=tuple(unique),
        wnids=None if wnids is None else tuple(wnids),
        source=source,
        aliases=tuple(tuple(dict.fromkeys(also)) for also in aliases),
    )


def printable(name: str) -> str:
    """A name on one line, without the invisible characters that turn a page's text around."""
    if not name.isprintable():  # letter by letter only where one is invisible: lists of labels are long
        name = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(name.split())


def labels_of_head(labels: Labels, logits: int) -> Labels:
    """The labels of a head with so many logits.

    A single logit has two classes: of two names the first is the negative class and the second the positive one, as
    their folders sort; one name N makes `not N` and N; classes that are numbered are `class 0` and `class 1`.
    Raises: ModelError for another number of names.
    """
    if logits == 1 and len(labels) == 1:
        return labels.with_negative
    if len(labels) != (2 if logits == 1 else logits):
        wanted = f"{logits} class names, one for each class of the head"
        if logits == 1:
            wanted = "one class name or two, the negative class first, for a head with a single logit"
        raise ModelError(
            f"expected {wanted}, got {len(labels)} in {quoted(labels.source)}; give them in the head's order"
        )
    return labels


@lru_cache
def imagenet(subset: str = IMAGENET_1K) -> Labels:
    """The labels of one of timm's ImageNet subsets.

    The 1000 classes carry torchvision's names (`crane bird`, not a second `crane`), so that a class reads the same
    whichever library a model comes from; every other set carries WordNet's first word for each class.
    """
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo(subset)
    words = [tuple(description.split(", ")) for description in info.label_descriptions()]
    names = _names_of_torchvision() if subset == IMAGENET_1K else [first for first, *_ in words]
    return make_labels(names, subset, info.label_names(), words)


@lru_cache
def numbered(count: int) -> Labels:
    """Labels without recorded names: `class 0`, `class 1`, …"""
    return make_labels([f"class {index}" for index in range(count)], f"{count} unnamed classes")


def _names_of_torchvision() -> list[str]:
    """The 1000 names that torchvision's weights carry."""
    from torchvision.models import AlexNet_Weights

    return AlexNet_Weights.DEFAULT.meta["categories"]


def labels_of_torchvision(categories: Sequence[str]) -> Labels:
    """The labels of a torchvision weights entry, from its `meta["categories"]`."""
    if list(categories) == _names_of_torchvision():
        return imagenet(IMAGENET_1K)
    return make_labels(categories, "torchvision")


def labels_of_timm(cfg: dict[str, Any]) -> Labels:
    """The labels of a timm pretrained configuration: its own names, or the ImageNet subset of its class count."""
    if names := cfg.get("label_names"):
        labels = make_labels(names, "timm")
        return labels.with_negative if len(labels) == 1 else labels
    from timm.data.imagenet_info import infer_imagenet_subset

    subset = infer_imagenet_subset(cfg)
    return imagenet(subset) if subset else numbered(max(cfg["num_classes"], 2))
