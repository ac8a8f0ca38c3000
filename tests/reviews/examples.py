"""What the tests of reviews are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from gradcam.keys import PublicKey, SecretKey, new_key
from gradcam.reviews import Subject
from gradcam.reviews.database import Database

EVIDENCE = "ab" * 32
PHOTO, OTHER = Subject("photo", "dog.jpg"), Subject("photo", "cat.jpg")
SOMEBODYS = PublicKey("Anna", "2026-11-01T12:00:00Z", bytes(32))


@contextmanager
def writing(address: str) -> Iterator[sa.Connection]:
    """The database itself, past the store."""
    with closing(Database(address)) as database, database.writing() as connection:
        yield connection


def key_of(name: str, folder: Path) -> SecretKey:
    return new_key(name, folder / name)
