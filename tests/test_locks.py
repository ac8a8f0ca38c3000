"""A file is held by one process at a time, or a sentence says why not."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from gradcam import locks
from gradcam.errors import OptionError, RunError
from gradcam.locks import alone_with, hold
from gradcam.runs import start
from tests.runs.small_set import SETTINGS, classifiers, write_set


@pytest.fixture
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of another machine that was attached without locks."""

    def refuse(number: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_file_that_is_held_is_not_held_again_until_it_is_given_back(tmp_path: Path) -> None:
    first = hold(tmp_path / "lock", OptionError)
    assert first is not None
    with first:
        assert hold(tmp_path / "lock", OptionError) is None
        locks.unlock(first.fileno())
    with alone_with(tmp_path / "a.txt"):
        assert [path.name for path in tmp_path.iterdir() if "a.txt" in path.name] == [".a.txt.lock"]


@pytest.mark.usefixtures("_no_locks")
def test_a_disk_without_locks_is_one_sentence_and_keeps_nothing(tmp_path: Path) -> None:
    told = (
        r"expected a disk that knows locks for .*, but the machine says 'No locks available'; try again or choose"
    )
    with pytest.raises(OptionError, match=told):
        alone_with(tmp_path / "a.txt").__enter__()
    data = write_set(tmp_path / "set", 2)
    with pytest.raises(RunError, match=told):
        start(data, classifiers(), ["top"], out=tmp_path / "run", settings=SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
