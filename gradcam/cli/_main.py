"""The command line: the package's verbs with a progress bar, one sentence for every error and exit code 2."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from gradcam._compare import compare
from gradcam.cli import terminal
from gradcam.cli.options import (
    add_activation_option,
    add_checkpoint_options,
    requested_activations,
    requested_models,
)
from gradcam.cli.report import add_report_commands
from gradcam.comparison import Comparison
from gradcam.draw.contact_sheet import grid_png
from gradcam.draw.page import comparison_html
from gradcam.draw.render import COLORMAPS, check_style, three_panels
from gradcam.errors import OptionError, quoted
from gradcam.files import make_folder, refuse_existing, refuse_full_folder, write_whole
from gradcam.layers.layer_table import known_models, layer_row, write_layer_table
from gradcam.layers.measurement_table import models_to_measure, write_measured_table
from gradcam.layers.placement import Verdict
from gradcam.models.catalogue import search
from gradcam.models.classifier import Classifier, check_seed, load_classifier
from gradcam.models.ids import parse_model_id
from gradcam.models.pool import ModelPool
from gradcam.models.sources import SOURCES
from gradcam.photo_file import open_photos, photo_file, refuse_none_readable
from gradcam.preprocess import FITS
from gradcam.report import read_layer
from gradcam.targets import read_targets
from gradcam.text import shorten
from gradcam.types import Failure, Heatmap, Panel, Style


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 where a panel failed or a check did not hold; 2 for bad input or a machine that does not do its part;
    130 for Ctrl-C, 143 for SIGTERM, and 141 where nobody reads what is written any more.
    """

    def command() -> int:
        options = _parser().parse_args(arguments)
        return options.run(options)

    return terminal.run(command)


def _parser() -> argparse.ArgumentParser:
    parser = terminal.Parser(
        prog="gradcam", description="What do these image classifiers look at, and do they agree?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("explain", _explain, "Compute heatmaps of photos with one or more models, side by side.")
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help="PNG, JPEG, WebP, GIF, TIFF or BMP")
    sub.add_argument("--model", action="append", default=[], metavar="ID", help="see `gradcam models`; repeatable")
    sub.add_argument(
        "--class",
        action="append",
        dest="classes",
        metavar="CLASS",
        help="a class by name, index (`#281`), `top`, `top-2` or `A rather than B`; repeatable [top]",
    )
    sub.add_argument(
        "--out", required=True, type=terminal.path, metavar="DIR", help="folder for pictures, maps and page"
    )
    sub.add_argument("--layer", default="auto", help="module to draw on, or several: `a + b` [found by itself]")
    sub.add_argument("--fit", default="crop", choices=FITS, help="how a photo meets the input [crop]")
    sub.add_argument("--stretch", action="store_true", help="show each photo's brightest level as white")
    sub.add_argument(
        "--colormap", default=Style.colormap, metavar="|".join(COLORMAPS), help="of the heat [viridis]"
    )
    sub.add_argument("--opacity", default=Style.opacity, type=float, help="of the heat, 0 to 1 [0.5]")
    sub.add_argument(
        "--scale", default=Style.scale, choices=("each", "model", "shared"), help="whose peak is hot [each]"
    )
    sub.add_argument("--random", action="store_true", help="seeded random weights: untrained, for teaching")
    sub.add_argument("--seed", default=0, type=int, help="for --random [0]")
    sub.add_argument("--force", action="store_true", help="overwrite files in DIR")
    add_checkpoint_options(sub)
    add_activation_option(sub)

    sub = command("models", _models, "List the models that can be compared.")
    sub.add_argument("search", nargs="?", default="", metavar="SEARCH", help="part of a name")

    sub = command("layers", _layers, "Find the target layer of models from their shapes alone, without weights.")
    sub.add_argument("models", nargs="*", metavar="ID", help="such as timm/convnext_tiny")
    sub.add_argument("--all", action="store_true", help="every builder of torchvision and every name in timm")
    sub.add_argument(
        "--out", type=terminal.path, metavar="FILE.csv", help="write a table, and counts by family beside it"
    )
    sub.add_argument(
        "--measure",
        action="store_true",
        help="build models with random weights, one of each family by default, and measure their places; rows that "
        "--out has already are kept, so that a stopped run goes on",
    )

    add_report_commands(command)
    return parser


def _explain(options: argparse.Namespace) -> int:
    style = Style(options.colormap, options.opacity, options.scale)
    check_style(style)
    check_seed(options.seed)
    layer = read_layer(options.layer)
    refuse_full_folder(options.out, options.force)
    models = requested_models(options)
    targets = read_targets(options.classes, models)
    activation = requested_activations(options, models)
    photos = open_photos(options.photos, partial(photo_file, stretch=options.stretch))
    refuse_none_readable(photos)
    terminal.say_notes(photos)

    def load(model_id: str) -> Classifier:
        return load_classifier(model_id, weights="random" if options.random else None, seed=options.seed)

    use = ModelPool(load=load).use
    with terminal.comparing(len(models), len(photos)) as show:
        comparison = compare(
            models,
            photos,
            targets,
            fit=options.fit,
            layer=layer,
            activation=activation,
            use=use,
            on_progress=show,
        )
    for panel in comparison.panels:
        terminal.tell(_sentence(panel))
    _write(options.out, comparison, style)
    terminal.tell(f"Wrote {options.out / 'comparison.html'}, comparison.png and {len(comparison.heatmaps)} map(s)")
    return terminal.DIFFERENT if comparison.failures else 0


def _models(options: argparse.Namespace) -> int:
    entries = search(options.search)
    if not entries:
        raise OptionError(
            f"expected a part of a model's name, got {quoted(options.search)}, which none has; shorten it"
        )
    for entry in entries:
        print(f"{entry.id:<60} {entry.weights}")
    return 0


def _measure(options: argparse.Namespace) -> int:
    """Measure the target layers of models, and say how many are confirmed."""
    out: Path | None = options.out
    if out is None or out.suffix != ".csv" or not out.resolve().parent.is_dir():
        raise OptionError(f"expected a .csv file in a folder that exists for --out, got {quoted(out)}; name one")
    models = [_built_alone(model_id) for model_id in options.models] or models_to_measure()
    with terminal.progress(len(models), "model") as show:
        verdicts = write_measured_table(models, out, show)
    print(", ".join(f"{verdicts[verdict]} {verdict}" for verdict in (*get_args(Verdict), "failed")))
    return 1 if verdicts["contradicted"] or verdicts["failed"] else 0


def _layers(options: argparse.Namespace) -> int:
    if options.measure:
        return _measure(options)
    models = known_models() if options.all else [_built_alone(model_id) for model_id in options.models]
    if not models:
        raise OptionError("expected the ids of models, got none; name some or add --all")
    out: Path | None = options.out
    if out is not None:
        if out.suffix != ".csv":
            raise OptionError(f"expected a .csv file for --out, got {quoted(out)}; name another")
        refuse_existing(out, force=True)
    if out is None:
        rows = [layer_row(model) for model in models]
    else:
        with terminal.progress(len(models), "model") as show:
            rows = write_layer_table(models, out, show)
        terminal.tell(f"Wrote {out} and {out.with_suffix('.md').name}")
    if not options.all:
        for row in rows:
            found = f"{row.layer} · {row.grid} · {row.channels} channels · {row.layout} · {row.rule}"
            terminal.tell(f"{row.model} · {f'REFUSED: {row.refused}' if row.refused else found}")
    print(f"{sum(not row.refused for row in rows)} of {len(rows)} resolved")
    return 0


def _built_alone(model_id: str) -> str:
    """The id without weights, on which no layer depends. Raises: GradcamError."""
    spec = parse_model_id(model_id)
    if not SOURCES[spec.source].listed:
        raise OptionError(
            f"expected a model that is built without a network, got {quoted(model_id)}; name its "
            "architecture, such as timm/resnet18"
        )
    return f"{spec.source}/{spec.name}"


def _sentence(panel: Panel) -> str:
    where = f"{panel.photo.name} · {panel.model}"
    if isinstance(panel, Failure):
        return f"{where} · FAILED: {panel.reason}"
    layer = panel.explanation.layer
    return f"{where} · {panel.scored} {panel.scored.probability:.1%} · layer {layer} · {layer.rule}"


def _write(folder: Path, comparison: Comparison, style: Style) -> None:
    """Pictures and raw maps first, so that a folder with `comparison.html` in it is complete."""
    make_folder(folder)
    for number, panel in enumerate(comparison.panels, start=1):
        if isinstance(panel, Heatmap):
            stem = folder / _stem(number, panel)
            with write_whole(f"{stem}.png") as file:
                Image.fromarray(three_panels(panel, style)).save(file, "PNG")
            with write_whole(f"{stem}.npy") as file:
                file.write(_npy(panel.map))
    for name, data in (
        ("comparison.png", grid_png(comparison, style)),
        ("comparison.html", comparison_html(comparison, style).encode(errors="backslashreplace")),
    ):
        with write_whole(folder / name) as file:
            file.write(data)


def _npy(values: np.ndarray) -> bytes:
    """An array as `numpy.load` reads it; NumPy itself does not say what is wrong with a disk that is full."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def _stem(number: int, panel: Heatmap) -> str:
    """A file's name, without suffix, that every disk holds: in ASCII where the machine knows no other letters."""
    said = f"{number:03}-{panel.photo.name}-{panel.model}-{panel.scored}"
    ascii_alone = sys.getfilesystemencoding() != "utf-8"
    stem = re.sub(r"[^\w.-]+", "-", said, flags=re.ASCII if ascii_alone else 0)
    return shorten(stem, 60 if len(stem) < len(stem.encode()) else 180)
