"""The report of a comparison: one frozen value, written in many formats, reopened, replayed and compared."""

from gradcam.report.build import build_report
from gradcam.report.bundle import read_report
from gradcam.report.model import CARRIED, STATUSES, Note, Report, Verdict, revised
from gradcam.report.write import FORMATS, Format, render_report, write_report

__all__ = [
    "CARRIED",
    "FORMATS",
    "STATUSES",
    "Format",
    "Note",
    "Report",
    "Verdict",
    "build_report",
    "read_report",
    "render_report",
    "revised",
    "write_report",
]
