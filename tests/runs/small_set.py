"""A small data set of plain colours, two classifiers whose every number can be worked out, and runs over them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from gradcam import Classifier
from gradcam.forward import Forward
from gradcam.runs import Engine, Run, Settings, start
from tests import plain

SETTINGS = Settings(batch=8, at_once=4, maps="float32")
RED, BLUE = (255, 0, 0), (0, 0, 255)
NET = "timm/test_resnet (untrained, seed 1)"
"""A model that another process can load, too."""


def classifiers() -> list[Classifier]:
    """Of red and blue photos: one looks at the class's own colour, the other at green as well."""
    names = ["red", "blue"]
    return [
        plain.classifier(names, [[8, 0, 0], [0, 0, 8]], name="own"),
        plain.classifier(names, [[8, 2, 0], [0, 2, 8]], name="green"),
    ]


def write_photo(path: Path, number: int) -> None:
    """8×8 pixels: red where the folder is called so, else blue; every photo is another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.array(RED if path.parent.name == "red" else BLUE)
    random = np.random.default_rng(number)
    pixels = colour * random.uniform(0.3, 1, (8, 8, 1)) + random.uniform(0, 60, (8, 8, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def write_set(folder: Path, photos: int) -> Path:
    """As many photos, half of them in the folder `red`, half in `blue`."""
    for number in range(photos):
        write_photo(folder / ("red" if number % 2 else "blue") / f"{number:05}.png", number)
    return folder


def run_over(data: Path, out: Path, models: list[Classifier] | None = None, **more: Any) -> Run:
    """A run of both classifiers for the top class and the label."""
    engine = more.pop("engine", None) or Engine(workers=2)
    given = classifiers() if models is None else models
    layers = {str(model.spec): "grid" for model in given}
    settings = more.pop("settings", SETTINGS)
    return start(
        data,
        given,
        more.pop("targets", ["top", "label"]),
        out=out,
        layer=layers,
        settings=settings,
        engine=engine,
        **more,
    )


def shards_of(run: Run) -> dict[str, bytes]:
    """The bytes of every shard, by name."""
    folder = run.folder / "shards"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


TIMES = {"shards": {"at"}, "photos": {"bytes", "changed"}}
"""Columns of the index that say when something happened, and in what state files were met."""


def rows_of(run: Run) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the index but for times, by table."""
    with sqlite3.connect(run.folder / "index.sqlite") as index:
        tables = [name for (name,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = [row[1] for row in index.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(f'"{name}"' for name in columns if name not in TIMES.get(table, ()))
            found[table] = sorted(index.execute(f"SELECT {kept} FROM {table}"), key=repr)
    index.close()
    return found


def computes_nothing() -> mock._patch[object]:
    """While it is patched, no forward may run."""
    return mock.patch.object(Forward, "of", side_effect=AssertionError("a forward"))
