"""The part *Shortcuts* of the page *Data set*, over a run with a planted patch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import library
from dashboard.components import data_candidate
from gradcam.config import settings
from gradcam.shortcuts import Check
from tests.dashboard.test_page_data_set import press, words
from tests.opening import open_page
from tests.shortcuts.test_find import Planted, planted  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def _planted_is_shown(
    planted: Planted,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    (tmp_path / "gradcam.toml").write_text(f'[runs.shown]\nPlanted = "{planted.run.folder}"\n')
    monkeypatch.setenv("GRADCAM_CONFIG", str(tmp_path / "gradcam.toml"))
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    monkeypatch.setattr(library, "use", planted.use)
    settings.cache_clear()
    yield
    settings.cache_clear()
    st.cache_resource.clear()


def opened() -> AppTest:
    return open_page("data_set", run="Planted", part="Shortcuts", of_label="thing")


def test_candidates_are_listed_and_one_is_opened_with_its_photos_channels_and_check(
    planted: Planted,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = opened()
    assert not page.error
    first = planted.candidates[0]
    for number, one in enumerate(planted.candidates, start=1):
        assert f"{number}. {len(one.members)} of 32 photos · score {one.score:.2f} · right on " in words(page)
    assert page.subheader[0].value == "Candidate 1"
    assert len(page.table[0].value) == 1
    pictures = [found.proto.imgs[0].caption for found in page.get("image")]
    assert sum(caption.startswith("Channel ") for caption in pictures) == data_candidate.CHANNELS
    assert f"**{first.members[0].path.rpartition('/')[2]}**" in words(page).replace("\\", "")
    press(page, "Check the cause")
    assert not page.exception
    assert f"of {len(first.members)}** of these photos" in words(page)
    assert f"of {len(first.members)}** other photos of the class." in words(page)
    fall = re.search(r"falls by \*\*(−?[\d.]+)\*\* and \*\*(−?[\d.]+)\*\* logits on average", words(page))
    assert fall
    there, elsewhere = (float(drop.replace("−", "-")) for drop in fall.groups())
    assert there > 2 * abs(elsewhere)
    gone = Check((), (), (), {"a.png": "expected a photo, got none"}, True)
    monkeypatch.setattr(data_candidate, "check_shortcut", lambda *_, **__: gone)
    press(page, "Check the cause")
    assert "1 photo could not be looked at, such as a.png: expected a photo" in page.warning[0].value.replace(
        "\\", ""
    )
    assert "0 of 0" not in words(page)


def test_a_candidate_is_named_and_noted_for_the_next_visit_and_for_others() -> None:
    anna = opened()
    anna.text_input(key="_own_name").set_value("Anna").run()
    press(anna, "Begin a review of this run")
    press(anna, "Shortcut")
    press(anna, "Name it")
    next(field for field in anna.text_input if field.label == "Name").set_value("yellow patch")
    next(field for field in anna.text_area if field.label == "Note").set_value("in the *corner*")
    press(anna, "Keep the note")
    assert anna.subheader[0].value == "Candidate 1 · yellow patch"

    ben = opened()
    assert ben.subheader[0].value == "Candidate 1 · yellow patch"
    assert "1. **yellow patch** · **shortcut** · " in words(ben)
    assert "- **yellow patch**: shortcut" in words(ben)
    ben.text_input(key="_own_name").set_value("Ben").run()
    press(ben, "Fine")
    assert "1. **yellow patch** · **disputed** · " in words(ben)
    assert any("<em>corner</em>" in found.proto.body for found in ben.get("html"))
    next(field for field in ben.text_area if field.label == "Comment").set_value("On *every* photo?")
    press(ben, "Comment")
    assert any("<em>every</em>" in found.proto.body for found in ben.get("html"))
    press(ben, "Undo")
    assert "1. **yellow patch** · **shortcut** · " in words(opened())
