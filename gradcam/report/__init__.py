"""The report of a comparison: one frozen value, written in many formats, reopened, replayed and compared."""

from gradcam.report._diff import Change, diff
from gradcam.report._replay import TOLERANCE, MapCheck, Replay, replay
from gradcam.report._write import format_of, render_report, write_report
from gradcam.report.build import build_report, revised
from gradcam.report.checks import Check, Thresholds, check, read_thresholds
from gradcam.report.formats import FORMATS, Format
from gradcam.report.limits import YEARS
from gradcam.report.model import EMBEDDED, STATUSES, TITLE, FailureEntry, HeatmapEntry, Note, Report, Verdict
from gradcam.report.notes import note_html
from gradcam.report.read import read_report

__all__ = [
    "EMBEDDED",
    "FORMATS",
    "STATUSES",
    "TITLE",
    "TOLERANCE",
    "YEARS",
    "Change",
    "Check",
    "FailureEntry",
    "Format",
    "HeatmapEntry",
    "MapCheck",
    "Note",
    "Replay",
    "Report",
    "Thresholds",
    "Verdict",
    "build_report",
    "check",
    "diff",
    "format_of",
    "note_html",
    "read_report",
    "read_thresholds",
    "render_report",
    "replay",
    "revised",
    "write_report",
]
