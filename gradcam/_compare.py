"""Many models, many photos, many targets: every map side by side, and every failure with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple, Protocol, TypeAlias

from gradcam._explain import check_batch_size, explain_each, explain_each_of
from gradcam.comparison import Comparison
from gradcam.errors import ClassError, GradcamError, MapError, ModelError, OptionError, check_kind, quoted
from gradcam.forward import Answer, check_precision
from gradcam.kinds import by_id, expect_functions, expect_one_of
from gradcam.layers import LayerChoices
from gradcam.methods import GRADCAM, find_method, find_methods
from gradcam.models.classifier import Classifier
from gradcam.models.pool import shared_pool
from gradcam.panel_key import ModelKey, PanelKey
from gradcam.panel_store import NOTHING_KEPT, PanelStore, with_photo, without_photo
from gradcam.photo import PhotoLike, as_photo
from gradcam.targets import as_targets
from gradcam.types import (
    ACTIVATIONS,
    FITS,
    Activation,
    Explanation,
    Failure,
    Fit,
    Heatmap,
    Panel,
    Photo,
    PythonTarget,
    Target,
    TargetLike,
    Top,
    UnreadablePhoto,
)


@dataclass(frozen=True)
class Progress:
    """The step that `compare` takes next: number `done` of `total`. `photo` is None while a model is loading.

    forwards: how many a method has done and of how many, inside a step with a method that needs many.
    """

    done: int
    total: int
    model: str
    photo: str | None
    forwards: tuple[int, int] | None = None

    @property
    def share(self) -> float:
        """How much of all is done, in [0, 1]."""
        within = self.forwards[0] / self.forwards[1] if self.forwards else 0
        return (self.done + within) / self.total


OnProgress: TypeAlias = Callable[[Progress], None]
Use: TypeAlias = Callable[[str], AbstractContextManager[Classifier]]
Explainer: TypeAlias = Callable[..., Any]
"""Takes what `explain` takes, and returns what each method of a list makes of the photo."""

FEW = 50
"""Fewer photos are explained by the model itself: a faster copy takes as long to make as it saves on so many."""

OF_A_TARGET = (ClassError, MapError)
"""Errors that may be about one of several targets."""


class Say(Protocol):
    """Takes the step that begins, or goes on, and the name of its photo."""

    def __call__(self, step: int, photo: str | None, forwards: tuple[int, int] | None = None) -> None: ...


def compare(
    models: Sequence[str | Classifier],
    photos: Sequence[PhotoLike],
    targets: TargetLike | Sequence[TargetLike] = (Top(1),),
    *,
    methods: Sequence[str] = (GRADCAM.name,),
    fit: Fit = "crop",
    layer: LayerChoices | Mapping[str, LayerChoices] = "auto",
    activation: Activation | Mapping[str, Activation] | None = None,
    precision: str = "float32",
    results: PanelStore | None = None,
    use: Use | None = None,
    explainer: Explainer = explain_each,
    batch_size: int = 1,
    on_progress: OnProgress = lambda progress: None,
) -> Comparison:
    """Explain every photo with every model and method for every target; a failure is a panel with its reason.

    models: ids, or classifiers already loaded.
    photos: each as `explain` takes it; may be `UnreadablePhoto`s among others. A model explains fewer than 50 that
        are not kept yet by itself, more by the faster copy that its classifier allows; maps then differ in their
        last digits.
    methods: rows of `methods.METHODS`, bare or in wrappers, as `explain` takes them.
    targets: one or several, as `explain` takes them; what a function makes is never kept in `results`.
    layer: for every model, or by the ids of some; a model that the mapping lacks uses its own target layer.
    activation: for every model, or by the ids of some; a model that the mapping lacks uses its own.
    precision: one of `types.PRECISIONS`.
    results: the store of the panels of models named by id. Panels found there are not computed again, a model is
        not loaded if all its panels are there, and panels finished before an interruption stay. A model that could
        not be loaded is tried again.
    use: opens the classifier of an id for a `with` block; by default from the pool of this process, which keeps
        models in memory. If it raises a GradcamError, the model's missing panels are failures with that sentence.
    explainer: explains one photo with one model; `ForwardCache().explain_each` reuses forwards.
    batch_size: photos of one forward, see `explain_many`; more than 1 is faster, and maps differ in their last
        digits. `explainer` then explains only the photos that failed, to find the reason, and all photos by methods
        that need many forwards.
    on_progress: called before each step that takes time, and before each batch of forwards of a method that needs
        many; an exception raised in it ends the comparison.
    Raises: OptionError if there is nothing to compare, or for a setting outside its choices; PhotoError for a path
        that is no photo. Never raises for one model's failure.
    """
    expect_functions(use=use, explainer=explainer, on_progress=on_progress)
    check_batch_size(batch_size)
    request = _request(models, photos, targets, methods, fit, layer, activation, precision)
    use = use or shared_pool().use
    steps = len(request.photos) + 1
    for position, model in enumerate(models):

        def say(
            step: int, photo: str | None, forwards: tuple[int, int] | None = None, position: int = position
        ) -> None:
            name = request.models[position]
            on_progress(Progress(position * steps + step, len(models) * steps, name, photo, forwards))

        is_id = isinstance(model, str)  # the module of a classifier that is passed in may change
        _Column(request, position, results if is_id and results else NOTHING_KEPT).fill(
            model, use, explainer, batch_size, say
        )
    return request.comparison()


@dataclass(frozen=True, eq=False)
class _Request:
    """The arguments that all models share, and the panels found so far.

    panels: by the index of their photo and model, their method and their target.
    """

    models: tuple[str, ...]
    photos: tuple[Photo, ...]
    methods: tuple[str, ...]
    targets: tuple[Target, ...]
    fit: Fit
    layers: Mapping[str, LayerChoices]
    activations: Mapping[str, Activation]
    precision: str
    panels: dict[tuple[int, int, str, Target], Panel]

    def comparison(self) -> Comparison:
        """All panels in order."""
        keys = product(range(len(self.photos)), range(len(self.models)), self.methods, self.targets)
        panels = tuple(self.panels[key] for key in keys)
        return Comparison(self.photos, self.models, self.methods, self.targets, panels)


def _request(
    models: Sequence[str | Classifier],
    photos: Sequence[PhotoLike],
    targets: TargetLike | Sequence[TargetLike],
    methods: Sequence[str],
    fit: Fit,
    layer: LayerChoices | Mapping[str, LayerChoices],
    activation: Activation | Mapping[str, Activation] | None,
    precision: str,
) -> _Request:
    targets = tuple(as_targets(targets))
    check_precision(precision)
    expect_one_of(FITS, fit, "a fit")
    for plural, axis in {"models": models, "photos": photos, "methods": methods}.items():
        if isinstance(axis, str) or not isinstance(axis, Sequence):
            raise OptionError(f"expected a list of {plural}, got {quoted(axis)} alone; put it in a list")
        if not axis:
            raise OptionError(f"expected at least one of the {plural} to compare, got none; add one")
    for model in models:
        advice = "load one with load_classifier() or load_checkpoint()"
        check_kind(model, (str, Classifier), "models as ids or Classifiers", advice, ModelError)
    names = tuple(model if isinstance(model, str) else str(model.spec) for model in models)
    activations: Mapping[str, Activation] = {}
    if activation is not None:
        activations = by_id(activation, names, "activations")
    for one in activations.values():
        expect_one_of(ACTIVATIONS, one, "an activation")
    return _Request(
        models=names,
        photos=tuple(map(as_photo, photos)),
        methods=tuple(method.name for method in find_methods(methods)),
        targets=targets,
        fit=fit,
        layers=by_id(layer, names, "layers"),
        activations=activations,
        precision=precision,
        panels={},
    )


class _Missing(NamedTuple):
    """A photo, by its index, with methods and targets of which it lacks every panel."""

    photo: int
    methods: tuple[str, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True, eq=False)
class _Column:
    """All panels of one model: kept ones are looked up, the others are computed.

    position: the model's index. results: the store of its panels.
    """

    request: _Request
    position: int
    results: PanelStore

    @property
    def model(self) -> str:
        return self.request.models[self.position]

    def missing(self) -> list[_Missing]:
        """What each photo lacks; methods that lack the same targets are asked together, with one forward. A method
        that takes long is asked last and by itself, so that what the others found is kept."""
        there, found = self.request.panels, []
        for photo in range(len(self.request.photos)):
            alike: dict[tuple[tuple[Target, ...], str], list[str]] = {}
            for method in sorted(self.request.methods, key=lambda name: find_method(name).takes_long):
                lacking = (t for t in self.request.targets if (photo, self.position, method, t) not in there)
                apart = method if find_method(method).takes_long else ""
                alike.setdefault((tuple(lacking), apart), []).append(method)
            found += [
                _Missing(photo, tuple(methods), part)
                for (targets, _), methods in alike.items()
                for part in _functions_apart(targets)
            ]
        return found

    def add(self, photo: int, panel: Panel) -> None:
        self.request.panels[photo, self.position, panel.method, panel.target] = panel

    def recall(self, known: ModelKey | None) -> None:
        """Add the kept panels, and a failure for each photo that could not be opened.

        known: the model's key, now or when it was last loaded; None if neither is known.
        """
        if known and (activation := self.request.activations.get(self.model)):
            known = replace(known, activation=activation)
        for position, methods, targets in self.missing():
            photo = self.request.photos[position]
            for method, target in product(methods, targets):
                if isinstance(photo, UnreadablePhoto):
                    self.add(position, Failure(photo, self.model, method, target, photo.reason))
                elif isinstance(target, PythonTarget):
                    continue  # a function of the same name may be another
                elif known and (kept := self.results.get(self._key(known, photo, method, target))):
                    self.add(position, with_photo(kept, photo))

    def fill(self, model: str | Classifier, use: Use, explainer: Explainer, batch_size: int, say: Say) -> None:
        """Add every panel; `say(step, photo's name)` is called before each step that takes time."""
        photos = self.request.photos
        self.recall(before := self.results.model(self.model))
        if not self.missing():
            return
        say(0, None)
        try:
            with use(model) if isinstance(model, str) else nullcontext(model) as loaded:
                known = ModelKey.of(loaded)
                if known != before:
                    self._start_again(known)
                classifier = loaded.with_activation(self.request.activations.get(self.model, loaded.activation))
                known = ModelKey.of(classifier)
                if len({missing.photo for missing in self.missing()}) < FEW:
                    classifier = classifier.without_copy
                if batch_size > 1:
                    self._explain_together(classifier, known, batch_size, say)
                for missing in self.missing():
                    step, name = missing.photo + 1, photos[missing.photo].name
                    say(step, name)
                    on_forwards = partial(_say_forwards, say, step, name)
                    self._explain(missing, partial(explainer, classifier, on_forwards=on_forwards), known)
        except (GradcamError, MemoryError) as error:  # the model could not be loaded
            short = f"{self.model} needs more memory than there is"
            reason = str(error) if isinstance(error, GradcamError) else short
            for photo, methods, targets in self.missing():
                for method, target in product(methods, targets):
                    self.add(photo, Failure(photos[photo], self.model, method, target, reason))

    def _start_again(self, known: ModelKey) -> None:
        """Drop the recalled panels if the id now stands for another model."""
        for key in [key for key in self.request.panels if key[1] == self.position]:
            del self.request.panels[key]
        self.results.learn(self.model, known)
        self.recall(known)

    def _explain_together(self, classifier: Classifier, known: ModelKey, batch_size: int, say: Say) -> None:
        """Add the panels of photos that share a forward; those that fail stay missing."""
        photos = self.request.photos
        alike: dict[tuple[tuple[str, ...], tuple[Target, ...]], list[int]] = {}
        for photo, methods, targets in self.missing():
            if not find_method(methods[0]).takes_long:
                alike.setdefault((methods, targets), []).append(photo)
        for (methods, targets), positions in alike.items():
            answers = explain_each_of(
                classifier,
                [photos[position] for position in positions],
                targets,
                methods,
                self.request.fit,
                self._layer,
                self.request.precision,
                batch_size,
            )
            with suppress(GradcamError), closing(answers):
                for position, answer in zip(positions, answers, strict=True):
                    say(position + 1, photos[position].name)
                    if isinstance(answer, tuple):
                        self._keep_all(position, methods, answer, targets, known)

    def _explain(self, missing: _Missing, explainer: Explainer, known: ModelKey) -> None:
        """Add all panels; if a class has none in this model, or memory is short, that fails no other panel."""
        photo, fit, precision = self.request.photos[missing.photo], self.request.fit, self.request.precision
        _, methods, targets = missing
        try:
            found = explainer(photo, targets, method=methods, fit=fit, layer=self._layer, precision=precision)
        except GradcamError as error:
            parts = _parts(missing, error)
            for method, target in () if parts else product(methods, targets):
                self._keep(missing.photo, Failure(photo, self.model, method, target, str(error)), known)
        else:
            parts = self._keep_all(missing.photo, methods, found, targets, known)
        for part in parts:
            self._explain(part, explainer, known)

    def _keep_all(
        self,
        position: int,
        methods: Sequence[str],
        answers: Sequence[Answer],
        targets: Sequence[Target],
        known: ModelKey,
    ) -> list[_Missing]:
        """Keep what each method made of a photo. Returns: what to ask by itself, for one of its targets failed."""
        photo, apart = self.request.photos[position], []
        for method, answer in zip(methods, answers, strict=True):
            if isinstance(answer, OF_A_TARGET) and len(targets) > 1:
                apart += [_Missing(position, (method,), (target,)) for target in targets]
                continue
            for number, target in enumerate(targets):
                panel = (
                    Heatmap(photo, self.model, method, target, answer, number)
                    if isinstance(answer, Explanation)
                    else Failure(photo, self.model, method, target, str(answer))
                )
                self._keep(position, panel, known)
        return apart

    def _keep(self, position: int, panel: Panel, known: ModelKey) -> None:
        """Add a panel that was computed, and keep it for other comparisons."""
        self.add(position, panel)
        lasts = not isinstance(panel.target, PythonTarget)
        if lasts and panel.photo.sha256:  # a photo made by hand may have no hash
            self.results.put(self._key(known, panel.photo, panel.method, panel.target), without_photo(panel))

    @property
    def _layer(self) -> LayerChoices:
        layer = self.request.layers.get(self.model, "auto")
        return tuple(layer) if isinstance(layer, list) else layer

    def _key(self, known: ModelKey, photo: Photo, method: str, target: Target) -> PanelKey:
        row, fit, precision = find_method(method), self.request.fit, self.request.precision
        return PanelKey(photo.sha256, known, method, target, self._layer, fit, precision, row.parameters, row.seed)


def _say_forwards(say: Say, step: int, photo: str, done: int, total: int) -> None:
    say(step, photo, (done, total))


def _functions_apart(targets: Sequence[Target]) -> Iterator[tuple[Target, ...]]:
    """The classes and the functions among the targets, if there are any: a method that needs a class, and so fails
    for a function, explains the classes beside it."""
    for of_functions in (False, True):
        if part := tuple(target for target in targets if isinstance(target, PythonTarget) is of_functions):
            yield part


def _parts(missing: _Missing, error: GradcamError) -> list[_Missing]:
    """What to ask by itself after an error that may concern a part only; nothing if it concerns all."""
    photo, methods, targets = missing
    if isinstance(error, OF_A_TARGET) and len(targets) > 1:
        return [_Missing(photo, methods, (target,)) for target in targets]
    if isinstance(error, ModelError) and len(methods) > 1:  # memory that one of them lacked
        return [_Missing(photo, (method,), targets) for method in methods]
    return []
