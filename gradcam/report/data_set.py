"""What a whole data set came to: the part of a report that tells of all photos of a run, not of the chosen ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradcam.report.fields import Correlation, Count, Index, Map, Sha256, Share, Time

Interval = tuple[float, float]
"""Low and high end of what holds 95 % of the means of photos drawn anew."""


@dataclass(frozen=True)
class LabelEntry:
    """The photos of a label. right: of each model, the share of which it predicts first; None where unknown."""

    label: str
    photos: Count
    right: tuple[Share | None, ...]


@dataclass(frozen=True)
class ConfusionEntry:
    """Photos of a label of which a model predicts a class first.

    agreement: the mean over the photos of how far the two models that agree least do; None where unknown.
    """

    model: Index
    label: str
    predicted: str
    photos: Count
    agreement: Correlation | None


@dataclass(frozen=True)
class MeasureEntry:
    """A measure of a model's maps over all photos.

    spread: the values below which lie 5, 25, 50, 75 and 95 % of the photos.
    """

    measure: str
    model: Index
    photos: Count
    mean: float
    interval: Interval
    spread: tuple[float, float, float, float, float]


@dataclass(frozen=True)
class DifferenceEntry:
    """A measure of the first model's map less that of the second's, photo by photo."""

    measure: str
    models: tuple[Index, Index]
    photos: Count
    mean: float
    interval: Interval


@dataclass(frozen=True)
class CandidateNote:
    """What one person said of a candidate. title: what they call it. text: Markdown. at: the latest comes last."""

    status: Literal["draft", "shortcut", "fine", "unsure"]
    reviewer: str
    at: Time
    title: str
    text: str


@dataclass(frozen=True)
class CandidateEntry:
    """A candidate for a shortcut of a class, as `gradcam.shortcuts` found it.

    members, others: how many photos of the class share it, and do not. strongest: paths of the first members.
    right: of each model, the shares of members and of others that it is right on. channels: of the target layer.
    member_heat, other_heat: the mean map of either group, as shares of each map's peak.
    status: what all notes come to, `draft` where nobody judged it.
    """

    model: Index
    label: str
    score: float
    members: Count
    others: Count
    right: tuple[tuple[Share | None, Share | None], ...]
    channels: tuple[Count, ...]
    strongest: tuple[str, ...]
    member_heat: Map | None
    other_heat: Map | None
    status: Literal["draft", "shortcut", "fine", "unsure", "disputed"]
    notes: tuple[CandidateNote, ...]


@dataclass(frozen=True)
class DataSetEntry:
    """A data set as a run saw it, through the report's models in their order.

    maps, failed, planned: how many the run has, how many of them are missing, and how many it will have.
    evidence: what its review is bound to; None before the run has finished.
    chosen: how the photos of the report were chosen, in words. method, target: of the maps that agreement and
    measures are of. label_count: of which `labels` are the largest.
    """

    name: str
    photos: Count
    maps: Count
    failed: Count
    planned: Count
    evidence: Sha256 | None
    chosen: str
    method: str
    target: str
    label_count: Count
    labels: tuple[LabelEntry, ...]
    confusions: tuple[ConfusionEntry, ...]
    measures: tuple[MeasureEntry, ...]
    differences: tuple[DifferenceEntry, ...]
    candidates: tuple[CandidateEntry, ...]
