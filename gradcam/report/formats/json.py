"""The content of a report as JSON, for programs: without pictures, and complete."""

from __future__ import annotations

from gradcam.report.codec import encode
from gradcam.report.model import Report


def render(report: Report) -> bytes:
    """The canonical `report.json`: the same content gives the same bytes."""
    return encode(report)
