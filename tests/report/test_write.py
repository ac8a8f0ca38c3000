"""Writing a report: whole files or none."""

from __future__ import annotations

import os
import signal

import pytest

from gradcam.errors import OptionError, ReportError
from gradcam.report import (
    codec,
    render_report,
    write_report,
)
from tests.report_fakes import report


def test_a_file_that_exists_is_replaced_only_by_force(tmp_path):
    out = tmp_path / "review.json"
    out.write_text("mine")
    with pytest.raises(ReportError, match="which exists; choose another name, or replace it: --force"):
        write_report(report(), out)
    assert out.read_text() == "mine"
    write_report(report(), out, force=True)
    assert out.read_bytes() == render_report(report(), "json")


@pytest.mark.parametrize("link", [os.link, None])
def test_a_file_that_appears_while_a_report_is_made_stays_as_it_is(tmp_path, monkeypatch, link):
    """Also where the file system has no links."""
    out = tmp_path / "review.json"
    if link is None:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    write_report(report(), out)
    whole = out.read_bytes()
    assert whole == render_report(report(), "json")

    out.unlink()
    monkeypatch.setattr(codec, "_dumps", lambda *_, **__: out.write_text("mine") and b"theirs")
    with pytest.raises(ReportError, match="which exists; choose another name, or replace it: --force"):
        write_report(report(), out)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whatever_interrupts_writing_the_old_file_stays_whole_and_no_half_file_is_left(
    tmp_path, monkeypatch, trouble
):
    out = tmp_path / "review.json"
    out.write_text("mine")

    def interrupted(handle: int) -> None:
        raise trouble

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises((ReportError, KeyboardInterrupt)):
        write_report(report(), out, force=True)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch):
    out = tmp_path / "review.json"
    out.write_text("mine")
    made = report()
    monkeypatch.setattr("os.fsync", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    if (child := os.fork()) == 0:
        write_report(made, out, force=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [("review.doc", "ends in one of"), ("none/review.zip", "which is none; make it first"), ("", "got the folder")],
)
def test_a_path_that_cannot_be_written_is_refused_in_a_sentence(tmp_path, name, words):
    with pytest.raises((ReportError, OptionError), match=words):
        write_report(report(), tmp_path / name, None if name else "zip")
