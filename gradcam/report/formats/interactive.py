"""The panels as one page, with the values under the pointer, the verdict above them and a note with each photo."""

from __future__ import annotations

from html import escape
from typing import BinaryIO

from gradcam.draw.page import Remarks, html_in_pieces
from gradcam.draw.render import pixels_uri
from gradcam.report import data_set_tables
from gradcam.report.data_set import DataSetEntry
from gradcam.report.model import Pixels, Report
from gradcam.report.notes import note_html
from gradcam.report.pictures import comparison_of
from gradcam.report.sections import Table
from gradcam.text import clean


def write(report: Report, file: BinaryIO) -> None:
    """Write the page as UTF-8 HTML, a photo at a time."""
    notes = [_remark(photo.note.status, photo.note.text) for photo in report.photos]
    verdict = _verdict(report) + (_data_set(report, report.data_set) if report.data_set else "")
    remarks = Remarks(clean(report.title), verdict, notes)
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


def _data_set(report: Report, found: DataSetEntry) -> str:
    """What the whole data set came to."""
    parts = [f"<h2>Data set</h2><p class='quiet'>{escape(data_set_tables.ABOUT)}</p>"]
    tables = [
        ("What was run", data_set_tables.overview_table(report)),
        ("Photos by label", data_set_tables.labels_table(report)),
        *((f"What {model} predicts first", table) for model, table in data_set_tables.confusion_tables(report)),
        ("The maps in numbers", data_set_tables.measures_table(report)),
        ("Differences between models, photo by photo", data_set_tables.differences_table(report)),
        ("Candidates for shortcuts", data_set_tables.candidates_table(report)),
    ]
    parts += [_table(caption, table) for caption, table in tables if table.rows]
    for number, one in enumerate(found.candidates, start=1):
        parts.append(f"<h3>{_text(data_set_tables.candidate_title(report, number))}</h3>")
        parts.append("".join(f"<p>{_text(fact)}.</p>" for fact in data_set_tables.candidate_facts(report, one)))
        parts += [_picture(*shown) for shown in data_set_tables.candidate_pictures(report, one)]
        for note in one.notes:
            parts.append(f"<p>{' · '.join(map(_text, data_set_tables.note_parts(note)))}</p>{_note(note.text)}")
    return "\n".join(parts)


def _picture(words: str, pixels: Pixels) -> str:
    alt = escape(words)
    return f"<figure><img src='{pixels_uri(pixels)}' alt='{alt}'><figcaption>{alt}</figcaption></figure>"


def _table(caption: str, table: Table) -> str:
    """A table with its plots, for a page that may be narrower."""
    plots = [
        f"<td><span role='img' aria-label='{escape(clean(one.alt))}'>{one.svg}</span></td>" for one in table.plots
    ]
    head = "".join(f"<th scope='col'>{_text(cell)}</th>" for cell in table.head) + ("<td></td>" if plots else "")
    rows = [
        "".join(f"<td>{_text(cell)}</td>" for cell in row) + (plots[number] if plots else "")
        for number, row in enumerate(table.rows)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(clean(caption))}'><table>"
        f"<caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _remark(status: str, text: str, who: str = "") -> str:
    """A status, who gave it, and what was written, as HTML."""
    return f"<p><span class='badge'>{escape(status)}</span> {who}</p>{_note(text)}"


def _note(text: str) -> str:
    return f"<div class='note'>{note_html(text)}</div>" if text else ""


def _text(text: str) -> str:
    return f"<bdi>{escape(clean(text))}</bdi>"
