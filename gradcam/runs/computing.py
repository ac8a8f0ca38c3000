"""Compute the results of a batch: each photo is opened once, and each column needs one forward for a few photos."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gradcam.errors import (
    ClassError,
    GradcamError,
    ModelError,
    PhotoError,
    is_out_of_memory,
)
from gradcam.forward import Answer, Batch, Channels, Forward, channels_of, explanations, scores_of
from gradcam.layers import read_layer
from gradcam.methods import find_methods
from gradcam.models.classifier import Classifier
from gradcam.panel_key import ModelKey
from gradcam.runs import measuring, pictures, shards
from gradcam.runs.data_set import Files, open_one
from gradcam.runs.manifest import PhotoRow
from gradcam.runs.plan import LABEL, Column, Plan
from gradcam.runs.shards import Encoded, Result
from gradcam.targets import parse_target
from gradcam.types import Explanation, Photo, Style, Target, Top, View

log = logging.getLogger(__name__)

STYLE, QUALITY = Style(), 80
"""The look of previews, and the quality of their JPEG."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An opened photo of a data set, or the reason why it could not be opened.

    number: in the run. mask: uint8 `[H, W]` of the photo's size, black outside the object; None if none fits.
    """

    number: int
    row: PhotoRow
    photo: Photo | None
    reason: str = ""
    mask: NDArray[np.uint8] | None = None

    @cached_property
    def small(self) -> NDArray[np.uint8] | None:
        """The photo at the size of previews."""
        return None if self.photo is None else pictures.shrink(self.photo.pixels, pictures.PREVIEW_SIDE)


def open_row(files: Files, number: int, row: PhotoRow, known_sha256: str | None = None) -> Opened:
    """Open a photo and its mask. known_sha256: the file's hash when another model saw it; a changed file fails.

    A mask that cannot be read, or has another size than the photo, is left out.
    """
    try:
        photo = open_one(files, row.path, known_sha256)
    except PhotoError as error:
        return Opened(number, row, None, str(error))
    return Opened(number, row, photo, mask=None if row.mask is None else _mask(files, row.mask, photo))


def _mask(files: Files, path: str, photo: Photo) -> NDArray[np.uint8] | None:
    with suppress(PhotoError):
        mask = open_one(files, path)
        if mask.size == photo.size:
            return mask.pixels.max(axis=2)
    return None


@dataclass(frozen=True, eq=False)
class Work:
    """One column, ready to compute: its classifier, and the module that this worker runs.

    module: the classifier's own, or a clone that shares its weights.
    """

    plan: Plan
    column: Column
    classifier: Classifier
    key: ModelKey
    module: nn.Module

    def results(self, opened: Sequence[Opened]) -> list[Result]:
        """The units of a few photos that share a forward."""
        readable = [one for one in opened if one.photo is not None]
        answers = dict(zip(map(id, readable), self._answers(readable), strict=True))
        return [
            result
            for one in opened
            for result in (self._failed(one, one.reason) if one.photo is None else answers[id(one)])
        ]

    def encoded(self, results: Sequence[Result]) -> Encoded:
        """Encode the results of a whole batch."""
        model = self.plan.models[self.column.model]
        about = {
            "format": str(self.plan.format),
            "model": model.id,
            "weights_sha256": model.weights_sha256,
            "layers": " + ".join(layer.name for layer in model.layers),
            "earlier_layer": model.earlier.name,
        }
        return shards.encode(
            results, self.plan.settings.maps, about, self.plan.settings.previews and not self.column.prepared
        )

    # ------------------------------------------------------------------------------- from photos to units

    def _answers(self, opened: Sequence[Opened]) -> list[list[Result]]:
        """The units of readable photos. If they fail together, each is computed by itself."""
        if not opened:
            return []
        try:
            return self._together(opened)
        except PhotoError as error:  # a strip too narrow for the model's crop
            if len(opened) == 1:
                return [self._failed(opened[0], str(error))]
        except ClassError as error:
            if len(opened) == 1:
                return [self._one_by_one(opened[0], error)]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(opened) == 1:
                raise ModelError(
                    f"{self.classifier.spec} needs more memory than {self.classifier.device} has for one photo; "
                    "use a smaller model or another device"
                ) from error
            log.warning("%s: %d photos do not fit into memory, halving", self.classifier.spec, len(opened))
            middle = len(opened) // 2
            return [*self._answers(opened[:middle]), *self._answers(opened[middle:])]
        return [answer for one in opened for answer in self._answers([one])]

    def _together(self, opened: Sequence[Opened], targets: Sequence[str] | None = None) -> list[list[Result]]:
        settings, model = self.plan.settings, self.plan.models[self.column.model]
        wanted = self.column.targets if targets is None else targets
        photos = tuple(one.photo for one in opened if one.photo is not None)
        batch = Batch.of(photos, self.classifier.preprocessing, settings.fit)
        layer = read_layer(model.layer)  # as it was asked for: a model computes faster up to its own target layer
        forward = Forward.of(batch, self.classifier, layer, settings.precision, self.module, model.earlier)
        targets_of = [[self._target_to_explain(one, text) for text in wanted] for one in opened]
        found = explanations(self.classifier, forward, targets_of, find_methods(self.column.methods))
        channels = channels_of(forward, scores_of(self.classifier, forward, targets_of).targets, model.earlier)
        return [list(self._units(*each, wanted)) for each in zip(opened, found, channels, strict=True)]

    def _one_by_one(self, one: Opened, error: GradcamError) -> list[Result]:
        """The units of one photo, target by target, because the model lacks a class."""
        if len(self.column.targets) == 1:
            return self._failed(one, str(error))
        units: list[Result] = []
        for text in self.column.targets:
            try:
                units += self._together([one], [text])[0]
            except ClassError as reason:
                units += self._failed(one, str(reason), [text])
        return units

    def _units(
        self, one: Opened, found: Sequence[Answer], channels: Channels, targets: Sequence[str]
    ) -> Iterator[Result]:
        """The units of one photo. The first unit carries the arrays that all of them share."""
        shared = {name: getattr(channels, name) for name in ("means", "earlier", "earlier_spread")}
        asked = product(zip(self.column.methods, found, strict=True), enumerate(targets))
        for (name, answer), (position, text) in asked:
            target = self._target(one, text)
            if target is None:
                yield from self._failed(one, "the photo has no label that is a class of the model", [text], [name])
            elif not isinstance(answer, Explanation):
                yield from self._failed(one, str(answer), [text], [name])
            else:
                raw = answer.maps[position]
                arrays = {"map": raw, "contributions": channels.contributions[position], **shared}
                shared = {}
                numbers = self._numbers(one, answer, position, name, text, target)
                yield Result(numbers, arrays, self._preview(one, raw, name, answer.view))

    def _preview(self, one: Opened, raw: NDArray[np.float32], method: str, view: View) -> bytes | None:
        if not self.plan.settings.previews or self.column.prepared or one.small is None:
            return None
        return pictures.overlay_jpeg(one.small, raw, method, view, STYLE, QUALITY)

    def _numbers(
        self, one: Opened, explanation: Explanation, position: int, method: str, text: str, target: Target
    ) -> dict[str, Any]:
        scored, raw = explanation.targets[position], explanation.maps[position]
        order = np.argsort(-explanation.logits, kind="stable")[: shards.TOP]
        heat = measuring.heat_on_photo(raw, explanation.view)
        return self._known(one, method, text) | {
            "key": self.plan.key(self.column, self.key, explanation.photo.sha256, method, target).digest,
            "class": scored.index,
            "class_name": str(scored),
            "against": scored.against,
            "score": scored.score,
            "probability": scored.probability,
            "rank": scored.rank,
            "top": order.tolist(),
            "top_logits": explanation.logits[order].tolist(),
            "top_probabilities": explanation.probabilities[order].tolist(),
            "view": shards.box_of(explanation.view),
            "peak": float(raw.max()),
            "mean": float(raw.mean(dtype=np.float64)),
            "positive": float((raw > 0).mean()),
            "outside_box": _outside(heat, one),
            "on_border": measuring.on_border(heat),
        }

    def _failed(
        self, one: Opened, reason: str, targets: Sequence[str] | None = None, methods: Sequence[str] | None = None
    ) -> list[Result]:
        pairs = product(methods or self.column.methods, targets or self.column.targets)
        return [Result(self._known(one, method, text) | {"reason": reason}) for method, text in pairs]

    def _known(self, one: Opened, method: str, text: str) -> dict[str, Any]:
        """The numbers of a unit that are known before anything is computed."""
        height, width = (0, 0) if one.photo is None else one.photo.size
        return {
            "photo": one.number,
            "path": one.row.path,
            "photo_sha256": "" if one.photo is None else one.photo.sha256,
            "height": height,
            "width": width,
            "method": method,
            "target": text,
            "label_class": self._label_class(one),
        }

    def _label_class(self, one: Opened) -> int | None:
        model = self.plan.models[self.column.model]
        return None if one.row.label is None else model.label_classes.get(one.row.label)

    def _target_to_explain(self, one: Opened, text: str) -> Target:
        """The target; for a photo without a label the top class, whose map is not kept."""
        target = self._target(one, text)
        return Top(1) if target is None else target

    def _target(self, one: Opened, text: str) -> Target | None:
        """A target of the plan for one photo; None if it is the label and the photo has none."""
        return self._label_class(one) if text == LABEL else parse_target(text)


def _outside(heat: NDArray[np.float32], one: Opened) -> float | None:
    """The share of heat outside the photo's mask or box; None if it has neither, or one that does not fit."""
    if one.row.mask is not None:
        return None if one.mask is None else measuring.outside_mask(heat, one.mask)
    if one.row.box is not None and one.photo is not None:
        return measuring.outside_box(heat, one.photo.size, one.row.box)
    return None
