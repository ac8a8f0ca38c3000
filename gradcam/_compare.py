"""Many models, many photos, many targets: every map side by side, and every failure with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeAlias

from gradcam._explain import explain
from gradcam.comparison import Comparison
from gradcam.errors import ClassError, GradcamError, OptionError, quoted
from gradcam.layers import LayerChoices
from gradcam.methods import GRADCAM, find_method
from gradcam.models.classifier import Classifier
from gradcam.models.pool import shared_pool
from gradcam.targets import as_targets
from gradcam.types import Activation, Explanation, Failure, Fit, Heatmap, Panel, Photo, Target, Top


@dataclass(frozen=True)
class Progress:
    """What `compare` is about to do: step `done` of `total`, `photo` None while the model is loading."""

    done: int
    total: int
    model: str
    photo: str | None


OnProgress: TypeAlias = Callable[[Progress], None]
Use: TypeAlias = Callable[[str], AbstractContextManager[Classifier]]
Explain: TypeAlias = Callable[..., Explanation]
"""Takes what `explain` takes."""


def compare(
    models: Sequence[str | Classifier],
    photos: Sequence[Photo],
    targets: Target | Sequence[Target] = (Top(1),),
    *,
    methods: Sequence[str] = (GRADCAM.name,),
    fit: Fit = "crop",
    layer: LayerChoices | Mapping[str, LayerChoices] = "auto",
    activation: Activation | Mapping[str, Activation] | None = None,
    use: Use | None = None,
    explainer: Explain = explain,
    on_progress: OnProgress = lambda progress: None,
) -> Comparison:
    """Explain every photo with every model and method for every target; what fails is a panel with its reason.

    models: ids, or classifiers already loaded.
    photos: may be `UnreadablePhoto`s among others.
    methods: rows of `methods.METHODS`.
    targets: one or several, as `explain` takes them.
    layer: of every model, or by id, each other model's own target layer then.
    activation: of every model, or by id; each model's own where nothing is said.
    lend: turns an id into a classifier for as long as it is used; by default the pool of this process, which keeps
        models in memory.
    explainer: what explains one photo with one model; `ForwardCache().explain` spares forwards.
    on_progress: called before each step; an exception raised in it ends the comparison.
    Raises: OptionError where there is nothing to compare. Never raises for one model's failure.
    """
    targets = as_targets(targets)
    axes = {"models": models, "photos": photos, "methods": methods}
    for plural, axis in axes.items():
        if isinstance(axis, str):
            raise OptionError(f"expected a list of {plural}, got {quoted(axis)} alone; put it in a list")
        if not axis:
            raise OptionError(f"expected at least one of the {plural} to compare, got none; add one")
    methods = tuple(find_method(method).name for method in methods)
    use = use or shared_pool().use
    names = tuple(model if isinstance(model, str) else str(model.spec) for model in models)
    total = len(models) * (len(photos) + 1)
    columns: dict[tuple[int, int], list[Panel]] = {}
    for column, (model, name) in enumerate(zip(models, names, strict=True)):
        step = column * (len(photos) + 1)
        chosen = layer.get(name, "auto") if isinstance(layer, Mapping) else layer
        reading = activation.get(name) if isinstance(activation, Mapping) else activation
        on_progress(Progress(step, total, name, None))
        try:
            with use(model) if isinstance(model, str) else nullcontext(model) as lent:
                classifier = lent if reading is None else lent.with_activation(reading)
                for row, photo in enumerate(photos):
                    on_progress(Progress(step + row + 1, total, name, photo.name))
                    columns[row, column] = [
                        panel
                        for method in methods
                        for panel in _explain_each(
                            partial(explainer, classifier, photo, method=method, fit=fit, layer=chosen),
                            partial(Heatmap, photo, name, method),
                            partial(Failure, photo, name, method),
                            targets,
                        )
                    ]
        except (GradcamError, MemoryError) as error:  # the model could not be loaded
            reason = str(error) if isinstance(error, GradcamError) else f"{name} needs more memory than there is"
            for row, photo in enumerate(photos):
                columns[row, column] = [Failure(photo, name, *asked, reason) for asked in product(methods, targets)]
    panels = (
        panel for row in range(len(photos)) for column in range(len(models)) for panel in columns[row, column]
    )
    return Comparison(tuple(photos), names, methods, tuple(targets), tuple(panels))


def _explain_each(
    answer: Callable[[Sequence[Target]], Explanation],
    heatmap: Callable[[Target, Explanation, int], Heatmap],
    failure: Callable[[Target, str], Failure],
    targets: Sequence[Target],
) -> list[Panel]:
    """The panels of one photo, model and method; a class that the model lacks costs its own panel only."""
    try:
        explanation = answer(targets)
        return [heatmap(target, explanation, position) for position, target in enumerate(targets)]
    except ClassError as error:
        if len(targets) == 1:
            return [failure(targets[0], str(error))]
        return [panel for one in targets for panel in _explain_each(answer, heatmap, failure, [one])]
    except GradcamError as error:
        return [failure(target, str(error)) for target in targets]
