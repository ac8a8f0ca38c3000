"""Components: directions that many photos share, found in two views of them at once.

The views are the pooled features of an earlier layer, which see colours, edges and letters, and what each channel
of the target layer contributes to a class rather than to the others, which sees what the model uses.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning

Values = NDArray[np.float32]

COMPONENTS = 25
"""Directions that are looked for, or as many as the photos have. More or fewer found less on planted artefacts."""

PRINCIPAL = 20
"""Principal components that the contributions are reduced to before; with 60, fewer planted photos were found."""


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


@dataclass(frozen=True, eq=False)
class Joint:
    """Both views of photos side by side, which weigh the same.

    values: `[photos, d]`, each column of mean 0. reader: `[d, channels of both views]`, what turns weights of the
    columns into weights of the channels. centre: the channels' means.
    """

    values: NDArray[np.float64]
    reader: NDArray[np.float64]
    centre: NDArray[np.float64]
    earlier_channels: int

    @classmethod
    def of(cls, earlier: Values, contrast: Values, seed: int = 0) -> Joint:
        """earlier: `[photos, channels]`, the pooled features of an earlier layer. contrast: `[photos, channels]`,
        the contributions of the target layer's channels."""
        centre, spread = earlier.mean(axis=0), earlier.std(axis=0)
        spread = np.where(spread > 0, spread, 1)
        standard = (earlier - centre) / spread
        reduction = PCA(min(PRINCIPAL, *contrast.shape), svd_solver="randomized", random_state=seed).fit(contrast)
        principal, reduced = np.asarray(reduction.components_), reduction.transform(contrast)
        sizes = [float(np.sqrt((view**2).sum(axis=1).mean())) or 1.0 for view in (standard, reduced)]
        return cls(
            np.hstack([standard / sizes[0], reduced / sizes[1]]).astype(np.float64),
            np.asarray(block_diag(np.diag(1 / spread) / sizes[0], principal / sizes[1]), np.float64),
            np.concatenate([centre, contrast.mean(axis=0)]).astype(np.float64),
            len(centre),
        )

    def component(self, weights: NDArray[np.float64]) -> Component:
        """The reading with these weights `[d]`, but for their size."""
        scaled = weights / max(float((self.values @ weights).std()), 1e-12)
        channels = (scaled @ self.reader).astype(np.float32)
        offset = -float(self.centre @ channels)
        return Component(channels[: self.earlier_channels], channels[self.earlier_channels :], offset)


def independent(joint: Joint, seed: int = 0) -> NDArray[np.float64]:
    """Weights of independent components, `[components, d]`; the sign of each means nothing.

    Source: Hyvärinen and Oja 2000, *Independent component analysis: algorithms and applications*, section 6.
    """
    rank = int(np.linalg.matrix_rank(joint.values - joint.values.mean(axis=0)))
    ica = FastICA(min(COMPONENTS, rank), whiten="unit-variance", random_state=seed, max_iter=500, tol=1e-3)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):  # of directions left out below
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has by then is as good to rank
        ica.fit(joint.values)
    return np.asarray(ica.components_, np.float64)
