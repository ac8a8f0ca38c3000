"""A run that nothing interrupted, and its photos, for all tests that leave both as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcam.runs import Run
from tests.runs.small_set import run_over, write_set


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), 30)


@pytest.fixture(scope="session")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupted."""
    return run_over(data, tmp_path_factory.mktemp("runs") / "whole")
