"""The panels alone as one page, with the values under the pointer."""

from __future__ import annotations

from gradcam.draw.page import comparison_html
from gradcam.report.model import Report
from gradcam.report.pictures import comparison_of


def render(report: Report) -> bytes:
    """The page as UTF-8 HTML."""
    return comparison_html(comparison_of(report), report.style).encode()
