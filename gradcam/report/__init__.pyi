from ._diff import (
    Change as Change,
    ChangedPanel as ChangedPanel,
    changed_panels as changed_panels,
    diff as diff,
)
from ._replay import (
    OUTCOMES as OUTCOMES,
    TOLERANCE as TOLERANCE,
    MapCheck as MapCheck,
    Replay as Replay,
    replay as replay,
)
from ._review import (
    evidence_under_review as evidence_under_review,
    photo_subjects as photo_subjects,
    review_report as review_report,
)
from ._sign import (
    Verification as Verification,
    sign_report as sign_report,
    verify_report as verify_report,
    with_signature as with_signature,
)
from ._write import format_of as format_of, render_report as render_report, write_report as write_report
from .build import build_report as build_report, revised as revised
from .checks import Check as Check, Thresholds as Thresholds, check as check, read_thresholds as read_thresholds
from .data_set import DataSetEntry as DataSetEntry
from .formats import FORMATS as FORMATS, Format as Format
from .limits import YEARS as YEARS
from .model import (
    EMBEDDED as EMBEDDED,
    STATUSES as STATUSES,
    TITLE as TITLE,
    Embedded as Embedded,
    FailureEntry as FailureEntry,
    Finding as Finding,
    HeatmapEntry as HeatmapEntry,
    Note as Note,
    Report as Report,
    Status as Status,
    Verdict as Verdict,
)
from .notes import note_html as note_html
from .of_run import data_set_of as data_set_of, first_by as first_by, report_of_run as report_of_run
from .pictures import comparison_of as comparison_of, draw_change as draw_change, draw_finding as draw_finding
from .read import read_report as read_report
from .reproduce import command as command, required_files as required_files
from .sections import opening_row as opening_row, opening_title as opening_title, panel_title as panel_title
from .signatures import (
    CheckedSignature as CheckedSignature,
    State as State,
    Statement as Statement,
    signed_of as signed_of,
)
from .statements import conclusion as conclusion, extent as extent, target_title as target_title
