"""Components: directions that many photos share, found in two views of them at once.

The views are the pooled features of an earlier layer, which see colours, edges and letters, and what each channel
of the target layer contributes to a class rather than to the others, which sees what the model uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from sklearn.decomposition import PCA

Values = NDArray[np.float32]

PRINCIPAL = 20
"""Principal components that the contributions are reduced to before; with 60, fewer planted photos were found."""


@dataclass(frozen=True, eq=False)
class Component:
    """A linear reading of both views; its strength has mean 0 and standard deviation 1 over the photos it is from.

    earlier: weights of the earlier layer's means, then of its standard deviations. contrast: weights of the
    contributions. offset: added to both.
    """

    earlier: Values
    contrast: Values
    offset: float

    def strengths(self, earlier: Values, contrast: Values) -> Values:
        """Of each photo, `[photos]`; of the views `[photos, columns]` each."""
        return (earlier @ self.earlier + contrast @ self.contrast + self.offset).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Joint:
    """Both views of photos side by side, which weigh the same.

    values: `[photos, d]`, each column of mean 0; of few photos their first principal components, half as many as
        photos, for among more columns than photos each photo lies far from all others.
    reader: `[d, channels of both views]`, what turns weights of the columns into weights of the channels.
    centre: the channels' means.
    """

    values: NDArray[np.float64]
    reader: NDArray[np.float64]
    centre: NDArray[np.float64]
    earlier_columns: int

    @classmethod
    def of(cls, earlier: Values, contrast: Values, seed: int = 0) -> Joint:
        """earlier: `[photos, columns]`, the pooled features of an earlier layer. contrast: `[photos, channels]`,
        the contributions of the target layer's channels."""
        centre, spread = earlier.mean(axis=0), earlier.std(axis=0)
        spread = np.where(spread > 0, spread, 1)
        standard = (earlier - centre) / spread
        reduction = PCA(min(PRINCIPAL, *contrast.shape), svd_solver="randomized", random_state=seed).fit(contrast)
        principal, reduced = np.asarray(reduction.components_), reduction.transform(contrast)
        sizes = [float(np.sqrt((view**2).sum(axis=1).mean())) or 1.0 for view in (standard, reduced)]
        values = np.hstack([standard / sizes[0], reduced / sizes[1]]).astype(np.float64)
        reader = np.asarray(block_diag(np.diag(1 / spread) / sizes[0], principal / sizes[1]), np.float64)
        if values.shape[1] > (most := len(values) // 2):
            directions = np.asarray(PCA(most, svd_solver="full").fit(values).components_, np.float64)
            values, reader = values @ directions.T, directions @ reader
        means = np.concatenate([centre, contrast.mean(axis=0)]).astype(np.float64)
        return cls(values, reader, means, len(centre))

    def component(self, weights: NDArray[np.float64]) -> Component:
        """The reading with these weights `[d]`, but for their size."""
        scaled = weights / max(float((self.values @ weights).std()), 1e-12)
        channels = (scaled @ self.reader).astype(np.float32)
        offset = -float(self.centre @ channels)
        return Component(channels[: self.earlier_columns], channels[self.earlier_columns :], offset)
