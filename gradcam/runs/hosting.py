"""Runs that a server computes for its visitors: a folder each, under a link that nobody guesses.

Whoever has the link has the run: the name of the folder is a hash of it, so that a restarted server finds the run
again, and whoever reads the folder's name still cannot open it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

from gradcam.config import Runs
from gradcam.errors import RunError, machine_trouble, quoted, without_path
from gradcam.files import make_folder, write_whole
from gradcam.runs.data_set import PICTURES, SAMPLE, DataSet, is_hidden, read_data, sample_set
from gradcam.runs.job import (
    MESSAGES,
    MODELS,
    REASON,
    RUN,
    UPLOAD,
    Job,
    read_job,
    read_lines,
    write_job,
)
from gradcam.runs.job_queue import JobQueue
from gradcam.runs.manifest import MANIFESTS
from gradcam.runs.run import Run, Status
from gradcam.text import count, shorten

DAY = 86_400.0
SECONDS_BETWEEN_SWEEPS = 3_600.0
SECONDS_HALF_MADE = 3_600.0
"""A folder without a job that holds at most uploads, and is older than this, is of an upload that never ended."""
_IS_OURS = re.compile("[0-9a-f]{32}").fullmatch
"""Tells a folder that a link leads to from what else somebody keeps beside them."""

State = Literal["waiting", "starting", "running", "stopped", "failed", "finished"]
Uploads = Sequence[tuple[str, BinaryIO]]
"""Files by their names."""
Checkpoints = Sequence[tuple[str, BinaryIO]]
"""The files of a visitor's own models, each after what `gradcam.models.write_options` tells of it."""


@dataclass(frozen=True)
class HostedRun:
    """A visitor's run as it is now.

    ahead: how many runs compute or wait before it. status: None before anything is planned.
    is_readable: whether this version reads what is planned; a run of another one can only be deleted.
    reason: why it ended before its time. messages: what somebody should know of it. expires: seconds since 1970.
    """

    run: Run
    job: Job
    state: State
    ahead: int
    status: Status | None
    reason: str
    messages: tuple[str, ...]
    expires: float
    is_readable: bool = True

    @property
    def is_active(self) -> bool:
        """Whether it computes or will by itself."""
        return self.state in ("waiting", "starting", "running")


class RunHost:
    """All visitors' runs of one server, within what its operator allows. Several threads may use it."""

    def __init__(self, limits: Runs) -> None:
        self._limits = limits
        self._root = limits.folder.expanduser().absolute()
        self._queue = JobQueue(limits.at_once, self._may_go_on, self._ended)

    def start(
        self,
        owner: str,
        title: str,
        data: str | Path | Uploads,
        models: Sequence[str],
        targets: Sequence[str],
        checkpoints: Checkpoints = (),
    ) -> str:
        """Take a run on, to be computed as soon as there is room. Returns: the token of its link.

        owner: tells visitors apart. data: as `read_data` takes it; or uploads, a ZIP alone or photos with perhaps a
        manifest. models: ids, those of the checkpoints among them.
        Raises: RunError where the data or a limit forbids it; nothing is left then.
        """
        self.sweep()
        if not models:
            raise RunError("expected a model, got none; choose at least one")
        self._refuse_queue()
        token = secrets.token_urlsafe(24)
        folder = self._folder(token)
        try:
            of_models = sum(_bytes_of(file) for _, file in checkpoints)
            if not isinstance(data, str | Path):
                of_photos = sum(_bytes_of(file) for _, file in data)
                self._refuse_upload(of_photos)
                self._refuse_full(owner, of_photos + of_models)
                data = _store_uploads(folder / UPLOAD, data)
            source = _read(sample_set() if data == SAMPLE else Path(data))
            if len(source) > self._limits.photos:
                raise RunError(
                    f"expected at most {self._limits.photos:,} photos, got {len(source):,}; take fewer, or ask "
                    "whoever keeps this server"
                )
            self._refuse_full(owner, of_models)
            _store(folder / MODELS, [(str(number), file) for number, (_, file) in enumerate(checkpoints)])
            told = tuple(options for options, _ in checkpoints)
            job = Job(shorten(title, 200), owner, source.source, tuple(models), tuple(targets), time.time(), told)
            write_job(folder, job)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._queue.add(folder)
        return token

    def get(self, token: str) -> HostedRun:
        """The run behind a link. Raises: RunError where there is none."""
        folder = self._folder(token)
        job = read_job(folder)
        expires = job.created + self._limits.days * DAY
        if expires < time.time():
            self.sweep()
            job = read_job(folder)
        run = Run(folder / RUN)
        status = None
        with suppress(RunError):
            status = run.status()
        reason, messages = " ".join(read_lines(folder, REASON)), read_lines(folder, MESSAGES)
        is_readable = status is not None or not run.is_planned()
        state = self._state(folder, status, reason)
        return HostedRun(run, job, state, self._queue.ahead(folder), status, reason, messages, expires, is_readable)

    def resume(self, token: str) -> None:
        """Compute what a run lacks, as soon as there is room. Raises: RunError."""
        folder = self._folder(token)
        read_job(folder)
        self._refuse_queue()
        (folder / REASON).unlink(missing_ok=True)
        self._queue.add(folder)

    def cancel(self, token: str) -> None:
        """Compute a run no further; what has finished stays."""
        self._queue.cancel(self._folder(token))

    def delete(self, token: str) -> None:
        """Remove a run and all that was uploaded for it."""
        folder = self._folder(token)
        self._queue.cancel(folder)
        self._queue.wait_for(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def used(self, owner: str | None = None) -> int:
        """Bytes that the runs of a visitor, or of all, take on the disk."""
        return sum(_size(folder) for folder in self._folders() if owner is None or _owner(folder) == owner)

    def sweep(self) -> None:
        """Remove runs whose days are over, and what uploads that never ended left behind."""
        for folder in self._folders():
            if folder not in self._queue and self._is_over(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def keep_sweeping(self) -> None:
        """Sweep now and once an hour, in a thread of its own, as long as the process lives."""

        def sweep() -> None:
            while True:
                self.sweep()
                time.sleep(SECONDS_BETWEEN_SWEEPS)

        threading.Thread(target=sweep, name="sweep", daemon=True).start()

    # ------------------------------------------------------------------------------- limits

    def _refuse_queue(self) -> None:
        if len(self._queue) >= self._limits.at_once + self._limits.waiting:
            raise RunError(
                f"expected room on this server, got {count(len(self._queue), 'run')} that compute or wait; try "
                "again later"
            )

    def _refuse_upload(self, size: int) -> None:
        if size > self._limits.upload_megabytes * 1e6:
            raise RunError(
                f"expected an upload of at most {self._limits.upload_megabytes:,} MB, all its files together, got "
                f"{size / 1e6:,.0f} MB; take fewer photos, or ask whoever keeps this server"
            )

    def _refuse_full(self, owner: str, more: int = 0) -> None:
        """more: bytes to come. Raises: RunError where the runs of this visitor, or of all, would take too many."""
        for used, most, whose in (
            (self.used(owner), self._limits.visitor_gigabytes, "your runs"),
            (self.used(), self._limits.gigabytes, "the runs of all visitors"),
        ):
            if used + more > most * 1e9:
                raise RunError(
                    f"expected {whose} to take at most {most:g} GB of disk, got {(used + more) / 1e9:.2g} GB; "
                    "delete a run first, or wait until the days of one are over"
                )

    def _may_go_on(self, folder: Path) -> bool:
        try:
            self._refuse_full(_owner(folder) or "")
        except RunError as error:
            _leave_reason(folder, str(error))
            return False
        return True

    def _is_over(self, folder: Path) -> bool:
        try:
            return read_job(folder).created + self._limits.days * DAY < time.time()
        except RunError:
            with suppress(OSError):
                is_old = folder.stat().st_mtime + SECONDS_HALF_MADE < time.time()
                return is_old and {path.name for path in folder.iterdir()} <= {UPLOAD, MODELS}
        return False

    # ------------------------------------------------------------------------------- states and folders

    def _state(self, folder: Path, status: Status | None, reason: str) -> State:
        if self._queue.ahead(folder):
            return "waiting"
        if status and status.state != "stopped":
            return status.state
        if folder in self._queue:
            return "starting"
        return "failed" if reason else "stopped"

    @staticmethod
    def _ended(folder: Path, code: int) -> None:
        """A process that ended without a word is told of: it was killed, or it met an error of the program."""
        if code != 0 and folder.exists() and not (folder / REASON).exists():
            _leave_reason(
                folder, f"expected the run to end by itself, but its process ended with {code}; resume it"
            )

    def _folder(self, token: str) -> Path:
        return self._root / hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()[:32]

    def _folders(self) -> list[Path]:
        """The folders of runs, and no others that lie beside them."""
        try:
            return [path for path in self._root.iterdir() if _IS_OURS(path.name) and path.is_dir()]
        except OSError:
            return []


def _read(path: Path) -> DataSet:
    try:
        return read_data(path)
    except RunError as error:
        raise RunError(without_path(str(error), path)) from error


def _leave_reason(folder: Path, reason: str) -> None:
    with suppress(RunError), write_whole(folder / REASON, error=RunError) as file:
        file.write(reason.encode("utf-8", "replace"))


def _owner(folder: Path) -> str | None:
    try:
        return read_job(folder).owner
    except RunError:
        return None


def _size(folder: Path) -> int:
    """Bytes of the files of a folder; what somebody deletes meanwhile counts nothing."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(inside, name)).st_size
    return total


def _bytes_of(file: BinaryIO) -> int:
    """How long an upload is; it is at its beginning then, also when it is brought a second time."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    return end


def _store_uploads(folder: Path, files: Uploads) -> Path:
    """Write uploads into a folder. Returns: what `read_data` reads of them: a ZIP, a manifest, or the folder.

    Only photos and manifests come in, so that no upload passes for a dataset of another kind.
    Raises: RunError for none, for two of one name, and for a ZIP or a manifest among others of its kind.
    """
    names = [PurePath(name.replace("\\", "/")).name for name, _ in files]
    taken = {".zip", *MANIFESTS, *PICTURES}
    if odd := next((name for name in names if PurePath(name).suffix.lower() not in taken or len(name) > 200), None):
        raise RunError(f"expected photos, a manifest or a ZIP, got {quoted(odd, 80)}; leave it out")
    if not names or any(map(is_hidden, names)):
        raise RunError("expected photos or a ZIP, got none, or a hidden file; choose others")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RunError(
            f"expected each file once, got {quoted(twice)} twice; rename one, or pack a ZIP with folders"
        )
    whole = [name for name in names if PurePath(name).suffix.lower() == ".zip"]
    if whole and len(names) > 1:
        raise RunError(
            f"expected one ZIP by itself, got {quoted(whole[0])} among {len(names)} files; upload it alone"
        )
    tables = [name for name in names if PurePath(name).suffix.lower() in MANIFESTS]
    if len(tables) > 1:
        raise RunError(f"expected one manifest, got {quoted(tables[0])} and {quoted(tables[1])}; leave one out")
    _store(folder, [(name, file) for name, (_, file) in zip(names, files, strict=True)])
    return folder / (whole or tables or [""])[0]


def _store(folder: Path, files: Uploads) -> None:
    """Write files into a new folder; none, no folder. Raises: RunError where the disk refuses it."""
    if not files:
        return
    make_folder(folder)
    try:
        for name, file in files:
            with (folder / name).open("xb") as out:
                shutil.copyfileobj(file, out, 1 << 20)
    except (OSError, ValueError) as error:
        raise RunError(f"expected to keep the upload, but {machine_trouble(error)}") from error
