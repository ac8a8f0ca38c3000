"""Components: directions that many photos share, found in two views of them at once.

The views are the pooled features of an earlier layer, which see colours, edges and letters, and what each channel
of the target layer contributes to a class rather than to the others, which sees what the model uses.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning

Values = NDArray[np.float32]

COMPONENTS = 25
"""Directions that are looked for, or as many as the photos have. Fewer for few photos found less."""

PRINCIPAL = 60
"""Principal components that the contributions are reduced to before."""


@dataclass(frozen=True, eq=False)
class Component:
    """A linear reading of both views; its strength has mean 0 and standard deviation 1 over the photos it is from.

    earlier: weights of the earlier layer's means. contrast: weights of the contributions. offset: added to both.
    """

    earlier: Values
    contrast: Values
    offset: float

    def strengths(self, earlier: Values, contrast: Values) -> Values:
        """Of each photo, `[photos]`; of the views `[photos, channels]` each."""
        return (earlier @ self.earlier + contrast @ self.contrast + self.offset).astype(np.float32)

    def turned(self) -> Component:
        """The same direction with its other end first."""
        return replace(self, earlier=-self.earlier, contrast=-self.contrast, offset=-self.offset)


def find_components(earlier: Values, contrast: Values, seed: int = 0) -> list[Component]:
    """Independent components of photos, each in both signs.

    earlier: `[photos, channels]`, the pooled features of an earlier layer. contrast: `[photos, channels]`, the
    contributions of the target layer's channels. Both views weigh the same.
    Source: Hyvärinen and Oja 2000, *Independent component analysis: algorithms and applications*, section 6.
    """
    centre, spread = earlier.mean(axis=0), earlier.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    standard = (earlier - centre) / spread
    reduction = PCA(min(PRINCIPAL, *contrast.shape), svd_solver="randomized", random_state=seed)
    reduced = reduction.fit_transform(contrast)
    sizes = [float(np.sqrt((view**2).sum(axis=1).mean())) or 1.0 for view in (standard, reduced)]
    joined = np.hstack([standard / sizes[0], reduced / sizes[1]])
    rank = int(np.linalg.matrix_rank(joined - joined.mean(axis=0)))
    ica = FastICA(min(COMPONENTS, rank), whiten="unit-variance", random_state=seed, max_iter=500, tol=1e-3)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):  # of directions left out below
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has by then is as good to rank
        ica.fit(joined)
    width, principal = earlier.shape[1], np.asarray(reduction.components_)
    found: list[Component] = []
    for row in ica.components_:
        on_earlier = row[:width] / sizes[0] / spread
        on_contrast = row[width:] / sizes[1] @ principal
        offset = -(centre @ on_earlier + contrast.mean(axis=0) @ on_contrast)
        one = Component(on_earlier.astype(np.float32), on_contrast.astype(np.float32), float(offset))
        found += [one, one.turned()]
    return found
