"""A visitor is not told where the server's files lie; who keeps the server still knows which folder is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import library
from dashboard.components.messages import as_sentence
from dashboard.server_folders import without_folders
from gradcam import WeightsError
from gradcam.errors import quoted
from gradcam.models.weights import Location, fetch
from tests.dashboard.first_page import reasons, words
from tests.opening import open_page


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything of this server lies, but for what is set by itself."""
    config = tmp_path / "gradcam.toml"
    config.write_text('[runs]\nfolder = "secret/runs"\n[data]\nweights = "secret/weights"', "utf-8")
    monkeypatch.setenv("GRADCAM_CONFIG", str(config))
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "secret" / "reviews.sqlite"))
    monkeypatch.delenv("GRADCAM_WEIGHTS", raising=False)
    monkeypatch.delenv("GRADCAM_RUNS", raising=False)
    return tmp_path / "secret"


def test_folders_are_named_as_they_were_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = f"put it at {folder / 'weights' / 'timm' / 'x.pth'}"
    assert without_folders(weights) == str(Path("put it at data.weights", "timm", "x.pth"))
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(folder / "weights"))
    assert without_folders(weights) == str(Path("put it at $GRADCAM_WEIGHTS", "timm", "x.pth"))
    assert without_folders(f"cannot write {quoted(folder / 'reviews.sqlite')}") == "cannot write '$GRADCAM_STORE'"
    assert without_folders(f"{folder / 'runs'}.") == "runs.folder."
    assert without_folders(f"no {Path.home() / 'a'}") == str(Path("no ~", "a"))


@pytest.mark.parametrize(
    "sentence", ["put the file https://host/tmp/x.pth there", "expected a/tmp/b, got /tmpfile"]
)
def test_addresses_and_other_folders_stay_as_they_are(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert without_folders(sentence) == sentence


def test_the_line_of_a_model_that_failed_names_no_folder_and_neither_does_a_report_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: str) -> None:
        fetch(Location(model))

    monkeypatch.setattr(library, "load_classifier", fail)
    library.pool.clear()
    model = "torchvision/vgg16@IMAGENET1K_V1"
    for page in (open_page("compare_models", models=[model]), open_page("how_it_works", models=[model])):
        assert not page.exception
        assert "data.weights" in "".join(reasons(page))
        assert str(folder) not in words(page)
    with pytest.raises(WeightsError, match=r"data\.weights"), library.use(model):
        pass
    library.pool.clear()


def test_every_error_on_a_page_is_without_them(folder: Path) -> None:
    assert str(folder) not in as_sentence(f"expected to write {quoted(folder / 'runs' / 'a')}, got a full disk")
