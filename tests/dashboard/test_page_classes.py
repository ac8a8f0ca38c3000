"""The page *Compare classes* without a browser: the first sight, each control, each error, links."""

from __future__ import annotations

import json
from functools import partial

from streamlit.testing.v1 import AppTest

from tests.opening import open_page

LITE0, LITE1 = "bundled/tf_efficientnet_lite0", "bundled/tf_efficientnet_lite1"
CAT_AND_COFFEE = ["Egyptian cat", "espresso", "Egyptian cat rather than espresso"]


opened = partial(open_page, "compare_classes")


def panels(page: AppTest) -> list[dict]:
    viewers = [found for found in page.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    return [panel for viewer in viewers for panel in json.loads(viewer.proto.json).get("panels", ())]


def titles(page: AppTest) -> list[str]:
    return [panel["title"] for panel in panels(page)]


def words(page: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "caption", "error") for element in page.get(kind))


def unbroken(caption: str) -> str:
    """A caption that breaks between its parts only."""
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in caption.split(" · "))


def test_first_sight_asks_the_papers_question_of_a_cat_and_a_coffee() -> None:
    page = opened()
    assert not page.error
    assert titles(page) == CAT_AND_COFFEE
    cat, espresso, contrast = (panel["subtitle"] for panel in panels(page))
    assert cat.startswith(unbroken("47.2 % · rank 1 · score 9.3"))
    assert espresso.startswith(unbroken("7.7 % · rank 4 · score 7.5"))
    assert contrast == unbroken("47.2 % against 7.7 % · scores differ by +1.82")
    said = words(page)
    assert "with a cat and a dog" in said
    assert "**Egyptian cat** leads **espresso** by 1.82 in score" in said
    assert "Of the others, **tiger cat** (12.0 %) comes closest, 1.37 behind" in said
    assert "hottest fifths of their maps do not overlap" in said


def test_classes_of_one_model_share_a_scale_unless_asked_otherwise() -> None:
    page = opened()
    fulls = [panel["plot"]["data"][0]["zmax"] for panel in panels(page)]
    assert len(set(fulls)) == 1
    page.radio(key="rivals-scale").set_value("each").run()
    assert len({panel["plot"]["data"][0]["zmax"] for panel in panels(page)}) == 3


def test_another_photo_is_asked_for_its_own_first_two_and_what_tells_them_apart() -> None:
    page = opened()
    page.multiselect(key="photos").set_value(["coffee"]).run()
    first, second, contrast = titles(page)
    assert first == "espresso"
    assert contrast == f"espresso rather than {second}"
    assert "with a cat and a dog" not in words(page)


def test_top_k_is_one_click() -> None:
    page = opened()
    next(button for button in page.button if button.label == "Top 3").click().run()
    assert titles(page) == ["Egyptian cat", "tiger cat", "tabby"]
    assert page.query_params["rivals"] == ["top prediction", "prediction 2", "prediction 3"]


def test_a_contrast_is_put_together_from_two_lists() -> None:
    page = opened(rivals=["tabby"])
    page.selectbox(key="_rather_a").set_value("espresso")
    page.selectbox(key="_rather_b").set_value("tabby").run()
    next(button for button in page.button if button.label == "Ask").click().run()
    assert titles(page) == ["tabby", "espresso rather than tabby"]
    same = page.selectbox(key="_rather_a").set_value("tabby").run()
    assert next(button for button in same.button if button.label == "Ask").disabled


def test_several_models_stand_side_by_side_and_each_keeps_its_own_scale() -> None:
    page = opened(models=[LITE0, LITE1])
    found = panels(page)
    assert titles(page) == [name for name in CAT_AND_COFFEE for _ in range(2)]
    assert [panel["subtitle"].split(" · ")[0] for panel in found] == [LITE0, LITE1] * 3
    assert len({panel["plot"]["data"][0]["zmax"] for panel in found}) == 2


def test_a_class_that_the_model_lacks_is_a_line_and_takes_no_place() -> None:
    page = opened(rivals=["Egyptian cat", "espreso"])
    (cat,) = panels(page)
    assert cat["plot"]["data"]
    (line,) = [html.proto.body for html in page.get("html") if 'class="failed"' in html.proto.body]
    assert "<b>espreso</b> has no map: " in line
    assert "&#x27;espresso&#x27;" in line


def test_nothing_asked_means_the_usual_question() -> None:
    page = opened()
    page.multiselect(key="rivals").set_value([]).run()
    assert titles(page) == CAT_AND_COFFEE


def test_an_empty_page_says_what_to_choose() -> None:
    page = opened(models=[""])
    page.multiselect(key="models").set_value([]).run()
    assert not page.exception
    assert "Choose a photo and a model" in page.info[0].value


def test_a_link_reopens_the_same_view() -> None:
    page = opened(
        photos=["coffee and cat"], models=[LITE1], rivals=["tabby", "281 rather than espresso"], fit="squash",
        rivals_scale="each",
    )  # fmt: skip
    assert not page.error
    assert titles(page) == ["tabby", "tabby rather than espresso"]
    assert page.multiselect(key="photos").value == ["coffee and cat"]
    assert page.radio(key="fit").value == "squash"
    assert page.radio(key="rivals-scale").value == "each"


def test_pages_share_one_default_photo_and_keep_what_was_chosen() -> None:
    page = AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
    page.session_state["models"] = [LITE0]
    page.run()
    assert page.multiselect(key="photos").value == ["cat and coffee"]
    page.switch_page("app_pages/compare_classes.py").run()
    assert page.multiselect(key="photos").value == ["cat and coffee"]
    page.multiselect(key="photos").set_value(["coffee"]).run()
    page.switch_page("app_pages/compare_models.py").run()
    assert page.multiselect(key="photos").value == ["coffee"]
