"""Files are written whole or not at all, and what a killed process leaves goes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcam import files
from gradcam.errors import OptionError, ReportError
from gradcam.files import refuse_existing, remove_leftovers, temporary_folder, write_whole


@pytest.fixture(autouse=True)
def _temporary_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process, as far as left-overs go, in a folder of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(files, "_swept", set())
    monkeypatch.chdir(tmp_path)


def _names(folder: str | Path = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir()} - {"tmp"}


def _write(path: str, meanwhile: Callable[[], object] = int, **options: Any) -> None:
    with write_whole(path, **options) as file:
        file.write(b"new")
        meanwhile()


def _stop(error: BaseException) -> Callable[[], object]:
    def stop() -> None:
        raise error

    return stop


def test_a_file_appears_when_it_is_whole() -> None:
    with write_whole("a.txt") as file:
        file.write(b"half")
        assert "a.txt" not in _names()
        file.write(b" and half")
    assert _names() == {"a.txt"}
    assert Path("a.txt").read_bytes() == b"half and half"


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit, RuntimeError, ConnectionResetError])
def test_what_interrupts_a_file_leaves_the_old_one_and_passes(stopped: type[BaseException]) -> None:
    Path("a.txt").write_text("old")
    with pytest.raises(stopped):
        _write("a.txt", _stop(stopped()))
    assert _names() == {"a.txt"}
    assert Path("a.txt").read_text() == "old"


def test_a_file_that_appears_meanwhile_is_not_replaced_unless_asked() -> None:
    with pytest.raises(ReportError, match="which exists"):
        _write("a", lambda: Path("a").write_text("theirs"), force=False, error=ReportError)
    assert Path("a").read_text() == "theirs"
    _write("a")
    assert Path("a").read_text() == "new"


def test_a_file_system_without_links_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", no_links)
    _write("a", force=False)
    with pytest.raises(OptionError, match="exists"):
        _write("a", force=False)
    assert Path("a").read_bytes() == b"new"


def test_a_link_stays_and_the_file_behind_it_is_replaced() -> None:
    Path("there").mkdir()
    Path("there", "a").write_text("old")
    Path("a").symlink_to(Path("there", "a"))
    _write("a")
    assert Path("a").is_symlink()
    assert Path("there", "a").read_text() == "new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_disk_that_refuses_is_a_sentence_and_nothing_is_left(
    code: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os if where == "fsync" else Path
    monkeypatch.setattr(owner, where, lambda *_: _stop(OSError(code, "no"))())
    with pytest.raises(OptionError, match=r"expected to write 'a', but .*; ") as caught:
        _write("a")
    assert len(str(caught.value).splitlines()) == 1
    assert _names() == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_in_the_middle_is_a_sentence() -> None:
    with pytest.raises(OptionError, match="the disk is full; free some space"):
        _write("a", lambda: Path("/dev/full").write_bytes(b"x" * 100_000))
    assert _names() == set()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("x" * 300, "the name is too long"),
        ("a\0b", "zero byte"),
        ("none/a", "'none', which is none; make it first"),
        ("file/a", "'file', which is none; make it first"),
        ("file/b/a", "'file/b', which is none"),
        ("folder", "got the folder 'folder'"),
        ("file", "which exists"),
        ("/dev/null", "got the device '/dev/null'"),
        ("a\ud800", "letters that the disk cannot hold"),
        ("loop/a", "links lead in a circle"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_a_path_that_cannot_be_written_is_refused_before_any_work(path: str, told: str) -> None:
    Path("file").write_text("mine")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    with pytest.raises(ReportError) as caught:
        refuse_existing(path, error=ReportError)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert Path("file").read_text() == "mine"


def test_a_folder_that_can_only_be_read_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OptionError, match="which can only be read"):
        refuse_existing("a")


def test_what_a_killed_process_leaves_goes_when_the_next_one_writes_there() -> None:
    kill_itself = """
import os, signal
from gradcam.files import temporary_folder, write_whole
with temporary_folder() as folder, write_whole("a.txt") as file:
    (folder / "picture").write_bytes(b"x")
    file.write(b"half"); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"TMPDIR": str(Path("tmp").absolute())}
    subprocess.run([sys.executable, "-c", kill_itself], env=environment, check=False, timeout=120)
    assert "a.txt" not in _names()
    assert len(_names()) == len(_names("tmp")) == 1
    Path(".mine.part").write_text("of another program")
    _write("b.txt")
    assert _names() == {"b.txt", ".mine.part"}
    assert _names("tmp") == set()


def test_what_a_living_process_or_another_machine_is_writing_stays_for_a_day() -> None:
    host = files._host()
    mine = Path(f".a.{host}-{os.getpid()}-0a.part")
    theirs, stale = Path(".b.00000000-7-0a.part"), Path(".c.00000000-7-0a.part")
    odd, reborn = Path(f".d.{host}-999999999-0a.part"), Path(f".e.{host}-{os.getpid()}-0b.part")
    for path in (mine, theirs, stale, odd, reborn):
        path.write_text("half")
    os.utime(stale, (0, time.time() - files.DAY - 9))
    os.utime(reborn, (0, 0))
    remove_leftovers(".")
    assert _names() == {mine.name, theirs.name}


def test_temporary_folders_go_with_what_is_in_them() -> None:
    with temporary_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert _names("tmp") == set()
    with pytest.raises(KeyboardInterrupt), temporary_folder():
        raise KeyboardInterrupt
    assert _names("tmp") == set()


def test_no_room_for_temporary_files_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="room for temporary files, but the disk is full"), temporary_folder():
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(OptionError, match="room for temporary files, but there is no such"), temporary_folder():
        pass
