"""The panels as one page, with the values under the pointer, the verdict above them and a note with each photo."""

from __future__ import annotations

from html import escape
from typing import BinaryIO

from gradcam.draw.page import Remarks, html_in_pieces
from gradcam.report.model import Report
from gradcam.report.notes import note_html
from gradcam.report.pictures import comparison_of
from gradcam.text import clean


def write(report: Report, file: BinaryIO) -> None:
    """Write the page as UTF-8 HTML, a photo at a time."""
    notes = [_remark(photo.note.status, photo.note.text) for photo in report.photos]
    remarks = Remarks(clean(report.title), _verdict(report), notes)
    for piece in html_in_pieces(comparison_of(report), report.style, remarks):
        file.write(piece.encode())


def _verdict(report: Report) -> str:
    verdict = report.verdict
    who = " · ".join(_text(part) for part in (verdict.reviewer, verdict.date) if part)
    parts = ["<h2>Verdict</h2>", _remark(verdict.status, verdict.summary, who)]
    if verdict.questions:
        items = "".join(f"<li>{_text(question)}</li>" for question in verdict.questions)
        parts.append(f"<h3>Open questions</h3><ul>{items}</ul>")
    return "\n".join(parts)


def _remark(status: str, text: str, who: str = "") -> str:
    """A status, who gave it, and what was written, as HTML."""
    line = f"<p><span class='badge'>{escape(status)}</span> {who}</p>"
    return f"{line}<div class='note'>{note_html(text)}</div>" if text else line


def _text(text: str) -> str:
    return f"<bdi>{escape(clean(text))}</bdi>"
