"""The options that `explain` and `report` share, described once, and read into one value.

Options that make no sense are refused before a photo is explained. A checkpoint is loaded last, because only it
knows its classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from os.path import lexists
from pathlib import Path
from typing import cast, get_args

from gradcam._compare import compare
from gradcam.cli import terminal
from gradcam.cli.model_options import (
    add_checkpoint_options,
    add_exact_option,
    add_method_option,
    by_model,
    layer_choices,
    load_checkpoints,
    models_in_memory,
    of_model,
)
from gradcam.comparison import Comparison
from gradcam.draw import SEQUENTIAL, check_style
from gradcam.errors import OptionError
from gradcam.geometry import Interpolation
from gradcam.kinds import expect_one_of, expect_seed
from gradcam.layers import LayerChoices
from gradcam.methods import GRADCAM, find_methods
from gradcam.model_spec import is_checkpoint
from gradcam.models import Classifier, parse_model_id
from gradcam.photo import SAMPLES, sample_photo
from gradcam.photo_file import open_photos, photo_file, refuse_none_readable
from gradcam.targets import read_targets
from gradcam.types import ACTIVATIONS, FITS, Activation, Blend, Fit, Photo, Scale, Style, Target


@dataclass(frozen=True)
class Request:
    """What is computed and how it is shown, as the shared options say it.

    layer, activation: by model id; the other models use their own.
    """

    models: tuple[str | Classifier, ...]
    photos: tuple[Photo, ...]
    targets: tuple[Target, ...]
    methods: tuple[str, ...]
    fit: Fit
    layer: Mapping[str, LayerChoices]
    activation: Mapping[str, Activation]
    style: Style
    exact: bool = False

    def compare(self, batch_size: int = 1) -> Comparison:
        """Explain every photo with every model, while the terminal shows how far it is.

        batch_size: photos of one forward.
        """
        with terminal.comparing(len(self.models), len(self.photos)) as show:
            return compare(
                self.models,
                self.photos,
                self.targets,
                methods=self.methods,
                fit=self.fit,
                layer=self.layer,
                activation=self.activation,
                use=models_in_memory(exact=self.exact).use,
                batch_size=batch_size,
                on_progress=show,
            )


# ------------------------------------------------------------------------------- what the options are


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `read_request` reads."""
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO", help=f"a picture, or a sample: {', '.join(SAMPLES)}")
    add("--model", action="append", default=[], metavar="ID", help="see `gradcam models`; repeatable")
    add(
        "--class",
        action="append",
        dest="classes",
        metavar="CLASS",
        help="a class by name, index (`#281`), `top`, `top-2` or `A rather than B`; repeatable [top]",
    )
    add_method_option(parser)
    add(
        "--layer",
        action="append",
        default=[],
        metavar="[ID=]LAYER",
        help="a module's name, its place among the candidates (-1: the last), or several: `a + b`; of every model "
        "or of one; repeatable [auto]",
    )
    add("--fit", default="crop", choices=FITS, help="how a photo meets the input [crop]")
    add("--stretch", action="store_true", help="show each photo's brightest level as white")
    add(
        "--activation",
        action="append",
        default=[],
        metavar=f"[ID=]{'|'.join(ACTIVATIONS)}",
        help="how scores become probabilities, of every model or of one: sigmoid for a multi-label head; "
        "repeatable [as the model says, else softmax]",
    )
    add("--random", action="store_true", help="seeded random weights for each --model: untrained, for teaching")
    add("--seed", default=0, type=int, help="for --random [0]")
    add_exact_option(parser)
    add("--force", action="store_true", help="replace files that exist")
    _add_style_options(parser)
    add_checkpoint_options(parser)


def _add_style_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how maps are shown").add_argument
    add("--colormap", default=Style.colormap, metavar="|".join(SEQUENTIAL), help="of the heat [viridis]")
    add("--opacity", default=Style.opacity, type=float, help=f"of full heat, 0 to 1 [{Style.opacity}]")
    add(
        "--blend",
        default=Style.blend,
        choices=get_args(Blend),
        help="less heat is clearer, or all alike [evidence]",
    )
    add("--scale", default=Style.scale, choices=get_args(Scale), help="whose peak is hot [each]")
    add(
        "--interpolation",
        default=Style.interpolation,
        choices=get_args(Interpolation),
        help="between the cells of a map [bilinear]",
    )
    add("--threshold", default=Style.threshold, type=float, help="heat below is left out, 0 to 1 [0]")


# ------------------------------------------------------------------------------- what they come to


def read_request(options: argparse.Namespace) -> Request:
    """The value of the shared options.

    A checkpoint stands where `--model` names its id, else at the end.
    Raises: GradcamError for the first option that makes no sense.
    """
    methods = tuple(method.name for method in find_methods(options.method or GRADCAM.name))
    style = Style(**{field.name: getattr(options, field.name) for field in fields(Style)})
    check_style(style)
    layers = [of_model(value, layer_choices) for value in options.layer]
    activations = [of_model(value, _activation) for value in options.activation]
    ids = _model_ids(options)
    photos = _photos(options)
    models = _models(ids, load_checkpoints(options))
    names = [model if isinstance(model, str) else str(model.spec) for model in models]
    typed = dict(zip(names, names, strict=True)) | dict(zip(options.model, ids, strict=True))
    return Request(
        models=models,
        photos=photos,
        targets=tuple(read_targets(options.classes, models)),
        methods=methods,
        fit=options.fit,
        layer=by_model(layers, typed),
        activation=by_model(activations, typed),
        style=style,
        exact=options.exact,
    )


def _photos(options: argparse.Namespace) -> tuple[Photo, ...]:
    """The photos in order, with a line about each doubtful one. Raises: PhotoError where none can be opened."""
    photos = open_photos(options.photos, partial(_photo, stretch=options.stretch))
    refuse_none_readable(photos)
    terminal.say_notes(photos)
    return tuple(photos)


def _photo(name: str | Path, *, stretch: bool) -> Photo:
    is_sample = name in SAMPLES and not lexists(name)
    return sample_photo(str(name)) if is_sample else photo_file(name, stretch=stretch)


def _model_ids(options: argparse.Namespace) -> list[str]:
    """The ids of `--model`; with `--random` those of untrained models, so that an id always says so."""
    expect_seed(options.seed)
    if not (options.model or options.checkpoints):
        raise OptionError("expected a model, got none; add --model ID or --checkpoint FILE")
    if options.random and not options.model:
        raise OptionError(
            "expected a --model for --random, got checkpoints, which have weights; leave --random out"
        )
    return [_model_id(text, options.seed if options.random else None) for text in options.model]


def _model_id(text: str, seed: int | None) -> str:
    if is_checkpoint(text):  # whether there is such a checkpoint shows when the files are read
        return text
    spec = parse_model_id(text)
    return text if seed is None or spec.untrained else str(replace(spec, weights="random", seed=seed))


def _models(ids: Sequence[str], loaded: Sequence[Classifier]) -> tuple[str | Classifier, ...]:
    """The models in their order. Raises: ModelError for the id of a checkpoint that is not among those loaded."""
    checkpoints = {str(classifier.spec): classifier for classifier in loaded}
    for model_id in ids:
        if model_id not in checkpoints:
            parse_model_id(model_id)
    order = (*ids, *(model_id for model_id in checkpoints if model_id not in ids))
    return tuple(checkpoints.get(model_id, model_id) for model_id in order)


def _activation(text: str) -> Activation:
    expect_one_of(ACTIVATIONS, text, "an activation")
    return cast(Activation, text)
