"""What a method is, and what one forward tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

Need: TypeAlias = Literal[
    "activations",
    "mean gradients",
    "gradients",
    "curvature",
    "linear head",
    "scores",
    "forwards",
    "attention",
    "attention gradients",
    "biases",
    "pixel gradients",
    "layers",
]
"""What a method reads of a model. `gradients`: those of every place, not only their mean over the grid."""

Part: TypeAlias = Literal["stage", "block", "channel", "place", "class"]
"""What a method may take forwards for beside the photo: each stage or block of the model, channel or place of the
layer, or class that is asked for."""

USUAL: dict[Part, int] = {"stage": 5, "block": 12, "channel": 1000, "place": 196, "class": 1}
"""About how many there are, before a model has been seen."""

Value: TypeAlias = str | int | float | bool
"""A parameter of a method: it is written into the keys of stored panels."""


class Signals(Protocol):
    """What one forward of B photos tells of K scores at a layer of C channels on a grid `[h, w]`.

    Each part is computed when it is first read and then kept, so that all methods asked of a photo share it. Parts
    are float32, or float64 for a float64 model, and not attached to any graph.
    """

    @cached_property
    def activation(self) -> Tensor:
        """The target layer's output A, `[B, C, h, w]`."""
        ...

    @cached_property
    def alpha(self) -> Tensor:
        """The mean over all places of ∂y/∂A, `[K, B, C]`: equation 1 of Grad-CAM. Cheaper than `gradients`."""
        ...

    @cached_property
    def gradients(self) -> Tensor:
        """∂y/∂A at every place, `[K, B, C, h, w]`."""
        ...

    @cached_property
    def products(self) -> Tensor:
        """∂y/∂A ⊙ A at every place, `[K, B, C, h, w]`."""
        ...

    @cached_property
    def curvature(self) -> Tensor:
        """The second derivative of y applied to A, Σ ∂²y/∂A∂A′ · A′, `[K, B, C, h, w]`; a backward for each score
        more. It is zero if y is piecewise linear in A.

        Raises: MethodError if the model cannot be differentiated twice.
        """
        ...

    @cached_property
    def head(self) -> Tensor:
        """The weights w of the linear layer that makes the scores of the channels' means, `[K, B, C]`.

        Raises: MethodError if the scores are anything else.
        """
        ...

    @cached_property
    def has_linear_head(self) -> bool:
        """Whether there is such a layer, so that `head` can be read."""
        ...

    @cached_property
    def images(self) -> Tensor:
        """The images as the model takes them, `[B, channels, H, W]`."""
        ...

    @cached_property
    def attention(self) -> Attention:
        """The self-attention of every block, after one forward more."""
        ...

    def full_gradients(self) -> Iterator[Iterator[Tensor]]:
        """For each of the K scores: x ⊙ ∂y/∂x of the pixels x, then b ⊙ ∂y/∂b of every bias b that has places.

        Each is `[B, C, h, w]` with channels and a grid of its own; one forward more, then a backward a score.
        """
        ...

    @cached_property
    def guided_gradients(self) -> Tensor:
        """∂y/∂pixels, `[K, B, channels, H, W]`, where every ReLU passes only what is above zero back.

        Raises: MethodError if the model has other activation functions.
        """
        ...

    def stages(self) -> Iterator[Signals]:
        """The signals of the same scores at the last layer of each grid that the model has, early to late; each
        takes a forward."""
        ...

    @cached_property
    def scores(self) -> Tensor:
        """The scores y, `[K, B]`."""
        ...

    def scores_of(self, change: Callable[[int], Tensor], count: int) -> Tensor:
        """The scores of other images, `[K, B, count]`, with a few images in each forward.

        change: makes the images `[B, channels, H, W]` of a number; called with 0, 1, … in order.
        """
        ...

    def scores_with(self, change: Callable[[int], Tensor], count: int) -> Tensor:
        """The scores when the target layer gives something else, `[K, B, count]`, a few images in each forward; if
        the part of the model behind the layer can be run by itself, nothing before it runs so often.

        change: makes the activation `[B, C, h, w]` of a number; called with 0, 1, … in order.
        """
        ...

    def counted(self, count: int) -> Iterator[int]:
        """0, 1, … `count` − 1, one for each forward that begins: progress is told, and a caller may end it all."""
        ...

    def again(self, images: Iterable[Tensor], count: int) -> Iterator[Signals]:
        """The signals of the same scores after a forward of each of `count` other `images`, `[B, channels, H, W]`,
        one after the other; told like `counted`."""
        ...

    def at_input(self, images: Tensor) -> Signals:
        """The signals of the same scores after a forward of images `[B, channels, H, W]`, with the images in the
        place of the target layer's output: `gradients` are ∂y/∂images."""
        ...

    def one_by_one(self) -> Iterator[Signals]:
        """The signals of each of the K scores alone, one after the other."""
        ...

    def rather_than_similar(self, classes: int, gamma: float) -> Signals:
        """The signals of y − γ · the mean score of the `classes` other classes whose logits are closest to y's.

        These classes are chosen once: forwards of other images keep them.
        """
        ...


class Attention(Protocol):
    """The self-attention A of every block, first to last, between N tokens: all places, and a few leading ones.

    Every part raises MethodError if the model has no such attention.
    """

    def values(self) -> Iterator[Tensor]:
        """A, `[B, heads, N, N]`, of each block; what a token reads of all others is a row, which adds up to 1."""
        ...

    def gradients(self) -> Iterator[Iterator[Tensor]]:
        """∂y/∂A, `[few, B, heads, N, N]`, of each block, for a few of the K scores at a time, in order; a backward
        for all blocks."""
        ...

    def own_gradients(self, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        """What `reduce` makes of ∂s/∂A, `[few, B, heads, N, N]`, for the score s that the model's end makes of what
        leaves the block, as if it were the last: `[blocks, K, …]`.

        A forward and a backward for all blocks, or for each block if the model's end cannot take the outputs of all
        as further images.
        """
        ...

    @cached_property
    def read(self) -> Tensor:
        """How much each token counts for the scores after the last block, `[N]`: the same for all tokens that they
        read, such as the class token or all places, and 0 for the others; adds up to 1.
        """
        ...

    def on_grid(self, tokens: Tensor) -> Tensor:
        """Values of the tokens, `[…, N]`, at the places, `[…, h, w]`."""
        ...


FEW_FORWARDS = 20
"""Up to so many forwards for a photo nobody has to be asked about."""

Compute: TypeAlias = Callable[[Signals], Tensor]
"""A method as a function: it makes the raw maps `[B, K, h, w]`, or `[B, 1, h, w]` if they do not depend on the
class."""

Fuse: TypeAlias = Callable[[Tensor], Tensor]
"""What makes one map of several layers' maps: `[L, B, K, h, w]` to `[B, K, h, w]`."""


def average(maps: Tensor) -> Tensor:
    """The mean over the layers, in the units of the method."""
    return maps.mean(dim=0)


@dataclass(frozen=True)
class Method:
    """What a heatmap was made with.

    paper: authors and year, as a text cites them. title: the paper's. equations: where in it the method stands;
        empty if it has no numbered equation. link: to the paper.
    formula: the map in the paper's own symbols. compute: the formula as a function.
    says: what the map shows, in a sentence for people who do not compute. zero: what zero means, and from where on
        the map is drawn. caveats: what to know before trusting it; empty if there is nothing beyond Grad-CAM's own.
    needs: what it reads of a model. forwards: of a photo, among them the one that all methods share. more: further
        ones for each `part`, 0 if there are none. backwards: through the end of the model, for each class; 0 where
        there is none. backwards_of_parts: whether so many for each `part`, too. Some models need fewer of either,
        none needs more.
    signed: whether values below zero mean something; they are drawn blue, those above zero red.
    class_specific: whether another class gives another map.
    parameters: what could be chosen otherwise, name by name in alphabetical order. seed: of the random numbers it
        draws; None if it draws none.
    fuse: what it makes of the maps of several layers.
    """

    name: str
    paper: str
    title: str
    link: str
    formula: str
    says: str
    zero: str
    compute: Compute
    equations: str = ""
    caveats: str = ""
    needs: tuple[Need, ...] = ("activations", "gradients")
    forwards: int = 1
    more: int = 0
    part: Part = "class"
    backwards: int = 1
    backwards_of_parts: bool = False
    signed: bool = False
    class_specific: bool = True
    parameters: tuple[tuple[str, Value], ...] = ()
    seed: int | None = None
    fuse: Fuse = average

    @property
    def reads_layer(self) -> bool:
        """Whether the map is made of what the target layer puts out.

        False for attention, which is read of every block and only laid on the layer's grid, and for RefineCAM,
        which reads the last layer of every stage: another layer of the same grid gives the same map.
        """
        return "activations" in self.needs

    @property
    def has_own_grid(self) -> bool:
        """Whether its map may lie on another grid than the maps of the target layer."""
        return not self.reads_layer or "pixel gradients" in self.needs

    @property
    def citation(self) -> str:
        """`Selvaraju et al. 2017, eq. 1 and 2`."""
        return f"{self.paper}, {self.equations}" if self.equations else self.paper

    @property
    def takes_long(self) -> bool:
        """Whether there are so many forwards that somebody should choose this method on purpose."""
        return self.forwards_for() > FEW_FORWARDS

    def forwards_for(self, counts: Mapping[Part, int] = USUAL) -> int:
        """How many forwards a photo takes at most, of a model with so many of each part."""
        return self.forwards + (self.more and self.more * counts[self.part])

    @property
    def forwards_text(self) -> str:
        """`1`, `1,001` or `1 + 8 a channel`."""
        return f"{self.forwards:,}" + f" + {self.more:,} a {self.part}" * (self.more > 0)

    @property
    def backwards_text(self) -> str:
        """For each class: `1`, or `1 a stage`."""
        return f"{self.backwards:,}" + f" a {self.part}" * self.backwards_of_parts

    @property
    def cost(self) -> str:
        """`1 forward, 1 backward a class`, or `1 forward and 8 a channel, no backward`."""
        forwards = _times(self.forwards, "forward") + f" and {self.more:,} a {self.part}" * (self.more > 0)
        for_each = f"{self.part} and class" if self.backwards_of_parts else "class"
        backwards = f"{_times(self.backwards, 'backward')} a {for_each}" if self.backwards else "no backward"
        return f"{forwards}, {backwards}"


def _times(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
