"""What a visitor asked a server to compute, as it lies in a folder of its own.

job.json    the job
upload/     what the visitor brought, if anything
models/     the files of the visitor's own models, if any, by their number
run/        the run, as `gradcam run` keeps it
said.txt    what somebody should know of it, a sentence a line
reason.txt  why it ended before its time, if it did
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from gradcam.errors import RunError
from gradcam.files import make_folder, write_whole

JOB, UPLOAD, MODELS, RUN, MESSAGES, REASON = "job.json", "upload", "models", "run", "said.txt", "reason.txt"


@dataclass(frozen=True)
class Job:
    """A run that a visitor asked for.

    owner: tells visitors apart. data: as `read_data` takes it. created: seconds since 1970.
    checkpoints: what `load_shared` takes beside the file of each model of the visitor's own.
    """

    title: str
    owner: str
    data: str
    models: tuple[str, ...]
    targets: tuple[str, ...]
    created: float
    checkpoints: tuple[str, ...] = ()


def write_job(folder: Path, job: Job) -> None:
    """Raises: RunError, OptionError where the disk refuses it."""
    make_folder(folder)
    with write_whole(folder / JOB, error=RunError) as file:
        file.write(msgspec.json.encode(job))


def read_job(folder: Path) -> Job:
    """Raises: RunError where the folder holds none."""
    try:
        return msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    except (OSError, msgspec.DecodeError) as error:
        raise RunError(
            "expected a run behind this link, got none: it was deleted, or its days are over; start another"
        ) from error


def read_lines(folder: Path, name: str) -> tuple[str, ...]:
    """The sentences in a file of a folder; none where there is no such file."""
    try:
        return tuple((folder / name).read_text("utf-8", "replace").splitlines())
    except OSError:
        return ()
