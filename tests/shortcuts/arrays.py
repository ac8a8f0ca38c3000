"""Two views of photos of two classes, in which some photos of the first share what a few channels see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EARLIER, SEEN = 30, [3, 4, 5]
"""Channels of the earlier layer, and those that see the mark."""
CHANNELS, USED = 50, [10, 11, 12, 13]
"""Channels of the target layer, and those by which the mark speaks for the class."""


class Made(NamedTuple):
    in_class: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    earlier: NDArray[np.float32]
    contrast: NDArray[np.float32]


def made(share: float = 0.2, seed: int = 0, each: int = 150) -> Made:
    """share: of the class's photos that are marked. All else is noise, and what tells the classes apart."""
    random = np.random.default_rng(seed)
    in_class = np.arange(2 * each) < each
    marked = np.zeros(2 * each, bool)
    marked[random.permutation(each)[: round(share * each)]] = True
    earlier = random.normal(size=(2 * each, EARLIER))
    contrast = random.normal(size=(2 * each, CHANNELS))
    earlier[in_class, 20:25] += 1.5
    contrast[in_class, 30:40] += 1.0
    earlier[np.ix_(marked, SEEN)] += 4
    contrast[np.ix_(marked, USED)] += 4
    return Made(in_class, marked, earlier.astype(np.float32), contrast.astype(np.float32))
