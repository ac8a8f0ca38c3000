"""The methods that turn a model's activations and gradients into heatmaps: one table, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradcam.errors import OptionError, nearest, quoted

__all__ = ["GRADCAM", "METHODS", "Method", "find_method"]


@dataclass(frozen=True)
class Method:
    """What a heatmap was made with.

    paper: authors and year, as a text cites them. title: the paper's. equations: where in it the method stands.
    formula: the map in the paper's own symbols.
    combine: the formula as a pure function: of the target layer's activations `[B, C, h, w]` and their weights α
        `[K, B, C]`, the mean gradients of K scores, it makes the raw maps `[B, K, h, w]`.
    """

    name: str
    paper: str
    title: str
    equations: str
    formula: str
    combine: Callable[[Tensor, Tensor], Tensor]

    @property
    def citation(self) -> str:
        """`Selvaraju et al. 2017, eq. 1 and 2`."""
        return f"{self.paper}, {self.equations}"


def positive_weighted_sum(activation: Tensor, alpha: Tensor) -> Tensor:
    """Grad-CAM's equation 2: ReLU(Σₖ αₖ Aₖ).

    activation: `[B, C, h, w]`. alpha: `[K, B, C]`. Returns: `[B, K, h, w]`, not below 0.
    """
    return torch.einsum("kbc,bchw->bkhw", alpha, activation).relu()


GRADCAM = Method(
    name="Grad-CAM",
    paper="Selvaraju et al. 2017",
    title="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    equations="eq. 1 and 2",
    formula="L = ReLU(Σₖ αₖ Aₖ), with αₖ = the mean over all places of ∂y/∂Aₖ",
    combine=positive_weighted_sum,
)

METHODS: dict[str, Method] = {method.name: method for method in (GRADCAM,)}


def find_method(name: str) -> Method:
    """A row of `METHODS` by its name, without regard to case and hyphens.

    Raises: OptionError naming the nearest methods.
    """
    plain = {_plain(known): method for known, method in METHODS.items()}
    if _plain(name := str(name)) not in plain:
        raise OptionError(f"expected a method, got {quoted(name)}; use {nearest(name, METHODS)}")
    return plain[_plain(name)]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "")
