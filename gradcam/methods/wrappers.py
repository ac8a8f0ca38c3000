"""Rows made from rows: `SmoothGrad(LayerCAM)` is LayerCAM, averaged over noisy copies of the photo.

A wrapper is a row of `WRAPPERS`. Wrappers nest, each once: `Layer-max(SmoothGrad(Finer-CAM(LayerCAM)))`. One that
fuses layers is the outermost, because a method makes the map of one layer at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from gradcam.errors import OptionError
from gradcam.methods.method import Compute, Fuse, Method, Need, Signals, Value, average

LEAST_PEAK = 1e-6
"""A layer's map that peaks below this is empty, as `scaling.FLOOR` says, and is not brought to the others' size."""

CONTRASTS = (0.9, 1.0, 1.1)


@dataclass(frozen=True)
class Wrapper:
    """What makes a row of the table from another.

    says, formula: of the new row, with `{base}` for the other's name. paper, title, link: of the wrapper's own
        paper; empty if it has none. caveats: added to the other's.
    wrap: makes the function. fuse: of the maps of several layers; None for a wrapper that leaves that to the base.
    times: how often the new row runs the other on another image, beside a forward of the photo itself; 1 for a
        wrapper that runs it on the photo alone.
    needs, parameters, seed: added to the other's.
    of_a_class: whether it makes sense only for a method that knows the class.
    """

    name: str
    says: str
    formula: str
    paper: str = ""
    title: str = ""
    link: str = ""
    caveats: str = ""
    wrap: Callable[[Compute], Compute] = lambda compute: compute
    fuse: Fuse | None = None
    times: int = 1
    needs: tuple[Need, ...] = ()
    parameters: tuple[tuple[str, Value], ...] = ()
    seed: int | None = None
    of_a_class: bool = False

    def of(self, base: Method) -> Method:
        """The row `name(base)`. Raises: OptionError for a base that it cannot wrap."""
        self._check(base)
        return replace(
            base,
            name=f"{self.name}({base.name})",
            paper=f"{self.paper}, of {base.paper.removeprefix('after ')}" if self.paper else base.paper,
            title=self.title or base.title,
            link=self.link or base.link,
            says=f"{self.says.format(base=base.name)} {base.says}",
            formula=f"{self.formula.format(base=base.name)}; {base.name}: {base.formula}",
            caveats=" ".join(filter(None, (self.caveats, base.caveats))),
            compute=self.wrap(base.compute),
            fuse=self.fuse or base.fuse,
            needs=tuple(dict.fromkeys((*base.needs, *self.needs))),
            forwards=self.times * base.forwards + (self.times > 1),  # and one of the photo itself
            more=self.times * base.more,
            backwards=self.times * base.backwards,
            parameters=tuple(sorted((*base.parameters, *self.parameters))),
            seed=base.seed if self.seed is None else self.seed,
        )

    def _check(self, base: Method) -> None:
        if base.fuse is not average:
            fusing, _, inner = base.name.partition("(")
            better = base.name if self.fuse else f"{fusing}({self.name}({inner})"
            raise OptionError(
                f"expected the wrapper that fuses layers outermost, got {self.name}({base.name}); write {better}"
            )
        if f"{self.name}(" in f"{base.name}(":
            raise OptionError(f"expected each wrapper once, got {self.name}({base.name}); write {base.name}")
        if self.fuse and not base.reads_layer:
            raise OptionError(
                f"expected a method that reads a layer in {self.name}(…), got {base.name}; use LayerCAM in it"
            )
        if self.of_a_class and not base.class_specific:
            raise OptionError(
                f"expected a method that knows the class in {self.name}(…), got {base.name}, whose map is the same "
                "for every class; use LayerCAM"
            )


# ----------------------------------------------------------------------------------------------- other scores


def finer_cam(classes: int, gamma: float) -> Callable[[Compute], Compute]:
    """The base of y − γ · the mean score of the classes whose logits are closest to y.

    Differs from pytorch-grad-cam, which weights these classes by their softmax probabilities.
    """
    return lambda base: lambda signals: base(signals.rather_than_similar(classes, gamma))


# ----------------------------------------------------------------------------------------------- other images


def noisy_copies(images: Tensor, copies: int, noise: float, seed: int) -> Iterator[Tensor]:
    """The images `[B, channels, H, W]` with normal noise added, `copies` times; it is the same for every image of a
    batch and in every call.

    noise: its standard deviation, as a share of each image's range.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(copies):
        yield images + noise * image_ranges(images) * torch.randn(images.shape[1:], generator=generator).to(images)


def image_ranges(images: Tensor) -> Tensor:
    """The difference between the largest and the smallest value of each image, `[B, 1, 1, 1]`."""
    return images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)


def smooth_grad(copies: int, noise: float, seed: int) -> Callable[[Compute], Compute]:
    """The mean of the base's maps of noisy copies of the photo."""

    def wrap(base: Compute) -> Compute:
        def compute(signals: Signals) -> Tensor:
            return _mean(map(base, signals.again(noisy_copies(signals.images, copies, noise, seed), copies)))

        return compute

    return wrap


def augmented(base: Compute) -> Compute:
    """The mean of the base's maps of the photo and of its mirror image, mirrored back, at each of `CONTRASTS`."""

    def compute(signals: Signals) -> Tensor:
        images = (signals.images, signals.images.flip(3))
        contrasted = (one * contrast for one in images for contrast in CONTRASTS)
        found = map(base, signals.again(contrasted, 2 * len(CONTRASTS)))
        return (_mean(islice(found, len(CONTRASTS))) + _mean(found).flip(3)) / 2

    return compute


def _mean(maps: Iterator[Tensor]) -> Tensor:
    """The mean of maps of one shape, of which one at a time is in memory."""
    total, number = next(maps), 1
    for one in maps:
        total, number = total + one, number + 1
    return total / number


# --------------------------------------------------------------------------------------------- several layers


def fused(reduce: Callable[[Tensor], Tensor]) -> Fuse:
    """`reduce` over the layers of what lies above zero, minus the same of what lies below, where each layer's map
    is divided by its peak first: layers differ in their units.

    reduce: of the first of the dimensions `[L, B, K, h, w]`.
    """

    def fuse(maps: Tensor) -> Tensor:
        peaks = maps.abs().amax((3, 4), keepdim=True)
        shares = torch.where(peaks < LEAST_PEAK, 0, maps / peaks)
        return reduce(shares.relu()) - reduce((-shares).relu())

    return fuse


SHARES = (
    "Each layer's map is divided by its peak first, so that the units of the method are gone; without a wrapper, "
    "several layers are averaged in their units."
)

_ROWS = (
    Wrapper(
        name="Finer-CAM",
        paper="Zhang et al. 2025",
        title="Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation",
        link="https://arxiv.org/abs/2501.11309",
        formula="{base} of y − γ · the mean score of the n classes whose logits are closest to y",
        says="What {base} shows for this class and not for the ones most like it.",
        caveats="The similar classes count alike; pytorch-grad-cam weights them by their probabilities.",
        wrap=finer_cam(classes=3, gamma=0.6),
        needs=("scores",),
        parameters=(("classes", 3), ("gamma", 0.6)),
        of_a_class=True,
    ),
    Wrapper(
        name="SmoothGrad",
        paper="Smilkov et al. 2017",
        title="SmoothGrad: removing noise by adding noise",
        link="https://arxiv.org/abs/1706.03825",
        formula="the mean of {base} over n copies of the photo with normal noise",
        says="What {base} shows, with what a little noise changes averaged out.",
        caveats="The noise is the same in every call.",
        wrap=smooth_grad(copies=8, noise=0.15, seed=0),
        times=8,
        needs=("forwards",),
        parameters=(("noise level", 0.15), ("noisy copies", 8)),
        seed=0,
    ),
    Wrapper(
        name="Augmented",
        paper="Gildenblat 2021",
        title="PyTorch library for CAM methods",
        link="https://github.com/jacobgil/pytorch-grad-cam",
        formula="the mean of {base} over the photo and its mirror image, each at 0.9, 1 and 1.1 times its contrast",
        says="What {base} shows on average of the photo and its mirror image, with less contrast and more.",
        caveats="It hides where the model itself sees left and right differently.",
        wrap=augmented,
        times=2 * len(CONTRASTS),
        needs=("forwards",),
        parameters=(("contrasts", ", ".join(map(str, CONTRASTS))),),
    ),
    Wrapper(
        name="Layer-mean",
        formula="the mean of the layers' maps M / max |M| by {base}",
        says="What {base} shows at several layers, which count alike.",
        caveats=SHARES,
        fuse=fused(lambda maps: maps.mean(0)),
        needs=("layers",),
    ),
    Wrapper(
        name="Layer-max",
        paper="Jiang et al. 2021",
        title="LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
        link="https://doi.org/10.1109/TIP.2021.3089943",
        formula="the largest of the layers' maps M / max |M| by {base}, at each place",
        says="What {base} shows at several layers: a place counts as in the layer where it stands out most.",
        caveats=f"{SHARES} The paper brings up the maps of early layers by tanh before.",
        fuse=fused(lambda maps: maps.amax(0)),
        needs=("layers",),
    ),
    Wrapper(
        name="Layer-product",
        formula="the product of the layers' maps M / max |M| by {base}, at each place",
        says="What {base} shows at several layers: a place counts only if every layer marks it.",
        caveats=SHARES,
        fuse=fused(lambda maps: maps.prod(0)),
        needs=("layers",),
    ),
)

WRAPPERS: dict[str, Wrapper] = {wrapper.name: wrapper for wrapper in _ROWS}
