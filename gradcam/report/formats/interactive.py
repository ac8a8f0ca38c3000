"""The panels alone as one page, with the values under the pointer."""

from __future__ import annotations

from typing import BinaryIO

from gradcam.draw.page import html_in_pieces
from gradcam.report.model import Report
from gradcam.report.pictures import comparison_of


def write(report: Report, file: BinaryIO) -> None:
    """Write the page as UTF-8 HTML, a photo at a time."""
    for piece in html_in_pieces(comparison_of(report), report.style):
        file.write(piece.encode())
