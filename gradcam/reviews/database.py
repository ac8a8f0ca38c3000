"""The database under the store: a file of SQLite, or PostgreSQL by URL, brought up to date when it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import psutil
import sqlalchemy as sa
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from gradcam.errors import ReviewError, quoted
from gradcam.extras import packages_of
from gradcam.files import make_folder

WAIT = 60_000
"""Milliseconds that a writer waits for another one."""

NETWORK = (
    *("nfs", "cifs", "smb", "9p", "afs", "afpfs", "ncpfs", "glusterfs", "lustre", "ceph", "davfs", "webdav"),
    *("beegfs", "gpfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
)
"""Beginnings of the names of file systems on which SQLite's locks do not hold."""

MIGRATIONS = Path(__file__).with_name("migrations")
"""The folder of what brings a store from each schema to the next."""

NEWEST = "head"
"""The schema that a store is brought to."""

_ONE_UPGRADE = 7_142_023
"""The number of PostgreSQL's advisory lock that lets one process at a time bring the tables up to date."""


def default_store() -> str:
    """`$GRADCAM_STORE`, a path or a URL, else `~/.local/share/gradcam/reviews.sqlite`."""
    return os.environ.get("GRADCAM_STORE") or str(Path("~/.local/share/gradcam/reviews.sqlite").expanduser())


class Database:
    """One store's connections. Several processes may use it at once."""

    def __init__(self, store: str | Path) -> None:
        """store: a path of SQLite, or a URL that begins with `postgresql://`.

        Raises: ReviewError where it is neither, lies on a network file system, or cannot be reached.
        """
        self.url = url_of(store)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            _prepare_folder(Path(str(self.url.database)))
            self._engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin)
        else:
            with packages_of("postgres"):
                self._engine = sa.create_engine(self.url, pool_pre_ping=True)
        try:
            self._upgrade()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Database({self.url!r})"  # without the password

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._errors_as_sentences(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: all that the block writes is kept when it ends, or nothing."""
        with (
            self._errors_as_sentences(),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def outside_transactions(self) -> Iterator[sa.Connection]:
        """For the few commands that no transaction may hold."""
        with self._errors_as_sentences(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT", transactions=False)

    def close(self) -> None:
        self._engine.dispose()

    def _upgrade(self) -> None:
        """Bring the tables to the newest schema, in one process at a time."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_UPGRADE)))
            config.attributes["connection"] = connection
            with _refuse_newer():
                alembic.command.upgrade(config, NEWEST)

    @contextmanager
    def _errors_as_sentences(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            message = " ".join(str(error.orig).split())
            raise ReviewError(
                f"expected to use the reviews in {quoted(self._shown())}, but the database says "
                f"{quoted(message, 120)}; try again, or ask whoever keeps it"
            ) from error

    def _shown(self) -> str:
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)


@contextmanager
def _refuse_newer() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise ReviewError(
            f"expected reviews kept by this version of gradcam or an earlier one, got: {quoted(str(error), 120)}; "
            "use the version that kept them"
        ) from error


def url_of(store: str | Path) -> sa.URL:
    """Raises: ReviewError for a URL of another database than SQLite or PostgreSQL."""
    text = str(store)
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise _no_store(text) from error
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database:
        return url.set(drivername="sqlite")
    raise _no_store(text)


def _no_store(text: str) -> ReviewError:
    scheme, _, rest = text.partition("://")
    shown = quoted(f"{scheme}://{rest.rpartition('@')[2]}", 120)  # without a password
    return ReviewError(f"expected a path or postgresql://USER@HOST/NAME for the reviews, got {shown}")


def _prepare_folder(path: Path) -> None:
    """Raises: ReviewError for a file on a network file system, where a lock may be given to two."""
    make_folder(path.parent)
    found = path.resolve()  # of a link, the disk that it leads to
    mounts = [part for part in psutil.disk_partitions(all=True) if found.is_relative_to(part.mountpoint)]
    here = max(mounts, key=lambda part: len(part.mountpoint), default=None)
    if here is not None and here.fstype.lower().startswith(NETWORK):
        raise ReviewError(
            f"expected a disk of this machine for the reviews, got {quoted(path)} on {here.fstype}, where two "
            "processes can overwrite each other; use a local path, or PostgreSQL by its URL"
        )


def _prepare(connection: Any, _record: object) -> None:
    """What every connection of SQLite starts with; waiting for a writer comes first, for the others may wait too.

    FULL: a verdict that was acknowledged survives a power cut.
    """
    connection.isolation_level = None  # the driver begins no transaction by itself
    for pragma in (f"busy_timeout = {WAIT}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    """A writer takes its turn at once, so that it never has to give up what it has read."""
    options = connection.get_execution_options()
    if options.get("transactions", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")
