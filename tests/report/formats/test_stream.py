"""Formats write to an open file as they go: what is written is not kept in memory."""

from __future__ import annotations

import io

import pytest

from gradcam.report import FORMATS, Thresholds, render_report, write_report
from gradcam.report.formats import html, zip
from gradcam.report.pictures import Pictures
from tests import fakes
from tests.report_fakes import report


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_to_a_file_is_what_is_written_to_memory(format, tmp_path):
    path = write_report(report(), tmp_path / "review", format)
    assert path.read_bytes() == render_report(report(), format)


def test_thresholds_are_checked_in_a_file_as_in_memory(tmp_path):
    thresholds = Thresholds(min_agreement=0.99)
    path = write_report(report(), tmp_path / "review.xml", thresholds=thresholds)
    assert path.read_bytes() == render_report(report(), "junit", thresholds)
    assert b"expected a rank correlation of at least 0.99" in path.read_bytes()


@pytest.mark.parametrize(("write", "picture"), [(zip.write, "heatmap_and_overlay"), (html.write, "heat")])
def test_a_file_grows_while_its_pictures_are_drawn(write, picture, monkeypatch):
    file, sizes = io.BytesIO(), list[int]()
    draw = getattr(Pictures, picture)

    def drawn(pictures: Pictures, finding: object) -> object:
        sizes.append(file.tell())
        return draw(pictures, finding)

    monkeypatch.setattr(Pictures, picture, drawn)
    monkeypatch.setattr(html, "PIECES", 5)
    write(report(fakes.photo(name="a.jpg"), fakes.photo(name="b.jpg")), file)
    first, *_, last = sizes[-4:]
    assert 0 < first < last
