"""The report as a test: thresholds that a review must keep, and whether it keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradcam.errors import OptionError, nearest, quoted
from gradcam.kinds import expect
from gradcam.measures import heat_inside
from gradcam.regions import region_of_box
from gradcam.report.model import FailureEntry, Finding, HeatmapEntry, Report
from gradcam.report.sections import figure, panel_title
from gradcam.report.statements import request_text
from gradcam.text import percent
from gradcam.types import Region

Box = tuple[float, float, float, float]
"""Left, top, right and bottom on a photo, in its pixels."""


@dataclass(frozen=True)
class Thresholds:
    """What a review must keep; None or empty asks for nothing.

    min_agreement: the least rank correlation between any two models, in [-1, 1].
    expect_classes: (photo's name or None for every photo, label) that every model must predict first.
    max_outside_box: the largest share of a map's heat outside the photo's box, else outside its mark, in [0, 1].
    boxes: (photo's name, (left, top, right, bottom) in photo pixels).
    """

    min_agreement: float | None = None
    expect_classes: tuple[tuple[str | None, str], ...] = ()
    max_outside_box: float | None = None
    boxes: tuple[tuple[str, Box], ...] = ()


@dataclass(frozen=True)
class Check:
    """One check: the photo that it is about, what it is, and a sentence if it did not hold."""

    photo: str
    name: str
    failure: str | None = None


def check(report: Report, thresholds: Thresholds | None = None) -> tuple[Check, ...]:
    """Every panel must have a map, and every threshold must hold.

    Raises: OptionError where a threshold names a photo that the report does not have, or is outside its range.
    """
    expect(Report, report)
    thresholds = thresholds or Thresholds()
    expect(Thresholds, thresholds)
    marked = any(photo.region for photo in report.photos)
    check_thresholds(thresholds, [photo.name for photo in report.photos], marked=marked)
    return (
        *_computed(report),
        *_agreeing(report, thresholds.min_agreement),
        *_expected(report, thresholds.expect_classes),
        *_inside(report, thresholds),
    )


def heat_outside(report: Report, panel: HeatmapEntry, region: Region) -> float:
    """The share of a map's heat that lies outside a region of the photo, in [0, 1]; NaN where there is no heat."""
    return 1 - heat_inside(panel.values, report.answer(panel).view, region)


def _computed(report: Report) -> Iterator[Check]:
    for finding in report.findings:
        reason = finding.reason if isinstance(finding, FailureEntry) else None
        yield Check(_photo(report, finding), f"map of {_model(report, finding)}", reason)


def _agreeing(report: Report, least: float | None) -> Iterator[Check]:
    if least is None:
        return
    for one in report.agreements:
        a, b = (report.models[index].id for index in one.models)
        name = f"{a} and {b} agree · {request_text(report, one)}"
        low = one.rank_correlation is None or one.rank_correlation < least
        failure = f"expected a rank correlation of at least {least:g}, got {figure(one.rank_correlation)}"
        yield Check(report.photos[one.photo].name, name, failure if low else None)


def _expected(report: Report, expected: tuple[tuple[str | None, str], ...]) -> Iterator[Check]:
    for photo_name, label in expected:
        for index, photo in enumerate(report.photos):
            if photo_name in (None, photo.name):
                for number, model in enumerate(report.models):
                    yield Check(photo.name, f"{model.id} says {label}", _other_class(report, index, number, label))


def _other_class(report: Report, photo: int, model: int, label: str) -> str | None:
    answer = report.answer_of(photo, model)
    if answer is None:
        return f"expected {quoted(label)} as the first prediction, got no answer"
    first = answer.predictions[0]
    if first.label.casefold() == label.casefold():
        return None
    return (
        f"expected {quoted(label)} as the first prediction, "
        f"got {quoted(first.label)} with {percent(first.probability)}"
    )


def _inside(report: Report, thresholds: Thresholds) -> Iterator[Check]:
    if thresholds.max_outside_box is None:
        return
    most, boxes = thresholds.max_outside_box, dict(thresholds.boxes)
    for panel in report.heatmaps:
        photo = report.photos[panel.photo]
        what, region = ("box", region_of_box(boxes[photo.name])) if photo.name in boxes else ("mark", photo.region)
        if region:
            share = heat_outside(report, panel, region)
            failure = f"expected at most {100 * most:.4g} % of the heat outside the {what}, got {100 * share:.4g} %"
            name = f"heat of {_model(report, panel)} ({panel_title(panel)}) lies in the {what}"
            yield Check(photo.name, name, None if share <= most else failure)


def read_thresholds(
    photos: Sequence[str],
    *,
    min_agreement: float | None = None,
    expect_classes: Sequence[str] = (),
    max_outside_box: float | None = None,
    boxes: Sequence[str] = (),
    marked: bool = False,
) -> Thresholds:
    """Thresholds as somebody writes them: `CLASS` or `PHOTO=CLASS`, and `PHOTO=LEFT,TOP,RIGHT,BOTTOM` in pixels.

    marked: whether a region is marked on any of the photos.
    Raises: OptionError for a text that cannot be read or makes no sense for these photos.
    """
    expected = tuple(_of_photo(text, photos) for text in expect_classes)
    read = Thresholds(min_agreement, expected, max_outside_box, tuple(_box(text, photos) for text in boxes))
    check_thresholds(read, photos, marked=marked)
    return read


def as_options(thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """Name and value of each command-line option that asks for these thresholds."""
    for name in ("min_agreement", "max_outside_box"):
        if (value := getattr(thresholds, name)) is not None:
            yield f"--{name.replace('_', '-')}", f"{value:.10g}"
    for photo, label in thresholds.expect_classes:
        yield "--expect-class", label if photo is None else f"{photo}={label}"
    for photo, box in thresholds.boxes:
        yield "--box", f"{photo}={','.join(f'{side:g}' for side in box)}"


def _of_photo(text: str, photos: Sequence[str]) -> tuple[str | None, str]:
    """`PHOTO=CLASS`, or a class for every photo: its name may hold an equals sign itself."""
    for photo in photos:
        if text.startswith(f"{photo}="):
            return photo, text[len(photo) + 1 :]
    return None, text


def _box(text: str, photos: Sequence[str]) -> tuple[str, Box]:
    photo, numbers = _of_photo(text, photos)
    if photo is None:
        name = text.rpartition("=")[0]
        raise OptionError(f"expected one of the photos before =, got {quoted(text)}; use {nearest(name, photos)}")
    try:
        left, top, right, bottom = (float(number) for number in numbers.split(","))
    except ValueError as error:
        raise OptionError(f"expected LEFT,TOP,RIGHT,BOTTOM in photo pixels, got {quoted(numbers)}") from error
    if not (left < right and top < bottom):
        raise OptionError(f"expected a box with left < right and top < bottom, got {quoted(numbers)}")
    return photo, (left, top, right, bottom)


def check_thresholds(thresholds: Thresholds, names: Sequence[str], *, marked: bool) -> None:
    """Raises: OptionError where a threshold is outside its range, or is about a photo that is not among `names`.

    marked: whether a region is marked on any of the photos.
    """
    named = [photo for photo, _ in (*thresholds.expect_classes, *thresholds.boxes) if photo is not None]
    for photo in named:
        if photo not in names:
            raise OptionError(f"expected a photo of the report, got {quoted(photo)}; use {nearest(photo, names)}")
    if any(not label.strip() for _, label in thresholds.expect_classes):
        raise OptionError("expected the name of a class that every model predicts first, got nothing; name one")
    least, most = thresholds.min_agreement, thresholds.max_outside_box
    if least is not None and not -1 <= least <= 1:
        raise OptionError(f"expected a rank correlation from -1 to 1 as the least agreement, got {least:g}")
    if most is not None and not 0 <= most <= 1:
        raise OptionError(f"expected a share from 0 to 1 of heat outside a box, got {most:g}")
    if most is not None and not (thresholds.boxes or marked):
        raise OptionError(
            "expected a box to keep the heat in, got none; mark the object, or name a box: cat.jpg=10,20,200,180"
        )


def _photo(report: Report, finding: Finding) -> str:
    return report.photos[finding.photo].name


def _model(report: Report, finding: Finding) -> str:
    return f"{report.models[finding.model].id} · {request_text(report, finding)}"
