"""The content of a report as JSON, for programs: without pictures, and complete."""

from __future__ import annotations

from typing import BinaryIO

from gradcam.report.codec import encode_in_pieces
from gradcam.report.model import Report


def write(report: Report, file: BinaryIO) -> None:
    """Write the canonical `report.json`: the same content gives the same bytes."""
    file.writelines(encode_in_pieces(report))
