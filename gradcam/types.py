"""The nouns: frozen values, NumPy or plain Python inside, that the whole package speaks in.

`B` is the batch, `K` the targets, `C` the classes, `H, W` a photo's pixels and `h, w` a target layer's grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam.errors import LayerError, quoted
from gradcam.model_spec import ModelSpec as ModelSpec, WeightsFile as WeightsFile
from gradcam.showing import Shown, overlay
from gradcam.text import clean, count, dimensions, percent, shorten

Fit = Literal["crop", "squash", "pad"]
"""How a photo is fitted to a model's input: the model's own evaluation crop, the whole photo with its aspect
lost, or the whole photo with bars."""
FITS: tuple[Fit, ...] = get_args(Fit)

Layout = Literal["NCHW", "NHWC", "tokens"]
"""How a layer's output lies in memory: channels first, channels last, or `[B, prefix + h·w, C]`."""

Activation = Literal["softmax", "sigmoid"]
"""How logits become probabilities: one class of many, which sum to 1, or each class for itself, as in a multi-label
head. A head with a single logit has a sigmoid: its two classes sum to 1."""
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

Numerics = Literal["eager", "folded", "packed"]
"""How a model's modules compute. `eager`: as its library built them. `folded`: with a BatchNorm folded into the
convolution before it, or with wide 1×1 convolutions as matrix products, or both. `packed`: folded, and with weights
that oneDNN arranged in advance and activations that it computed with the convolutions before them. Each differs
from the others by rounding."""
NUMERICS: tuple[Numerics, ...] = get_args(Numerics)

PRECISIONS = ("float32", "bfloat16", "float16")
"""What the forward computes in; all but float32 use autocast. Maps are always float32."""

Scale = Literal["each", "model", "shared"]
"""What full colour stands for: each map's own maximum, the maximum of one model's maps, or of all maps."""

Blend = Literal["evidence", "even"]
"""How heat covers a photo: `evidence` makes more heat more opaque, `even` makes all of it equally opaque."""


Region: TypeAlias = tuple[tuple[float, float], ...]
"""A part of a photo: two opposite corners of a box, or three and more of an outline; x and y in its pixels."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photograph.

    pixels: RGB uint8 `[H, W, 3]`, EXIF orientation applied, transparency laid over white.
    name: what the user calls it, usually the file name; never a path.
    sha256: hexadecimal digest of the encoded bytes, with the word `stretched` after them if the levels were
        stretched.
    note: a remark on the levels, as the second half of a sentence; mostly empty.
    region: where somebody says the object is; no map depends on it, only the share of heat that is told of it.
    """

    pixels: NDArray[np.uint8]
    name: str
    sha256: str
    stretched: bool = field(default=False, kw_only=True)
    note: str = field(default="", kw_only=True)
    region: Region | None = field(default=None, kw_only=True)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.pixels.shape[:2]
        return height, width

    def __repr__(self) -> str:
        return f"Photo({quoted(self.name, 60)}, {dimensions(*reversed(self.size))}, {self.sha256[:8]})"


@dataclass(frozen=True, eq=False)
class UnreadablePhoto(Photo):
    """A photo that could not be opened, in its place among the others.

    pixels: plain grey, to draw where the photo would be. sha256: of the bytes that were read, none where there is
        no file. reason: why it could not be opened, a sentence.
    """

    reason: str

    def __repr__(self) -> str:
        return f"UnreadablePhoto({quoted(self.name, 60)}: {_on_one_line(self.reason)})"


def _on_one_line(text: str, limit: int = 160) -> str:
    """Somebody's text, safe to see and short."""
    return shorten(clean(text), limit)


@dataclass(frozen=True)
class TargetLayer:
    """The place in a model whose output a heatmap is drawn on.

    name: the module's dotted name, as in `model.get_submodule(name)`.
    grid: height and width `(h, w)` of the output in cells, for the input size it was resolved with.
    channels: number of feature maps.
    rule: one plain sentence that says why this layer.
    layout: how the output lies in memory.
    prefix: number of leading tokens that lie outside the grid (class token, registers).
    call: which call of the module in one forward, from 0; only a module used several times needs it.
    """

    name: str
    grid: tuple[int, int]
    channels: int
    rule: str
    layout: Layout = "NCHW"
    prefix: int = 0
    call: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({dimensions(*self.grid)}, {self.channels} channels)"

    def __repr__(self) -> str:
        said = [quoted(self.name, 60), dimensions(*self.grid), f"{self.channels} channels", self.layout]
        said += [f"prefix {self.prefix}"] if self.prefix else []
        said += [f"call {self.call}"] if self.call else []
        return f"TargetLayer({', '.join(said)})"


@dataclass(frozen=True)
class Top:
    """The model's own k-th prediction; `rank` counts from 1."""

    rank: int = 1

    def __str__(self) -> str:
        return "top prediction" if self.rank == 1 else f"prediction {self.rank}"


@dataclass(frozen=True)
class Contrast:
    """*A rather than B*: what speaks for one class and against another, score y_a − y_b."""

    of: int | str | Top
    rather_than: int | str | Top

    def __str__(self) -> str:
        return f"{self.of} rather than {self.rather_than}"


@dataclass(frozen=True)
class PythonTarget:
    """A number that a Python function makes of a photo's logits: it is never kept, stored in a run or replayed.

    function: takes the logits of one photo, a tensor `[C]` as the model has them, and returns a scalar that PyTorch
        can differentiate; None if only its name is known, from a report. It may have no hash: targets of one name
        are equal, and `as_targets` gives each function of a list a name of its own.
    """

    name: str
    function: Callable[[Any], Any] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{_DEFINED_BY}{self.name}"

    @classmethod
    def called(cls, text: str) -> PythonTarget:
        """The target of these words, without its function."""
        return cls(text.removeprefix(_DEFINED_BY))


_DEFINED_BY = "defined in Python by "


Target: TypeAlias = int | str | Top | Contrast | PythonTarget
"""What is explained: a class by index or by name, the k-th prediction, a contrast, or what a function computes.

An `int` is always an index; a `str` is a name, or an index where no class is so named (`Labels.index`).
"""

TargetLike: TypeAlias = Target | Callable[[Any], Any]
"""A target, or a function that becomes a `PythonTarget`."""

ClassTable: TypeAlias = list[list[int]]
"""Classes by index, a list of K for each of B images."""


@dataclass(frozen=True)
class ScoredTarget:
    """A `Target` resolved for one model and one photo.

    index, label: the class; `against` and `against_label` are set for a contrast only.
    score: the scalar that was differentiated (a logit, or the difference of two).
    probability: of `index`, in [0, 1], by the model's `Activation`.
    rank: position of `index` among the predictions, from 1.
    A `PythonTarget` is no class: its index is −1, its probability and rank are 0, its label is the target in words.
    """

    index: int
    label: str
    score: float
    probability: float
    rank: int
    against: int | None = None
    against_label: str | None = None

    @property
    def is_class(self) -> bool:
        """Whether a class, or a contrast of two, was differentiated."""
        return self.rank > 0

    @property
    def result(self) -> str:
        """What the model says: a probability such as `62.0 %`, or the value of a function."""
        return percent(self.probability) if self.is_class else f"value {self.score:.4g}"

    def __str__(self) -> str:
        return self.label if self.against_label is None else f"{self.label} rather than {self.against_label}"


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its photos: what its own metadata says.

    size: input height and width in pixels.
    resize: height and width to which the evaluation transform scales the photo, before it cuts `size` from the
        middle; `resize == size` cuts nothing more than the aspect demands.
    mode: `center` scales the shorter side, `squash` both sides, `border` the longer one and fills the rest.
        `center-floor` is `center` as transformers cuts: of an odd number of pixels, the smaller half comes first.
    interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos`, …: a Pillow filter's name in lower case.
    mean, std: per channel, for values in [0, 1].
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    mode: Literal["center", "center-floor", "squash", "border"] = "center"
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class View:
    """How the model's input lies on the photo: the rectangle of the photo that the input shows.

    box: left, top, right, bottom in photo pixels, fractional; beyond the photo's edges where bars were added.
    photo_size, input_size: height and width in pixels.
    """

    box: tuple[float, float, float, float]
    photo_size: tuple[int, int]
    input_size: tuple[int, int]
    fit: Fit

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """The part of the photo that the model saw: left, top, right, bottom in photo pixels."""
        left, top, right, bottom = self.box
        height, width = self.photo_size
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))

    @property
    def coverage(self) -> float:
        """Share of the photo's area that the model saw, in [0, 1]."""
        left, top, right, bottom = self.seen
        return (right - left) * (bottom - top) / (self.photo_size[0] * self.photo_size[1])

    def __repr__(self) -> str:
        left, top, right, bottom = (f"{side:.5g}" for side in self.box)
        photo, shown = (dimensions(*reversed(size)) for size in (self.photo_size, self.input_size))
        seen = percent(self.coverage)
        return f"View({self.fit}: {left}, {top} to {right}, {bottom} of {photo} px, as {shown} px, {seen} seen)"


@dataclass(frozen=True, eq=False)
class Explanation(Shown):
    """What one model looked at in one photo, for one or more targets.

    maps: float32 `[K, h, w]`, raw: in the units of the method, on the method's own grid, never rescaled.
    logits, probabilities: float32 `[C]`; labels: the C class names. A head with a single logit y has two classes,
        whose logits are −y and y.
    layer: the target layer; None if the method reads no layer.
    seconds: wall time of preprocessing, forward and this method; what methods asked together share counts for the
        first that reads it; NaN if it was not kept.
    preprocessing, device, dtype: what the model's input was made with and computed on.
    activation: what made the probabilities of the logits.
    output: which of several outputs of the model the logits are, in words; empty where nobody chose one.
    numerics: how the model's modules computed.
    """

    photo: Photo
    model: ModelSpec
    targets: tuple[ScoredTarget, ...]
    maps: NDArray[np.float32]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    layer: TargetLayer | None
    view: View
    seconds: float
    weights_sha256: str = ""
    method: str = "Grad-CAM"
    preprocessing: Preprocessing | None = None
    device: str = "cpu"
    dtype: str = "float32"
    activation: Activation = "softmax"
    output: str = ""
    numerics: Numerics = "eager"

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the maps in cells: the layer's grid, or one of the method's own."""
        height, width = self.maps.shape[1:]
        return height, width

    @property
    def target_layer(self) -> TargetLayer:
        """The target layer. Raises: LayerError if the method reads no layer."""
        if self.layer is None:
            raise LayerError(f"expected a method that reads a layer, got {self.method}; use Grad-CAM")
        return self.layer

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes as (label, probability), most probable first."""
        order = np.argsort(-self.logits, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]

    def overlay(self, style: Style | None = None, *, position: int = 0) -> NDArray[np.uint8]:
        """The heat of one target over the photo, RGB uint8 `[H, W, 3]`. position: of the target, from 0.

        Raises: OptionError where the style is outside its choices, MapError where the map is not finite.
        """
        return overlay(self, style, position)

    def __repr__(self) -> str:
        shown = [_target_and_heat(*pair) for pair in zip(self.targets[:3], self.maps, strict=False)]
        more = len(self.targets) - len(shown)
        shown += [count(more, "more target")] if more else []
        where = f"{quoted(self.photo.name, 60)}, {_on_one_line(str(self.model))}"
        layer = f"{self.method} {dimensions(*self.grid)}" + (f" at {self.layer.name}" if self.layer else "")
        return f"Explanation({where}, {layer}: {'; '.join(shown)})"


def _target_and_heat(target: ScoredTarget, raw: NDArray[np.float32]) -> str:
    """A target with its probability and what its map holds: `tabby 62.0 %, peak 1.23`."""
    return f"{_on_one_line(str(target), 80)} {target.result}, {_heat(raw)}"


def _heat(raw: NDArray[np.float32]) -> str:
    """What a raw map holds, in a few words: its peak, or that it is empty or not finite."""
    lost = raw.size - int(np.isfinite(raw).sum())
    if lost:
        return f"NaN or infinity in {lost} of {count(raw.size, 'cell')}"
    return f"peak {raw.max():.3g}" if raw.any() else "all zero"


@dataclass(frozen=True)
class PhotoFailure:
    """Why a photo has no explanation: what the photo is called, and the reason, a sentence."""

    photo: str
    reason: str


@dataclass(frozen=True, eq=False)
class Heatmap(Shown):
    """One cell of a comparison that has a map.

    model: the id that the caller gave. method: a row of `methods.METHODS`. target: as it was requested.
    position: of the target among those of the explanation.
    """

    photo: Photo
    model: str
    method: str
    target: Target
    explanation: Explanation
    position: int = 0

    @property
    def map(self) -> NDArray[np.float32]:
        """The raw map `[h, w]`."""
        return self.explanation.maps[self.position]

    @property
    def scored(self) -> ScoredTarget:
        """The target as resolved for this model and photo."""
        return self.explanation.targets[self.position]

    def overlay(self, style: Style | None = None) -> NDArray[np.uint8]:
        """The heat over the photo, RGB uint8 `[H, W, 3]`, full colour being the map's own maximum.

        Raises: OptionError where the style is outside its choices, MapError where the map is not finite.
        """
        return overlay(self, style)

    def __repr__(self) -> str:
        heat = f"{self.method} {dimensions(*self.map.shape)}: {_target_and_heat(self.scored, self.map)}"
        return f"Heatmap({quoted(self.photo.name, 60)}, {_on_one_line(self.model)}, {heat})"


@dataclass(frozen=True, eq=False)
class Failure:
    """One cell of a comparison that has no map, with the reason. The other fields are those of a `Heatmap`."""

    photo: Photo
    model: str
    method: str
    target: Target
    reason: str

    def __repr__(self) -> str:
        where = f"{quoted(self.photo.name, 60)}, {_on_one_line(self.model)}, {self.method}, "
        return f"Failure({where}{_on_one_line(str(self.target), 80)}: {_on_one_line(self.reason)})"


Panel: TypeAlias = Heatmap | Failure
"""One cell of a comparison."""


@dataclass(frozen=True)
class Style:
    """How a raw map is shown, never what it is.

    colormap: a row of `render.COLORMAPS`. opacity: of full heat over the photo, in [0, 1].
    threshold: heat below this share of full scale is left transparent, in [0, 1].
    blend: `evidence` makes less heat clearer, so that the photo is bare where there is no evidence; `even` makes
        all heat as opaque as full heat, which veils all that the model saw.
    """

    colormap: str = "viridis"
    opacity: float = 0.6
    scale: Scale = "each"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    threshold: float = 0.0
    blend: Blend = "evidence"


@dataclass(frozen=True)
class ScaledMap:
    """A raw map on a stated scale: `values` = raw / `vmax`, clipped to [0, 1], or to [−1, 1] if `signed`.

    See `scaling.normalize`.
    """

    values: NDArray[np.float32] = field(repr=False)
    vmax: float
    note: str = ""
    signed: bool = False
