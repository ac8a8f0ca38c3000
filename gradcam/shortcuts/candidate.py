"""A candidate for a shortcut as a value: photos of a class that share something the model uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcam.errors import quoted
from gradcam.shortcuts.components import Component, Values
from gradcam.text import count


@dataclass(frozen=True)
class Member:
    """A photo of the class. photo: its number in the run.

    strength: of the component on it, in standard deviations over all photos that were looked at; the means that
        the component leads between are taken without this photo, so that it does not speak for itself.
    predicted: the model's first prediction. right: whether that is the label; None where it cannot be said.
    """

    photo: int
    path: str
    strength: float
    predicted: str | None
    right: bool | None


@dataclass(frozen=True)
class Channel:
    """A channel that makes a component. share: of what all channels give to it, in (0, 1]."""

    number: int
    share: float


@dataclass(frozen=True)
class Accuracy:
    """How often a model is right on the members, and on the class's other photos; None where nothing says so."""

    members: float | None
    others: float | None


@dataclass(frozen=True, eq=False)
class Candidate:
    """Photos of a class that share something the model uses: evidence for people to look at, never a verdict.

    A shortcut and a true kind within the class look the same here; see the photos, the map and `check_shortcut`.

    score: how far the members stand out, times how much the model uses it; candidates are ranked by it.
    members: strongest first. others: the class's other photos, strongest first, so that the nearest come first.
    threshold: the strength that divides them.
    channels: of the target layer, by how much more they give to the class where the component is strong.
    earlier_channels: of the earlier layer, by how closely they follow the component.
    member_heat, other_heat: the mean map of each group on the model's input, each map as shares of its peak,
        `[h, w]`; None where the run has no map of the group.
    accuracy: of each model of the run, by its id.
    """

    model: str
    label: str
    score: float
    threshold: float
    members: tuple[Member, ...]
    others: tuple[Member, ...]
    channels: tuple[Channel, ...]
    earlier_channels: tuple[Channel, ...]
    member_heat: Values | None
    other_heat: Values | None
    accuracy: Mapping[str, Accuracy]
    component: Component = field(repr=False)

    def __repr__(self) -> str:
        size = f"{len(self.members)} of {count(len(self.members) + len(self.others), 'photo')}"
        return f"Candidate({quoted(self.label, 60)}, {self.model}, score {self.score:.2f}, {size})"
