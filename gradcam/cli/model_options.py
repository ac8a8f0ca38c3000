"""The options that name models: their methods, layers and ways of computing, and checkpoints of one's own.

PyTorch is imported once a model is loaded, and not to read a command.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gradcam import models
from gradcam.cli import terminal
from gradcam.errors import OptionError, nearest, quoted
from gradcam.layers import SEPARATOR, read_layer
from gradcam.models import CROPS, INPUT, INTERPOLATIONS, LABEL_SETS

if TYPE_CHECKING:
    from gradcam.layers import TypedLayer
    from gradcam.models import Classifier, ModelPool

Value = TypeVar("Value")


def add_method_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="see `gradcam methods`, such as gradcam++ or SmoothGrad(LayerCAM); repeatable [Grad-CAM]",
    )


def add_exact_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compute by the models' own modules, and by no faster ones that round otherwise",
    )


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


def load_checkpoints(options: argparse.Namespace) -> list[Classifier]:
    """The checkpoints that the caller brings, if any.

    Raises: OptionError for an option without another that it needs, ModelError for a file that cannot be used.
    """
    return [_load_checkpoint(given, exact=options.exact) for given in options.checkpoints or ()]


def models_in_memory(*, exact: bool) -> ModelPool:
    """A pool that loads models by id, and lets them compute as `--exact` says."""
    return models.ModelPool(load=partial(models.load_classifier, exact=True)) if exact else models.shared_pool()


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


def _load_checkpoint(given: dict[str, Any], *, exact: bool) -> Classifier:
    if "checkpoint" not in given:
        raise OptionError(f"expected --{next(iter(given))} with a checkpoint, got it alone; add --checkpoint FILE")
    options = {field: given.get(f"input-{field}") for field in INPUT}
    arch = given.get("arch")
    if arch is None and any(value is not None for value in options.values()):
        arch = models.guess_architecture(given["checkpoint"], prefix=given.get("prefix")).only
    classifier = models.load_checkpoint(
        given["checkpoint"],
        arch,
        prefix=given.get("prefix"),
        labels=given.get("labels"),
        preprocessing=None if arch is None else models.preprocessing_for(arch, **options),
        sha256=given.get("sha256"),
        exact=exact,
    )
    if classifier.spec.file and classifier.spec.file.note:
        terminal.say(f"note: {classifier.spec}: {classifier.spec.file.note}")
    return classifier
