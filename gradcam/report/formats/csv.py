"""The report as rows of numbers, for a spreadsheet or a script."""

from __future__ import annotations

import codecs
import csv
from typing import BinaryIO

from msgspec import UNSET

from gradcam.regions import write_region
from gradcam.report import sections
from gradcam.report.model import FailureEntry, Finding, MapNumbers, PhotoEntry, Report
from gradcam.targets import write_target
from gradcam.text import spreadsheet_cell

COLUMNS = (
    "photo",
    "photo_sha256",
    "model",
    "weights_sha256",
    "question",
    "class",
    "class_index",
    "rather_than",
    "probability",
    "rank",
    "score",
    "layer",
    "grid_height",
    "grid_width",
    "peak",
    "mean",
    "share_above_zero",
    "full_colour",
    "hottest_x",
    "hottest_y",
    "mean_rank_correlation",
    "mean_iou",
    "warnings",
    "failure",
)


def write(report: Report, file: BinaryIO) -> None:
    """Write a row for each photo × model × class, unknown values empty. Lines end in `\\r\\n`, as RFC 4180 asks.

    UTF-8 that says so in its first three bytes, without which Excel takes it for the machine's own encoding. Python
    reads it as `utf-8-sig`; pandas, Polars and DuckDB as it is.

    With several methods their names are a column beside the question; where the object was marked on a photo, three
    columns say where and how much heat is inside.
    A text that a spreadsheet would take for a formula has an apostrophe put before it.
    """
    file.write(codecs.BOM_UTF8)
    writer = csv.writer(codecs.getwriter("utf-8")(file))
    writer.writerow(_columns(report))
    for finding in report.findings:
        writer.writerow([_cell(value) for value in _row(report, finding)])


def _columns(report: Report) -> tuple[str, ...]:
    columns: list[str] = list(COLUMNS)
    if len(report.methods) > 1:
        columns.insert(columns.index("question"), "method")
    if sections.is_marked(report):
        columns[columns.index("warnings") : columns.index("warnings")] = ["region", "region_share", "heat_inside"]
    return tuple(columns)


def _row(report: Report, finding: Finding) -> list[str | int | float | None]:
    photo, model = report.photos[finding.photo], report.models[finding.model]
    row: list[str | int | float | None] = [photo.name, photo.sha256, model.id, model.weights_sha256]
    if len(report.methods) > 1:
        row.append(report.methods[finding.method].name)
    row.append(write_target(report.targets[finding.target].target))
    if isinstance(finding, FailureEntry):
        return [*row, *[None] * (len(_columns(report)) - len(row) - 1), finding.reason]
    scored, numbers, layer = finding.scored, finding.numbers, report.layer_of(finding)
    answer = (scored.index, scored.against_label, scored.probability, scored.rank)
    row += [scored.label, *(answer if scored.is_class else (None,) * 4), scored.score]
    row += [layer and layer.name, *finding.grid, numbers.peak, numbers.mean, numbers.positive, numbers.vmax]
    row += numbers.hottest or (None, None)
    with_others = report.agreements_of(finding)
    row.append(_mean([agreement.rank_correlation for agreement in with_others]))
    row.append(_mean([agreement.iou for agreement in with_others]))
    if sections.is_marked(report):
        row += _of_region(photo, numbers)
    return [*row, " ".join(finding.warnings), None]


def _of_region(photo: PhotoEntry, numbers: MapNumbers) -> list[str | float | None]:
    """Where the object was marked, the share of the photo that this is, and that of the heat inside."""
    if photo.region is UNSET:
        return [None] * 3
    inside = None if numbers.inside is UNSET else numbers.inside
    return [write_region(photo.region), round(photo.region_share, 6), inside]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None


def _cell(value: str | int | float | None) -> str | int | float:
    if isinstance(value, str):
        return spreadsheet_cell(value)
    return "" if value is None else value
