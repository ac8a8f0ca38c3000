"""The report as a PDF, typeset by Typst: tagged, with contents and page numbers, its text selectable.

Text reaches the template as data and is never read as markup. Latin, Greek and Cyrillic are set in the fonts of the
typst package, other scripts and emoji in the fonts that are installed with this one or lie in `data/fonts`: the
same bytes on every machine. Only what those lack (historic scripts, say) is set in the machine's own fonts, or else
written as its code, such as `⟨U+12000⟩`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

from gradcam.draw.even_rows import even_columns
from gradcam.draw.render import png
from gradcam.errors import ReportError, quoted
from gradcam.files import temporary_folder
from gradcam.report import data_set_tables, model_tables, reproduce, sections, statements
from gradcam.report.data_set import CandidateEntry, DataSetEntry
from gradcam.report.formats.typesetting import Job, Typeset, font_folders, typeset
from gradcam.report.model import TITLE, HeatmapEntry, Report
from gradcam.report.notes import note_tree
from gradcam.report.pictures import Pictures, jpeg
from gradcam.text import clean, listed, paragraphs, unbroken

SIDE = 560
"""The longest side of a photo in the PDF, in pixels: about 250 dots an inch where three panels share a row."""
MOST_OPENING = 4
"""Pictures on the first page."""
MOST_BESIDE, FEW = 3, 6
"""Panels in a row, and panels of a photo and question above which one more stands in a row."""
TALL = 0.59
"""Height to width of an overlay above which it is set less wide than its panel: three rows of panels fit a page."""

LAYOUTS = ("close", "apart")
"""What the template knows besides its usual layout: with less room between lines, or the last section on a page."""
LEAST_FILLED = 0.25
"""Where the text of the last page ends at least, as a share of its height."""
MOST_PAGES = 30
"""Pages above which it does not matter how full the last one is."""


def write(report: Report, file: BinaryIO) -> None:
    """Write PDF/UA. Every panel is in it, or there is no PDF.

    Raises: ReportError.
    """
    with temporary_folder() as folder:
        data = _content(report, Pictures(report, SIDE), folder)
        own_fonts, missing = _needed_fonts(data)
        data = _without(data, missing)
        (folder / "data.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        template = resources.files("gradcam.report").joinpath("templates", "report.typ")
        (folder / "report.typ").write_bytes(template.read_bytes())
        job = Job(font_folders(), own_fonts, root=str(folder), made=report.created, counted="<panel>")
        file.write(_checked(_typeset(job), len(report.findings)))


def _typeset(job: Job) -> Typeset:
    """The first of the layouts whose last page is not nearly empty; the usual one where none is or need be."""
    usual = typeset(job)
    if usual.complaint or not 1 < usual.pages <= MOST_PAGES or usual.filled >= LEAST_FILLED:
        return usual
    others = (typeset(replace(job, inputs={"layout": layout})) for layout in LAYOUTS)
    return next((one for one in others if one.filled >= LEAST_FILLED), usual)


def _checked(done: Typeset, panels: int) -> bytes:
    if done.complaint:
        raise _refusal(done)
    if done.count != panels:
        raise ReportError(f"expected {panels} panels in the PDF, got {done.count}; write another format")
    if not done.pdf:
        raise ReportError("expected one PDF from Typst, got none; write another format")
    return done.pdf


def _refusal(done: Typeset) -> ReportError:
    return ReportError(f"the PDF cannot be typeset: {quoted(done.complaint)}; write another format")


# ------------------------------------------------------------------------------------- what is in it


_BARS = {False: "bar.png", True: "bar-around-zero.png"}


def _content(report: Report, pictures: Pictures, folder: Path) -> dict[str, Any]:
    """Everything the template shows, as plain data; the pictures are put into `folder`."""
    signed = {report.is_signed(panel) for panel in report.heatmaps}
    for around_zero in signed:
        (folder / _BARS[around_zero]).write_bytes(png(pictures.bar(around_zero).repeat(12, axis=0)))
    verdict = report.verdict
    numbered = range(len(report.photos))
    return _shown(
        {
            "title": report.title or TITLE,
            "created": report.created,
            "version": report.environment.gradcam,
            "methods": statements.methods_line(report),
            "extent": statements.extent(report),
            "status": verdict.status,
            "reviewer": verdict.reviewer,
            "date": verdict.date,
            "summary": note_tree(verdict.summary),
            "open_questions": verdict.questions,
            "opening": _opening(report, pictures, folder),
            "scale": sections.scale_line(report, True in signed),
            "questions": [statements.target_text(entry.target) for entry in report.targets],
            "models": _table(model_tables.models_table(report)),
            "photo_list": _table(sections.photos_table(report)),
            "settings": _table(sections.settings_table(report)),
            "data_set": _data_set(report, report.data_set, folder) if report.data_set else None,
            "predictions": [_table(sections.predictions_table(report, photo)) for photo in numbered],
            "agreement": _table(sections.agreement_table(report)),
            "numbers": _table(sections.numbers_table(report)),
            "photos": [_photo(report, pictures, photo, folder) for photo in numbered],
            "disagreements": _table(sections.disagreements_table(report)),
            "procedure": [vars(paragraph) for paragraph in report.procedure],
            "limits": [vars(paragraph) for paragraph in report.limits],
            "failures": _table(sections.failures_table(report)),
            "hashes": _table(sections.hashes_table(report)),
            "environment": _table(sections.environment_table(report)),
            "configurations": _table(model_tables.configurations_table(report)),
            "needed": reproduce.required_files(report),
        }
    ) | {
        "command": paragraphs(reproduce.command(report)),
        "python": paragraphs(reproduce.python_lines(report)),
    }


def _table(table: sections.Table) -> dict[str, Any]:
    return {"head": table.head, "rows": table.rows, "marked": table.marked, "numbers": table.numbers}


def _plotted(table: sections.Table, folder: Path, stem: str) -> dict[str, Any]:
    """A table with the plots beside its rows, which are put into `folder`."""
    plots = [{"file": f"{stem}-{row}.svg", "alt": plot.alt} for row, plot in enumerate(table.plots)]
    for named, plot in zip(plots, table.plots, strict=True):
        (folder / named["file"]).write_text(plot.svg, encoding="utf-8")
    return _table(table) | {"plots": plots}


def _data_set(report: Report, found: DataSetEntry, folder: Path) -> dict[str, Any]:
    """What the whole data set came to."""
    confusions = enumerate(data_set_tables.confusion_tables(report))
    return {
        "about": data_set_tables.ABOUT,
        "about_candidates": data_set_tables.ABOUT_CANDIDATES,
        "overview": _table(data_set_tables.overview_table(report)),
        "labels": _plotted(data_set_tables.labels_table(report), folder, "labels"),
        "confusions": [[model, _plotted(table, folder, f"confusion-{at}")] for at, (model, table) in confusions],
        "measures": _plotted(data_set_tables.measures_table(report), folder, "measures"),
        "differences": _table(data_set_tables.differences_table(report)),
        "candidate_list": _table(data_set_tables.candidates_table(report)),
        "candidates": [_candidate(report, number, one, folder) for number, one in enumerate(found.candidates, 1)],
    }


def _candidate(report: Report, number: int, one: CandidateEntry, folder: Path) -> dict[str, Any]:
    pictures: list[dict[str, str]] = []
    for at, (words, pixels) in enumerate(data_set_tables.candidate_pictures(report, one)):
        name = f"candidate-{number}-{at}.png"
        (folder / name).write_bytes(png(pixels))
        pictures.append({"file": name, "alt": words})
    notes = [
        {"line": " · ".join(data_set_tables.note_parts(note)), "note": note_tree(note.text)} for note in one.notes
    ]
    title, facts = data_set_tables.candidate_title(report, number), data_set_tables.candidate_facts(report, one)
    return {"title": title, "facts": facts, "pictures": pictures, "notes": notes}


def _opening(report: Report, pictures: Pictures, folder: Path) -> dict[str, Any]:
    """The first page's pictures: a row of panels without those that failed."""
    row = sections.opening_row(report)
    found = [finding for finding in row.findings if isinstance(finding, HeatmapEntry)] if row else []
    panels = [_panel(report, pictures, finding, folder) for finding in found[:MOST_OPENING]]
    return {"title": sections.opening_title(report, row) if row else "", "panels": panels}


def _photo(report: Report, pictures: Pictures, index: int, folder: Path) -> dict[str, Any]:
    entry = report.photos[index]
    groups = [_group(report, pictures, group, folder) for group in sections.panel_groups(report, index)]
    note = note_tree(entry.note.text)
    return {"name": entry.name, "status": entry.note.status, "note": note, "groups": groups}


def _group(report: Report, pictures: Pictures, group: sections.PanelGroup, folder: Path) -> dict[str, Any]:
    panels = zip(group.heatmaps, group.labels, strict=True)
    return {
        "title": group.title,
        "columns": _columns(len(group.heatmaps)),
        "panels": [_panel(report, pictures, panel, folder) | {"label": label} for panel, label in panels],
        "failures": [
            {"labels": line.labels, "label": listed(line.labels), "reason": line.reason} for line in group.failures
        ],
    }


def _columns(panels: int) -> int:
    """How many panels stand in a row: of many more than of a few, so that seven are 4 + 3 and leave none alone."""
    return max(2, even_columns(panels, MOST_BESIDE + (panels > FEW)))


def _panel(report: Report, pictures: Pictures, finding: HeatmapEntry, folder: Path) -> dict[str, Any]:
    model, photo = report.model_names[finding.model], report.photos[finding.photo].name
    panel: dict[str, Any] = {"label": model, "title": sections.panel_title(finding)}
    heatmap, overlay = pictures.heatmap_and_overlay(finding)
    drawn = {
        "overlay": (overlay, sections.picture_caption(report, finding, "Overlay")),
        "heatmap": (heatmap, sections.picture_caption(report, finding, "Heatmap")),
        "input": (pictures.seen(finding), f"{photo} as {model} was given it"),
    }
    for kind, (pixels, alt) in drawn.items():
        if pixels is not None:
            name = f"{sections.panel_key(report, finding)}-{kind}.jpg"
            (folder / name).write_bytes(jpeg(pixels))
            panel[kind] = {"file": name, "alt": alt}
    panel["tall"] = overlay.shape[0] > TALL * overlay.shape[1]
    panel["bar"] = _BARS[report.is_signed(finding)]
    panel["ticks"] = sections.bar_numbers(report, finding)
    panel["warnings"] = finding.warnings
    panel["facts"] = sections.panel_facts(report, finding)
    return panel


def _shown(value: Any) -> Any:
    """The same data with every text cleaned, and no number apart from its %; only notes keep their line breaks."""
    if isinstance(value, str):
        return unbroken(clean(value))
    if isinstance(value, dict):
        return {key: item if key in ("summary", "note") else _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


# --------------------------------------------------------------------------------------------- fonts


def _needed_fonts(data: Any) -> tuple[bool, set[str]]:
    """Whether the machine's own fonts help to show `data`, and its characters that no font has."""
    used = {character for character in json.dumps(data, ensure_ascii=False) if ord(character) > 0x17F}
    lacking = _missing_glyphs(used, own=False)
    still = _missing_glyphs(lacking, own=True)
    return still != lacking, still


def _missing_glyphs(characters: set[str], *, own: bool) -> set[str]:
    """Those of the characters that cannot be shown, with or without the machine's own fonts."""
    rest, missing = set(characters), set[str]()
    while rest:
        unknown = _first_missing(frozenset(rest), own)
        if not unknown:
            break
        missing |= unknown & rest
        rest -= unknown
    return missing


@cache
def _first_missing(characters: frozenset[str], own: bool) -> frozenset[str]:
    """Some of the characters that cannot be shown; empty if all can."""
    text = " ".join(sorted(characters))
    source = '#set document(title: "t")\n#sys.inputs.text'
    done = typeset(Job(font_folders(), own, source, inputs={"text": text}))
    if not done.complaint:
        return frozenset()
    named = re.search(r'the text `"(.*)"` could not be displayed', done.complaint)
    if named is None:
        raise _refusal(done)
    shown = re.sub(r"\\u\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), named[1])
    return frozenset(shown) & characters or characters


def _without(value: Any, missing: set[str]) -> Any:
    """The same data with the missing characters written as their codes."""
    if not missing:
        return value
    if isinstance(value, str):
        return "".join(f"⟨U+{ord(c):04X}⟩" if c in missing else c for c in value)
    if isinstance(value, dict):
        return {key: _without(item, missing) for key, item in value.items()}
    return [_without(item, missing) for item in value] if isinstance(value, list) else value
