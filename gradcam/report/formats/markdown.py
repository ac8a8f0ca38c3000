"""The report as Markdown, for a notebook, a wiki or a repository; it links its own pictures and what a note links.

Names and labels are escaped; a reviewer's notes are put in as the HTML that `notes` made safe, on one line, so that
no line of theirs is read as Markdown again. The pictures of the file that stands alone come last, so that its text
can be read, or taken alone, in any editor; the one in a ZIP links those beside it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

from gradcam.draw.even_rows import even_columns
from gradcam.report import data_set_tables, model_tables, reproduce, sections, statements
from gradcam.report.data_set import DataSetEntry
from gradcam.report.model import HeatmapEntry, Paragraph, Report
from gradcam.report.notes import note_html
from gradcam.report.pictures import Pictures, jpeg
from gradcam.report.sections import PanelGroup
from gradcam.report.zip_layout import panel_stem
from gradcam.text import clean, listed, paragraphs

SIDE = 360
"""The longest side of a picture, in pixels."""
MOST_BESIDE = 4
"""Pictures in a row."""


def write(report: Report, file: BinaryIO) -> None:
    """Write GitHub-flavoured Markdown in UTF-8, an empty line between two blocks, with its pictures at the end."""
    _write(_blocks(report, linked=False), file)
    pictures = Pictures(report, SIDE)
    for panel in report.heatmaps:
        data = base64.b64encode(jpeg(pictures.heatmap_and_overlay(panel)[1])).decode()
        file.write(f"\n[{panel_stem(report, panel)}]: data:image/jpeg;base64,{data}\n".encode())


def write_linked(report: Report, file: BinaryIO) -> None:
    """The same with links to the overlays in the folder `images` beside it, where a ZIP has them."""
    _write(_blocks(report, linked=True), file)


def _write(blocks: Iterator[str], file: BinaryIO) -> None:
    for number, block in enumerate(blocks):
        file.write(f"{chr(10) if number else ''}{block}\n".encode())


@lru_cache(4096)  # the same names stand in many rows
def escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no mention, no reference, no link."""
    escaped = re.sub(r"([\\`*_\[\]<>|~&$#!])", r"\\\1", clean(text))
    escaped = re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=]))", r"\1\\", escaped)  # no list and no rule begins here
    return re.sub(r"(@|#|:(?=//)|www(?=\.))", r"\1<!-- -->", escaped)


def _blocks(report: Report, *, linked: bool) -> Iterator[str]:
    verdict = report.verdict
    yield f"# {escape(report.title)}"
    yield f"**{verdict.status}** · {statements.extent(report)} · {report.created}"
    yield "## Verdict"
    yield escape(statements.conclusion(verdict))
    yield _note(verdict.summary, "No summary was written.")
    if verdict.questions:
        yield "### Open questions"
        yield _list(verdict.questions)
    yield "## What was compared"
    yield _table(model_tables.models_table(report))
    yield _table(sections.photos_table(report))
    yield _table(sections.settings_table(report))
    if report.data_set:
        yield from _data_set(report, report.data_set)
    yield "## Findings"
    for index, photo in enumerate(report.photos):
        yield f"### {escape(photo.name)}: most probable classes"
        yield _table(sections.predictions_table(report, index))
    if report.agreements:
        yield "### Agreement"
        yield _table(sections.agreement_table(report))
    if report.heatmaps:
        yield from _folded("Numbers of every map", _table(sections.numbers_table(report)))
    yield "## Panels"
    yield from _panels(report, linked)
    yield "What was noticed about a panel:"
    yield _warnings(report)
    yield "## Disagreements, ranked"
    yield from _folded("The least agreeing first", _table(sections.disagreements_table(report)))
    yield "## Notes on photos"
    for photo in report.photos:
        yield f"### {escape(photo.name)}: {photo.note.status}"
        yield _note(photo.note.text, "No note was written.")
    yield "## Method"
    yield _paragraphs(report.procedure)
    yield "## Limits"
    yield _paragraphs(report.limits)
    yield "## Failures"
    yield _table(sections.failures_table(report)) if report.failures else "None: every panel has a map."
    yield "## Provenance"
    yield from _folded("Fingerprints", _table(sections.hashes_table(report)))
    yield from _folded("Computed with", _table(sections.environment_table(report)))
    if (configurations := model_tables.configurations_table(report)).rows:
        yield from _folded("Pretrained configurations", _table(configurations))
    yield from _folded(
        "Make this report again",
        _fence("sh", reproduce.command(report)),
        _fence("python", reproduce.python_lines(report)),
    )


def _data_set(report: Report, found: DataSetEntry) -> Iterator[str]:
    """What the whole data set came to."""
    yield "## Data set"
    yield escape(data_set_tables.ABOUT)
    yield _table(data_set_tables.overview_table(report))
    if found.labels:
        yield "### Photos by label"
        yield _table(data_set_tables.labels_table(report))
    for model, table in data_set_tables.confusion_tables(report):
        yield f"### What {escape(model)} predicts first"
        yield _table(table)
    if found.measures:
        yield "### The maps in numbers"
        yield _table(data_set_tables.measures_table(report))
    if found.differences:
        yield "### Differences between models, photo by photo"
        yield _table(data_set_tables.differences_table(report))
    if found.candidates:
        yield "### Candidates for shortcuts"
        yield escape(data_set_tables.ABOUT_CANDIDATES)
        yield _table(data_set_tables.candidates_table(report))
    for number, one in enumerate(found.candidates, start=1):
        yield f"#### {escape(data_set_tables.candidate_title(report, number))}"
        yield _list(data_set_tables.candidate_facts(report, one))
        for note in one.notes:
            yield " · ".join(map(escape, data_set_tables.note_parts(note)))
            if note.text:
                yield _note(note.text, "")


def _panels(report: Report, linked: bool) -> Iterator[str]:
    """The overlays of each photo in even rows, and a line for each panel without a map."""
    for index, photo in enumerate(report.photos):
        yield f"### {escape(photo.name)}"
        for group in sections.panel_groups(report, index):
            if group.title:
                yield f"**{escape(group.title)}**"
            columns = even_columns(len(group.heatmaps), MOST_BESIDE)
            for first in range(0, len(group.heatmaps), columns):
                yield _overlays(report, group, slice(first, first + columns), linked)
            if group.failures:
                yield _list([f"{listed(line.labels)}: {line.reason}" for line in group.failures])


def _overlays(report: Report, group: PanelGroup, part: slice, linked: bool) -> str:
    """A row of pictures under what tells them apart, and over what each shows."""
    head, panels = [escape(label) for label in group.labels[part]], group.heatmaps[part]
    pictures = [_picture(report, panel, linked) for panel in panels]
    shown = [escape(sections.panel_title(panel)) for panel in panels]
    return _grid([head, ["---"] * len(head), pictures, shown])


def _picture(report: Report, panel: HeatmapEntry, linked: bool) -> str:
    stem, alt = panel_stem(report, panel), escape(sections.picture_caption(report, panel, "Overlay"))
    return f"![{alt}](images/{stem}-overlay.png)" if linked else f"![{alt}][{stem}]"


def _table(table: sections.Table) -> str:
    head = [escape(cell) or " " for cell in table.head]
    rule = ["---:" if index in table.numbers else "---" for index in range(len(head))]
    rows = [[escape(cell) for cell in row] for row in table.rows]
    for index in table.marked:
        rows[index][0] += " **≠**"
    return _grid([head, rule, *rows])


def _grid(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _warnings(report: Report) -> str:
    noticed = [_warning(report, panel) for panel in report.heatmaps if panel.warnings]
    return _list(noticed) if noticed else "Nothing."


def _warning(report: Report, panel: HeatmapEntry) -> str:
    named = [report.photos[panel.photo].name, report.model_names[panel.model], sections.panel_title(panel)]
    named += [report.methods[panel.method].name] if len(report.methods) > 1 else []
    return f"{' · '.join(named)}: {' '.join(panel.warnings)}"


def _list(items: list[str] | tuple[str, ...]) -> str:
    return "\n".join(f"- {escape(item)}" for item in items)


def _paragraphs(given: tuple[Paragraph, ...]) -> str:
    return "\n".join(f"- **{escape(paragraph.heading)}.** {escape(paragraph.text)}" for paragraph in given)


def _folded(summary: str, *blocks: str) -> Iterator[str]:
    yield f"<details><summary>{summary}</summary>"
    yield from blocks
    yield "</details>"


def _note(text: str, otherwise: str) -> str:
    html = note_html(text).strip()
    if not html:
        return f"*{otherwise}*"
    shy = re.sub(r">[^<]*", lambda part: re.sub(r"([@#])(?=\w)", r"\1<!-- -->", part[0]), html)
    return f"<blockquote>{shy.replace(chr(10), '&#10;')}</blockquote>"


def _fence(language: str, code: str) -> str:
    """A code block whose fence is longer than any in the code."""
    code = paragraphs(code)
    ticks = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}{language}\n{code}\n{fence}"
