"""The dashboard in a real browser: what a visitor sees, does, and takes away."""

from __future__ import annotations

import json
import re
import socket
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from skimage import data, io

from dashboard.components.catalogue import PHONE_ROW
from gradcam import Heatmap, compare, parse_target, sample_photo
from gradcam.draw.captions import target_caption
from gradcam.measures import agreement
from tests.browser.test_accessibility import what_stays
from tests.visiting import (
    DESKTOP,
    FIRST_VISIT,
    PHONE,
    PLOT,
    Visit,
    arrive,
    choose,
    finish,
    listen,
    panels,
    pictures,
    settle,
    titles,
)
from tests.visitors import Link, at_once

pytestmark = pytest.mark.browser

LITE0, LITE1, LITE2 = (f"bundled/tf_efficientnet_lite{number}" for number in range(3))


def heat(page: Page) -> list[int]:
    """How far each picture differs at most from the bare photo, 0 to 255 in any channel."""
    covered = shots(page)
    page.get_by_role("button", name="Hold to see the photo").first.hover()
    page.mouse.down()
    page.wait_for_timeout(300)
    bare = shots(page)
    page.mouse.up()
    return [int(np.abs(a - b).max()) for a, b in zip(covered, bare, strict=True)]


def shots(page: Page) -> list[np.ndarray]:
    """What every panel shows, `[H, W, 3]`."""
    return [io.imread(BytesIO(panel.screenshot()))[..., :3].astype(int) for panel in pictures(page).all()]


def test_the_first_sight_is_three_real_heatmaps_to_take_away_in_files_that_open_without_a_network(
    visit: Visit, browser: Browser, tmp_path: Path
) -> None:
    page = visit()
    assert [re.sub(r"\s*(\S+)\s*(.*) · .*", r"\1: \2", title, flags=re.S) for title in titles(page)] == [
        "bundled/tf_efficientnet_lite0: Egyptian cat",
        "bundled/tf_efficientnet_lite1: Egyptian cat",
        "bundled/tf_efficientnet_lite2: espresso",
    ]
    assert [difference > 50 for difference in heat(page)] == [True] * 3
    for words in ("7×7 grid", "8×8 grid", "9×9 grid"):
        expect(page.get_by_text(words).first).to_be_visible()
    why = page.get_by_text("Why this layer: ").first
    expect(why).to_be_hidden()
    page.get_by_text("7×7 grid").click()
    expect(why).to_be_visible()
    expect(page.locator(".predictions")).to_have_count(3)

    for name in ("PNG", "HTML"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        download.value.save_as(tmp_path / f"comparison.{name.lower()}")
    picture = io.imread(tmp_path / "comparison.png")
    assert picture.shape[1] > 3 * 300
    assert picture.std() > 20

    complaints: list[str] = []
    strangers: list[str] = []
    with browser.new_context(offline=True, viewport=DESKTOP) as context:
        saved = context.new_page()
        listen(saved, complaints, strangers)
        saved.goto((tmp_path / "comparison.html").as_uri())
        expect(pictures(saved)).to_have_count(3)
        expect(pictures(saved).locator(".hm image")).to_have_count(3)
        assert all(difference > 50 for difference in heat(saved))
        assert titles(saved) == titles(page)
        assert complaints == []
        assert strangers == []


def test_the_look_changes_without_losing_the_zoom_and_goes_into_the_link(visit: Visit) -> None:
    page = visit(f"?models={LITE0}&models={LITE2}")
    page.get_by_role("button", name="Zoom in").first.click()
    expect(page.locator(".viewer .zoomed")).to_have_count(2)  # its heatmaps, and their difference
    page.get_by_role("slider", name="Opacity").first.fill("80")
    page.get_by_role("combobox", name="Colour map").first.select_option("inferno")
    expect(page).to_have_url(re.compile("colormap=inferno"))
    expect(page).to_have_url(re.compile("opacity=80"))
    settle(page)
    expect(page.locator(".viewer .zoomed")).to_have_count(2)  # its heatmaps, and their difference
    choose(page, "Photos", "coffee", "coffee · sample")
    expect(page.get_by_role("slider", name="Opacity")).to_have_count(1)  # for two photos and a difference
    assert page.get_by_role("slider", name="Opacity").input_value() == "80"
    expect(page.locator(".ramp")).to_have_count(2)  # heat, and its difference
    page.locator("h2").last.scroll_into_view_if_needed()
    expect(page.get_by_role("slider", name="Opacity")).to_be_in_viewport()


def test_a_visitor_uploads_a_photo_adds_a_model_and_asks_for_a_class(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    io.imsave(tmp_path / "my cup.jpg", data.coffee(), check_contrast=False)
    page.set_input_files("input[type=file]", tmp_path / "my cup.jpg")
    expect(page.get_by_role("heading", name="my cup.jpg")).to_be_visible()
    settle(page)
    assert all("espresso" in title for title in titles(page))

    page.get_by_role("button", name="Remove bundled/tf_efficientnet_lite1").last.click()
    expect(pictures(page)).to_have_count(2)
    choose(page, "Models", "efflite1", "bundled/tf_efficientnet_lite1")
    expect(pictures(page)).to_have_count(3)

    choose(page, "Models", "torchvision/vgg16@", re.compile("vgg16@IMAGENET1K_V1 · download"))
    expect(page.locator(".failed").get_by_text("expected weights for torchvision/vgg16")).to_be_visible()

    choose(page, "Classes", "coffee m", "coffee mug")
    found = titles(page)
    assert sum("espresso" in title for title in found) == 3
    assert sum("coffee mug" in title for title in found) >= 3


def test_a_link_reopens_the_view_for_somebody_else(visit: Visit, browser: Browser) -> None:
    page = visit(f"?models={LITE0}&models={LITE2}")
    choose(page, "Photos", "coffee", "coffee · sample")
    choose(page, "Classes", "tabb", "tabby")
    page.get_by_text("squash", exact=True).click()
    expect(page).to_have_url(re.compile("fit=squash"))
    settle(page)
    expect(pictures(page)).to_have_count(8)
    with browser.new_context(viewport=DESKTOP) as elsewhere:  # a fresh profile
        again = elsewhere.new_page()
        again.goto(page.url)
        arrive(again, PLOT)
        expect(pictures(again)).to_have_count(8)
        assert titles(again) == titles(page)
    page.get_by_role("link", name="Compare classes").first.click()
    expect(page).to_have_url(re.compile(r"compare_classes\?.*fit=squash"))


def brightness(locator: Locator, of: str) -> float:
    """How bright a colour of an element is, 0 to 255."""
    colour = locator.first.evaluate("(it, of) => getComputedStyle(it)[of]", of)
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_on_a_phone_panels_stack_nothing_is_cut_off_and_the_dark_theme_writes_light_on_dark(visit: Visit) -> None:
    page = visit(viewport=PHONE, color_scheme="dark")
    assert brightness(page.locator(".stApp"), "backgroundColor") < 40
    assert brightness(page.locator(".viewer figcaption"), "color") > 200
    assert brightness(page.locator(".predictions span"), "color") > 200
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        expect(pictures(page)).to_have_count(3)
        boxes = [plot.bounding_box() or {} for plot in pictures(page).all()]
        for above, below in pairwise(boxes):
            assert above["y"] + above["height"] < below["y"]
        assert all(box["x"] >= 0 and 300 < box["width"] <= 390 for box in boxes)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= PHONE["width"]
        edges = [
            tool.bounding_box() or {} for tool in page.get_by_role("button", name=re.compile("Hold|Reset")).all()
        ]
        assert len({round(box["x"] + box["width"]) for box in edges}) == 1, "no control is left over in its row"


QUESTIONS = (
    ("chelsea", LITE0, "tabby", "crop"),
    ("coffee", LITE1, "espresso", "crop"),
    ("cat and coffee", LITE2, "espresso rather than Egyptian cat", "crop"),
    ("coffee and cat", LITE0, "prediction 2", "squash"),
    ("coffee", LITE2, "coffee mug", "pad"),
    ("chelsea", LITE1, "lynx", "pad"),
    ("cat and coffee", LITE0, "cup", "squash"),
    ("coffee and cat", LITE1, "tiger cat", "crop"),
)


def answer(photo: str, model: str, target: str, fit) -> Heatmap:
    """What the package answers in this process."""
    (heatmap,) = compare([model], [sample_photo(photo)], [parse_target(target)], fit=fit).heatmaps
    return heatmap


def shares(text: str) -> list[float]:
    """Every percentage in a text."""
    return [float(share) for share in re.findall(r"([\d.]+) %", text)]


def test_eight_visitors_at_once_each_get_the_answer_to_their_own_question(address: str) -> None:
    links: list[Link] = [
        dict(zip(("photos", "models", "classes", "fit"), question, strict=True)) for question in QUESTIONS
    ]
    found = at_once(address, [("compare_models", link) for link in links])
    for seen, question in zip(found, QUESTIONS, strict=True):
        (scene,) = seen.scenes
        (shown,) = scene["panels"]
        panel = answer(*question)
        assert scene["photo"]["name"] == question[0]
        assert shown["title"] == panel.model
        wanted = target_caption(panel)
        assert shown["subtitle"].partition(" · ")[0] == wanted.partition(" · ")[0]
        assert shares(shown["subtitle"]) == pytest.approx(shares(wanted), abs=0.11)
        full = re.search(r"full colour\s=\s(\S+)", shown["facts"])
        assert full
        assert float(full[1]) == pytest.approx(float(panel.map.max()), rel=0.01)


def test_two_visitors_never_see_each_others_upload_even_of_one_name(visit: Visit, tmp_path: Path) -> None:
    visitors = {"espresso": data.coffee(), "cat": data.chelsea()[:, ::-1]}
    pages = {}
    for seen, photo in visitors.items():
        (tmp_path / seen).mkdir()
        io.imsave(tmp_path / seen / "photo.png", photo)
        pages[seen] = visit(f"?models={LITE0}")
    for seen, page in pages.items():
        page.set_input_files("input[type=file]", tmp_path / seen / "photo.png")
    for seen, page in pages.items():
        expect(page.get_by_role("heading", name="photo.png")).to_be_visible()
        settle(page)
        (title,) = titles(page)
        assert seen in title
    stranger = visit("?photos=" + pages["cat"].url.partition("photos=")[2], wait_for="[data-testid=stAlert]")
    expect(stranger.get_by_text("upload that file again").first).to_be_visible()
    expect(pictures(stranger)).to_have_count(0)


def test_an_upload_is_still_there_on_another_page_and_back(visit: Visit, tmp_path: Path) -> None:
    page = visit(f"?models={LITE0}")
    picture, said = (page.locator(part).bounding_box() or {} for part in (".viewer .picture", ".predictions"))
    assert picture["x"] + picture["width"] <= said["x"], "what one model says is beside its heatmap"
    expect(page.get_by_role("button", name="Open large")).to_be_in_viewport()
    io.imsave(tmp_path / "my cup.png", data.coffee())
    page.set_input_files("input[type=file]", tmp_path / "my cup.png")
    expect(page.get_by_role("heading", name="my cup.png")).to_be_visible()
    settle(page)
    before = titles(page)
    for name in ("Compare classes", "Compare models"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        expect(page.get_by_role("heading", name="my cup.png")).to_be_visible()
        settle(page)
    assert titles(page) == before


def test_the_table_says_how_far_the_models_agree_and_the_difference_follows_the_choice(visit: Visit) -> None:
    page = visit(f"?models={LITE0}&models={LITE2}&classes=Egyptian cat")
    table = page.get_by_role("table", name="Rank correlation")
    wanted = agreement([answer("cat and coffee", model, "Egyptian cat", "crop") for model in (LITE0, LITE2)])[0, 1]
    shown = table.get_by_role("cell").all_inner_texts()
    assert shown[0] == shown[3] == ""
    assert float(shown[1]) == float(shown[2]) == pytest.approx(wanted, abs=0.011)

    difference = page.locator(".viewer .panel", has_text="A − B:")
    beside = page.locator(".viewer:has-text('A − B:') figcaption .name").all_inner_texts()
    assert beside == [f"A: {LITE0}", "A − B: lite0 − lite2", f"B: {LITE2}"]
    expect(difference).to_contain_text("A − B: lite0 − lite2")
    plot = difference.locator(".js-plotly-plot")
    plain = plot.screenshot()
    page.get_by_text("Show only where they differ").click()
    expect(page).to_have_url(re.compile("differing=true"))
    settle(page)
    assert plot.screenshot() != plain
    page.set_viewport_size({"width": 2560, "height": 1200})
    settle(page)
    last = pictures(page).last.bounding_box() or {"width": 0}
    assert last["width"] > 700, "a wide screen is used"


def test_a_cell_opens_large_with_its_facts_and_files(visit: Visit) -> None:
    page = visit(f"?models={LITE0}&models={LITE1}&classes=tabby&classes=lynx")
    page.get_by_role("button", name="Open large").nth(1).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="lynx").click()
    expect(dialog.get_by_role("img", name=re.compile("lite1, lynx .*hottest at"))).to_be_visible()
    for words in ("Probability", "Why this layer", "SHA-256"):
        expect(dialog.get_by_text(words).first).to_be_visible()
    picture = dialog.get_by_role("img", name=re.compile("hottest at")).bounding_box()
    assert picture is not None
    assert picture["y"] + picture["height"] < DESKTOP["height"], "seen whole"
    panel = answer("cat and coffee", LITE1, "lynx", "crop")
    files = {}
    for name in ("PNG", "Raw map", "Numbers"):
        settle(page)  # a click while the dialog is drawn anew is lost
        with page.expect_download() as download:
            dialog.get_by_role("button", name=name).click()
        files[name] = download.value.path().read_bytes()
    assert io.imread(BytesIO(files["PNG"])).shape == (1200, 1200, 3)
    assert np.load(BytesIO(files["Raw map"])) == pytest.approx(panel.map, rel=1e-3, abs=1e-6)
    page.emulate_media(color_scheme="dark")
    assert what_stays(page) == []
    numbers = json.loads(files["Numbers"])
    assert numbers["target"]["label"] == "lynx"
    assert np.array(numbers["map"], np.float32) == pytest.approx(panel.map, rel=1e-3, abs=1e-6)


def test_a_comparison_can_be_cancelled_while_a_model_loads_and_keeps_what_has_finished(
    visit: Visit, proxy_port: int
) -> None:
    slow = "torchvision/vgg13"  # no other test asks for it
    with socket.create_server(("127.0.0.1", proxy_port)):  # takes a call and never says a word, as a slow download
        page = visit(f"?models={LITE0}&models={slow}@IMAGENET1K_V1", wait_for=f"text={LITE0} · done", rest=False)
        page.get_by_role("button", name="Cancel").click()
        said = page.get_by_text(f"1 of 2 heatmaps had finished and are kept. Without one: {slow}")
        expect(said).to_be_visible(timeout=FIRST_VISIT)
        settle(page)
        assert "Egyptian cat" in titles(page)[0]
        expect(page.locator(".failed")).to_have_count(0)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text(f"expected weights for {slow}").first).to_be_visible(timeout=FIRST_VISIT)


def test_another_architecture_is_one_click_away_and_a_model_of_dogs_says_that_it_knows_nothing_else(
    visit: Visit,
) -> None:
    page = visit(f"?models={LITE0}&models=bundled/mobilenetv2_dogs")
    expect(page.get_by_text("Knows 19 dog breeds and nothing else; this photo may show none")).to_be_visible()
    expect(page.get_by_text(re.compile("which knows 19 dog breeds only"))).to_be_visible()
    page.get_by_role("combobox", name="Models").fill("resnet50")
    offered = page.get_by_role("option", name="timm/resnet50.a1_in1k · download 102 MB").locator("div")
    assert offered.evaluate("it => it.scrollWidth <= it.clientWidth")
    page.locator("h1").click(force=True)
    page.get_by_role("button", name="Add VGG16").click()
    settle(page)
    expect(pictures(page)).to_have_count(3)
    assert titles(page)[2].startswith("torchvision/vgg16 (untrained, seed 0)")
    expect(page.get_by_role("button", name="Add VGG16")).to_have_count(0)


def test_eight_models_stand_in_even_rows_and_one_that_failed_is_a_line_that_can_be_used_untrained(
    visit: Visit,
) -> None:
    untrained = [f"torchvision/squeezenet1_1 (untrained, seed {seed})" for seed in range(4)]
    models = [LITE0, LITE1, "torchvision/squeezenet1_1@IMAGENET1K_V1", LITE2, *untrained]
    page = visit("?" + "&".join(f"models={model}" for model in models))
    expect(pictures(page)).to_have_count(7)
    across = [round((plot.bounding_box() or {"x": 0})["x"]) for plot in pictures(page).all()]
    assert across[4:] == across[:3]  # 4 + 3
    for part in (page.locator("ol.predictions"), page.get_by_role("button", name="Open large")):
        heights = [round((it.bounding_box() or {"y": 0})["y"]) for it in part.all()]
        assert heights == 4 * [heights[0]] + 3 * [heights[4]], "in rows, however many lines a name takes"
    line = page.locator(".failed summary")
    expect(line).to_contain_text("torchvision/squeezenet1_1@IMAGENET1K_V1 has no map: expected weights")
    said, way_out = (it.bounding_box() or {} for it in (line, page.get_by_role("button", name="Use untrained")))
    assert said["height"] < 30
    assert way_out["y"] < said["y"] + said["height"], "beside it"
    table = page.get_by_role("table", name="Rank correlation")
    expect(table.get_by_role("row")).to_have_count(1 + 7)
    assert table.evaluate("it => it.scrollWidth <= it.parentElement.clientWidth")
    chips = page.locator("[data-testid=stMultiSelectTagsContainer] [data-tag] span", has_text="untrained")
    assert chips.evaluate_all("all => all.length && all.every(it => it.scrollWidth <= it.clientWidth)")
    page.set_viewport_size(PHONE)
    settle(page)
    assert_names_stay_in_sight(page, table)
    page.set_viewport_size(DESKTOP)
    settle(page)
    page.get_by_role("button", name="Report", exact=True).click()
    arrive(page, "textarea")
    said = line.bounding_box() or {"width": 0}
    assert said["width"] > 200
    assert page.locator(".stHtml:has(> .failed)").evaluate("it => it.parentElement.clientHeight") < 40
    small = page.get_by_role("img", name=re.compile("^Heatmap of"))
    expect(small).to_have_count(7)
    across = [round((it.bounding_box() or {"x": 0})["x"]) for it in small.all()]
    assert across[4:] == across[:3]  # 4 + 3
    page.get_by_role("link", name="Compare models").click()
    arrive(page, PLOT)
    page.get_by_role("button", name="Use untrained").click()
    settle(page)
    expect(line).to_have_count(0)
    expect(pictures(page)).to_have_count(7)  # one of them was there already


def assert_names_stay_in_sight(page: Page, table: Locator) -> None:
    """Scrolled to its end, a table still shows the names of its rows, on the page's own ground in both themes."""
    names = table.get_by_role("rowheader")
    before = names.last.bounding_box()
    assert table.evaluate("it => (it.parentElement.scrollLeft = 999, it.parentElement.scrollLeft)") > 50
    assert names.last.bounding_box() == before
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert brightness(names, "backgroundColor") == brightness(page.locator(".stApp"), "backgroundColor")


def test_of_sixty_uploads_six_are_shown_at_a_time_and_what_is_no_photo_is_one_line(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit(f"?models={LITE0}")
    for number in range(60):
        io.imsave(tmp_path / f"{number:02}.png", np.full((48, 64, 3), 4 * number, np.uint8), check_contrast=False)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.set_input_files("input[type=file]", sorted(tmp_path.glob("*.png")))
    expect(page.get_by_role("heading", name="00.png")).to_be_visible()
    settle(page)
    expect(page.get_by_role("heading", level=2).filter(has_text=".png")).to_have_count(6)
    expect(page.get_by_text("Shown: photos 1 to 6 of 60.")).to_be_visible()
    expect(page.locator("[data-testid=stAlert]")).to_have_count(1)
    page.get_by_role("button", name="Next 6 of 60 photos").click()
    expect(page.get_by_role("heading", name="11.png")).to_be_visible()
    settle(page)
    assert page.get_by_test_id("stMain").evaluate("it => it.scrollTop") == 0
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("[data-testid=stAlert]")).to_have_count(0)
    page.reload()
    arrive(page, "[data-testid=stAlert]")
    expect(page.get_by_text(re.compile("as after a reload; upload those files again"))).to_be_visible()


def test_a_class_misspelt_and_entered_becomes_the_nearest_real_one_and_says_so(visit: Visit) -> None:
    page = visit(f"?models={LITE0}")
    for typed, told in (("bull mastif", 0), ("bull mastuff", 1), ("#243", 0)):  # the list itself offers the first
        page.get_by_role("combobox", name="Classes").fill(typed)
        page.get_by_role("combobox", name="Classes").press("Enter")
        settle(page)
        page.locator("h1").click(force=True)
        expect(page.get_by_text(re.compile("is no class; the nearest, .*, was taken"))).to_have_count(told)
        expect(pictures(page)).to_have_count(2)  # the top prediction and this class, once
        assert titles(page)[1].startswith(f"{LITE0}\nbull mastiff")


WHOLE = """it => {
    const free = it.cloneNode(true);
    free.style.width = "auto";
    it.parentElement.append(free);
    const wanted = free.offsetWidth;
    free.remove();
    return it.offsetWidth >= wanted;
}"""
"""Whether a list of choices is as wide as its longest choice."""


def test_a_box_or_an_outline_drawn_on_a_photo_says_the_share_of_heat_inside_and_stays_in_the_link(
    visit: Visit,
) -> None:
    page = visit(f"?models={LITE0}&models={LITE1}")
    page.get_by_role("combobox", name="Drag to").select_option("draw a box")
    first = pictures(page).first.bounding_box()
    assert first is not None

    def drag(*corners: tuple[float, float]) -> None:
        """Press at a share of the first picture's width and height, pass others and let go at the last."""
        places = [(first["x"] + x * first["width"], first["y"] + y * first["height"]) for x, y in corners]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()
        settle(page)

    drag((0.05, 0.1), (0.5, 0.9))
    facts = panels(page).locator(".facts")
    expect(facts.first).to_contain_text(
        re.compile(r"^\d+\s% of the heat inside the mark, which is 36\s% of the photo")
    )
    expect(facts).to_contain_text(["inside the mark, which is 36 % of the photo"] * 2)
    corners = re.search(r"regions=[0-9a-f]{16}~([\d,%C]+)", unquote(page.url))
    assert corners is not None
    left, top, right, bottom = map(int, corners[1].split(","))
    height, width = sample_photo("cat and coffee").size
    assert (left / width, top / height, right / width, bottom / height) == pytest.approx(
        (0.05, 0.1, 0.5, 0.9), abs=0.01
    )
    expect(pictures(page).first.locator(".shapelayer path")).not_to_have_count(0)

    drag_to = page.get_by_role("combobox", name="Drag to")
    drag_to.select_option("draw an outline")
    assert drag_to.evaluate(WHOLE), "its longest choice can be read"
    drag((0.1, 0.1), (0.6, 0.1), (0.1, 0.6))
    expect(facts.first).to_contain_text(re.compile(r"which is 1[123]\s% of the photo"))
    page.get_by_role("button", name="Clear the mark").click()
    expect(facts.first).not_to_contain_text("inside the mark")
    expect(page).not_to_have_url(re.compile("regions"))


def test_back_undoes_a_choice_and_forward_does_it_again(visit: Visit, tmp_path: Path) -> None:
    page = visit(f"?models={LITE0}")
    io.imsave(tmp_path / "my cup.jpg", data.coffee(), check_contrast=False)
    page.set_input_files("input[type=file]", tmp_path / "my cup.jpg")
    expect(page.get_by_role("heading", name="my cup.jpg")).to_be_visible()
    settle(page)
    choose(page, "Classes", "tabb", "tabby")
    page.get_by_role("combobox", name="Colour map").select_option("inferno")
    expect(page).to_have_url(re.compile("colormap=inferno"))
    page.get_by_role("link", name="Compare classes").first.click()
    expect(page.get_by_role("heading", name="Compare classes", level=1)).to_be_visible()
    finish(page, "compare_classes")

    def seen() -> tuple[str, int, str]:
        settle(page)
        colours = page.get_by_role("combobox", name="Colour map").first.input_value()
        return (
            page.locator("h2", has_text=re.compile("my cup|cat and")).first.inner_text(),
            pictures(page).count(),
            colours,
        )

    steps = [
        ("my cup.jpg", 2, "inferno"),  # this page again
        ("my cup.jpg", 2, "viridis"),
        ("my cup.jpg", 1, "viridis"),
        ("cat and coffee", 1, "viridis"),
    ]
    for wanted in steps:
        page.go_back()
        assert seen() == wanted
    for wanted in steps[2::-1]:
        page.go_forward()
        assert seen() == wanted
    page.get_by_role("button", name="Add VGG16").click()
    expect(page).to_have_url(re.compile("vgg16"))
    page.go_back()  # while it computes
    assert seen() == steps[0]
    expect(page).not_to_have_url(re.compile("vgg16"))


def test_keys_move_through_the_depths_of_a_model(visit: Visit) -> None:
    page = visit("layers")
    slider = page.get_by_role("slider", name="Depth: 5 layers")
    slider.focus()
    slider.press("ArrowLeft")
    expect(panels(page).first.locator("b")).to_have_text("blocks.4")
    slider.press("Home")
    expect(panels(page).first.locator("b")).to_have_text("bn1")


ANDROID = "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36"


def test_on_a_phone_the_names_of_the_catalogue_stay_beside_what_is_moved(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=PHONE, user_agent=ANDROID) as phone:
        page = phone.new_page()
        page.goto(f"{address}/models?search=vit+small")
        arrive(page, None)
        finish(page, "models")
        table = page.get_by_test_id("stDataFrame")
        table.scroll_into_view_if_needed()
        before = io.imread(BytesIO(table.screenshot()))[..., :3].astype(int)
        table.locator(".dvn-scroller").evaluate("it => it.scrollLeft = 200")
        page.wait_for_timeout(500)  # it is drawn on a canvas
        moved = np.abs(io.imread(BytesIO(table.screenshot()))[..., :3] - before).max(axis=(0, 2)) > 50
        assert not moved[:190].any()
        assert moved[215:].any()
        page.goto(f"{address}/models?search=bundled+efficientnet+lite")
        arrive(page, None)
        finish(page, "models")
        table.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        shot = io.imread(BytesIO(table.screenshot()))[..., :3].astype(int)
        lite2, lite1 = (shot[len(shot) - PHONE_ROW * row :, 50:190][: PHONE_ROW - 8] for row in (1, 2))
        assert np.abs(lite2 - lite1).max() > 50, "the end of a name, which tells models apart, is not cut off"
