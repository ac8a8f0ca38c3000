"""Many panels side by side: what `compare` returns and what pictures, pages and reports are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from gradcam.errors import OptionError, quoted
from gradcam.scaling import scale_panels
from gradcam.showing import Shown, check_style
from gradcam.text import count
from gradcam.types import (
    Contrast,
    Explanation,
    Failure,
    Heatmap,
    Panel,
    Photo,
    PythonTarget,
    ScaledMap,
    ScoredTarget,
    Style,
    Target,
)


@dataclass(frozen=True, eq=False)
class Row:
    """The panels of one photo, method and target: one for each model, in the comparison's order."""

    photo: Photo
    method: str
    target: Target
    panels: tuple[Panel, ...]

    def __repr__(self) -> str:
        panels = count(len(self.panels), "panel")
        return f"Row({quoted(self.photo.name, 60)}, {self.method}, {self.target}: {panels})"


@dataclass(frozen=True, eq=False)
class Comparison(Shown):
    """Every photo × model × method × target, in that order; what failed is a panel too, with its reason."""

    photos: tuple[Photo, ...]
    models: tuple[str, ...]
    methods: tuple[str, ...]
    targets: tuple[Target, ...]
    panels: tuple[Panel, ...]

    def __repr__(self) -> str:
        axes = {"photo": self.photos, "model": self.models, "method": self.methods, "target": self.targets}
        sizes = " × ".join(count(len(axis), noun) for noun, axis in axes.items())
        panels = f"{count(len(self.heatmaps), 'heatmap')}, {count(len(self.failures), 'failure')}"
        return f"Comparison({sizes}: {panels})"

    @property
    def heatmaps(self) -> tuple[Heatmap, ...]:
        return tuple(panel for panel in self.panels if isinstance(panel, Heatmap))

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(panel for panel in self.panels if isinstance(panel, Failure))

    def rows(self, photo: Photo | None = None) -> Iterator[Row]:
        """Photo by photo, method by method, target by target: what each model says.

        photo: only rows of this photo, the object that was compared.
        """
        several = len(self.methods) * len(self.targets)
        step = len(self.models) * several
        requested = list(product(self.methods, self.targets))
        for index, compared in enumerate(self.photos):
            if photo is not None and compared is not photo:
                continue
            panels = self.panels[index * step : (index + 1) * step]
            for offset, (method, target) in enumerate(requested):
                yield Row(compared, method, target, panels[offset::several])

    def of(
        self,
        *,
        photo: Photo | None = None,
        model: str | None = None,
        method: str | None = None,
        target: Target | None = None,
    ) -> tuple[Panel, ...]:
        """The panels of one photo, model, method and target, in the comparison's order; None stands for all.

        A photo is the object that was compared, not another with the same pixels.
        """
        request = photo, model, method, target
        keys = product(self.photos, self.models, self.methods, self.targets)
        return tuple(
            panel
            for panel, key in zip(self.panels, keys, strict=True)
            if all(one is None or one == part for one, part in zip(request, key, strict=True))
        )

    def with_models(self, models: Collection[str]) -> Comparison:
        """The same photos, methods and targets with these models only, in the comparison's order."""
        places = product(self.photos, self.models, self.methods, self.targets)
        panels = (panel for panel, place in zip(self.panels, places, strict=True) if place[1] in models)
        return replace(self, models=tuple(one for one in self.models if one in models), panels=tuple(panels))

    def with_targets(self, targets: Collection[Target]) -> Comparison:
        """The same photos, models and methods with these targets only, in the comparison's order."""
        places = product(self.photos, self.models, self.methods, self.targets)
        panels = (panel for panel, place in zip(self.panels, places, strict=True) if place[3] in targets)
        return replace(self, targets=tuple(one for one in self.targets if one in targets), panels=tuple(panels))

    def scaled(self, style: Style) -> dict[Heatmap, ScaledMap]:
        """Each map as shares of the full scale that `style.scale` gives it.

        Raises: OptionError for what is no Style, MapError where a map is not finite.
        """
        check_style(style)
        return scale_panels(self.panels, style.scale)


def as_comparison(shown: object) -> Comparison:
    """A comparison, or an explanation or a heatmap as a comparison of one photo and one model.

    Raises: OptionError for anything else.
    """
    if isinstance(shown, Comparison):
        return shown
    if isinstance(shown, Heatmap):
        return Comparison((shown.photo,), (shown.model,), (shown.method,), (shown.target,), (shown,))
    if not isinstance(shown, Explanation):
        raise OptionError(
            f"expected an explanation, a heatmap or a comparison, got {type(shown).__name__}; pass one of those"
        )
    photo, model, method = shown.photo, str(shown.model), shown.method
    targets = [_as_asked(one, shown.labels) for one in shown.targets]
    panels = [Heatmap(photo, model, method, target, shown, position) for position, target in enumerate(targets)]
    return Comparison((photo,), (model,), (method,), tuple(targets), tuple(panels))


def _as_asked(scored: ScoredTarget, labels: Sequence[str]) -> Target:
    """What was explained, as somebody would ask for it. labels: of all classes."""
    if not scored.is_class:
        return PythonTarget.called(scored.label)
    of = _named(scored.index, labels)
    return of if scored.against is None else Contrast(of, _named(scored.against, labels))


def _named(index: int, labels: Sequence[str]) -> int | str:
    """A class by its name, if that is no number and no other class has it; else by its index."""
    name = labels[index]
    return index if name.isdigit() or labels.count(name) > 1 else name
