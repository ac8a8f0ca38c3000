"""Make the sample set from the two sample photos and drawn scenes: `python -m tests.sample_set`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from gradcam import sample_photo

SIZE = 320, 240
"""Width and height of each photo in pixels."""

Box = tuple[int, int, int, int]
SUBJECTS: dict[str, tuple[str, Box]] = {
    "tabby": ("chelsea", (40, 0, 360, 285)),
    "espresso": ("coffee", (170, 15, 415, 310)),
}
"""A label, the sample photo that shows it, and where, in its pixels: the cat's head, the cup."""


def _gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 90 + 0.3 * x + 0.2 * y


def _stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((x + y) // 24 % 2 == 0, 70, 170)


def _checks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((x // 40 + y // 40) % 2 == 0, 60, 200)


SCENES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
}
PLACES = {"left": 0.0, "middle": 0.5, "right": 1.0}


def main() -> None:
    folder = Path(__file__).parents[1] / "gradcam" / "data" / "sample_set"
    rows = [*_alone(folder), *_beside(folder)]
    with (folder / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _alone(folder: Path) -> list[dict[str, str]]:
    """Each subject in each scene at each place."""
    return [
        _save(folder, label, scene, place, *_composed(scene, {label: PLACES[place]}, label))
        for label, scene, place in product(SUBJECTS, SCENES, PLACES)
    ]


def _beside(folder: Path) -> list[dict[str, str]]:
    """Both subjects in one photo; the label is one of them, and the box is its own."""
    return [
        _save(folder, label, f"{scene} beside", place, *_composed(scene, {label: here, other: 1 - here}, label))
        for (label, other), scene in product((("tabby", "espresso"), ("espresso", "tabby")), SCENES)
        for place, here in (("left", 0.0),)
    ]


def _composed(scene: str, subjects: dict[str, float], label: str) -> tuple[Image.Image, Box]:
    """A scene with subjects, each at its share of the width that is left, and the box of one."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(np.float64)
    grey = SCENES[scene](x, y)
    image = Image.fromarray(np.stack([grey, 0.9 * grey, 0.8 * grey], 2).astype(np.uint8))
    found: Box | None = None
    for name, share in subjects.items():
        photo, crop = SUBJECTS[name]
        cut = Image.fromarray(sample_photo(photo).pixels).crop(crop)
        cut.thumbnail((150, 170))
        left, top = round(share * (SIZE[0] - cut.width - 16)) + 8, (SIZE[1] - cut.height) // 2
        image.paste(cut, (left, top))
        if name == label:
            found = (left, top, left + cut.width, top + cut.height)
    assert found is not None
    return image, found


def _save(folder: Path, label: str, scene: str, place: str, image: Image.Image, box: Box) -> dict[str, str]:
    path = folder / label / f"{scene.replace(' ', '-')}-{place}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90)
    return {
        "path": path.relative_to(folder).as_posix(),
        "label": label,
        "box": ",".join(map(str, box)),
        "scene": scene,
        "place": place,
    }


if __name__ == "__main__":
    main()
