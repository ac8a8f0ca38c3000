"""The last forwards, kept: another class of the same photo is answered without a new one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import overload
from weakref import WeakKeyDictionary

import torch

from gradcam._explain import Methods, explain_each, found_by_all
from gradcam.forward import Answer, Batch, Forward, check_precision, explanations
from gradcam.layers import LayerChoices
from gradcam.methods import GRADCAM, find_methods
from gradcam.models.classifier import Classifier
from gradcam.signals import OnForwards, say_nothing
from gradcam.targets import as_targets
from gradcam.types import Explanation, Fit, Photo, TargetLike, Top


class ForwardCache:
    """`explain`, keeping the last forwards of every classifier: another class of the same photo needs no forward.

    Only forwards with the model's own target layer are kept, because an earlier layer would keep the activations of
    most of the network. They leave memory with their classifier.

    most: how many forwards of a classifier to keep.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: WeakKeyDictionary[Classifier, OrderedDict[tuple[str, Fit, str], Forward]] = WeakKeyDictionary()
        self._guard = threading.Lock()

    @overload
    def explain(
        self,
        classifier: Classifier,
        photo: Photo,
        targets: TargetLike | Sequence[TargetLike] = Top(1),
        *,
        method: str = GRADCAM.name,
        fit: Fit = "crop",
        layer: LayerChoices = "auto",
        precision: str = "float32",
        on_forwards: OnForwards = say_nothing,
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        classifier: Classifier,
        photo: Photo,
        targets: TargetLike | Sequence[TargetLike] = Top(1),
        *,
        method: Methods,
        fit: Fit = "crop",
        layer: LayerChoices = "auto",
        precision: str = "float32",
        on_forwards: OnForwards = say_nothing,
    ) -> tuple[Explanation, ...]: ...

    def explain(
        self,
        classifier: Classifier,
        photo: Photo,
        targets: TargetLike | Sequence[TargetLike] = Top(1),
        *,
        method: str | Methods = GRADCAM.name,
        fit: Fit = "crop",
        layer: LayerChoices = "auto",
        precision: str = "float32",
        on_forwards: OnForwards = say_nothing,
    ) -> Explanation | tuple[Explanation, ...]:
        """Explain as `explain` does, with the same arguments and errors; `seconds` counts new work only."""
        answers = self.explain_each(classifier, photo, targets, method, fit, layer, precision, on_forwards)
        found = found_by_all(answers)
        return found[0] if isinstance(method, str) else found

    def explain_each(
        self,
        classifier: Classifier,
        photo: Photo,
        targets: TargetLike | Sequence[TargetLike] = Top(1),
        method: str | Methods = GRADCAM.name,
        fit: Fit = "crop",
        layer: LayerChoices = "auto",
        precision: str = "float32",
        on_forwards: OnForwards = say_nothing,
    ) -> tuple[Answer, ...]:
        """What each method makes of a photo, in their order; otherwise as `explain`."""
        check_precision(precision)
        methods = find_methods(method)
        if layer == "auto" and photo.sha256:  # a photo made by hand may have no hash
            try:
                needs_layer = any(method.reads_layer for method in methods)
                forward = replace(self._forward(classifier, photo, fit, precision, needs_layer), photos=(photo,))
                (answers,) = explanations(classifier, forward, [as_targets(targets)], methods, on_forwards)
                return answers
            except torch.OutOfMemoryError:
                with self._guard:
                    self._kept.clear()
        return explain_each(classifier, photo, targets, method, fit, layer, precision, on_forwards)

    def _forward(
        self, classifier: Classifier, photo: Photo, fit: Fit, precision: str, needs_layer: bool
    ) -> Forward:
        """needs_layer: whether any method reads a layer."""
        key = photo.sha256, fit, precision
        with self._guard:
            kept = self._kept.setdefault(classifier, OrderedDict())
            if key in kept and (kept[key].layers[0].name or not needs_layer):
                kept.move_to_end(key)
                return kept[key]
        batch = Batch.of((photo,), classifier.preprocessing, fit)
        forward = Forward.of(batch, classifier, precision=precision, needs_layer=needs_layer)
        with self._guard:
            # a kept forward holds no visitor's photo, and a second answer pays for no forward
            kept[key] = replace(forward, photos=(), seconds=0.0)
            while len(kept) > self._most:
                kept.popitem(last=False)
        return forward
