"""The report as rows of numbers, for a spreadsheet or a script."""

from __future__ import annotations

import codecs
import csv
from typing import BinaryIO

from gradcam.report.model import Finding, Report
from gradcam.text import clean

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
    """Write a row a photo × model × class, in UTF-8 with `\\r\\n` as RFC 4180 asks; unknown values are empty.

    A text that a spreadsheet would take for a formula has an apostrophe put before it.
    """
    writer = csv.writer(codecs.getwriter("utf-8")(file))
    writer.writerow(COLUMNS)
    for finding in report.findings:
        writer.writerow([_cell(value) for value in _row(report, finding)])


def _row(report: Report, finding: Finding) -> list[str | int | float | None]:
    photo, model = report.photos[finding.photo], report.models[finding.model]
    row: list[str | int | float | None] = [photo.name, photo.sha256, model.id, model.weights_sha256]
    row.append(report.questions[finding.question])
    if finding.target is None or finding.numbers is None:
        return [*row, *[None] * (len(COLUMNS) - len(row) - 1), finding.reason]
    target, numbers, layer = finding.target, finding.numbers, report.answer(finding).layer
    row += [target.label, target.index, target.against_label, target.probability, target.rank, target.score]
    row += [layer.name, *layer.grid, numbers.peak, numbers.mean, numbers.positive, numbers.full]
    row += numbers.hottest or (None, None)
    with_others = report.agreements_of(finding)
    row.append(_mean([agreement.rank_correlation for agreement in with_others]))
    row.append(_mean([agreement.iou for agreement in with_others]))
    return [*row, " ".join(finding.warnings), None]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None


def _cell(value: str | int | float | None) -> str | int | float:
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "'")) else text
