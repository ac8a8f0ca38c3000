"""What a visitor brings: files of any name; of photos bounds, levels, names, and that nobody else sees them."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import library
from dashboard.components.messages import escape_markdown
from dashboard.components.photos import AT_ONCE, MOST as MOST_PHOTOS
from dashboard.library import DEFAULT_PHOTOS as DEFAULT
from dashboard.uploads import Upload
from tests.dashboard.first_page import (
    heatmaps,
    one_model,
    png,
    scenes,
    upload,
    words,
)


def test_no_uploader_keeps_files_out_by_their_names() -> None:
    calls = [
        call
        for file in Path(dashboard.__path__[0]).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("file_uploader")
    ]
    assert len(calls) >= 9
    told = [
        ast.unparse(call) for call in calls if len(call.args) > 1 or "type" in {one.arg for one in call.keywords}
    ]
    assert told == []


def test_an_uploaded_photo_replaces_the_untouched_sample_and_joins_chosen_ones(page: AppTest) -> None:
    one_model(page).run()
    upload(page, "one.png", png(colour="navy"))
    assert page.main.header[0].value == escape_markdown("one.png")
    upload(page, "two.png", png(colour="olive"), turn=1)
    assert [state_name.partition("~")[0] for state_name in page.session_state["photos"]] == ["one.png", "two.png"]
    assert len(heatmaps(page)) == 2
    assert not page.error


def levels(values: list[float], kind: type[np.generic]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.resize(np.array(values, kind), (48, 64))).save(out, "TIFF")
    return out.getvalue()


def test_a_photo_of_12_bits_in_16_is_stretched_by_a_choice_that_its_link_keeps(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    upload(page, "dim~1.tif", levels([0, 1024, 2048, 4095], np.uint16))
    (token,) = page.session_state["photos"]
    assert "of white" in words(page)
    assert not page.checkbox(key=f"_stretch-{token}").value
    page.checkbox(key=f"_stretch-{token}").check().run()
    assert not page.exception
    assert page.session_state["photos"] == [f"{token}-stretched"]
    assert page.query_params["photos"] in (f"{token}-stretched", [f"{token}-stretched"])
    assert "levels 0 to 4095 were stretched" in words(page).replace("\\", "")
    page.checkbox(key=f"_stretch-{token}-stretched").uncheck().run()
    assert page.session_state["photos"] == [token]
    assert "of white" in words(page)


def test_the_levels_of_a_stretched_photo_and_of_the_same_one_as_it_is_are_kept_apart() -> None:
    upload = Upload.of("dim.tif", levels([0, 1024, 2048, 4095], np.uint16))
    assert [int(library.decoded(upload, stretch=on).pixels.max()) for on in (False, True, False)] == [16, 255, 16]


def test_fractions_out_of_range_are_refused_in_a_sentence(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    upload(page, "heat.tif", levels([-0.5, 1.5], np.float32))
    assert not page.exception
    assert "gray levels from 0 to 1 in 'heat.tif', got -0.5 to 1.5" in page.error[0].value.replace("\\", "")
    assert page.session_state["photos"] == [*DEFAULT]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        pytest.param("notes.png", lambda: b"not a picture at all", "expected a picture", id="notes"),
        pytest.param("half.png", lambda: png()[:60], "truncated or damaged", id="half"),
        pytest.param("none.png", bytes, "empty", id="none"),
        pytest.param("large.png", lambda: b"\x89PNG" + bytes(50_000_001), "at most 50 MB", id="large"),
        pytest.param("many.png", lambda: png(10_000, 5_001), "at most 50 megapixels", id="many"),
    ],
)
def test_a_file_that_is_no_photo_is_refused_in_a_sentence(
    page: AppTest, name: str, data: Callable[[], bytes], sentence: str
) -> None:
    one_model(page).run()
    upload(page, name, data())
    assert not page.exception
    (error,) = page.error
    assert sentence in error.value.replace("\\", "").replace("Expected", "expected")
    assert page.session_state["photos"] == [*DEFAULT]
    assert len(heatmaps(page)) == 1


def many(page: AppTest, count: int) -> AppTest:
    """Upload so many photos and three other files at once."""
    photos = [(f"{turn}.png", png(colour=f"rgb({turn},9,9)"), "image/png") for turn in range(count)]
    others = [(f"{turn}.txt", b"notes", "text/plain") for turn in range(3)]
    return page.file_uploader(key="_uploader-0").set_value([*photos, *others]).run()


def test_of_sixty_photos_six_are_shown_and_one_line_says_what_was_not_taken(page: AppTest) -> None:
    one_model(page).run()
    many(page, 60)
    assert not page.exception
    assert len(page.session_state["photos"]) == 60
    assert [scene["photo"]["name"] for scene in scenes(page)] == [f"{turn}.png" for turn in range(AT_ONCE)]
    (error,) = page.error
    assert error.value.replace("\\", "").startswith("3 files were not taken; the first: ")
    next(button for button in page.button if button.label == "Next 6 of 60 photos").click().run()
    assert [scene["photo"]["name"] for scene in scenes(page)] == [f"{turn}.png" for turn in range(6, 12)]
    next(button for button in page.button if button.label == "Dismiss").click().run()
    assert not page.error
    upload(page, "one more.png", png(colour="rgb(9,99,9)"), turn=1)
    assert [scene["photo"]["name"] for scene in scenes(page)] == ["one more.png"], "what was just given is shown"
    assert "Shown: photo 61 of 61." in words(page)


def test_what_was_refused_is_said_until_something_else_is_done(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    upload(page, "notes.png", b"no picture")
    assert page.error
    page.multiselect(key="photos").set_value(["coffee"]).run()
    assert not page.error
    upload(page, "notes.png", b"no picture", turn=1)
    assert page.error
    page.switch_page("app_pages/layers.py").run()
    assert not page.error


def test_no_more_photos_are_taken_than_fit(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    many(page, MOST_PHOTOS + 1)
    assert len(page.session_state["photos"]) == MOST_PHOTOS
    assert "4 files were not taken" in page.error[0].value


def test_a_file_name_is_never_markup(page: AppTest) -> None:
    one_model(page).run()
    upload(page, "![x](http:evil) $a$ **b**.png", png())
    heading = page.main.header[0].value
    assert heading == r"\!\[x\]\(http\:evil\) \$a\$ \*\*b\*\*.png"


def test_a_mark_leaves_the_link_with_its_photo(page: AppTest) -> None:
    one_model(page)
    page.query_params["photos"] = ["chelsea", "coffee"]
    page.query_params["regions"] = mark = "596aa1e7cb875eb7~10,20,200,180"  # on chelsea
    page.run()
    upload(page, "one.png", png())
    assert page.query_params["regions"] in (mark, [mark])
    page.multiselect(key="photos").set_value([*page.session_state["photos"][1:]]).run()
    assert "regions" not in page.query_params
    page.multiselect(key="photos").set_value(["chelsea"]).run()
    assert "regions" not in page.query_params, "it does not come back"


def test_a_mark_on_an_upload_stays_until_the_upload_leaves(page: AppTest) -> None:
    one_model(page)
    token = Upload.of("one.png", png()).token
    page.query_params["photos"] = [token, "coffee"]
    page.query_params["regions"] = f"{token.partition('~')[2]}~1,2,20,18"
    page.run()
    assert "upload that file again" in page.error[0].value
    upload(page, "one.png", png())
    assert "regions" in page.query_params
    page.multiselect(key="photos").set_value(["coffee"]).run()
    assert "regions" not in page.query_params


def test_two_visitors_never_see_each_others_photos() -> None:
    first, second = (AppTest.from_file("../../dashboard/Home.py", default_timeout=120) for _ in range(2))
    for visitor in (first, second):
        one_model(visitor).run()
    upload(first, "mine.png", png(colour="maroon"))
    upload(second, "yours.png", png(colour="maroon"))
    assert "mine.png" not in str(second.session_state["photos"]) + words(second)
    assert "yours.png" in str(second.session_state["photos"])
    assert not any("mine.png" in option for option in second.multiselect(key="photos").options)
    assert "mine.png" not in json.dumps(scenes(second))
    assert scenes(second)[0]["photo"]["name"] == "yours.png"
