"""Who may read and write in a store, and the transactions in which they do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.reviews.database import Database, default_store
from gradcam.reviews.roles import Actor, Role


class StoreAccess:
    """A store's connections, as whoever opened it may use them, or as one person may."""

    _actor: Actor | None = None

    def __init__(self, store: str | Path | None = None) -> None:
        """store: a path, or `postgresql://…`; by default `default_store()`. Raises: ReviewError."""
        self._database = Database(default_store() if store is None else store)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._database.close()

    def acting_as(self, actor: Actor) -> Self:
        """The same store as one person may use it, on the same connections."""
        theirs = copy.copy(self)
        theirs._actor = actor
        return theirs

    def _check(self, least: Role, by: str | None = None) -> None:
        """Raises: ReviewError where the person whom the store acts for may not do this, or not as `by`."""
        if self._actor is None:
            return
        if not self._actor.may(least):
            has = self._actor.role or "no role"
            raise ReviewError(
                f"expected the role {least} for this, got {quoted(self._actor.name)} with {has}; ask an owner"
            )
        if by not in (None, self._actor.name):
            raise ReviewError(f"expected words of {quoted(self._actor.name)}, got words of {quoted(by)}")

    @contextmanager
    def _reading(self, least: Role = "viewer") -> Iterator[sa.Connection]:
        self._check(least)
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def _writing(self, by: str, least: Role = "reviewer") -> Iterator[sa.Connection]:
        self._check(least, by)
        with self._database.writing() as connection:
            yield connection

    def _one_at_a_time(self, connection: sa.Connection, id: str) -> None:
        """Nobody else reads and then writes about the same thing until this transaction ends; SQLite sees to it."""
        if not self._database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(id[:15], 16))))
