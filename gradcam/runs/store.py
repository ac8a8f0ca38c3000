"""A run's folder. It is written in an order in which a kill at any instant loses at most the open batches.

plan.json               the plan: everything that decides the results
photos-0.parquet …      the photos of each part
data.json               where the photos are
shards/COLUMN/BATCH     results; each file is written whole
previews/COLUMN/BATCH   small pictures of the maps, if the plan wants them; they may be deleted
shards.jsonl            one line for each finished shard, written after the shard is on disk
index.sqlite            derived from the shards, for filtering and sorting; it may be deleted
lock                    held by the process that computes; the system frees it when that process ends
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa
from pyarrow import parquet

from gradcam.errors import RunError, machine_trouble, quoted
from gradcam.files import make_folder, write_whole
from gradcam.locks import hold, unlock
from gradcam.runs import plan as plans
from gradcam.runs.data_set import DataSet
from gradcam.runs.manifest import PhotoRow, to_rows
from gradcam.runs.plan import Batch, Part, Plan
from gradcam.runs.shards import Encoded

PLAN, DATA, LISTED, LOCK = "plan.json", "data.json", "shards.jsonl", "lock"


@dataclass(frozen=True)
class Shard:
    """A finished shard, as `shards.jsonl` lists it. column, batch: in the plan. rows: how many units."""

    column: int
    batch: int
    rows: int
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Its path in the folder of shards. A folder holds at most a thousand shards."""
        return f"{self.column:03}/{self.batch // 1000:05}/{self.batch:08}.parquet"


@dataclass(eq=False)
class Store:
    """The folder of a run. Several threads may add shards, and several processes may read."""

    folder: Path
    _adding: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _parts: dict[tuple[int, Part], pa.Table] = field(default_factory=dict, repr=False)  # that were read

    # ------------------------------------------------------------------------------- plan and photos

    def exists(self) -> bool:
        return (self.folder / PLAN).is_file()

    def plan(self) -> Plan:
        """Raises: RunError if the folder holds no run."""
        try:
            return plans.decode((self.folder / PLAN).read_bytes())
        except OSError as error:
            raise RunError(
                f"expected a run in {quoted(self.folder)}, but {machine_trouble(error)}; start one with "
                "`gradcam run start`"
            ) from error

    def write_plan(self, plan: Plan, data: str, new: pa.Table | None) -> Plan:
        """Write a plan and its new photos; return the plan with their part.

        data: where the photos are, as `read_data` takes it.
        """
        make_folder(self.folder)
        if new is not None and len(new):
            name = self._photos(len(plan.parts))
            with write_whole(name, error=RunError) as file:
                parquet.write_table(new.replace_schema_metadata(None), file, compression="zstd")
            plan = replace(plan, parts=(*plan.parts, Part(len(new), _sha256(name))))
        self.write_location(data)
        with write_whole(self.folder / PLAN, error=RunError) as file:
            file.write(plans.encode(plan))
        return plan

    def write_location(self, data: str) -> None:
        """Write where the photos are, as `read_data` takes it."""
        with write_whole(self.folder / DATA, error=RunError) as file:
            file.write(json.dumps({"data": data}).encode())

    def data(self) -> str:
        """Where the photos are, as `read_data` takes it. Raises: RunError."""
        try:
            return str(json.loads((self.folder / DATA).read_bytes())["data"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"expected to know where the photos of {quoted(self.folder)} lie, but data.json is damaged; name "
                "them with `gradcam run start`"
            ) from error

    def photos(self, plan: Plan) -> pa.Table:
        """All photos of a plan, ordered by number. Raises: RunError if a list of photos was changed."""
        for number, part in enumerate(plan.parts):
            if (number, part) not in self._parts:
                self._parts[number, part] = self._part(number, part)
        tables = [self._parts[number, part] for number, part in enumerate(plan.parts)]
        return pa.concat_tables(tables).combine_chunks() if tables else pa.table({})

    def described(self, plan: Plan) -> set[str]:
        """The paths of the photos that have a box or a mask. Raises: RunError."""
        photos = self.photos(plan)
        having = (photos.filter(photos[name].is_valid()) for name in ("box", "mask"))
        return {path for some in having for path in some["path"].to_pylist()}

    def _part(self, number: int, part: Part) -> pa.Table:
        name = self._photos(number)
        try:
            data = name.read_bytes()
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise RunError(f"expected {quoted(name)} as the run wrote it, got another file; restore it")
            return parquet.read_table(pa.BufferReader(data))
        except OSError as error:
            raise RunError(f"expected {quoted(name)}, but {machine_trouble(error)}") from error

    def _photos(self, part: int) -> Path:
        return self.folder / f"photos-{part}.parquet"

    # ------------------------------------------------------------------------------- shards

    def path(self, shard: Shard) -> Path:
        return self.folder / "shards" / shard.name

    def previews(self, shard: Shard) -> Path:
        return self.folder / "previews" / shard.name

    def add(self, column: int, batch: int, encoded: Encoded) -> Shard:
        """Write a shard and its previews, and list the shard once both are on disk.

        Raises: RunError if the disk is full.
        """
        digest = hashlib.sha256(encoded.shard).hexdigest()
        shard = Shard(column, batch, encoded.rows, len(encoded.shard), digest)
        for path, data in ((self.previews(shard), encoded.previews), (self.path(shard), encoded.shard)):
            if data is not None:
                make_folder(path.parent)
                with write_whole(path, error=RunError) as file:
                    file.write(data)
                _sync_folder(path.parent)
        line = msgspec.json.encode(shard, order="deterministic") + b"\n"
        try:
            with self._adding, (self.folder / LISTED).open("a+b") as file:
                _drop_half_line(file)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(
                f"expected to write {quoted(self.folder / LISTED)}, but {machine_trouble(error)}"
            ) from error
        return shard

    def remove(self, shard: Shard) -> None:
        """Remove a shard's file, so that it is not finished any more. Raises: RunError."""
        try:
            self.path(shard).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(
                f"expected to remove {quoted(self.path(shard))}, but {machine_trouble(error)}; free it"
            ) from error

    def listed(self, start: int = 0) -> tuple[list[Shard], int]:
        """The shards listed in `shards.jsonl` after byte `start`, and the byte where the list ends now."""
        found: list[Shard] = []
        try:
            with (self.folder / LISTED).open("rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):  # a process was killed while it wrote
                        break
                    start += len(line)
                    with suppress(msgspec.DecodeError):
                        found.append(msgspec.json.decode(line, type=Shard))
        except FileNotFoundError:
            pass
        return found, start

    def finished(self) -> dict[tuple[int, int], Shard]:
        """The shards that are listed and whose files exist, by column and batch."""
        return {
            (shard.column, shard.batch): shard
            for shard in self.listed()[0]
            if _size(self.path(shard)) == shard.bytes
        }

    def check(self) -> None:
        """Read every finished shard again. Raises: RunError if one is not what `shards.jsonl` lists."""
        for shard in self.finished().values():
            if _sha256(self.path(shard)) != shard.sha256:
                raise RunError(
                    f"expected {quoted(self.path(shard))} as the run wrote it, got another file; delete it, and "
                    "`gradcam run resume` computes it again"
                )

    # ------------------------------------------------------------------------------- one process at a time

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Lock the run for this process while the block runs; yields False if another process holds the lock.

        If there is no run when the block ends, or the lock is not had, the folders that were made for it go; the
        lock's file goes with its holder.
        """
        new = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        try:
            make_folder(self.folder)
            file = hold(self.folder / LOCK, RunError)
            if file is None:
                yield False
                return
            with file:
                try:
                    yield True
                finally:
                    if not self.exists():
                        with suppress(OSError):  # Windows removes no open file
                            (self.folder / LOCK).unlink()
                    unlock(file.fileno())
        finally:
            for folder in () if self.exists() else new:
                with suppress(OSError):  # something else was written there meanwhile
                    folder.rmdir()


def rows_of(photos: pa.Table, batch: Batch) -> list[PhotoRow]:
    """The photos of a batch."""
    return to_rows(photos.slice(batch.start, batch.stop - batch.start))


def new_rows(data: DataSet, photos: pa.Table) -> tuple[pa.Table, list[str]]:
    """The rows that are new to a run, and the run's paths that are no longer in the data set.

    Raises: RunError if a photo's label, box, mask or other column has changed.
    """
    known = {path: row for row, path in enumerate(photos["path"].to_pylist())} if len(photos) else {}
    rows = [known.pop(path, None) for path in data.rows["path"].to_pylist()]
    is_new = pa.array([row is None for row in rows])
    old = data.rows.filter(pa.array([row is not None for row in rows]))
    kept = photos.take(pa.array([row for row in rows if row is not None], pa.int64())) if len(old) else old
    if not old.equals(kept):
        changed = next(a for a, b in zip(to_rows(old), to_rows(kept), strict=True) if a != b)
        raise RunError(
            f"expected what is said of {quoted(changed.path)} as the run has it, got another label, box, mask or "
            "column; put it back, or begin beside with --new"
        )
    return data.rows.filter(is_new), list(known)


def _drop_half_line(file: BinaryIO) -> None:
    """Cut off the half line of a killed process. file: opened to append and to read."""
    file.seek(0, os.SEEK_END)
    end = file.tell()
    start = max(0, end - 4096)
    file.seek(start)
    tail = file.read()
    whole = tail.rfind(b"\n") + 1
    if whole < len(tail):
        file.truncate(start + whole)
        file.seek(0, os.SEEK_END)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the system supports it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
