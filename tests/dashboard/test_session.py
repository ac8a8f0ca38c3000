"""Every choice of a link, on whatever page it was opened, holds on every other page."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.session import OWN_NAME, Key
from gradcam.reviews import ReviewStore

LITE0, LITE1, LITE2 = (f"bundled/tf_efficientnet_lite{number}" for number in range(3))

LINK: dict[Key, str | list[str]] = {
    Key.PHOTOS: ["coffee", "chelsea"],
    Key.MODELS: [LITE0, LITE2, LITE1],
    Key.CLASSES: ["espresso", "tabby"],
    Key.METHODS: ["LayerCAM", "Grad-CAM"],
    Key.METHODS_BESIDE: ["FEM", "CAM"],
    Key.WRAPPER: "Augmented",
    Key.FIT: "squash",
    Key.COLORMAP: "inferno",
    Key.OPACITY: "80",
    Key.BLEND: "even",
    Key.THRESHOLD: "10",
    Key.SCALE: "shared",
    Key.COMPETING: ["tabby", "cup"],
    Key.RIVALS_SCALE: "each",
    Key.CLASS: "espresso",
    Key.DEPTH: "blocks.2",
    Key.DEPTH_SCALE: "model",
    Key.SHOWN_PHOTO: "chelsea",
    Key.SHOWN_MODEL: LITE1,
    Key.SHOWN_CLASS: "tabby",
    Key.SHOWN_METHOD: "Grad-CAM",
    Key.DIFFERENCE_A: LITE1,
    Key.DIFFERENCE_B: LITE2,
    Key.FADE: "true",
    Key.LAYERS: f"{LITE0}~blocks.4",
    Key.REGIONS: "596aa1e7cb875eb7~10,20,200,180",
    Key.TASK: "Reopen",
    Key.SEARCH: "resnet",
    Key.SOURCES: ["timm", "torchvision"],
    Key.AT_HAND: "true",
    Key.STEP: "20",
    Key.LINE: "FEM",
    Key.PROJECT: "Skin",
    Key.REVIEWS: "open",
    Key.REVIEW: "ab" * 16,
    Key.SUBJECT: "one.jpg",
}
"""A choice of everything that is nowhere the default."""

LOOK = {Key.COLORMAP, Key.OPACITY, Key.BLEND, Key.THRESHOLD}
WORN = {*LOOK, Key.LAYERS, Key.REGIONS, Key.REVIEW, Key.SUBJECT}
"""What no widget carries."""

DRAWN_ON: dict[str, set[Key]] = {
    "compare_models": {Key.PHOTOS, Key.MODELS, Key.CLASSES, Key.FIT, Key.SCALE, *LOOK, Key.SHOWN_PHOTO}
    | {Key.METHODS, Key.SHOWN_METHOD, Key.SHOWN_CLASS, Key.DIFFERENCE_A, Key.DIFFERENCE_B, Key.FADE, Key.LAYERS}
    | {Key.REGIONS},
    "compare_classes": {Key.PHOTOS, Key.MODELS, Key.COMPETING, Key.RIVALS_SCALE, Key.FIT, *LOOK, Key.LAYERS},
    "layers": {Key.PHOTOS, Key.MODELS, Key.CLASS, Key.FIT, Key.DEPTH, Key.DEPTH_SCALE, *LOOK, Key.LAYERS}
    | {Key.SHOWN_PHOTO, Key.SHOWN_MODEL},
    "methods": {Key.PHOTOS, Key.MODELS, Key.CLASS, Key.METHODS_BESIDE, Key.WRAPPER, Key.FIT, *LOOK, Key.LAYERS}
    | {Key.SHOWN_PHOTO, Key.SHOWN_MODEL},
    "reports": {Key.TASK},
    "reviews": {Key.PROJECT, Key.REVIEWS, Key.REVIEW, Key.SUBJECT},
    "how_it_works": {Key.PHOTOS, Key.MODELS, Key.CLASS, Key.FIT, Key.STEP, Key.SHOWN_PHOTO, Key.SHOWN_MODEL}
    | {Key.LINE},
    "data_set": {Key.MODELS},
    "models": {Key.MODELS, Key.SEARCH, Key.SOURCES, Key.AT_HAND},
}


def turn_to(page: AppTest, name: str) -> None:
    """Follow the menu, whose links carry no choice: a browser leaves the old page's behind."""
    page.query_params.clear()
    page.switch_page(f"app_pages/{name}.py").run()
    assert not page.exception


def chosen(page: AppTest, key: Key) -> str | list[str]:
    """What holds on a page, as a link says it."""
    if key in WORN:
        return page.query_params[key]
    value = page.session_state[key]
    return value if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def test_every_key_is_in_the_link_of_some_page() -> None:
    assert set(LINK) == set(Key)
    assert set.union(*DRAWN_ON.values()) == set(Key)


@pytest.mark.parametrize("landing", ["models", "layers"])
def test_a_link_opened_on_one_page_holds_on_all(
    landing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    for project in ("Other", "Skin"):
        ReviewStore().add_project(project, "Anna")
    page = AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
    page.session_state[OWN_NAME] = "Anna"
    page.switch_page(f"app_pages/{landing}.py")
    page.query_params.update(LINK)
    page.run()
    assert not page.exception
    for name in (*DRAWN_ON, landing):
        turn_to(page, name)
        assert {key: chosen(page, key) for key in DRAWN_ON[name]} == {key: LINK[key] for key in DRAWN_ON[name]}


def test_a_link_that_names_no_photo_and_no_model_opens_without_any() -> None:
    page = AppTest.from_file("../../dashboard/Home.py", default_timeout=120)
    page.query_params.update({Key.PHOTOS: "", Key.MODELS: ""})
    page.run()
    assert not page.error
    assert (page.session_state[Key.PHOTOS], page.session_state[Key.MODELS]) == ([], [])
    assert [page.query_params[key] for key in (Key.PHOTOS, Key.MODELS)] == ["", ""]
