"""The options that `explain` and `report` share, described once, and read into one value.

Options that make no sense are refused before a photo is explained. A checkpoint is loaded last, because only it
knows its classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from os.path import lexists
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from gradcam._compare import compare
from gradcam.cli import terminal
from gradcam.comparison import Comparison
from gradcam.draw import SEQUENTIAL, check_style
from gradcam.errors import OptionError, nearest, quoted
from gradcam.geometry import Interpolation
from gradcam.layers import SEPARATOR, LayerChoices, TypedLayer, read_layer
from gradcam.methods import GRADCAM, find_methods
from gradcam.model_spec import is_checkpoint
from gradcam.models import (
    CROPS,
    INPUT,
    INTERPOLATIONS,
    LABEL_SETS,
    Classifier,
    ModelPool,
    check_seed,
    guess_architecture,
    load_checkpoint,
    load_classifier,
    parse_model_id,
    preprocessing_for,
    shared_pool,
)
from gradcam.photo import SAMPLES, sample_photo
from gradcam.photo_file import open_photos, photo_file, refuse_none_readable
from gradcam.preprocess import FITS
from gradcam.targets import read_targets
from gradcam.types import ACTIVATIONS, Activation, Blend, Fit, Photo, Scale, Style, Target

Value = TypeVar("Value")


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


def add_method_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help=f"see `gradcam methods`, such as gradcam++ or SmoothGrad(LayerCAM); repeatable [{GRADCAM.name}]",
    )


def add_exact_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compute by the models' own modules, and by no faster ones that round otherwise",
    )


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


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a checkpoint and prepare its photos; repeat them for another checkpoint."""

    def add(group: argparse._ArgumentGroup, name: str, metavar: str, text: str, kind: type = str) -> None:
        group.add_argument(name, dest="checkpoints", action=_OfCheckpoint, type=kind, metavar=metavar, help=text)

    file = parser.add_argument_group("a model of your own")
    add(file, "--checkpoint", "FILE", "your own weights: .safetensors, .pt, .pth, .pth.tar, .ckpt or .bin")
    add(file, "--arch", "ID", "the checkpoint's architecture, such as timm/resnet18 [the only one that fits]")
    add(file, "--prefix", "NAME", "of the network in it that is meant, such as teacher or state_dict_ema")
    add(file, "--labels", "FILE", f"its class names: text, CSV, JSON, or {LABEL_SETS[0]} [numbers]")
    add(file, "--sha256", "HEX", "of the checkpoint's file; another file is refused")
    wants = parser.add_argument_group("how it wants its photos [as the architecture's own weights]")
    add(wants, "--input-size", "PIXELS", "side of the square input", int)
    add(wants, "--input-crop", "SHARE", "of the photo's side, up to 1", float)
    add(wants, "--input-mode", "|".join(CROPS), "how the photo meets the crop")
    add(wants, "--input-interpolation", "NAME", ", ".join(INTERPOLATIONS))
    add(wants, "--input-mean", "R,G,B", "of values from 0 to 1, such as 0.5,0.5,0.5")
    add(wants, "--input-std", "R,G,B", "standard deviation of such values")


class _OfCheckpoint(argparse.Action):
    """Gathers the options of each checkpoint by name; an option that comes again begins the next checkpoint."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: object = None
    ) -> None:
        name = self.option_strings[0].removeprefix("--")
        *before, last = namespace.checkpoints or [{}]
        namespace.checkpoints = (
            [*before, last, {name: values}] if name in last else [*before, last | {name: values}]
        )


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


def load_checkpoints(options: argparse.Namespace) -> list[Classifier]:
    """The checkpoints that the caller brings, if any.

    Raises: OptionError for an option without another that it needs, ModelError for a file that cannot be used.
    """
    return [_load_checkpoint(given, exact=options.exact) for given in options.checkpoints or ()]


def models_in_memory(*, exact: bool) -> ModelPool:
    """A pool that loads models by id, and lets them compute as `--exact` says."""
    return ModelPool(load=partial(load_classifier, exact=True)) if exact else shared_pool()


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
    check_seed(options.seed)
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


def of_model(text: str, read: Callable[[str], Value]) -> tuple[str | None, Value]:
    """`VALUE` or `ID=VALUE` as the id, None without one, and the value."""
    model, equals, value = text.rpartition("=")
    return model if equals else None, read(value)


def by_model(values: Sequence[tuple[str | None, Value]], ids: Mapping[str, str]) -> dict[str, Value]:
    """The value of each model, by id; a value for one model goes before a value for all models.

    ids: of the models, by the texts that may be typed for them. Raises: OptionError for any other model.
    """
    for model, _ in values:
        if model is not None and model not in ids:
            raise OptionError(
                f"expected one of the models before =, got {quoted(model)}; use {nearest(model, ids)}"
            )
    of_all = {model_id: value for model, value in values if model is None for model_id in ids.values()}
    return of_all | {ids[model]: value for model, value in values if model is not None}


def layer_choices(text: str) -> TypedLayer | tuple[TypedLayer, ...]:
    if not all(part.strip() for part in text.split(SEPARATOR)):
        raise OptionError(f"expected the name or the number of a layer, got {quoted(text)}; leave it out for auto")
    return read_layer(text)


def _activation(text: str) -> Activation:
    if text not in ACTIVATIONS:
        raise OptionError(f"expected an activation, got {quoted(text)}; use {nearest(text, ACTIVATIONS)}")
    return cast(Activation, text)


def _load_checkpoint(given: dict[str, Any], *, exact: bool) -> Classifier:
    if "checkpoint" not in given:
        raise OptionError(f"expected --{next(iter(given))} with a checkpoint, got it alone; add --checkpoint FILE")
    options = {field: given.get(f"input-{field}") for field in INPUT}
    arch = given.get("arch")
    if arch is None and any(value is not None for value in options.values()):
        arch = guess_architecture(given["checkpoint"], prefix=given.get("prefix")).only
    classifier = load_checkpoint(
        given["checkpoint"],
        arch,
        prefix=given.get("prefix"),
        labels=given.get("labels"),
        preprocessing=None if arch is None else preprocessing_for(arch, **options),
        sha256=given.get("sha256"),
        exact=exact,
    )
    if classifier.spec.file and classifier.spec.file.note:
        terminal.say(f"note: {classifier.spec}: {classifier.spec.file.note}")
    return classifier
