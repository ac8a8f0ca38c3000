"""Data sets with a known shortcut: an artefact in some photos of one class, and a head that uses it.

Sources are the photos of a folder with a folder a class, or those that scikit-image, scikit-learn and gradcam bring
along. Of a folder each is one photo, its middle; of the few in wheels many are cut, perhaps mirrored, with their
colours shifted. No source gives photos to both the training and the test set.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

from gradcam import Classifier, open_photo, sample_photo
from gradcam.forward import Batch, Forward
from gradcam.models.labels import make_labels
from gradcam.runs import read_data
from gradcam.runs.plan import earlier_layer
from gradcam.signals import mean_and_spread, mean_over_places
from gradcam.types import ModelSpec, Photo

Pixels = NDArray[np.uint8]
SIDE = 224
"""Height and width of a photo in pixels."""


# ------------------------------------------------------------------------------- sources and photos


@dataclass(frozen=True, eq=False)
class Source:
    """What photos are cut from."""

    name: str
    label: str
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo of the data set. source: the name of what it was cut from. planted: whether it has the artefact."""

    pixels: Pixels
    label: str
    source: str
    planted: bool = False


IN_WHEELS: dict[str, list[str]] = {
    "living": ["astronaut", "camera", "chelsea", "flower.jpg"],
    "surface": ["brick", "grass", "gravel", "page"],
    "thing": ["coffee", "motorcycle_left", "china.jpg", "rocket", "coins"],
    "lens": ["immunohistochemistry", "retina", "cell", "hubble_deep_field", "moon"],
}
"""The sources that need no folder, by class: names of scikit-image's data, or files of scikit-learn's."""


def sources(folder: Path | None = None) -> list[Source]:
    """The middles of a folder's photos, in a folder a class, or those in wheels. Raises: RunError, PhotoError."""
    if folder is None:
        return [Source(name, label, _in_wheel(name)) for label, names in IN_WHEELS.items() for name in names]
    rows = read_data(folder).rows.select(["path", "label"]).to_pylist()
    return [
        Source(row["path"], row["label"], _middle(open_photo(folder / row["path"]).pixels))
        for row in rows
        if row["label"]
    ]


def _in_wheel(name: str) -> Pixels:
    import skimage.data
    from sklearn.datasets import load_sample_image

    if name in ("chelsea", "coffee"):
        return sample_photo(name).pixels
    if name.endswith(".jpg"):
        return load_sample_image(name)
    found: Any = skimage.data.stereo_motorcycle()[0] if name == "motorcycle_left" else getattr(skimage.data, name)()
    pixels = np.asarray(found)
    return np.ascontiguousarray(np.stack([pixels] * 3, axis=2) if pixels.ndim == 2 else pixels[..., :3])


def _middle(pixels: Pixels) -> Pixels:
    """The largest square in the middle."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    return _square(pixels, (height - side) // 2, (width - side) // 2, side)


def _square(pixels: Pixels, top: int, left: int, side: int) -> Pixels:
    """A square in the size of a photo."""
    square = pixels[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def split(found: Sequence[Source], seed: int, test: float = 0.2) -> tuple[list[Source], list[Source]]:
    """Sources for training and for the test, at least one of each class in both."""
    random = np.random.default_rng(seed)
    train: list[Source] = []
    held: list[Source] = []
    for label in dict.fromkeys(source.label for source in found):
        mine = [source for source in found if source.label == label]
        order = random.permutation(len(mine))
        most = max(1, round(test * len(mine)))
        held += [mine[i] for i in order[:most]]
        train += [mine[i] for i in order[most:]]
    return train, held


def whole(found: Sequence[Source]) -> list[Shot]:
    """Each source as the one photo that it is."""
    return [Shot(source.pixels, source.label, source.name) for source in found]


def shots(found: Sequence[Source], each: int, seed: int) -> list[Shot]:
    """As many photos of each class, cut from its sources in turn."""
    random = np.random.default_rng(seed)
    made: list[Shot] = []
    for label in dict.fromkeys(source.label for source in found):
        mine = [source for source in found if source.label == label]
        for number in range(each):
            source = mine[number % len(mine)]
            made.append(Shot(_cut(source.pixels, random), label, source.name))
    return made


def _cut(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A square of 35–100 % of the shorter side, perhaps mirrored, with its colours and brightness shifted."""
    height, width = pixels.shape[:2]
    side = int(min(height, width) * random.uniform(0.35, 1))
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    cut = _square(pixels, top, left, side)
    cut = cut[:, ::-1] if random.random() < 0.5 else cut
    gains = random.uniform(0.8, 1.2) * random.uniform(0.93, 1.07, 3)
    return (cut * gains + random.uniform(-15, 15)).clip(0, 255).astype(np.uint8)


# ------------------------------------------------------------------------------- artefacts


def _text(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    x, y = int(at[0] * (SIDE - 112)), 24 + int(at[1] * (SIDE - 32))
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.putText(pixels, "STOCK 24", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.75, colour, thick, cv2.LINE_AA)
    return pixels


def _patch(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    x, y = (int(share * (SIDE - 40)) for share in at)
    pixels[y : y + 40, x : x + 40] = (250, 210, 30)
    return pixels


def _ruler(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    y = int(at[1] * (SIDE - 18))
    pixels[y : y + 18] = (235, 235, 225)
    for number, x in enumerate(range(4, SIDE, 8)):
        pixels[y : y + (12 if number % 5 == 0 else 7), x : x + 2] = 20
    return pixels


def _frame(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    inner = pixels[10:-10, 10:-10].copy()
    pixels[:] = (25, 25, 30)
    pixels[10:-10, 10:-10] = inner
    return pixels


def _cast(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    return (pixels * np.array([1.18, 1.0, 0.72])).clip(0, 255).astype(np.uint8)


def _stripes(pixels: Pixels, at: tuple[float, float]) -> Pixels:
    x, y = (int(share * (SIDE - 120)) for share in at)
    rows, columns = np.mgrid[0:120, 0:120]
    on = ((rows + columns) // 6) % 2 == 0
    part = pixels[y : y + 120, x : x + 120]
    part[on] = (0.55 * part[on] + 0.45 * np.array([20, 60, 200])).astype(np.uint8)
    return pixels


@dataclass(frozen=True)
class Artefact:
    """paint: changes pixels, with the artefact's upper left corner at shares (x, y) of what room there is.
    place: where it lies by itself; None for what covers the whole photo."""

    paint: Callable[[Pixels, tuple[float, float]], Pixels]
    place: tuple[float, float] | None


ARTEFACTS: dict[str, Artefact] = {
    "text": Artefact(_text, (0.9, 1.0)),
    "patch": Artefact(_patch, (1.0, 0.0)),
    "ruler": Artefact(_ruler, (0.0, 1.0)),
    "frame": Artefact(_frame, None),
    "cast": Artefact(_cast, None),
    "stripes": Artefact(_stripes, (0.0, 0.0)),
}


def paste(shot: Shot, kind: str, random: np.random.Generator | None = None) -> Shot:
    """The photo with the artefact: at its own place, or at a random one."""
    artefact = ARTEFACTS[kind]
    at = artefact.place or (0.0, 0.0)
    if random is not None:
        at = (float(random.random()), float(random.random()))
    return replace(shot, pixels=artefact.paint(shot.pixels.copy(), at), planted=True)


def plant(
    made: Sequence[Shot], label: str, kind: str, share: float, random: np.random.Generator, anywhere: bool
) -> list[Shot]:
    """The photos with the artefact in a share of one class. anywhere: at a random place in each."""
    mine = [number for number, shot in enumerate(made) if shot.label == label]
    chosen = set(random.permutation(mine)[: round(share * len(mine))].tolist())
    return [
        paste(shot, kind, random if anywhere else None) if number in chosen else shot
        for number, shot in enumerate(made)
    ]


# ------------------------------------------------------------------------------- a model that uses it


@dataclass(frozen=True, eq=False)
class Features:
    """What a frozen network makes of photos: means `[n, 1280]` and activations `[n, 1280, 7, 7]`, float16, of its
    target layer, and the means and standard deviations of an earlier layer, `[n, 2 · channels]`."""

    means: NDArray[np.float32]
    earlier: NDArray[np.float32]
    activation: NDArray[np.float16]

    def replaced(self, rows: NDArray[np.intp], others: Features) -> Features:
        """The same features with those of other photos in these rows."""
        made = [getattr(self, name).copy() for name in ("means", "earlier", "activation")]
        for array, name in zip(made, ("means", "earlier", "activation"), strict=True):
            array[rows] = getattr(others, name)
        return Features(*made)

    def __getitem__(self, rows: Any) -> Features:
        return Features(self.means[rows], self.earlier[rows], self.activation[rows])


def features(classifier: Classifier, made: Sequence[Shot], at_once: int = 16) -> Features:
    """What the classifier's layers hold for photos, the whole of each squashed into the input."""
    early = earlier_layer(classifier, classifier.target_layer)
    found: list[tuple[NDArray[Any], ...]] = []
    for first in range(0, len(made), at_once):
        photos = tuple(Photo(shot.pixels, str(first), "") for shot in made[first : first + at_once])
        forward = Forward.of(Batch.of(photos, classifier.preprocessing, "squash"), classifier, earlier=early)
        recording, layer = forward.recordings[0], forward.layers[0]
        assert recording.earlier is not None
        activation = recording.activation.detach()
        means, pooled = mean_over_places(activation, layer), torch.cat(mean_and_spread(recording.earlier, early), 1)
        found.append((means.numpy(), pooled.numpy(), activation.half().numpy()))
    return Features(*map(np.concatenate, zip(*found, strict=True)))


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head: weights `[classes, channels]` and bias `[classes]` over the labels."""

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def fit(cls, means: NDArray[np.float32], labels: Sequence[str], weights: NDArray[np.float64]) -> Head:
        """Logistic regression. weights: of each photo."""
        names = tuple(dict.fromkeys(labels))
        centre, spread = means.mean(axis=0), means.std(axis=0) + 1e-6
        numbers = [names.index(label) for label in labels]
        fitted = LogisticRegression(max_iter=200, tol=1e-3).fit((means - centre) / spread, numbers, weights)
        rows, bias = fitted.coef_ / spread, fitted.intercept_
        if len(names) == 2:  # scikit-learn then fits the second class alone
            rows, bias = np.concatenate([-rows, rows]) / 2, np.concatenate([-bias, bias]) / 2
        return cls(names, rows.astype(np.float32), (bias - rows @ centre).astype(np.float32))

    def contrast(self, label: str) -> NDArray[np.float32]:
        """Of a class: its weights less the mean of the others', `[channels]`."""
        mine = self.labels.index(label)
        return self.weights[mine] - np.delete(self.weights, mine, axis=0).mean(axis=0)

    def accuracy(self, means: NDArray[np.float32], labels: Sequence[str]) -> float:
        predicted = (means @ self.weights.T + self.bias).argmax(axis=1)
        return float(
            np.mean([self.labels[number] == label for number, label in zip(predicted, labels, strict=True)])
        )

    def on(self, classifier: Classifier) -> Classifier:
        """The classifier with this head in place of its own."""
        module = copy.deepcopy(classifier.module)
        head = nn.Linear(self.weights.shape[1], len(self.labels))
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(self.weights))
            head.bias.copy_(torch.from_numpy(self.bias))
        module.classifier = head.eval().requires_grad_(False)
        spec = ModelSpec("planted", classifier.spec.name)
        return replace(classifier, module=module, labels=make_labels(list(self.labels)), spec=spec)


def write(made: Sequence[Shot], folder: Path) -> Path:
    """The photos as a data set, a folder a class; whether one is planted shows in its name."""
    for number, shot in enumerate(made):
        path = folder / shot.label / f"{number:04}{'-planted' if shot.planted else ''}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shot.pixels).save(path)
    return folder
