"""The page *Data set* without a browser: a run is started, looked through, judged, taken away, deleted."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast
from unittest import mock

import numpy as np
import pytest
import streamlit as st
import timm
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Checkbox

from dashboard import data_runs, session
from dashboard.components import data_classes, data_filters, data_gallery, data_opened, data_take
from dashboard.components.data_filters import RANKING_TITLES, Shown
from gradcam import load_checkpoint
from gradcam.config import settings
from gradcam.errors import RunError, quoted
from gradcam.model_spec import display_name
from gradcam.models import write_options
from gradcam.reviews import ReviewStore, Subject
from gradcam.runs import RANKINGS, Filter, HostedRun, Pair, Run, RunHost, Settings, Unit, resume, start
from gradcam.runs.job import Job
from tests.opening import open_page
from tests.runs.small_set import SETTINGS, write_photo
from tests.runs.test_queries import pixelwise

MODELS = ["timm/test_resnet (untrained, seed 1)", "timm/test_vit (untrained, seed 1)"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The sample set by two small models."""
    out = tmp_path_factory.mktemp("run") / "sample"
    return start("sample", MODELS, ["top"], out=out, settings=Settings(previews=True))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two photos without labels or boxes, by one model."""
    data = tmp_path_factory.mktemp("bare")
    for number in range(2):
        write_photo(data / f"{number}.png", number)
    return start(data, MODELS[:1], ["top"], out=data / "run")


@pytest.fixture(autouse=True)
def _runs_are_shown(run: Run, bare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    shown = f'"The sample" = "{run.folder}"\nBare = "{bare.folder}"\n'
    (tmp_path / "gradcam.toml").write_text(f'[runs]\nfolder = "hosted"\n[runs.shown]\n{shown}')
    monkeypatch.setenv("GRADCAM_CONFIG", str(tmp_path / "gradcam.toml"))
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    monkeypatch.delenv("GRADCAM_RUNS", raising=False)
    settings.cache_clear()
    data_runs.host.clear()
    yield
    settings.cache_clear()
    data_runs.host.clear()


def opened(**link: str | list[str]) -> AppTest:
    return open_page("data_set", run="The sample", **link)


def words(page: AppTest) -> str:
    said = (cast(Any, found).value for kind in ("markdown", "caption", "info", "error") for found in page.get(kind))
    return "\n".join(said)


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def cells(page: AppTest) -> list[str]:
    """The names of the photos that the gallery shows."""
    return re.findall(r"^\*\*([^*]+)\*\*.*  \n", "\n".join(found.value for found in page.caption), re.MULTILINE)


def test_without_a_run_the_page_teaches_and_offers_to_start_one() -> None:
    page = open_page("data_set")
    assert "ranks the photos" in words(page)
    assert page.radio(key="_set_from").options == ["Sample set", "Upload"]
    assert page.selectbox(key="run").options == [
        "Start a new run",
        "The sample · shown to all",
        "Bare · shown to all",
    ]


def test_a_data_set_of_the_operator_that_is_called_like_ours_is_told_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gradcam.toml").write_text(f'[runs.data_sets]\n"Sample set" = "{tmp_path}"\nPets = "{tmp_path}"\n')
    settings.cache_clear()
    page = open_page("data_set")
    names = ["Sample set", "Upload", "Sample set of this server", "Pets"]
    assert page.radio(key="_set_from").options == names
    started = []
    monkeypatch.setattr(data_runs, "start", lambda title, data, *_: started.append(data) or "")
    for name in (names[0], *names[2:]):
        page.radio(key="_set_from").set_value(name).run()
        press(page, "Start the run")
    assert started == [None, "Sample set", "Pets"]


def test_a_label_that_is_called_all_is_a_filter_like_others() -> None:
    def page() -> None:
        import streamlit as st

        from dashboard.components.data_filters import pick_some
        from dashboard.session import DataKey

        st.text(repr(pick_some("Label", ["All", "cat"], DataKey.LABEL)))

    opened = AppTest.from_function(page).run()
    assert opened.selectbox[0].options == ["All of them", "All", "cat"]
    assert opened.text[0].value == "None"
    assert opened.selectbox[0].set_value("All").run().text[0].value == "'All'"


def test_a_run_that_is_shown_to_all_is_a_gallery_that_nobody_deletes() -> None:
    page = opened()
    assert len(cells(page)) == 24
    assert "24 photos; first come those where maps of two models agree least" in words(page)
    assert not [button for button in page.button if "Delete" in button.label]
    assert page.query_params["run"] == "The sample"


def test_filters_and_rankings_are_in_the_link_and_hold_in_the_gallery(run: Run) -> None:
    page = opened(label="tabby", column="place", value="left")
    fitting = run.ranked("disagreement", where={"label": "tabby", "place": "left"})
    names = [next(run.units([number])).path.rpartition("/")[2] for number in fitting]
    assert [name.replace("\\", "") for name in cells(page)] == names
    page.selectbox(key="label").set_value("espresso").run()
    assert len(cells(page)) == len(run.ranked(where={"label": "espresso", "place": "left"}))
    page.slider(key="confidence").set_value((99, 100)).run()
    assert "No photo fits" in words(page)


def test_pages_of_the_gallery_are_turned_by_buttons_and_keys_as_far_as_there_are_any(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_gallery, "PER_PAGE", 10)
    page, names = opened(), [next(run.units([number])).path for number in run.ranked("disagreement")]

    def names_shown() -> list[str]:
        return [name.replace("\\", "") for name in cells(page)]

    def turns() -> dict[str, tuple[str, bool]]:
        found = [button for button in page.button if (button.key or "").startswith("_page-")]
        return {button.label: (button.proto.shortcut, button.disabled) for button in found}

    first, second, third = ([name.rpartition("/")[2] for name in names[at : at + 10]] for at in (0, 10, 20))
    assert turns() == {"Previous": ("p", True), "Next": ("n", False)}
    assert names_shown() == first
    assert "Keys: P and N turn the pages." in words(page)
    page.button(key="_page-Next").click().run()
    assert names_shown() == second
    assert page.query_params["page"] == "2"
    page.button(key="_page-Next").click().run()
    assert names_shown() == third
    assert turns() == {"Previous": ("p", False), "Next": ("n", True)}
    assert "Page 3 of 3" in words(page)
    page.button(key="_page-Previous").click().run()
    assert names_shown() == second
    page.selectbox(key="by").set_value("Least sure").run()
    assert "page" not in page.query_params  # others come first now
    assert "Page 1 of 3" in words(page)


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("Heat outside the box", r"\d+.% of the heat outside the box$"),
        ("Heat on the border", r"\d+.% of the heat on the border$"),
        ("Unlike its class", r"like its class.−?[01]\.\d\d$"),
        ("Least agreement", r"agreement.−?[01]\.\d\d$"),
    ],
)
def test_a_cell_says_by_what_it_is_ranked(by: str, says: str) -> None:
    facts = [found.value for found in opened(by=by).caption if "  \n" in found.value]
    assert len(facts) == 24
    assert all(re.search(says, one) for one in facts)
    assert not any(" %" in one for one in facts)  # a line would break there


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twelve framed photos by three models of colours, two methods and two targets, whose maps differ in all."""
    folder = tmp_path_factory.mktemp("three")
    rows = ["path,label,box,site,hall"]
    for number in range(12):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., 1] = 20 * number
        pixels[1:-1, 1:-1] = 0
        pixels[2:6, 2:6, 0] = 255 - 7 * number
        pixels[:, 4:, 2] = (37 * number) % 160
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        rows.append(f'{number:02}.png,{("red", "blue")[number % 2]},"2,2,6,6",{("Bonn", "Ulm")[number // 6]},A')
    (folder / "photos.csv").write_text("\n".join(rows) + "\n")
    weights: dict[str, list[list[float]]] = {
        "own": [[8, 0, 0], [0, 0, 8]],
        "frame": [[8, 9, 0], [0, 0, 8]],
        "against": [[8, -9, 0], [0, 5, 8]],
    }
    models = [pixelwise(of_classes, name) for name, of_classes in weights.items()]
    return start(
        folder / "photos.csv",
        models,
        ["top", "label"],
        methods=["Grad-CAM", "Eigen-CAM"],
        out=folder / "run",
        layer={str(model.spec): "grid" for model in models},
        settings=SETTINGS,
    )


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("Heat outside the box", r"(\d+).% of the heat outside the box"),
        ("Heat on the border", r"(\d+).% of the heat on the border"),
        ("Unlike its class", r"like its class.(−?\d\.\d\d)"),
        ("Like its class", r"like its class.(−?\d\.\d\d)"),
        ("Least sure", r"(?:[✓✗].\S+|least.sure).([\d.]+).%"),
        ("Wrong and sure of it", r"(?:✗.\S+|wrong.at).([\d.]+).%"),
        ("Least agreement", r"agreement.(−?\d\.\d\d)"),
    ],
)
def test_the_numbers_of_the_cells_are_in_the_order_of_the_cells_also_with_two_methods_and_a_pair(
    three: Run, by: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    name = next(name for name, title in RANKING_TITLES.items() if title == by)
    page = open_page("data_set", run="Three", by=by)
    all_maps = "The order is by all maps of a photo, also those that are not shown."
    assert all_maps in words(page)

    def check(pair: Pair | None) -> None:
        order = three.ranked(name, pair=pair)
        facts = [found.value for found in page.caption if "  \n" in found.value]
        assert [f"{number:02}.png" for number in order] == [name.replace("\\", "") for name in cells(page)]
        told = [[float(number.replace("−", "-")) for number in re.findall(says, one)] for one in facts]
        deciding = max if RANKINGS[name].high_first else min  # of the predictions that the cell shows
        numbers = [deciding(found) for found in told if found]
        assert len(numbers) == len(three.ranked_by(name, order, pair)) > 3
        assert numbers == sorted(numbers, reverse=RANKINGS[name].high_first)

    for maps in page.selectbox(key="maps").options[::2]:  # by another method
        page.selectbox(key="maps").set_value(maps).run()
        check(None)
    page.selectbox(key="pair").set_value(page.selectbox(key="pair").options[1]).run()
    check(Pair(0, 1, three.plan.methods[1], three.plan.targets[0]))
    assert (all_maps in words(page)) == (by != "Least agreement")


def test_the_facts_of_cells_stand_in_as_many_lines(three: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    facts = [found.value for found in open_page("data_set", run="Three").caption if "  \n" in found.value]
    told = [one.split("  \n") for one in facts if "agreement" in one]
    assert len(told) > 3
    assert {len(lines) for lines in told} == {1 + 3 + 1}, (
        "its name, a line for each model, and what it is ranked by"
    )
    assert not any(line.endswith("·") for lines in told for line in lines)


@pytest.mark.parametrize("by", ["Least sure", "Wrong and sure of it"])
def test_a_cell_says_no_probability_twice(three: Run, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    facts = [found.value for found in open_page("data_set", run="Three", by=by).caption if "  \n" in found.value]
    assert len(facts) == 12
    assert any("✗" in one for one in facts)
    assert not any(re.search("wrong.at|least.sure", one) for one in facts)


def test_other_maps_begin_at_the_first_page_where_they_put_other_photos_first(
    three: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    monkeypatch.setattr(data_gallery, "PER_PAGE", 5)
    page = open_page("data_set", run="Three", page="2")
    maps = page.selectbox(key="maps").options
    page.selectbox(key="maps").set_value(maps[1]).run()
    assert page.query_params["page"] == "2"  # the same photos, by another method
    pair = page.selectbox(key="pair").options[1]
    page = open_page("data_set", run="Three", page="2", pair=pair)
    page.selectbox(key="maps").set_value(maps[1]).run()
    assert "page" not in page.query_params
    assert "Page 1 of 3" in words(page)


def test_a_choice_that_is_no_longer_drawn_is_not_in_the_link(three: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    page = open_page("data_set", run="Three", column="site", value="Bonn", verdict="approved")
    assert len(cells(page)) == 6
    assert page.query_params["value"] == "Bonn"
    assert "verdict" not in page.query_params  # nobody has judged a photo
    page.selectbox(key="column").set_value("All").run()
    assert not {"column", "value"} & set(page.query_params)
    page.selectbox(key="column").set_value("site").run()
    assert page.selectbox(key="value").value == "All"

    page.segmented_control(key="part").set_value("Classes").run()
    page.selectbox(key="measure").set_value(page.selectbox(key="measure").options[1]).run()
    page.selectbox(key="of-label").set_value("red").run()
    assert {"measure", "of-label"} <= set(page.query_params)
    page.segmented_control(key="part").set_value("Photos").run()
    assert not {"measure", "of-label"} & set(page.query_params)


def test_the_values_of_a_column_are_counted_once(three: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    st.cache_data.clear()
    counted = mock.Mock(wraps=three.slice_choices)
    monkeypatch.setattr(Run, "slice_choices", lambda run, column: counted(column))
    page = open_page("data_set", run="Three", column="site")
    page.run()
    page.selectbox(key="column").set_value("hall").run()
    assert [call.args for call in counted.call_args_list] == [("site",), ("hall",)]


def test_an_open_photo_has_its_heatmaps_numbers_and_neighbours(run: Run) -> None:
    page = opened()
    order = run.ranked("disagreement")
    page.button(key=f"_open-{order[0]}").click().run()
    assert not page.exception
    assert page.query_params["opened"] == str(order[0])
    assert "1 of 24" in words(page)
    name = next(run.units([order[0]])).path.rpartition("/")[2]
    assert sum(name in found.value.replace("\\", "") for found in page.header) == 1
    assert (
        len([found for found in page.get("bidi_component") if "gradcam_viewer" in found.proto.component_name]) == 2
    )
    press(page, "Next")
    assert page.query_params["opened"] == str(order[1])
    press(page, "All photos")
    assert "opened" not in page.query_params
    assert len(cells(page)) == 24


def test_verdicts_are_kept_filtered_by_and_taken_back(run: Run) -> None:
    page = opened(opened=str(run.ranked("disagreement")[0]))
    assert "Say who you are to judge this photo" in words(page)
    page.text_input(key="_own_name").set_value("Anna").run()
    press(page, "Begin a review of this run")
    press(page, "Approve")
    assert "**Anna**: approved" in words(page)
    press(page, "Reject")
    assert "**Anna**: rejected" in words(page)
    press(page, "Undo")
    assert "**Anna**: approved" in words(page)
    press(page, "All photos")
    assert words(page).count(":material/check: approved") == 1
    nobody = opened(verdict="approved")
    assert len(cells(nobody)) == 1


def test_who_has_said_no_name_reads_who_said_what_and_can_say_nothing(run: Run) -> None:
    number = str(run.ranked("disagreement")[0])
    anna = opened(opened=number)
    anna.text_input(key="_own_name").set_value("Anna").run()
    press(anna, "Begin a review of this run")
    press(anna, "Reject")
    nobody = opened(opened=number)
    assert "**Anna**: rejected" in words(nobody)
    assert "Say who you are to judge this photo" in words(nobody)
    assert not {"Approve", "Reject", "Undo"}.intersection(button.label for button in nobody.button)


@pytest.mark.parametrize("blind", [False, True])
def test_who_has_said_no_name_reads_the_comments_unless_the_review_is_blind(run: Run, blind: bool) -> None:
    number = run.ranked("disagreement")[0]
    with ReviewStore() as store:
        project, subject = store.project_of_runs("Anna"), Subject("photo", next(run.units([number])).path)
        review = store.add_review(project, run.evidence, "The sample", "Anna", kind="run", blind=blind)
        first = store.comment(review, "Is that a *cat*?", "Anna", subject)
        store.comment(review, "It **is**.", "Ben", subject, first)
    page = opened(opened=str(number))
    assert ("<em>cat</em>" in html(page), "<strong>is</strong>" in html(page)) == (not blind, not blind)
    assert not {"Reply", "Comment"}.intersection(button.label for button in page.button)
    assert "Comment" not in [field.label for field in page.text_area]


def test_an_opened_photo_is_explained_by_the_methods_of_its_run(tmp_path: Path) -> None:
    write_photo(tmp_path / "set" / "0.png", 0)
    methods = ("HiResCAM", "LayerCAM")
    other = start(tmp_path / "set", MODELS[:1], ["top"], out=tmp_path / "other", methods=methods)
    (tmp_path / "gradcam.toml").write_text(f'[runs.shown]\nOther = "{other.folder}"\n')
    settings.cache_clear()
    with mock.patch.object(data_opened, "show_comparison") as show:
        page = open_page("data_set", run="Other", opened="0")
    assert not page.exception
    assert show.call_args.args[0].methods == methods
    assert page.table[0].value["Method"].tolist() == list(methods)


def test_a_number_that_a_map_of_an_opened_photo_lacks_is_a_dash(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    units_of = Run.units

    def without_likeness(run: Run, photos: Sequence[int] | None = None) -> Iterator[Unit]:
        for unit in units_of(run, photos):
            yield replace(unit, likeness=None) if unit.model == MODELS[0] else unit

    monkeypatch.setattr(Run, "units", without_likeness)
    cells = opened(opened=str(run.ranked("disagreement")[0])).table[0].value
    assert cells["Like its class"].tolist()[0] == "–"
    assert re.fullmatch(r"−?[01]\.\d\d", cells["Like its class"].tolist()[1])
    assert not {"–"} & set(cells["Predicted"])


def test_a_visitor_is_not_told_where_the_photos_of_a_run_were(tmp_path: Path) -> None:
    write_photo(tmp_path / "secret" / "set" / "0.png", 0)
    other = start(tmp_path / "secret" / "set", MODELS[:1], ["top"], out=tmp_path / "other")
    (tmp_path / "gradcam.toml").write_text(f'[runs.shown]\nOther = "{other.folder}"\n')
    settings.cache_clear()
    (tmp_path / "secret" / "set").rename(tmp_path / "secret" / "elsewhere")
    page = open_page("data_set", run="Other", opened="0")
    assert not page.exception
    assert "no file or folder 'set'" in words(page)
    assert "secret" not in words(page)


@pytest.mark.parametrize("link", [{}, {"opened": "0"}, {"part": "Classes"}, {"part": "Shortcuts"}])
def test_a_run_of_the_page_asks_once_what_people_say(
    run: Run, link: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReviewStore() as store:
        review = store.add_review(store.project_of_runs("Anna"), run.evidence, "The sample", "Anna", kind="run")
        store.say(review, "approved", "Anna", Subject("photo", next(run.units([0])).path))
    page = opened(**link)
    asked: list[str] = []

    def listen(kind: type, name: str) -> None:
        was = getattr(kind, name)

        def heard(self: object, *args: object, **kwargs: object) -> object:
            asked.extend([name] * (args[1:] == ()))  # of all subjects
            return was(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, heard)

    listen(ReviewStore, "reviews")
    listen(ReviewStore, "verdicts")
    evidence = mock.PropertyMock(return_value=run.evidence)
    monkeypatch.setattr(Run, "evidence", evidence)
    page.run()
    assert not page.exception
    assert asked == ["reviews", "verdicts"]
    assert evidence.call_count == 1


def test_chosen_photos_are_exported_reported_and_compared(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened()
    first, second = run.ranked("disagreement")[:2]
    for number in (first, second):
        box(page, run, number).check().run()
    lines = data_take._exported(shown_of(run), (first, second), ".csv").decode().splitlines()
    assert len(lines) == 1 + 2 * len(MODELS)
    press(page, "Build the report")
    assert not page.exception
    assert is_offered(page, "HTML")
    page.session_state[session._LOOK] = replace(page.session_state[session._LOOK], opacity=0.1)
    assert not is_offered(page.run(), "HTML")
    press(page, "Open in Compare models")
    assert len(page.session_state["photos"]) == 2
    assert page.session_state["models"] == MODELS


def is_offered(page: AppTest, name: str) -> bool:
    return any(name in cast(Any, found).label for found in page.get("download_button"))


def test_a_report_says_every_filter_by_which_its_photos_were_chosen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "session_state", {"verdict": "rejected"})
    pair = Pair(0, 1, "Grad-CAM", "top")
    wanted = Filter(
        where={"label": "cat"},
        slices={"label": "old"},
        pair=pair,
        confidence=(0, 0.5),
        among=["a.png"],
    )
    models = " and ".join(map(display_name, MODELS))
    version = ("two models", "finished")
    assert data_take._first(Shown(run, version, "disagreement", "Grad-CAM", "top", wanted), 12) == (
        f"the first 12, where maps of two models agree least ({models} by Grad-CAM, target top); only of "
        "label cat, column label old, confidence 0 to 50 % and verdict rejected"
    )
    assert data_take._first(Shown(run, version, "doubt", "Grad-CAM", "top", Filter(pair=pair)), 1) == (
        "the first one, where a model's first prediction has a low probability"
    )


def test_boxes_tell_which_photos_are_chosen_also_after_choose_none(run: Run) -> None:
    page, number = opened(), run.ranked("disagreement")[0]
    box(page, run, number).check().run()
    press(page, "Choose none")
    assert not box(page, run, number).value
    box(page, run, number).check().run()
    assert box(page, run, number).value
    assert "Choose none" in [button.label for button in page.button]
    box(page, run, number).uncheck().run()
    assert "Choose none" not in [button.label for button in page.button]


def box(page: AppTest, run: Run, number: int) -> Checkbox:
    """The box that chooses a photo."""
    return page.checkbox(key=data_gallery._box_key(run, number))


def shown_of(run: Run) -> Shown:
    (method,), (target,) = run.plan.methods, run.plan.targets
    return Shown(run, ("two models", "finished"), "disagreement", method, target)


def html(page: AppTest) -> str:
    return "\n".join(found.proto.body for found in page.get("html"))


def test_classes_are_counted_averaged_and_measured() -> None:
    page = opened(part="Classes")
    assert [found.value for found in page.main.header] == [
        "What is taken for what",
        "Where each class is seen",
        "How the models differ in numbers",
    ]
    assert "Photos by label and first prediction" in html(page)
    assert "espresso · 12 photos" in [found.value for found in page.subheader]
    assert "looks at the object more than" in words(page)
    page.selectbox(key="measure").set_value("Correlation with the mean map of its class").run()
    assert "over 24 photos, photo by photo" in words(page)


def test_of_many_pairs_of_models_those_that_differ_most_are_in_sight_and_the_others_folded_away(
    three: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_runs, "shown", lambda: {"Three": three.folder})
    monkeypatch.setattr(data_classes, "MOST_PAIRS", 1)
    page = open_page("data_set", run="Three", part="Classes")
    (folded,) = page.expander
    assert folded.label == "2 other pairs of models"
    told = re.findall(r"the other's: ([+−]\d\.\d{3})", words(page))
    apart = [abs(float(number.replace("−", "-"))) for number in told]
    assert len(apart) == 3
    assert apart == sorted(apart, reverse=True)
    assert len(re.findall("the other's: ", folded.markdown[0].value)) == 2


def test_what_a_run_lacks_is_said_with_what_to_do(bare: Run) -> None:
    page = open_page("data_set", run="Bare", part="Classes")
    said = words(page)
    assert "These photos have no labels. Put each class into a folder of its own" in said
    assert "Run a second model over the set" in said
    assert "With boxes or masks in the manifest" in said
    titles = page.selectbox(key="by").options
    assert "Least agreement" not in titles
    assert "Heat outside the box" not in titles
    assert "Least sure" in titles


def test_too_few_photos_for_candidates_are_no_error() -> None:
    page = opened(part="Shortcuts", of_label="tabby")
    assert not page.error
    assert "Expected at least 20 photos with the label 'tabby'" in words(page).replace("\\", "")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("running", "Candidates are looked for once the run has ended"),
        ("stopped", "The run has stopped, and candidates need all of its photos; tell whoever keeps this server."),
    ],
)
def test_candidates_of_a_run_that_has_not_finished_are_promised_or_need_somebody_who_goes_on(
    run: Run, state: Literal["running", "stopped"], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = replace(run.status(), state=state, done=10)
    monkeypatch.setattr(Run, "status", lambda run: status)
    assert says in words(opened(part="Shortcuts"))


def test_who_cancelled_a_run_is_told_to_go_on_with_it_for_its_candidates(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = replace(run.status(), state="stopped", done=10)
    job = Job("mine", "somebody", "sample", tuple(MODELS), ("top",), 0.0)
    hosted = HostedRun(run, job, "stopped", 0, status, "", (), 0.0)
    listed = data_runs.ListedRun("mine", "mine", run, status, hosted)
    monkeypatch.setattr(data_runs, "opened", lambda name: listed)
    page = opened(part="Shortcuts")
    assert "Go on with the run: candidates need all of its photos." in words(page)
    assert "Go on" in [button.label for button in page.button]


def test_a_link_to_a_run_that_is_gone_is_one_sentence() -> None:
    page = open_page("data_set", run="x" * 32)
    assert "Expected a run behind this link, got none" in page.error[0].value.replace("\\", "")
    assert "run" not in page.query_params


def test_what_is_wrong_with_a_run_is_said_without_where_it_lies(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "secret" / "gone"
    damaged = Run(shutil.copytree(run.folder, tmp_path / "secret" / "damaged"))
    shard = next(damaged.folder.glob("shards/*/*/*.parquet"))
    shard.write_bytes(shard.read_bytes()[::-1])
    monkeypatch.setattr(data_runs, "shown", lambda: {"Gone": gone, "Damaged": damaged.folder})
    errors = [open_page("data_set", run="Gone").error[0].value]
    page = open_page("data_set", run="Damaged", opened="0")
    page.text_input(key="_own_name").set_value("Anna").run()
    errors.append(press(page, "Begin a review of this run").error[0].value)
    trouble = RunError(f"expected to use {quoted(damaged.folder / 'index.sqlite')}")
    monkeypatch.setattr(Run, "rankings", mock.Mock(side_effect=trouble))
    errors.append(page.run().error[0].value)
    for error, said in zip(errors, ("gone", "got another file among them", "damaged/index"), strict=True):
        assert said in error.replace("\\", "")
        assert "secret" not in error


def test_an_answer_of_before_the_end_of_a_run_is_not_kept_for_after(run: Run, tmp_path: Path) -> None:
    copy = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    with closing(sqlite3.connect(copy.folder / "index.sqlite")) as index, index:
        index.execute("UPDATE units SET likeness = NULL")
        index.execute("UPDATE photos SET likeness = NULL")
        index.execute("DELETE FROM means")

    def order() -> list[int]:
        listed = data_runs.ListedRun("copy", "copy", copy, copy.status())
        return data_opened._order(copy.folder, listed.version, "unlike", Filter())

    assert order() == list(range(24))
    resume(copy.folder)
    assert order() == run.ranked("unlike") != list(range(24))


def test_an_answer_of_a_run_is_not_kept_for_another_of_as_many_maps_in_its_folder(tmp_path: Path) -> None:
    def predicted() -> dict[str, int]:
        listed = data_runs.ListedRun("here", "here", Run(tmp_path / "run"), Run(tmp_path / "run").status())
        return data_filters.choices_of(tmp_path / "run", listed.version, "predicted")

    (tmp_path / "photos").mkdir()
    write_photo(tmp_path / "photos" / "one.png", 1)
    found = []
    for model in MODELS:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        run = start(tmp_path / "photos", [model], ["top"], out=tmp_path / "run")
        found.append(predicted())
        assert found[-1] == run.choices("predicted")
    assert found[0] != found[1]


def test_a_run_starts_on_the_sample_set_is_left_come_back_to_and_deleted() -> None:
    page = open_page("data_set", models=["bundled/tf_efficientnet_lite0"])
    press(page, "Start the run")
    assert not page.error
    token = page.query_params["run"]
    end = time.monotonic() + 120
    while data_runs.host().get(token).is_active:
        assert time.monotonic() < end
        time.sleep(0.2)
    again = open_page("data_set", run=token)
    assert len(cells(again)) == 24
    assert "24 of 24 maps" in words(again)
    other = open_page("data_set")
    assert token not in other.selectbox(key="run").options
    press(again, "Delete this run for good")
    with pytest.raises(RunError, match="it was deleted"):
        data_runs.host().get(token)
    assert "Start the run" in [button.label for button in again.button]


def test_without_a_model_nothing_starts_and_the_page_says_what_is_missing() -> None:
    page = open_page("data_set", models=[""])
    start = next(button for button in page.button if button.label == "Start the run")
    assert start.disabled
    assert page.info[0].value == "Choose a model in the sidebar to start a run."
    page.multiselect(key="models").set_value([MODELS[0]]).run()
    assert not next(button for button in page.button if button.label == "Start the run").disabled
    assert not page.info
    assert "1 model chosen" in words(page)


def test_what_cannot_be_started_is_one_sentence() -> None:
    page = open_page("data_set")
    page.radio(key="_set_from").set_value("Upload").run()
    press(page, "Start the run")
    assert "photos or a ZIP, got none" in page.error[0].value


def test_a_model_of_ones_own_goes_into_a_run_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = io.BytesIO()
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), weights)
    mine = load_checkpoint(weights.getvalue(), "timm/test_resnet", name="mine.pt")
    taken: list[tuple[str, bytes]] = []

    def take(host: RunHost, *asked: Any) -> str:
        taken.extend((options, file.getvalue()) for options, file in asked[-1])
        raise RunError("expected more room, got none")

    monkeypatch.setattr(RunHost, "start", take)
    monkeypatch.setattr("dashboard.session.custom_models", lambda: {str(mine.spec): mine})
    assert not open_page("data_set", models=[MODELS[0]]).file_uploader
    page = open_page("data_set", models=[MODELS[0], str(mine.spec)])
    for file, told in (
        (None, "the file of mine once more, got none; add it"),
        (b"another", "the file that mine was loaded from, got another"),
        (weights.getvalue(), "more room"),
    ):
        if file:
            page.file_uploader[0].upload("mine.pt", file, "application/x").run()
        press(page, "Start the run")
        assert told in page.error[0].value
    assert taken == [(write_options(mine), weights.getvalue())]


def test_every_ranking_has_a_title() -> None:
    assert list(RANKING_TITLES) == list(RANKINGS)
