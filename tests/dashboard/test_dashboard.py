"""The dashboard's pages without a browser: defaults, each control, each error."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard import library, results
from dashboard.components import Request
from dashboard.components.agreement import matrix_html
from dashboard.components.messages import escape_markdown
from dashboard.components.models import DEFAULT as THREE_MODELS
from dashboard.components.photos import MOST as MOST_PHOTOS
from dashboard.session import Upload
from gradcam import Classifier, Explanation, GradcamError, Progress, Top, parse_target, sample_photo
from gradcam.forward_cache import ForwardCache
from gradcam.measures import agreement

LITE0, LITE1, LITE2 = THREE_MODELS


@pytest.fixture(scope="module", autouse=True)
def _clean_caches() -> Iterator[None]:
    st.cache_data.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def page() -> AppTest:
    """The first page, as it is before its first run."""
    return AppTest.from_file("../../dashboard/Home.py", default_timeout=120)


def one_model(page: AppTest) -> AppTest:
    """The page with one model only, which is quicker."""
    page.session_state["models"] = [LITE0]
    return page


def scenes(page: AppTest) -> list[dict]:
    """What every viewer on the page was given, see `gradcam.draw.viewer`."""
    viewers = [found for found in page.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    return [json.loads(viewer.proto.json) for viewer in viewers]


def box(trace: dict) -> tuple[float, ...]:
    """Left, top, right, bottom of a heatmap of Plotly, in photo pixels."""
    rows, columns = map(int, trace["z"]["shape"].split(","))
    left, top = trace["x0"] - trace["dx"] / 2, trace["y0"] - trace["dy"] / 2
    return left, top, left + columns * trace["dx"], top + rows * trace["dy"]


def heatmaps(page: AppTest) -> list[str]:
    """Model and target of every panel that has a map, and is no difference of two."""
    panels = [
        panel
        for scene in scenes(page)
        for panel in scene["panels"]
        if any("name" in trace for trace in panel["plot"]["data"])
    ]
    return [f"{panel['title']}: {panel['subtitle'].rpartition(' · ')[0]}" for panel in panels]


def reasons(page: AppTest) -> list[str]:
    """Why panels have no map."""
    return [panel["reason"] for scene in scenes(page) for panel in scene["panels"] if panel["reason"]]


def words(page: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "caption", "error") for element in page.get(kind))


def png(width: int = 64, height: int = 48, colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def upload(page: AppTest, name: str, data: bytes, turn: int = 0) -> AppTest:
    return page.file_uploader(key=f"_uploader-{turn}").upload(name, data, "image/png").run()


def test_first_sight_shows_three_real_heatmaps_with_predictions_layer_grid_reason_and_time(page: AppTest) -> None:
    page.run()
    assert not page.exception
    assert not page.error
    assert [heat.split(": ")[0] for heat in heatmaps(page)] == list(THREE_MODELS)
    assert len(page.get("plotly_chart")) == 3
    said = words(page)
    assert said.count("7×7 grid") == 1
    assert said.count("Why this layer: ") == 3
    assert said.count(" s") >= 3


def test_two_photos_can_be_compared_at_once_and_the_link_names_them(page: AppTest) -> None:
    one_model(page).run()
    page.multiselect(key="photos").set_value(["chelsea", "coffee"]).run()
    page.multiselect(key="classes").set_value(["espresso", "tabby"]).run()
    assert len(heatmaps(page)) == 4
    assert page.query_params["photos"] == ["chelsea", "coffee"]
    assert page.query_params["models"] in (LITE0, [LITE0])


def test_a_link_reopens_the_same_view(page: AppTest) -> None:
    page.query_params["photos"] = ["coffee"]
    page.query_params["models"] = [LITE1]
    page.query_params["classes"] = ["espresso"]
    page.query_params["fit"] = "squash"
    page.query_params["colormap"] = "cividis"
    page.query_params["opacity"] = "30"
    page.query_params["blend"] = "even"
    page.query_params["threshold"] = "10"
    page.query_params["scale"] = "shared"
    page.run()
    assert not page.error
    assert heatmaps(page) == [f"{LITE1}: espresso"]
    assert scenes(page)[0]["look"] == {"colormap": "cividis", "opacity": 0.3, "threshold": 0.1, "blend": "even"}
    assert page.radio(key="fit").value == "squash"
    assert page.radio(key="scale").value == "shared"


def test_a_change_of_look_runs_no_model_and_a_new_model_only_itself(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    results._shared_panels.clear()
    one_model(page).run()
    asked: list[str] = []
    explain = ForwardCache.explain

    def counted(cache: ForwardCache, classifier: Classifier, *args: Any, **options: Any) -> Explanation:
        asked.append(str(classifier.spec))
        return explain(cache, classifier, *args, **options)

    monkeypatch.setattr(ForwardCache, "explain", counted)
    page.radio(key="scale").set_value("shared").run()
    page.run()
    assert asked == []
    assert "maximum of all maps" in scenes(page)[0]["words"]
    page.multiselect(key="models").set_value([LITE0, LITE2]).run()
    page.multiselect(key="photos").set_value(["coffee"]).run()
    assert asked.count(LITE0) == 1
    assert len(heatmaps(page)) == 2


def test_another_class_of_the_same_photo_needs_no_forward(page: AppTest) -> None:
    one_model(page).run()
    counted: list[None] = []
    hook = library.classifier(LITE0).module.register_forward_hook(lambda *_: counted.append(None))
    page.multiselect(key="classes").set_value(["tabby", "espresso"]).run()
    assert heatmaps(page) == [f"{LITE0}: tabby", f"{LITE0}: espresso"]
    assert counted == []
    page.radio(key="fit").set_value("squash").run()
    assert len(counted) == 1
    hook.remove()


def test_the_fit_changes_where_the_heat_lies(page: AppTest) -> None:
    one_model(page).run()
    boxes = {}
    for fit in ("crop", "squash", "pad"):
        page.radio(key="fit").set_value(fit).run()
        boxes[fit] = box(scenes(page)[0]["panels"][0]["plot"]["data"][0])
    assert boxes["squash"] == pytest.approx((0, 0, 451, 300), abs=0.5)
    assert boxes["pad"] == pytest.approx((0, 150 - 451 / 2, 451, 150 + 451 / 2), abs=1.5)
    left, top, right, bottom = boxes["crop"]
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert (left + right, top + bottom) == pytest.approx((451, 300), abs=2)
    assert right - left < 300


@pytest.mark.parametrize(
    "query", [{"colormap": "rainbow"}, {"opacity": "lots"}, {"threshold": "900"}, {"blend": "x"}, {"fit": "x"}]
)
def test_a_link_that_makes_no_sense_shows_the_default(page: AppTest, query: dict[str, str]) -> None:
    for key, value in query.items():
        page.query_params[key] = value
    one_model(page).run()
    assert not page.exception
    assert scenes(page)[0]["look"] == {"colormap": "viridis", "opacity": 0.6, "threshold": 0.0, "blend": "evidence"}


def test_one_scale_serves_all_photos_where_it_is_shared(page: AppTest) -> None:
    page.session_state["photos"] = ["chelsea", "coffee"]
    one_model(page).run()
    each = [scene["panels"][0]["plot"]["data"][0]["zmax"] for scene in scenes(page)]
    page.radio(key="scale").set_value("shared").run()
    shared = [scene["panels"][0]["plot"]["data"][0]["zmax"] for scene in scenes(page)]
    assert each[0] != each[1]
    assert shared == [max(each)] * 2


def test_classes_are_offered_by_name_and_taken_by_index_or_contrast(page: AppTest) -> None:
    one_model(page).run()
    offered = page.multiselect(key="classes").options
    assert offered[:3] == ["top prediction", "prediction 2", "prediction 3"]
    assert len(offered) == 3 + 1000
    assert "tabby" in offered
    page.multiselect(key="classes").set_value(["281", "tabby rather than tiger cat"]).run()
    assert heatmaps(page) == [
        f"{LITE0}: tabby",
        f"{LITE0}: tabby rather than tiger cat",
    ]


def test_no_class_means_the_top_prediction(page: AppTest) -> None:
    one_model(page).run()
    page.multiselect(key="classes").set_value([]).run()
    assert heatmaps(page) == [f"{LITE0}: tiger cat"]


def test_a_class_that_no_model_has_is_a_sentence(page: AppTest) -> None:
    one_model(page)
    page.query_params["classes"] = ["tabyb", "espresso"]
    page.run()
    assert not page.exception
    (reason,) = reasons(page)
    assert "tabyb" in reason
    assert "'tabby'" in reason
    assert heatmaps(page) == [f"{LITE0}: espresso"]


def test_models_are_offered_with_where_their_weights_come_from(page: AppTest) -> None:
    one_model(page).run()
    offered = page.multiselect(key="models").options
    assert offered[:3] == list(THREE_MODELS)
    assert len(offered) > 1000
    assert any(option.startswith("torchvision/vgg16@IMAGENET1K_V1 · ") for option in offered)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("bundled/tf_efficientnet_lite9", "tf_efficientnet_lite0"), ("nonsense", "expected a model id")],
)
def test_a_model_that_fails_says_why_and_the_others_go_on(page: AppTest, model: str, sentence: str) -> None:
    page.session_state["models"] = [model, LITE0]
    page.run()
    assert not page.exception
    (reason,) = reasons(page)
    assert sentence in reason
    assert heatmaps(page) == [f"{LITE0}: tiger cat"]


def test_a_failed_model_is_not_asked_again_at_once_but_later(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def load(model: str):
        tried.append(model)
        raise library.GradcamError(f"expected a network for {model}; plug it in")

    monkeypatch.setattr(library, "load_classifier", load)
    page.session_state["models"] = ["timm/resnet18.a1_in1k"]
    page.run()
    page.radio(key="scale").set_value("shared").run()
    assert len(tried) == 1
    assert "plug it in" in reasons(page)[0]
    monkeypatch.setattr(library, "SECONDS_BEFORE_RETRY", 0.0)
    page.run()
    assert len(tried) > 1


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
    assert page.session_state["photos"] == ["chelsea"]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("notes.png", b"not a picture at all", "expected a picture"),
        pytest.param("half.png", png()[:60], "truncated or damaged", id="half"),
        ("none.png", b"", "empty"),
        pytest.param("large.png", b"\x89PNG" + bytes(50_000_001), "at most 50 MB", id="large"),
        pytest.param("many.png", png(10_000, 5_001), "at most 50 megapixels", id="many"),
    ],
)
def test_a_file_that_is_no_photo_is_refused_in_a_sentence(
    page: AppTest, name: str, data: bytes, sentence: str
) -> None:
    one_model(page).run()
    upload(page, name, data)
    assert not page.exception
    (error,) = page.error
    assert sentence in error.value.replace("\\", "").replace("Expected", "expected")
    assert page.session_state["photos"] == ["chelsea"]
    assert len(heatmaps(page)) == 1


def test_more_photos_than_fit_are_refused_in_a_sentence(page: AppTest) -> None:
    page.session_state["models"] = ["nonsense"]
    page.session_state["photos"] = ["coffee", "cat and coffee", "coffee and cat", "chelsea"]
    page.run()
    for turn in range(MOST_PHOTOS - 3):
        upload(page, f"{turn}.png", png(colour=f"rgb({turn},9,9)"), turn)
    assert len(page.session_state["photos"]) == MOST_PHOTOS
    assert any("take one out" in error.value for error in page.error)


def test_a_link_with_somebody_elses_photo_asks_for_the_file(page: AppTest) -> None:
    page.query_params["photos"] = ["dog.jpg~0123456789abcdef", "coffee"]
    one_model(page).run()
    (error,) = page.error
    assert "upload that file again" in error.value
    assert heatmaps(page) == [f"{LITE0}: espresso"]


def test_a_link_with_an_unknown_sample_is_a_sentence(page: AppTest) -> None:
    page.query_params["photos"] = ["chelsae"]
    one_model(page).run()
    assert not page.exception
    assert "chelsea" in page.error[0].value
    assert page.info


def test_nothing_chosen_teaches_what_to_do(page: AppTest) -> None:
    page.session_state["models"] = []
    page.run()
    assert not page.exception
    assert "Choose a photo and a model" in page.info[0].value


def test_a_file_name_is_never_markup(page: AppTest) -> None:
    one_model(page).run()
    upload(page, "![x](http:evil) $a$ **b**.png", png())
    heading = page.main.header[0].value
    assert heading == r"\!\[x\]\(http\:evil\) \$a\$ \*\*b\*\*.png"


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


def test_every_chart_has_words_for_those_who_do_not_see_it(page: AppTest) -> None:
    one_model(page).run()
    alts = [chart.proto.alt for chart in page.get("plotly_chart")]
    alts += [panel["alt"] for scene in scenes(page) for panel in scene["panels"]]
    assert len(alts) == 2
    assert all(LITE0 in alt and "tiger cat" in alt for alt in alts)


def tables(page: AppTest) -> list[str]:
    """The tables of agreement, as HTML."""
    return [found.proto.body for found in page.get("html") if "<table" in found.proto.body]


def test_models_that_agree_are_named_and_every_number_stands_in_a_table(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1]
    page.query_params["classes"] = ["Egyptian cat", "tabby"]
    page.run()
    assert not page.exception
    correlation, overlap = tables(page)
    photo, target = sample_photo("chelsea"), parse_target("Egyptian cat")
    maps = [results.kept([model], [photo], [target], reason="").panels[0] for model in (LITE0, LITE1)]
    number = f"{agreement(maps)[0, 1]:.2f}"
    assert correlation.count(f">{number}</td>") == 2
    assert "Overlap of the hottest fifths" in overlap
    assert f"rank correlation {number}." in words(page)
    page.segmented_control(key="of-class").set_value("tabby").run()
    assert tables(page)[0] != correlation


def test_what_cannot_be_measured_is_said_in_words() -> None:
    table = matrix_html("Rank correlation", ["a", "<b>"], np.array([[1, np.nan], [np.nan, np.nan]]))
    assert table.count("<td>cannot be said</td>") == 2
    assert "2 · &lt;b&gt;" in table
    assert "nan" not in table


def test_numbers_that_compare_a_pinned_layer_say_so(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1]
    page.run()
    assert not page.warning
    page.query_params["layers"] = f"{LITE0}~blocks.4"
    del page.session_state["_pins"]
    page.run()
    (warning,) = page.warning
    assert f"{escape_markdown(LITE0)} is drawn on a pinned layer" in warning.value


def test_any_two_models_can_be_subtracted_and_one_alone_is_told_to_find_another(page: AppTest) -> None:
    page.session_state["models"] = [LITE0, LITE1, LITE2]
    page.run()
    page.selectbox(key="a").set_value(LITE2).run()
    assert page.selectbox(key="b").options == [LITE0, LITE1]
    assert scenes(page)[-1]["panels"][0]["title"] == f"A − B: {LITE2} − {LITE1}"
    photo = scenes(page)[-1]["photo"]
    page.toggle(key="differing").set_value(True).run()
    faded = scenes(page)[-1]["photo"]
    assert faded["uri"] != photo["uri"]
    assert faded["sha256"] == photo["sha256"]
    one_model(page).run()
    assert not page.exception
    assert tables(page) == []
    assert "Add a second model" in words(page)


def test_a_cancelled_run_shows_what_it_has_and_goes_on_when_asked(page: AppTest) -> None:
    page.query_params["classes"] = ["lynx"]
    one_model(page).run()
    request = Request((parse_target("zebra"),), "crop")
    page.session_state["_cancelled"] = ((LITE0,), (sample_photo("chelsea").sha256,), request)
    page.multiselect(key="classes").set_value(["zebra"]).run()
    assert "0 of 1 heatmaps" in page.info[0].value
    assert "press Continue" in reasons(page)[0]
    next(button for button in page.button if button.label == "Continue").click().run()
    assert heatmaps(page) == [f"{LITE0}: zebra"]
    assert not page.info


def test_a_run_can_be_ended_while_a_model_still_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, words = threading.Event(), []

    def load(model: str):
        arrived.wait(60)
        raise GradcamError("too late")

    class StopRun(BaseException):
        pass

    def say(progress: Progress) -> None:
        words.append(progress)
        if len(words) == 3:
            raise StopRun

    monkeypatch.setattr(library, "load_classifier", load)
    with pytest.raises(StopRun):
        results.compared(["timm/never"], [sample_photo("chelsea")], [Top()], on_progress=say)
    assert {progress.photo for progress in words} == {None}
    arrived.set()
