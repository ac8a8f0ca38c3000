"""What a report asks of its models: the targets as data, in and out of `report.json`."""

from __future__ import annotations

from gradcam.report.model import ChoiceEntry, TargetEntry
from gradcam.types import Contrast, Target, Top


def entry_of(target: Target) -> TargetEntry:
    """A target as a report keeps it."""
    of, against = (target.of, target.rather_than) if isinstance(target, Contrast) else (target, None)
    entry = _entry(of)
    return TargetEntry(entry.index, entry.name, entry.rank, None if against is None else _entry(against))


def target_of(entry: TargetEntry) -> Target:
    """The target that a report keeps: `target_of(entry_of(target)) == target`.

    Raises: ValueError where it is none or several at once.
    """
    choice = _choice(entry)
    return choice if entry.rather_than is None else Contrast(choice, _choice(entry.rather_than))


def _entry(choice: int | str | Top) -> ChoiceEntry:
    if isinstance(choice, Top):
        return ChoiceEntry(rank=choice.rank)
    return ChoiceEntry(name=choice) if isinstance(choice, str) else ChoiceEntry(index=choice)


def _choice(entry: TargetEntry | ChoiceEntry) -> int | str | Top:
    rank = None if entry.rank is None else Top(entry.rank)
    given = [choice for choice in (entry.index, entry.name, rank) if choice is not None]
    if len(given) != 1:
        raise ValueError(f"{len(given)} of index, name and rank")
    return given[0]
