"""Deep feature factorisation: the patterns of channels that make up a layer's output, whatever the class.

Source: Collins, Achanta and Süsstrunk 2018, *Deep Feature Factorization For Concept Discovery*, section 3: the
activation as a matrix A `[places, channels]` ≈ H W, where H and W have no values below zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradcam.comparison import Comparison
from gradcam.errors import LayerError, MapError, OptionError, quoted
from gradcam.forward import Batch, Forward, explanations, head_weights
from gradcam.kinds import expect, expect_seed
from gradcam.layers import LayerChoice
from gradcam.layers.layouts import to_grid
from gradcam.models.classifier import Classifier
from gradcam.photo import PhotoLike, as_photo
from gradcam.text import count, is_whole, percent, shorten
from gradcam.types import Explanation, Fit, Heatmap, ScoredTarget, Style, Top

if TYPE_CHECKING:
    import plotly.graph_objects as go

NAME = "Deep feature factorisation"

ITERATIONS = 200
"""After which a few factors of a layer's output hardly change any more; many would still fit it better."""


@dataclass(frozen=True, eq=False)
class Factorisation:
    """The concepts of one photo: Aᵢ ≈ Σₙ Hₙᵢ Wₙ at every place i, the largest concept first.

    maps: H, float32 `[N, h, w]`, in the units of the layer's output: how much of each concept is at each place.
    weights: W, float32 `[N, channels]`, not below 0 and of length 1: how each concept mixes the channels.
    contributions: float32 `[N, classes]`, what each concept adds to each class's logit; None if the logits are not
        one linear layer of the channels' means.
    unexplained: the share of A that the concepts miss, ‖A − H W‖ / ‖A‖, in [0, 1].
    note: what was left out of A, a sentence; mostly empty.
    explanation: of the photo's top prediction, for the logits, the layer and the view.
    """

    maps: NDArray[np.float32]
    weights: NDArray[np.float32]
    contributions: NDArray[np.float32] | None
    unexplained: float
    note: str
    explanation: Explanation

    def speaks_for(self, concept: int, count: int = 3) -> list[tuple[str, float]]:
        """The classes to whose logits a concept adds most, as (label, contribution); empty if that is not known.

        concept: from 0. count: how many classes, fewer if the model has fewer. Raises: OptionError.
        """
        if not is_whole(concept) or not 0 <= concept < len(self.maps):
            raise OptionError(
                f"expected a concept from 0 to {len(self.maps) - 1}, got {quoted(concept)}; name another one"
            )
        if not is_whole(count) or count < 1:
            raise OptionError(f"expected at least 1 class, got {quoted(count)}; ask for another number")
        if self.contributions is None:
            return []
        row = self.contributions[concept]
        return [(self.explanation.labels[index], float(row[index])) for index in np.argsort(-row)[:count]]

    def figure(self, style: Style | None = None, *, theme: str = "light") -> go.Figure:
        """The concepts side by side on the photo, as one Plotly figure; theme: `light` or `dark`."""
        figures = import_module("gradcam.draw.figures")  # drawing stands above this module
        return figures.comparison_figure(self._as_comparison(), style, theme=theme)

    def _repr_html_(self) -> str:
        return import_module("gradcam.draw.notebook").notebook_html(self._as_comparison())

    def _as_comparison(self) -> Comparison:
        """A panel for each concept, in the place of a model."""
        photo, names = self.explanation.photo, tuple(f"concept {n}" for n in range(1, len(self.maps) + 1))
        panels = []
        for n, name in enumerate(names):
            best = [(f"speaks for {label}", score) for label, score in self.speaks_for(n, 1)]
            ((words, score),) = best or [("on average", float(self.maps[n].mean()))]
            target = ScoredTarget(-1, words, score, 0.0, 0)
            shown = replace(self.explanation, maps=self.maps[n : n + 1], targets=(target,), method=NAME)
            panels.append(Heatmap(photo, name, NAME, NAME, shown))
        return Comparison((photo,), names, (NAME,), (NAME,), tuple(panels))

    def __repr__(self) -> str:
        where = f"{quoted(self.explanation.photo.name, 60)}, {shorten(str(self.explanation.model), 160)}"
        layer = self.explanation.layer
        concepts = count(len(self.maps), "concept") + (f" at {layer.name}" if layer else "")
        return f"Factorisation({where}, {concepts}, {percent(self.unexplained)} unexplained)"


def factorise(
    classifier: Classifier,
    photo: PhotoLike,
    concepts: int = 3,
    *,
    fit: Fit = "crop",
    layer: LayerChoice = "auto",
    seed: int = 0,
) -> Factorisation:
    """Find the concepts of which a layer's output for one photo is made, without asking for a class.

    concepts: how many. photo, fit: as `explain` takes them. layer: one, as `explain` takes it. seed: of the values
        that the factors start from; another seed may find other concepts.
    Values below zero are taken for zero, and `note` says how much that is.
    Raises: OptionError for more concepts than places or channels, or a seed that is none; MapError if nothing of
        the output is above zero; LayerError, ModelError.
    """
    expect_seed(seed)
    expect(Classifier, classifier)
    batch = Batch.of((as_photo(photo),), classifier.preprocessing, fit)
    forward = Forward.of(batch, classifier, layer)
    ((explanation,),) = explanations(classifier, forward, [[Top(1)]])
    if not isinstance(explanation, Explanation):
        raise explanation
    if len(forward.layers) != 1:
        raise LayerError(f"expected one layer to factorise, got {len(forward.layers)}; factorise each by itself")
    (found,) = forward.layers
    output = to_grid(forward.recordings[0].activation.detach(), found)[0].cpu().double()
    rows = output.flatten(1).T
    if not is_whole(concepts) or not 1 <= concepts <= min(rows.shape):
        raise OptionError(
            f"expected 1 to {min(rows.shape)} concepts at layer {found}, got {quoted(concepts)}; ask for another "
            "number"
        )
    if not rows.isfinite().all() or rows.max() <= 0:
        raise MapError(f"expected an output above zero at layer {found}, got none; choose a layer after a ReLU")
    positive = rows.relu()
    maps, weights = factors(positive, concepts, seed)
    head = head_weights(classifier, layer, range(len(explanation.labels)))
    contributions = None if head is None else maps.mean(0)[:, None].numpy() * (weights.numpy() @ head.T)
    return Factorisation(
        maps=maps.T.unflatten(1, found.grid).numpy().astype(np.float32),
        weights=weights.numpy().astype(np.float32),
        contributions=None if contributions is None else contributions.astype(np.float32),
        unexplained=float((positive - maps @ weights).norm() / positive.norm()),
        note=_left_out(rows),
        explanation=explanation,
    )


def factors(rows: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """H `[P, N]` and W `[N, C]`, not below zero, with H W ≈ `rows` `[P, C]`, the largest product first; the rows of
    W have length 1.

    Source: Lee and Seung 2001, *Algorithms for Non-negative Matrix Factorization*, theorem 1.
    """
    generator, least = torch.Generator().manual_seed(seed), torch.finfo(rows.dtype).tiny
    size = (rows.mean() / count).sqrt()
    h = size * torch.rand(len(rows), count, generator=generator, dtype=rows.dtype)
    w = size * torch.rand(count, rows.shape[1], generator=generator, dtype=rows.dtype)
    for _ in range(ITERATIONS):
        h = h * (rows @ w.T) / (h @ (w @ w.T)).clamp(min=least)
        w = w * (h.T @ rows) / ((h.T @ h) @ w).clamp(min=least)
    lengths = w.norm(dim=1).clamp(min=least)
    h, w = h * lengths, w / lengths[:, None]
    order = h.norm(dim=0).argsort(descending=True)
    return h[:, order], w[order]


def _left_out(rows: Tensor) -> str:
    """How much of a layer's output lies below zero, in a sentence; empty if nothing does."""
    share = float((-rows).relu().sum() / rows.abs().sum())
    if not share:
        return ""
    return (
        f"{percent(share)} of the layer's output lies below zero and was left out: the concepts do not add up to "
        "the logits."
    )
