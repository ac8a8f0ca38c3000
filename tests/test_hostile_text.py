"""Hostile text at every door of the package is refused by an error of its own tree, in one short, visible line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradcam import (
    Labels,
    config,
    explain,
    explain_many,
    heatmaps,
    load_checkpoint,
    load_classifier,
    open_photo,
    open_photos,
    resolve_target_layer,
    sample_photo,
)
from gradcam._compare import compare
from gradcam.draw.render import check_style
from gradcam.errors import GradcamError, OptionError, PhotoError, ReportError
from gradcam.models.classifier import Classifier
from gradcam.report import Note, Verdict, read_report, render_report, revised
from gradcam.report.model import TITLE
from gradcam.types import Failure, PhotoFailure, Style, UnreadablePhoto
from tests import fakes
from tests.report_fakes import report

HOSTILE = {
    "ten thousand letters": "x" * 10_000,
    "ten thousand dots": "." * 10_000,
    "a deep path": "a/" * 5000,
    "a thousand layers": "a + " * 1000,
    "brackets": "(" * 5000,
    "quotes": "'\"`" * 2000,
    "line breaks": "a\nb\r\nc\u2028d\u2029e\x85f\x0bg",
    "surrogates": "\udcff\ud800",
    "control characters": "a\x00\x1b[31m\x07\u202e\ufeff",
    "digits": "9" * 5000,
}
MODEL = "timm/test_resnet"


@pytest.fixture(scope="module")
def net() -> Classifier:
    return load_classifier(MODEL, weights="random")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, net: Classifier) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.pt"
    torch.save(net.module.state_dict(), path)
    return path


def _settings(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    file = folder / "gradcam.toml"
    file.write_text(text, errors="backslashreplace")
    monkeypatch.setenv("GRADCAM_CONFIG", str(file))
    config.settings.cache_clear()
    return config.settings()


Door = Callable[[str], Any]


def _doors(net: Classifier, weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Door]:
    """Every argument that takes text, and refuses what it does not know."""
    photo = fakes.photo()
    images = torch.rand(1, 3, 96, 96)
    return {
        "open_photo": open_photo,
        "sample_photo": sample_photo,
        **{
            f"load_classifier {prefix}": lambda text, prefix=prefix: load_classifier(prefix + text)
            for prefix in ("", "timm/", "timm/resnet18.", "torchvision/", "bundled/", "hf:", "hf-hub:")
        },
        "an id's brackets": lambda text: load_classifier(f"{MODEL} ({text})"),
        "a weight file": lambda text: load_classifier(MODEL, weights=text),
        "a checkpoint": load_checkpoint,
        "a checkpoint's model": lambda text: load_checkpoint(weights, text),
        "a checkpoint's labels": lambda text: load_checkpoint(weights, MODEL, labels=text),
        "a target": lambda text: explain(net, photo, text),
        "both of a contrast": lambda text: explain(net, photo, f"{text} rather than {text}"),
        "a label": lambda text: Labels(("a", "b")).index(text),
        "layer of explain": lambda text: explain(net, photo, layer=text),
        "layers of explain": lambda text: explain(net, photo, layer=[text]),
        "layer of heatmaps": lambda text: heatmaps(net.module, images, [0], layer=text),
        "input of heatmaps": lambda text: heatmaps(net.module, images, [0], input=text),
        "output of heatmaps": lambda text: heatmaps(net.module, images, [0], output=text),
        "layer of resolve_target_layer": lambda text: resolve_target_layer(net.module, 96, text),
        "method": lambda text: explain(net, photo, method=text),
        "fit": lambda text: explain(net, photo, fit=text),  # pyright: ignore[reportArgumentType]
        **{
            field: lambda text, field=field: check_style(Style(**{field: text}))
            for field in ("colormap", "scale", "interpolation", "opacity", "threshold", "blend")
        },
        "a report": read_report,
        "a report's bytes": lambda text: read_report(text.encode(errors="surrogatepass")),
        "a format": lambda text: render_report(report(), text),  # pyright: ignore[reportArgumentType]
        "a status": lambda text: revised(report(), verdict=Verdict(status=text)),  # pyright: ignore[reportArgumentType]
        "a setting": lambda text: _settings(text, folder, monkeypatch),
        "a setting's section": lambda text: _settings(f"['''{text}''']\na = 1", folder, monkeypatch),
        "a setting's name": lambda text: _settings(f"[limits]\n{text} = 1", folder, monkeypatch),
        "a setting's value": lambda text: _settings(f"[limits]\nphoto_side = '''{text}'''", folder, monkeypatch),
    }


def _is_one_short_line(said: str) -> bool:
    return len(said) <= 600 and said.isprintable()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_refused_in_one_short_line_at_every_door(
    kind: str, net: Classifier, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {}
    for name, door in _doors(net, weights, tmp_path, monkeypatch).items():
        try:
            door(HOSTILE[kind])
        except GradcamError as error:
            if not _is_one_short_line(str(error)):
                wrong[name] = ascii(str(error)[:300])
        except Exception as error:  # noqa: BLE001
            wrong[name] = ascii(f"{type(error).__name__}: {error}"[:300])
        else:
            wrong[name] = "taken"
    assert wrong == {}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_that_fails_a_panel_is_one_short_line_of_it(kind: str) -> None:
    [unreadable] = open_photos([HOSTILE[kind]])
    assert isinstance(unreadable, UnreadablePhoto)
    [unknown] = compare([HOSTILE[kind]], [fakes.photo()]).panels
    assert isinstance(unknown, Failure)
    assert _is_one_short_line(unreadable.reason)
    assert _is_one_short_line(unknown.reason)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_in_every_field_of_a_report_is_written_in_every_format(kind: str) -> None:
    text = HOSTILE[kind][:2000]
    made = replace(report(), title=text)
    made = revised(made, verdict=Verdict(reviewer=text, summary=text), notes=[Note(text=text)])
    for format in ("html", "pdf", "csv", "markdown", "junit", "json"):
        assert render_report(made, format)


@pytest.mark.parametrize("end", [datetime.min, datetime.max])
@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_a_time_at_either_end_of_the_calendar_is_refused(end: datetime, hours: int) -> None:
    for now in (end, end.replace(tzinfo=timezone(timedelta(hours=hours)))):
        with pytest.raises(ReportError, match="expected a report of the years 1980 to 2107"):
            report(now=now)


@pytest.mark.parametrize("title", ["", "  ", "\n"])
def test_a_report_without_a_title_has_the_usual_one_in_every_format(title: str) -> None:
    assert report(title=title).title == TITLE
    assert render_report(replace(report(), title=title), "pdf")


def test_a_note_of_a_thousand_sentences_is_typeset() -> None:
    """Typst's show rules take a few hundred matches in one text."""
    note = Note(text="A dog. " * 1000)
    assert render_report(revised(report(), notes=[note]), "pdf")


@pytest.mark.parametrize("opacity", [np.float32(0.5), 1, 0.0])
def test_every_number_is_an_opacity(opacity: Any) -> None:
    check_style(Style(opacity=opacity))


def test_one_photo_or_model_in_place_of_a_list_is_refused(net: Classifier) -> None:
    """A text is a list of its letters to Python."""
    for photos in ("a.png", Path("a.png"), fakes.photo()):
        with pytest.raises(PhotoError, match=r"expected a list of photos or paths, got .* alone; put it in a list"):
            list(explain_many(net, photos))  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=f"expected a list of models, got '{MODEL}' alone; put it in a list"):
        compare(MODEL, [fakes.photo()])


def test_what_is_no_photo_among_many_is_a_failure_in_its_place(net: Classifier) -> None:
    photos: list[Any] = [fakes.photo(), None, 3, "none.png", fakes.photo()]
    found = list(explain_many(net, photos))
    assert [isinstance(one, PhotoFailure) for one in found] == [False, True, True, True, False]


def test_what_is_no_text_is_refused_where_a_name_is_expected(net: Classifier) -> None:
    with pytest.raises(OptionError, match="expected a method, got '3'"):
        explain(net, fakes.photo(), method=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="expected a colour map, got 3"):
        check_style(Style(colormap=3))  # pyright: ignore[reportArgumentType]
