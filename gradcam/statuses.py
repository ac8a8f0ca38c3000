"""What can be said of a review and of its parts: one table, for reports, data sets and the reviews of a team."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

SubjectKind = Literal["whole", "photo", "cluster", "class"]

STATUSES: Mapping[SubjectKind, tuple[str, ...]] = {
    "whole": ("draft", "in review", "approved", "rejected"),
    "photo": ("draft", "approved", "rejected", "unsure"),
    "class": ("draft", "approved", "rejected", "unsure"),
    "cluster": ("draft", "shortcut", "fine", "unsure"),
}
"""What can be said of each kind of subject. `draft` is one that nobody judged, and takes back what was said."""

DONE = frozenset({"approved", "rejected"})
"""Statuses of the whole that end somebody's work on it."""

ReportStatus = Literal["needs review", "in review", "approved", "rejected"]
"""What the file of a report says of the whole and of a photo."""
