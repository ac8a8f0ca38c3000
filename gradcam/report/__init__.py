"""The report of a comparison: one frozen value, written in many formats, reopened, replayed and compared."""

from gradcam.report._diff import Change, diff
from gradcam.report._replay import MapCheck, Replay, replay
from gradcam.report.build import build_report, revised
from gradcam.report.bundle import read_report
from gradcam.report.junit import Check, Thresholds, check, junit, read_thresholds
from gradcam.report.model import CARRIED, STATUSES, Note, Report, Verdict
from gradcam.report.notes import note_html
from gradcam.report.reproduce import read_layer
from gradcam.report.write import FORMATS, Format, render_report, write_report

__all__ = [
    "CARRIED",
    "FORMATS",
    "STATUSES",
    "Change",
    "Check",
    "Format",
    "MapCheck",
    "Note",
    "Replay",
    "Report",
    "Thresholds",
    "Verdict",
    "build_report",
    "check",
    "diff",
    "junit",
    "note_html",
    "read_layer",
    "read_report",
    "read_thresholds",
    "render_report",
    "replay",
    "revised",
    "write_report",
]
