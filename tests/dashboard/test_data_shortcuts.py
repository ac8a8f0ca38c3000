"""The part *Shortcuts* of the page *Data set*, over a run with a planted patch."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from dashboard import library
from dashboard.components import data_shortcuts
from gradcam.config import settings
from gradcam.shortcuts import Check
from tests.dashboard.test_page_data_set import press, words
from tests.opening import open_page
from tests.shortcuts.test_find import Planted, planted  # noqa: F401 - a fixture


def test_candidates_are_shown_with_their_photos_and_checked(
    planted: Planted,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "gradcam.toml").write_text(f'[runs.shown]\nPlanted = "{planted.run.folder}"\n')
    monkeypatch.setenv("GRADCAM_CONFIG", str(tmp_path / "gradcam.toml"))
    monkeypatch.setattr(library, "use", planted.use)
    settings.cache_clear()
    page = open_page("data_set", run="Planted", part="Shortcuts", of_label="thing")
    assert not page.error
    first = planted.candidates[0]
    assert page.subheader[0].value.startswith(f"Candidate 1 · {len(first.members)} photos of ")
    assert len(page.subheader) == len(planted.candidates)
    press(page, "Check the cause")
    assert not page.exception
    assert f"of {len(first.members)}** of these photos" in words(page)
    gone = Check((), (), (), {"a.png": "expected a photo, got none"}, True)
    monkeypatch.setattr(data_shortcuts, "check_shortcut", lambda *_, **__: gone)
    press(page, "Check the cause")
    assert "1 photo could not be looked at, such as a.png: expected a photo" in page.warning[0].value.replace(
        "\\", ""
    )
    assert "0 of 0" not in words(page)
    settings.cache_clear()
    st.cache_resource.clear()
