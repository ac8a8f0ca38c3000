"""A visitor's own model in a real browser, from its file to its heat."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from tests.shapes import ARCHITECTURE, KINDS, SIDE, draw, trained
from tests.visiting import Visit, panels, settle, titles

pytestmark = pytest.mark.browser

OWN = "shapes.pt"


class _Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def offer(page: Page, label: str, file: Path) -> None:
    """Give a file to the uploader of this label."""
    page.get_by_test_id("stFileUploader").filter(has_text=label).locator("input").set_input_files(file)
    expect(page.get_by_text(file.name, exact=True)).to_be_visible()


def submit(page: Page) -> None:
    page.get_by_role("button", name="Add the model").click()
    settle(page)


def test_a_malicious_pickle_is_refused_and_never_run(visit: Visit, tmp_path: Path) -> None:
    trap = tmp_path / "pwned"
    torch.save({"state_dict": trained().state_dict(), "hook": _Trap(trap)}, tmp_path / "evil.pt")
    page = visit("models", wait_for=None)
    refusal = page.get_by_test_id("stAlert")
    (tmp_path / "notes.txt").write_text("no model")
    offer(page, "Checkpoint", tmp_path / "notes.txt")
    expect(refusal).to_contain_text("'notes.txt', got a file that is damaged or of another kind")
    offer(page, "Checkpoint", tmp_path / "evil.pt")
    expect(refusal).to_contain_text("evil.pt")  # as soon as it is chosen, and still when it is sent
    form = page.get_by_test_id("stForm").bounding_box() or {"y": 0}
    assert (refusal.bounding_box() or form)["y"] < form["y"], "it stands at the file"
    submit(page)
    expect(refusal).to_contain_text("could run code when opened; save the model's state_dict()")
    assert refusal.inner_text().count(". ") == 0, "one sentence"
    expect(page.get_by_role("heading", name="Your models")).to_have_count(0)
    assert not trap.exists()


def test_ones_own_checkpoint_finds_the_shape_on_the_page_that_compares(visit: Visit, tmp_path: Path) -> None:
    torch.save({"state_dict": trained().state_dict(), "epoch": 9}, tmp_path / OWN)
    (tmp_path / "names.txt").write_bytes("\ufeffdisc\r\ncross\r\n".encode())
    row, column = 2, 1
    Image.fromarray(draw("cross", 32 * column + 16, 32 * row + 16, seed=99)).save(tmp_path / "drawn.png")

    page = visit("models?models=bundled/tf_efficientnet_lite0", wait_for=None)
    offer(page, "Checkpoint", tmp_path / OWN)
    expect(page.get_by_role("combobox", name="Architecture")).to_have_value(ARCHITECTURE)
    offer(page, "Class names", tmp_path / "names.txt")
    page.get_by_text("Preprocessing, where it differs").click()
    for label, text in (("Input size, pixels", str(SIDE)), ("Crop, share", "1")):
        page.get_by_role("spinbutton", name=label).fill(text)
    for label in ("Mean of R, G, B", "Standard deviation of R, G, B"):
        page.get_by_role("textbox", name=label).fill("0.5, 0.5, 0.5")
    submit(page)
    expect(page.get_by_text(f"2 classes: {', '.join(KINDS)} · softmax · input {SIDE}×{SIDE}")).to_be_visible()

    page.get_by_role("link", name="Compare models").click()
    expect(page.get_by_role("heading", name="Compare models", level=1)).to_be_visible()
    settle(page)
    page.set_input_files("input[type=file]", tmp_path / "drawn.png")
    expect(page.get_by_role("heading", name="drawn.png")).to_be_visible()
    settle(page)
    bundled, own = titles(page)
    assert bundled.startswith("bundled/tf_efficientnet_lite0\n")
    assert own.startswith("shapes\n")
    name = panels(page).nth(1).locator(".name")
    assert (name.get_attribute("title") or "").startswith(f"checkpoint/{ARCHITECTURE}@shapes~")
    assert "cross · 1" in own, "sure of it"

    page.get_by_role("button", name="Open large").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Weights")).to_be_visible()
    settle(page)
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Raw map").click()
    heat = np.load(io.BytesIO(download.value.path().read_bytes()))
    assert heat.shape == (SIDE // 32, SIDE // 32)
    assert np.unravel_index(heat.argmax(), heat.shape) == (row, column)

    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Show only mine").click()
    settle(page)
    assert [title.partition("\n")[0] for title in titles(page)] == ["shapes"]
    expect(page.get_by_role("button", name="Show only mine")).to_have_count(0)
