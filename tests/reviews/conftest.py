"""Every test of the store runs on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gradcam.reviews import Review, ReviewStore
from tests import postgres
from tests.reviews.examples import EVIDENCE

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres.running() as url:
        yield url


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store lies."""
    if request.param == "SQLite":
        return str(tmp_path / "reviews.sqlite")
    url = sa.make_url(request.getfixturevalue("server"))
    name = f"reviews{next(_numbers)}"
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def store(address: str) -> Iterator[ReviewStore]:
    opened = ReviewStore(address)
    yield opened
    opened.close()


@pytest.fixture
def review(store: ReviewStore) -> Review:
    project = store.add_project("Skin", "Anna", signatures=0)
    return store.add_review(project, EVIDENCE, "Lesions", "Anna")
