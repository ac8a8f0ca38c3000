"""The command and the Python lines that make a report again, worked out from the report itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from gradcam.photo import SAMPLES, sample_photo
from gradcam.report.junit import Thresholds, written
from gradcam.report.model import Content, Note, PhotoEntry, Verdict
from gradcam.types import Style


def command(report: Content, thresholds: Thresholds | None = None) -> str:
    """One shell command, to be run in a folder that holds the photos.

    thresholds: those that its exit code shall tell of.
    """
    words = ["python", "-m", "gradcam", "report", *(_file(photo.name) for photo in report.photos)]
    for name, value in (*_options(report), *written(thresholds or Thresholds())):
        words += [f"{name}={value}"] if value.startswith("-") else [name, value]
    return shlex.join(words)


def python_lines(report: Content) -> str:
    """The same in Python."""
    arguments = [f"now=datetime.fromisoformat({report.created!r})", f"title={report.title!r}"]
    arguments += [f"layer={layers_of(report)!r}", f"fit={report.fit!r}", f"carried={report.carried!r}"]
    arguments += [f"style={report.style!r}"] * (report.style != Style())
    arguments += [f"verdict={report.verdict!r}"] * (report.verdict != Verdict())
    notes = [photo.note for photo in report.photos]
    arguments += [f"notes={notes!r}"] * any(note != Note() for note in notes)
    return "\n".join(
        (
            "from datetime import datetime",
            "from gradcam import Style, compare, open_photo, parse_target, sample_photo",
            "from gradcam.report import Note, Verdict, build_report, write_report",
            "",
            f"photos = [{', '.join(_opened(photo) for photo in report.photos)}]",
            f"models = {[model.id for model in report.models]!r}",
            f"targets = [{', '.join(f'parse_target({question!r})' for question in report.questions)}]",
            f"comparison = compare(models, photos, targets, fit={report.fit!r}, layer={layers_of(report)!r})",
            "report = build_report(",
            *(f"    {argument}," for argument in ("comparison", *arguments)),
            ")",
            "write_report(report, 'review.zip')",
        )
    )


def _options(report: Content) -> Iterator[tuple[str, str]]:
    """Name and value of every option; those at their default are left out, but for what decides the maps."""
    for model in report.models:
        yield "--model", model.id
    for question in report.questions:
        yield "--class", question
    yield "--fit", report.fit
    layers = layers_of(report)
    for layer in [f"{model}={name}" for model, name in layers.items()] if isinstance(layers, dict) else [layers]:
        yield "--layer", str(layer)
    style, default = report.style, Style()
    for name in ("colormap", "opacity", "scale", "interpolation", "threshold"):
        if getattr(style, name) != getattr(default, name):
            yield f"--{name}", str(getattr(style, name))
    yield "--photos", report.carried
    yield "--title", report.title
    yield from _review(report)
    yield "--now", report.created
    yield "--out", "review.zip"


def _review(report: Content) -> Iterator[tuple[str, str]]:
    verdict, default = report.verdict, Verdict()
    for name in ("status", "reviewer", "date", "summary"):
        if getattr(verdict, name) != getattr(default, name):
            yield f"--{name}", getattr(verdict, name)
    for question in verdict.questions:
        yield "--open-question", question
    for place, photo in enumerate(report.photos, start=1):
        if photo.note.status != Note().status:
            yield "--photo-status", f"{place}={photo.note.status}"
        if photo.note.text:
            yield "--note", f"{place}={photo.note.text}"


def layers_of(report: Content) -> str | int | dict[str, str | int]:
    """The layer as it was asked for, one for every model or by model."""
    asked = {model.id: read_layer(model.asked_layer) for model in report.models}
    if len(set(asked.values())) == 1:
        return next(iter(asked.values()))
    return {model: layer for model, layer in asked.items() if layer != "auto"}


def read_layer(text: str) -> str | int:
    """A place in `candidate_layers` is a number, everything else a name."""
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text


def _opened(photo: PhotoEntry) -> str:
    sample = photo.name in SAMPLES and sample_photo(photo.name).sha256 == photo.sha256
    return f"sample_photo({photo.name!r})" if sample else f"open_photo({_file(photo.name)!r})"


def _file(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name
