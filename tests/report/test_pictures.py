"""Pictures of a report's maps."""

from __future__ import annotations

from gradcam.report import build_report, draw_change
from gradcam.report.model import FailureEntry
from tests import fakes
from tests.report_fakes import HEAT, NOON, comparison


def test_the_difference_of_two_maps_is_red_where_the_later_one_has_more_and_blue_where_less() -> None:
    before, after = (build_report(comparison([fakes.photo()], heat=heat), now=NOON) for heat in (HEAT, HEAT[::-1]))
    then, now = before.findings[0], after.findings[0]
    top, bottom = draw_change(before, then, after, now, 100)[[5, -5]].mean(
        1
    )  # 2 and 3 more above, as much less below
    assert top[0] > top[2]
    assert bottom[2] > bottom[0]
    assert (draw_change(before, then, before, then, 100).std(2) == 0).all()  # nothing but the photo in grey
    failed = FailureEntry(
        **{name: getattr(now, name) for name in ("photo", "model", "method", "target")}, reason=""
    )
    assert draw_change(before, then, after, failed, 100) is None
