"""What a notebook shows of a comparison, in a real browser: on a light page and a dark one, without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from gradcam.draw.notebook import notebook_html
from tests import fakes

pytestmark = pytest.mark.browser

HEAT = np.random.default_rng(0).random((4, 6), np.float32)
HOSTILE = "<img src=x onerror=document.title='caught'>.jpg"
PAGES = {"light": ("#ffffff", "#1f2328"), "dark": ("#111111", "#e6e6e6")}


def shown() -> str:
    photo = fakes.photo(200, 300, HOSTILE)
    return notebook_html(
        fakes.comparison(
            fakes.panel(photo, HEAT, model="x/whole"),
            fakes.panel(photo, HEAT[:, ::-1], model="x/middle", view=fakes.middle(photo)),
            fakes.failure(photo, "expected weights, got no network; put them there by hand", model="x/fails"),
        )
    )


@pytest.mark.parametrize("theme", PAGES)
def test_pictures_captions_and_reasons_are_seen_on_the_page_of_a_notebook(
    browser: Browser, theme: str, tmp_path: Path
):
    paper, ink = PAGES[theme]
    body = f"<body style='background: {paper}; color: {ink}'>{shown()}</body>"
    (tmp_path / "cell.html").write_text(f"<!doctype html><meta charset=utf-8><title>cell</title>{body}", "utf-8")
    asked: list[str] = []
    with browser.new_context(offline=True, viewport={"width": 1100, "height": 500}) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "cell.html").as_uri())
        widths = page.eval_on_selector_all("img", "all => all.map(one => [one.naturalWidth, one.clientWidth])")
        assert widths == [[300, 240]] * 3
        assert page.title() == "cell"
        assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
        colours = page.eval_on_selector_all(
            ".gradcam-shown figcaption, .gradcam-failed",
            "all => [...new Set(all.map(one => getComputedStyle(one).color))]",
        )
        assert colours == [page.evaluate("getComputedStyle(document.body).color")]
        tops = page.eval_on_selector_all("figure", "all => all.map(one => one.getBoundingClientRect().top)")
        assert len(set(tops)) == 1  # side by side
