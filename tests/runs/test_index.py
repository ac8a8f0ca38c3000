"""The index answers from its own indices: no question reads all photos, units or slices."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from gradcam.runs.index import Index
from gradcam.runs.manifest import PhotoRow
from gradcam.runs.queries import RANKINGS, Pair, ranking

FILTERS = {"label": "cat", "predicted": "dog", "site": "Bonn"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(tmp_path_factory.mktemp("index"))
    made.prepare()
    rows = [PhotoRow(f"{number}.jpg", "cat", {"site": "Bonn"}) for number in range(100)]
    made.add_photos(0, rows, [None] * len(rows))
    return made


def steps_of(index: Index, wanted: sa.Select) -> list[str]:
    """What SQLite does to answer, in its own words."""
    text = wanted.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with index.reading() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]


def reads_all(steps: list[str]) -> list[str]:
    """The steps that read a table from end to end."""
    return [step for step in steps if step.startswith(("SCAN", "SEARCH")) and " USING " not in step]


@pytest.mark.parametrize("pair", [None, Pair(0, 1, "Grad-CAM", "top")], ids=["all", "pair"])
@pytest.mark.parametrize("by", RANKINGS)
@pytest.mark.parametrize(
    "names", [[], ["label"], ["predicted"], ["site"], ["label", "predicted", "site"]], ids="-".join
)
def test_a_page_of_a_ranking_reads_an_index(index: Index, by: str, names: list[str], pair: Pair | None) -> None:
    steps = steps_of(
        index, ranking(index, by, {"where": {name: FILTERS[name] for name in names}, "pair": pair}).limit(48)
    )
    assert steps
    assert not reads_all(steps), steps


def test_a_page_without_a_filter_is_not_sorted(index: Index) -> None:
    steps = steps_of(index, ranking(index, "disagreement", {}).limit(48))
    assert steps == ["SCAN photos USING COVERING INDEX ix_photos_agreement"]


def test_a_question_that_reads_a_whole_table_is_told_apart(index: Index) -> None:
    steps = steps_of(index, sa.text("SELECT photo FROM photos WHERE reason = 'x'"))  # pyright: ignore[reportArgumentType]
    assert reads_all(steps) == ["SCAN photos"]
