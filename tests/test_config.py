"""One configuration for operators: found, read into frozen settings, or refused in one sentence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradcam import OptionError
from gradcam.cli._main import main
from gradcam.config import SECTIONS, VARIABLE, Limits, Settings, keys, parse, settings, table, weights_folder
from gradcam.models.pool import default_budget

HERE = Path("gradcam.toml")
SERVING = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in (VARIABLE, "GRADCAM_WEIGHTS", "GRADCAM_MODEL_BYTES"):
        monkeypatch.delenv(variable, raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_without_a_file_every_key_has_its_default() -> None:
    assert settings() == Settings()
    assert settings().file is None


def test_the_named_file_goes_before_that_of_the_folder_and_this_before_that_of_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = [tmp_path / "home/.config/gradcam/gradcam.toml", HERE, tmp_path / "named.toml"]
    for panels, place in enumerate(places, start=1):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"[limits]\npanels = {panels}\n")
        if panels == 3:
            monkeypatch.setenv(VARIABLE, str(place))
        settings.cache_clear()
        assert settings().limits.panels == panels
        assert settings().file == place


def test_every_key_is_read_and_nothing_can_be_changed_after(tmp_path: Path) -> None:
    text = """
        [server]
        hub_models = false
        [data]
        weights = "hand-placed"
        [auth]
        [limits]
        photo_megapixels = 12
        model_gigabytes = 2.5
    """
    found = parse(text.encode(), tmp_path / "gradcam.toml")
    assert found.server.hub_models is False
    assert found.data.weights == tmp_path / "hand-placed"
    assert found.limits == Limits(photo_megapixels=12.0, model_gigabytes=2.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.limits.panels = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[sever]", "expected a section in 'gradcam.toml', got 'sever'; try 'server'"),
        ("panels = 3", "expected a section in 'gradcam.toml', got 'panels'"),
        ("server = 3", "expected [server] as a section of 'gradcam.toml', got server = 3"),
        ("[[server]]", "expected [server] as a section"),
        ("[limits]\npannels = 3", "expected a key of [limits] in 'gradcam.toml', got 'pannels'; try 'panels'"),
        ("[auth]\nusers = 3", "expected a key of [auth] in 'gradcam.toml', got 'users'; try 'hours'"),
        ("[limits]\npanels = true", "expected a whole number from 1 to 1,000,000 for limits.panels"),
        ("[limits]\npanels = 1.0", "expected a whole number"),
        ("[limits]\npanels = 0", "got 0"),
        ("[limits]\npanels = -1", "got -1"),
        (f"[limits]\npanels = 0x{'f' * 5000}", "got a number of about 6000 digits"),
        ("[limits]\nphoto_megabytes = nan", "expected a number from 0.1 to 50 for limits.photo_megabytes"),
        ("[limits]\nphoto_megabytes = inf", "got inf"),
        ("[limits]\nphoto_megabytes = '5'", "got '5'"),
        ("[limits]\nphoto_megabytes = 1979-05-27", "got datetime.date(1979, 5, 27)"),
        ("[server]\nhub_models = 1", 'expected "auto", true or false for server.hub_models in'),
        ("[server]\nhub_models = 'yes'", "got 'yes'"),
        ("[server]\nmetrics = 'auto'", "expected true or false for server.metrics"),
        ("[data]\nweights = ''", "expected a path in quotes for data.weights"),
        ("[data]\nweights = ['a']", "got ['a']"),
        (f"[limits]\npanels = {'9' * 5000}", "expected TOML in 'gradcam.toml', got something else"),
        ("[limits", "expected TOML in 'gradcam.toml'"),
        ("\udcff", "expected TOML in 'gradcam.toml'"),
        (f"a = {'[' * 100_000}", "expected TOML in 'gradcam.toml'"),
        ("#" * 1_000_001, "expected a configuration of at most 1 MB"),
    ],
)
def test_what_is_wrong_is_one_short_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as refused:
        parse(text.encode("utf-8", "surrogateescape"), HERE)
    said = str(refused.value)
    assert said.startswith("expected ")
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 700


def test_a_named_file_that_cannot_be_read_is_never_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place, why in [
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "is a directory"),
        ("x" * 3000, "too long"),
    ]:
        monkeypatch.setenv(VARIABLE, str(place))
        with pytest.raises(OptionError, match=f"{why}.*unset it"):
            settings()


def test_a_home_that_is_no_folder_configures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    assert settings() == Settings()


def test_the_folder_of_weights_and_the_memory_for_models_are_as_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    HERE.write_text('[data]\nweights = "/somewhere"\n[limits]\nmodel_gigabytes = 0.5\n')
    assert weights_folder() == Path("/somewhere")
    assert default_budget() == 500_000_000
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("GRADCAM_MODEL_BYTES", "7")
    assert weights_folder() == tmp_path
    assert default_budget() == 7


def test_every_key_has_an_effect_and_stands_in_the_table() -> None:
    package = "".join(
        file.read_text("utf-8")
        for root in ("gradcam", "dashboard")
        for file in (Path(__file__).parents[1] / root).rglob("*.py")
    )
    assert [
        key.name for key in keys() if not re.search(rf"\.{key.section}\.{key.name}\b|limits\.{key.name}", package)
    ] == []
    assert {key.section for key in keys()} <= set(SECTIONS)
    assert (
        SERVING.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0].strip().splitlines() == table()
    )


def test_the_command_line_refuses_a_bad_configuration_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    HERE.write_text("[limit]\n")
    assert main(["models", "lite0"]) == 2
    said = capsys.readouterr().err
    assert "expected a section in 'gradcam.toml', got 'limit'; try 'limits'" in said
    assert said.count("\n") == 1
