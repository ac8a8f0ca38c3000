"""`python -m tests.large_report`: 4,500 panels, written in the heavy formats and reopened, a line a step.

CPU seconds on a busy machine with two cores: interactive page 3.2; JSON 1.0, and 1.2 to reopen; ZIP, with page and
PDF, 62, and 2.5 to reopen.
"""

from __future__ import annotations

import os
import sys
import time
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


def steps(photos: int) -> Iterator[tuple[str, float, float]]:
    """Build, write and reopen, one after the other, and the wall and CPU seconds of each, children included."""
    before = _seconds()
    report = large_report(photos)
    yield "build", *_since(before)
    for format in ("interactive", "json", "zip"):  # the ZIP holds the report's page and its PDF
        before = _seconds()
        data = render_report(report, format)
        yield f"write {format}", *_since(before)
        if format in ("json", "zip"):
            before = _seconds()
            assert read_report(data) == report
            yield f"reopen {format}", *_since(before)


def _seconds() -> tuple[float, float]:
    return time.perf_counter(), sum(os.times()[:4])


def _since(before: tuple[float, float]) -> tuple[float, float]:
    wall, processor = (now - then for now, then in zip(_seconds(), before, strict=True))
    return wall, processor


def main() -> None:
    photos = int(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS
    print(f"{photos * len(MODELS) * len(TARGETS):,} panels")
    for step, wall, processor in steps(photos):
        print(f"{step}: {wall:.1f} s, {processor:.1f} of CPU", flush=True)


if __name__ == "__main__":
    main()
