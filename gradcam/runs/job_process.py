"""The process that computes one visitor's run: `python -m gradcam.runs.job_process FOLDER`.

It ends within a few forwards once its input is closed; what has finished stays.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import reduce
from pathlib import Path

from gradcam import starting
from gradcam.errors import GradcamError, without_path
from gradcam.files import write_whole
from gradcam.models import Classifier, load_shared
from gradcam.runs._run import Engine, start
from gradcam.runs.job import MESSAGES, MODELS, REASON, RUN, Job, read_job, read_lines
from gradcam.runs.plan import Settings

SETTINGS = Settings(batch=16, previews=True)
"""Small batches: a page shows progress often, and who cancels loses little."""
NICE = 10
"""How far the pages of the server go before its runs."""


def main(folder: Path) -> int:
    """Compute the job of a folder. Returns: 0, and 1 where a reason was left."""
    starting.done()
    stop, messages, paths = threading.Event(), folder / MESSAGES, [folder / RUN]
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICE)

    def for_visitors(sentence: str) -> str:
        return " ".join(reduce(without_path, paths, sentence).split())

    def say(sentence: str) -> None:
        line = for_visitors(sentence)
        if line not in read_lines(folder, MESSAGES):
            with messages.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    try:
        job = read_job(folder)
        paths.insert(0, Path(job.data))
        own = _own_models(folder, job)
        start(
            job.data,
            [own.get(model, model) for model in job.models],
            job.targets,
            out=folder / RUN,
            settings=SETTINGS,
            engine=Engine(stop=stop, say=say),
        )
    except GradcamError as error:
        with write_whole(folder / REASON) as file:
            file.write(for_visitors(str(error)).encode("utf-8", "replace"))
        return 1
    return 0


def _own_models(folder: Path, job: Job) -> dict[str, Classifier]:
    """The models that the visitor brought, by their ids. Raises: ModelError for a file that cannot be used."""
    files = [folder / MODELS / str(number) for number in range(len(job.checkpoints))]
    loaded = [load_shared(file.read_bytes(), told) for file, told in zip(files, job.checkpoints, strict=True)]
    return {str(model.spec): model for model in loaded}


def _wait_for_end(stop: threading.Event) -> None:
    """Read the input till it is closed; not through `sys.stdin`, whose lock a thread may not hold at the end."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
