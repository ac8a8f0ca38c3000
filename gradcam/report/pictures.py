"""The pictures of a report, drawn by `render` from its maps and from the pixels that travel along."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from PIL import Image

from gradcam.comparison import Comparison
from gradcam.draw import render
from gradcam.geometry import fit_within, project_to_photo
from gradcam.kinds import expect
from gradcam.preprocess import input_pixels
from gradcam.report.lazy_sequence import LazySequence
from gradcam.report.model import UNREADABLE, FailureEntry, Finding, HeatmapEntry, Pixels, Report
from gradcam.scaling import normalize
from gradcam.types import Blend, Explanation, Failure, Heatmap, ModelSpec, Panel, Photo, Target, View

GREY = 214
"""The grey in place of a photo that does not travel along."""


@dataclass(frozen=True)
class Pictures:
    """Every picture of a report, the longest side of a photo at most `side` pixels."""

    report: Report
    side: int

    @cached_property
    def photos(self) -> Sequence[Pixels]:
        """The photos at the size they are shown at, RGB uint8 `[H, W, 3]`; plain grey where none travels along."""
        return LazySequence(len(self.report.photos), self._photo)

    def _photo(self, index: int) -> Pixels:
        pixels = self.report.pixels[index]
        size = self.report.photos[index].size if pixels is None else (pixels.shape[0], pixels.shape[1])
        size = fit_within(_drawn(size), self.side, self.side)
        return np.full((*size, 3), GREY, np.uint8) if pixels is None else render.resize(pixels, size)

    def heat(self, panel: HeatmapEntry, blend: Blend | None = None) -> Pixels:
        """The coloured heat on the photo's pixels, RGBA; transparent where there is none.

        blend: the report's own by default.
        """
        height, width = self.photos[panel.photo].shape[:2]
        style, view = self.report.style, self.report.answer(panel).view
        scaled = normalize(panel.values, panel.numbers.vmax, signed=self.report.is_signed(panel))
        laid = project_to_photo(scaled.values, view, (height, width), style.interpolation)
        blend = blend or style.blend
        return render.colourise(laid, style.colormap, style.threshold, blend, signed=scaled.signed)

    def heatmap_and_overlay(self, panel: HeatmapEntry) -> tuple[Pixels, Pixels]:
        """The heat alone on grey, and over the photo at the report's opacity; RGB, what the model saw outlined."""
        photo, view = self.photos[panel.photo], self.report.answer(panel).view
        heatmap = render.blend(np.full_like(photo, GREY), self.heat(panel, "even"), 1.0)
        under = render.grey(photo) if self.report.is_signed(panel) else photo
        overlay = render.blend(under, self.heat(panel), self.report.style.opacity)
        region = self.report.photos[panel.photo].region or None
        return render.outline(heatmap, view, region), render.outline(overlay, view, region)

    def seen(self, panel: HeatmapEntry) -> Pixels | None:
        """The model's input before normalisation, RGB `[h, w, 3]`; None where no photo travels along."""
        preprocessing = self.report.models[panel.model].preprocessing
        pixels = self.report.pixels[panel.photo]
        if pixels is None or preprocessing is None:
            return None
        view = _scaled(self.report.answer(panel).view, (pixels.shape[0], pixels.shape[1]))
        return input_pixels(Photo(pixels, "", ""), view, preprocessing)

    def bar(self, signed: bool) -> Pixels:
        """The colour bar without its numbers, from none to full, or around zero if signed; RGB `[1, 256, 3]`."""
        return render.colormap("red-blue" if signed else self.report.style.colormap)[None]


def draw_finding(report: Report, finding: Finding, side: int) -> Pixels | None:
    """The overlay of a panel, its longer side at most `side` pixels, RGB uint8 `[H, W, 3]`; None for a failure."""
    return Pictures(report, side).heatmap_and_overlay(finding)[1] if isinstance(finding, HeatmapEntry) else None


def draw_change(before: Report, then: Finding, after: Report, now: Finding, side: int) -> Pixels | None:
    """The difference of a panel's maps in two reports, over the photo in grey.

    Red where the later one has more heat, blue where the earlier one has, in full colour at the largest difference.

    Its longer side is at most `side` pixels, RGB uint8 `[H, W, 3]`; None for a failure in either report.
    """
    if not (isinstance(then, HeatmapEntry) and isinstance(now, HeatmapEntry)):
        return None
    photo, style = Pictures(after, side).photos[now.photo], after.style
    size = photo.shape[0], photo.shape[1]
    earlier, later = (
        project_to_photo(panel.values, report.answer(panel).view, size, style.interpolation)
        for report, panel in ((before, then), (after, now))
    )
    largest = float(np.abs(np.nan_to_num(later - earlier)).max())
    heat = render.colourise((later - earlier) / (largest or 1.0), signed=True)
    return render.blend(render.grey(photo), heat, style.opacity)


def comparison_of(report: Report) -> Comparison:
    """The comparison of a report, as far as the report keeps it: only five predictions and their logits."""
    expect(Report, report)
    photos = tuple(photo_of(report, index) for index in range(len(report.photos)))
    targets = tuple(entry.target for entry in report.targets)
    panels = tuple(
        _panel(report, finding, photos[finding.photo], targets[finding.target]) for finding in report.findings
    )
    models, methods = (model.id for model in report.models), (method.name for method in report.methods)
    return Comparison(photos, tuple(models), tuple(methods), targets, panels)


def jpeg(pixels: Pixels) -> bytes:
    """RGB as JPEG, without metadata."""
    return _encoded(pixels, "JPEG", quality=85, optimize=True)


def webp(pixels: Pixels) -> bytes:
    """RGB or RGBA as WebP: colours nearly, transparency exactly kept. Packed fast: it is an eighth larger."""
    return _encoded(pixels, "WEBP", quality=80, alpha_quality=100, method=2)


def _encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@dataclass(frozen=True, eq=False)
class ReportPhoto(Photo):
    """A photo of a report at its own size, whatever travels along; made when it is asked for."""

    pixels: Pixels = field(init=False, repr=False)
    report: Report = field(repr=False)
    index: int

    @property
    def size(self) -> tuple[int, int]:
        return _drawn(self.report.photos[self.index].size)

    def __getattr__(self, name: str) -> Pixels:
        if name != "pixels":  # the one field that is never set
            raise AttributeError(name)
        pixels = self.report.pixels[self.index]
        if pixels is None:
            pixels = np.full((*self.size, 3), GREY, np.uint8)
        return render.resize(pixels, self.size)


def photo_of(report: Report, index: int) -> Photo:
    """A photo of a report, whose pixels are made when they are asked for."""
    entry = report.photos[index]
    region = entry.region or None
    return ReportPhoto(entry.name, entry.sha256, report, index, stretched=entry.stretched, region=region)


def _drawn(size: tuple[int, int]) -> tuple[int, int]:
    """The size a photo is drawn at; for a photo that could not be opened, the size of a grey card."""
    return (300, 400) if size == UNREADABLE else size


def _panel(report: Report, finding: Finding, photo: Photo, target: Target) -> Panel:
    model, method = report.models[finding.model], report.methods[finding.method].name
    if isinstance(finding, FailureEntry):
        return Failure(photo, model.id, method, target, finding.reason)
    answer = report.answer(finding)
    explanation = Explanation(
        photo=photo,
        model=ModelSpec("", model.id, "random" if model.untrained else None),
        targets=(finding.scored,),
        maps=finding.values[None],
        logits=np.array([one.logit for one in answer.predictions], np.float32),
        probabilities=np.array([one.probability for one in answer.predictions], np.float32),
        labels=tuple(one.label for one in answer.predictions),
        layer=report.layer_of(finding),
        view=answer.view,
        seconds=float("nan"),
        method=method,
        activation=model.activation,
        output=model.output,
    )
    return Heatmap(photo, model.id, method, target, explanation)


def _scaled(view: View, size: tuple[int, int]) -> View:
    """The same view on the photo at another height and width."""
    if size == view.photo_size:
        return view
    across, down = size[1] / view.photo_size[1], size[0] / view.photo_size[0]
    left, top, right, bottom = view.box
    return replace(view, box=(left * across, top * down, right * across, bottom * down), photo_size=size)
