"""The files of a run's photos now, beside what the run knows of them: gone, changed, or there at last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gradcam.errors import PhotoError
from gradcam.runs import shards
from gradcam.runs.data_set import Files, read_one
from gradcam.runs.index import Index
from gradcam.runs.plan import Plan
from gradcam.runs.store import Shard, Store
from gradcam.text import count, first_few

State = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class FileStates:
    """Photos by their number in the run, with their paths.

    gone: their files are. changed: since a model saw them. there: those that failed because of their files, which
    are others now, or as another model saw them.
    """

    gone: dict[int, str] = field(default_factory=dict)
    changed: dict[int, str] = field(default_factory=dict)
    there: dict[int, str] = field(default_factory=dict)

    @property
    def lost(self) -> dict[int, str]:
        return self.gone | self.changed


def look(index: Index, files: Files) -> FileStates:
    """Look at the file of each photo. Only a file whose state is another than the index knows is read."""
    found, as_seen = FileStates(), dict[int, State]()
    for photo in index.states():
        now = files.state(photo.path)
        is_other = now != photo.state
        if now is None:
            if photo.state is not None or photo.sha256 is not None:
                found.gone[photo.number] = photo.path
        elif photo.sha256 is None:
            if photo.failed and is_other:
                found.there[photo.number] = photo.path
        elif is_other and _sha256(files, photo.path) != photo.sha256:
            found.changed[photo.number] = photo.path
        else:
            if is_other:
                as_seen[photo.number] = now
            if photo.failed:
                found.there[photo.number] = photo.path
    index.note_states(as_seen)
    return found


def forget_failed(
    store: Store,
    plan: Plan,
    files: Files,
    finished: dict[tuple[int, int], Shard],
    found: FileStates,
    say: Callable[[str], None],
) -> None:
    """Remove the shards in which a photo failed whose file is there at last, so that they are computed again.

    A batch of which another photo is gone or has changed is left as it is: computed again, it would lose that
    photo's maps. finished: the shards of the run; the removed ones are taken out of it.
    """
    index, again = Index(store.folder), dict[int, str]()
    for batch in plan.batches():
        photos = range(batch.start, batch.stop)
        there = {number: found.there[number] for number in photos if number in found.there}
        if there and not any(number in found.lost for number in photos):
            for position, shard in _with_failed(store, finished, batch.number, there):
                index.forget(shard)  # first: what the index lacks is read from the shards
                store.remove(shard)
                del finished[position]
            again |= there
    index.note_states({number: state for number, path in again.items() if (state := files.state(path))})
    if again:
        say(
            f"{count(len(again), 'photo')} that failed can be tried again, for the files are others now "
            f"({first_few(list(again.values()))}): computed with the photos of their batches"
        )


def _with_failed(
    store: Store, finished: Mapping[tuple[int, int], Shard], batch: int, photos: Mapping[int, str]
) -> list[tuple[tuple[int, int], Shard]]:
    """The shards of a batch in which one of these photos failed because of its file."""
    return [
        (position, shard)
        for position, shard in finished.items()
        if shard.batch == batch
        and any(
            row["photo"] in photos and not row["photo_sha256"]
            for row in shards.read_numbers(str(store.path(shard)))
        )
    ]


def _sha256(files: Files, path: str) -> str:
    """Of a photo's bytes; empty where they cannot be read."""
    try:
        return hashlib.sha256(read_one(files, path)).hexdigest()
    except PhotoError:
        return ""
