"""A queue of runs on one server: a few compute, each in a process of its own, and the others wait their turn.

A process ends within a few forwards once its input is closed: by a visitor who cancels, or by the server's end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SECONDS_BETWEEN_CHECKS = 5.0
"""How often somebody looks whether a run may go on."""


class JobQueue:
    """Folders whose jobs compute or wait. Several threads may use it.

    at_once: how many compute. may_go_on: is asked of a folder from time to time; on False its process is ended.
    ended: is told of a folder and the exit code of its process.
    """

    def __init__(self, at_once: int, may_go_on: Callable[[Path], bool], ended: Callable[[Path, int], None]) -> None:
        self._at_once, self._may_go_on, self._ended = at_once, may_go_on, ended
        self._waiting: list[Path] = []
        self._computing: dict[Path, subprocess.Popen[bytes]] = {}
        self._guard = threading.RLock()

    def __len__(self) -> int:
        """How many compute or wait."""
        with self._guard:
            return len(self._waiting) + len(self._computing)

    def __contains__(self, folder: Path) -> bool:
        with self._guard:
            return folder in self._computing or folder in self._waiting

    def ahead(self, folder: Path) -> int:
        """How many compute or wait before a folder that waits; 0 for one that does not."""
        with self._guard:
            waits = folder in self._waiting
            return len(self._computing) + self._waiting.index(folder) if waits else 0

    def add(self, folder: Path) -> None:
        """Compute a folder's job as soon as there is room."""
        with self._guard:
            if folder not in self:
                self._waiting.append(folder)
        self._advance()

    def cancel(self, folder: Path) -> None:
        """Let a job wait no longer, or end its process."""
        with self._guard:
            if folder in self._waiting:
                self._waiting.remove(folder)
            _end(self._computing.get(folder))

    def wait_for(self, folder: Path) -> None:
        """Return when no process computes this folder."""
        with self._guard:
            child = self._computing.get(folder)
        if child:
            child.wait()

    def _advance(self) -> None:
        with self._guard:
            while self._waiting and len(self._computing) < self._at_once:
                folder = self._waiting.pop(0)
                child = self._computing[folder] = _begin(folder)
                threading.Thread(target=self._attend, args=(folder, child), name="run", daemon=True).start()

    def _attend(self, folder: Path, child: subprocess.Popen[bytes]) -> None:
        """Stay with a process until it has ended, then begin the next one, whatever goes wrong meanwhile."""
        try:
            while child.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(SECONDS_BETWEEN_CHECKS)
                    break
                if not self._may_go_on(folder):
                    _end(child)
            self._ended(folder, child.returncode)
        finally:
            _end(child)
            child.wait()
            with self._guard:
                del self._computing[folder]
            self._advance()


def _begin(folder: Path) -> subprocess.Popen[bytes]:
    """A process that computes a folder's job with this very package."""
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    return subprocess.Popen(
        [sys.executable, "-m", "gradcam.runs.job_process", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
    )


def _end(child: subprocess.Popen[bytes] | None) -> None:
    if child and child.stdin:
        with suppress(OSError):
            child.stdin.close()
