"""The command line: the package's verbs with a progress bar, one sentence for every error and exit code 2."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image
from tqdm import tqdm

from gradcam.compare import Progress, compare
from gradcam.draw.page import comparison_html
from gradcam.draw.render import COLORMAPS, check_style, three_panels
from gradcam.draw.sheet import grid_png
from gradcam.errors import GradcamError, OptionError
from gradcam.layers.table import known_models, layer_row, write_layer_table
from gradcam.models.catalogue import search
from gradcam.models.checkpoint_options import add_checkpoint_options, wanted_models
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.ids import parse_model_id
from gradcam.models.pool import ModelPool
from gradcam.models.sources import SOURCES
from gradcam.photo import open_photo
from gradcam.preprocess import FITS
from gradcam.report import add_report_commands
from gradcam.targets import parse_target
from gradcam.types import Comparison, Panel, Style

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 where some panels failed, 2 for bad input, 130 for Ctrl-C."""
    try:
        options = _parser().parse_args(arguments)
        return options.run(options)
    except GradcamError as error:
        print(f"gradcam: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("gradcam: stopped", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every option before it."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"expected options as `{self.prog} --help` lists them; {message}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradcam", description="What do these image classifiers look at, and do they agree?")
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
        help="a class by name or index, `top`, `top-2` or `A rather than B`; repeatable [top]",
    )
    sub.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for pictures, maps and page")
    sub.add_argument("--layer", default="auto", help="module to draw on, or several: `a + b` [found by itself]")
    sub.add_argument("--fit", default="crop", metavar="|".join(FITS), help="how a photo meets the input [crop]")
    sub.add_argument("--colormap", default=Style.colormap, metavar="|".join(COLORMAPS), help="[viridis]")
    sub.add_argument("--opacity", default=Style.opacity, type=float, help="of the heat, 0 to 1 [0.5]")
    sub.add_argument("--scale", default=Style.scale, choices=("each", "model", "shared"), help="[each]")
    sub.add_argument("--random", action="store_true", help="seeded random weights: untrained, for teaching")
    sub.add_argument("--seed", default=0, type=int, help="for --random [0]")
    sub.add_argument("--force", action="store_true", help="overwrite files in DIR")
    add_checkpoint_options(sub)

    sub = command("models", _models, "List the models that can be compared.")
    sub.add_argument("search", nargs="?", default="", metavar="SEARCH", help="part of a name")

    sub = command("layers", _layers, "Find the target layer of models from their shapes alone, without weights.")
    sub.add_argument("models", nargs="*", metavar="ID", help="such as timm/convnext_tiny")
    sub.add_argument("--all", action="store_true", help="every builder of torchvision and every name in timm")
    sub.add_argument("--out", type=Path, metavar="FILE.csv", help="write a table, and counts by family beside it")

    add_report_commands(command)
    return parser


def _explain(options: argparse.Namespace) -> int:
    style = Style(options.colormap, options.opacity, options.scale)
    check_style(style)
    photos = [open_photo(path) for path in options.photos]
    targets = [parse_target(text) for text in options.classes or ["top"]]
    _claim(options.out, options.force)
    models = wanted_models(options)

    def load(model_id: str) -> Classifier:
        return load_classifier(model_id, weights="random" if options.random else None, seed=options.seed)

    with closing(tqdm(total=len(models) * (len(photos) + 1), unit="step", leave=False)) as bar:

        def show(progress: Progress) -> None:
            bar.n = progress.done
            bar.set_description(f"{progress.model}: {progress.photo or 'loading'}")

        comparison = compare(
            models,
            photos,
            targets,
            fit=options.fit,
            layer=int(options.layer) if options.layer.isdigit() else options.layer,
            lend=ModelPool(load=load).lend,
            on_progress=show,
        )
    for panel in comparison.panels:
        print(_sentence(panel))
    _write(options.out, comparison, style)
    print(f"Wrote {options.out / 'comparison.html'}, comparison.png and {_found(comparison)} map(s)")
    return 1 if comparison.failures else 0


def _models(options: argparse.Namespace) -> int:
    entries = search(options.search)
    if not entries:
        raise OptionError(f"expected a part of a model's name, got {options.search!r}, which none has; shorten it")
    for entry in entries:
        print(f"{entry.id:<60} {entry.weights}")
    return 0


def _layers(options: argparse.Namespace) -> int:
    models = known_models() if options.all else [_built_alone(model_id) for model_id in options.models]
    if not models:
        raise OptionError("expected the ids of models, got none; name some or add --all")
    if options.out is not None and not (options.out.suffix == ".csv" and options.out.parent.is_dir()):
        raise OptionError(
            f"expected a .csv file in a folder that exists for --out, got {options.out}; name another"
        )
    if options.out is None:
        rows = [layer_row(model) for model in models]
    else:
        with closing(tqdm(total=len(models), unit="model", leave=False)) as bar:

            def show(done: int, model: str) -> None:
                bar.n = done
                bar.set_description(model)

            rows = write_layer_table(models, options.out, show)
        print(f"Wrote {options.out} and {options.out.with_suffix('.md').name}")
    if not options.all:
        for row in rows:
            found = f"{row.layer} · {row.grid} · {row.channels} channels · {row.layout} · {row.rule}"
            print(f"{row.model} · {f'REFUSED: {row.refused}' if row.refused else found}")
    print(f"{sum(not row.refused for row in rows)} of {len(rows)} resolved")
    return 0


def _built_alone(model_id: str) -> str:
    """The id without weights, on which no layer depends. Raises: GradcamError."""
    spec = parse_model_id(model_id)
    if not SOURCES[spec.source].listed:
        raise OptionError(
            f"expected a model that is built without a network, got {model_id!r}; name its architecture, such as "
            "timm/resnet18"
        )
    return f"{spec.source}/{spec.name}"


def _sentence(panel: Panel) -> str:
    where = f"{panel.photo.name} · {panel.model}"
    if panel.explanation is None or panel.target is None:
        return f"{where} · FAILED: {panel.reason}"
    layer = panel.explanation.layer
    return f"{where} · {panel.target} {panel.target.probability:.1%} · layer {layer} · {layer.rule}"


def _found(comparison: Comparison) -> int:
    return len(comparison.panels) - len(comparison.failures)


def _claim(folder: Path, force: bool) -> None:
    """Refuse a folder that holds files already, before any model runs."""
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"expected a folder for --out, got the file {folder}; name another")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise OptionError(f"expected an empty folder for --out, got {folder} with files in it; add --force")


def _write(folder: Path, comparison: Comparison, style: Style) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.png").write_bytes(grid_png(comparison, style))
    (folder / "comparison.html").write_text(comparison_html(comparison, style), encoding="utf-8")
    for number, panel in enumerate(comparison.panels, start=1):
        if panel.map is not None:
            stem = re.sub(r"[^\w.-]+", "-", f"{number:03}-{panel.photo.name}-{panel.model}-{panel.target}")
            Image.fromarray(three_panels(panel, style)).save(folder / f"{stem}.png")
            np.save(folder / f"{stem}.npy", panel.map)
