"""A run that is killed at any instant, as by a power cut, ends with the same bytes and rows as one that is not."""

from __future__ import annotations

import pytest

from tests.runs.kill_child import PHOTOS, WORKERS, Kills
from tests.runs.small_set import SETTINGS, rows_of, shards_of


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Kills:
    return Kills(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("number", range(5))
def test_a_killed_run_ends_alike_and_redoes_at_most_one_batch_a_worker(kills: Kills, number: int) -> None:
    killed = kills.kill(f"killed{number}", kills.instants(5)[number])
    assert shards_of(killed.run) == kills.shards
    assert rows_of(killed.run) == kills.rows
    batches = PHOTOS // SETTINGS.batch
    assert batches <= killed.computed <= batches + WORKERS
