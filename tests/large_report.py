"""`python -m tests.large_report`: 4,500 panels, written in the heavy formats and reopened, and the seconds of each.

CPU seconds on a busy machine with two cores: interactive page 3.2; JSON 1.0, and 1.2 to reopen; ZIP, with page and
PDF, 79, and 3.3 to reopen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from gradcam.report import Report, build_report, read_report, render_report
from gradcam.types import Top
from tests import fakes, report_fakes

PHOTOS = 300
MODELS = tuple(f"x/{letter}" for letter in "abcde")
TARGETS = (Top(), Top(2), Top(3))


def large_report(photos: int) -> Report:
    """Fifteen panels a photo: five models × three classes."""
    taken = [fakes.photo(24, 32, f"{place}.png", grey=place % 256) for place in range(photos)]
    return build_report(report_fakes.comparison(taken, MODELS, TARGETS), now=report_fakes.NOON)


def steps(photos: int) -> Iterator[tuple[str, float]]:
    """Build, write and reopen, one after the other, and the CPU seconds of each, children included."""
    before = _cpu()
    report = large_report(photos)
    yield "build", _cpu() - before
    for format in ("interactive", "json", "zip"):  # the ZIP holds the report's page and its PDF
        before = _cpu()
        data = render_report(report, format)
        yield f"write {format}", _cpu() - before
        if format in ("json", "zip"):
            before = _cpu()
            assert read_report(data) == report
            yield f"reopen {format}", _cpu() - before


def _cpu() -> float:
    return sum(os.times()[:4])


def main() -> None:
    photos = int(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS
    print(f"{photos * len(MODELS) * len(TARGETS):,} panels")
    for step, seconds in steps(photos):
        print(f"{step}: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
