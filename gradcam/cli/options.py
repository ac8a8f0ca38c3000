"""The command line's options for somebody's own checkpoint, the same for every command that computes maps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, cast

from gradcam.errors import OptionError, nearest, quoted
from gradcam.models.checkpoint import (
    CROPS,
    INPUT,
    INTERPOLATIONS,
    LABEL_SETS,
    load_checkpoint,
    preprocessing_for,
)
from gradcam.models.classifier import Classifier
from gradcam.models.guess import guess_architecture
from gradcam.models.ids import parse_model_id
from gradcam.types import ACTIVATIONS, Activation


def add_checkpoint_options(sub: argparse.ArgumentParser) -> None:
    """Add what names a checkpoint and says how its photos are prepared; all of it again for another checkpoint."""

    def add(group: argparse._ArgumentGroup, name: str, metavar: str, text: str, kind: type = str) -> None:
        group.add_argument(name, dest="own", action=_OfCheckpoint, type=kind, metavar=metavar, help=text)

    own = sub.add_argument_group("a model of your own")
    add(own, "--checkpoint", "FILE", "your own weights: .safetensors, .pt, .pth, .pth.tar, .ckpt or .bin")
    add(own, "--arch", "ID", "the checkpoint's architecture, such as timm/resnet18 [the only one that fits]")
    add(own, "--prefix", "NAME", "of the network in it that is meant, such as teacher or state_dict_ema")
    add(own, "--labels", "FILE", f"its class names: text, CSV, JSON, or {LABEL_SETS[0]} [numbers]")
    add(own, "--sha256", "HEX", "of the checkpoint's file; another file is refused")
    wants = sub.add_argument_group("how it wants its photos [as the architecture's own weights]")
    add(wants, "--input-size", "PIXELS", "side of the square input", int)
    add(wants, "--input-crop", "SHARE", "of the photo's side, up to 1", float)
    add(wants, "--input-mode", "|".join(CROPS), "how the photo meets the crop")
    add(wants, "--input-interpolation", "NAME", ", ".join(INTERPOLATIONS))
    add(wants, "--input-mean", "R,G,B", "of values from 0 to 1, such as 0.5,0.5,0.5")
    add(wants, "--input-std", "R,G,B", "standard deviation of such values")


def add_activation_option(sub: argparse.ArgumentParser) -> None:
    """Add `--activation`, of every model or of one."""
    sub.add_argument(
        "--activation",
        action="append",
        default=[],
        metavar=f"[ID=]{'|'.join(ACTIVATIONS)}",
        help="how scores become probabilities, of every model or of one: sigmoid for a multi-label head; "
        "repeatable [as the model says, else softmax]",
    )


def requested_activations(options: argparse.Namespace, models: Sequence[str | Classifier]) -> dict[str, Activation]:
    """The activation of each model that `--activation` speaks of; what is said of one model goes before the rest.

    Raises: OptionError for another activation or another model.
    """
    ids = [model if isinstance(model, str) else str(model.spec) for model in models]
    said = [value.rpartition("=") for value in options.activation]
    for model, equals, activation in said:
        if activation not in ACTIVATIONS:
            choices = nearest(activation, ACTIVATIONS)
            raise OptionError(f"expected an activation, got {quoted(activation)}; use {choices}")
        if equals and model not in ids:
            raise OptionError(
                f"expected one of the models before =, got {quoted(model)}; use {nearest(model, ids)}"
            )
    of_all = {model: activation for _, equals, activation in said if not equals for model in ids}
    return cast(dict[str, Activation], of_all | {model: activation for model, equals, activation in said if equals})


class _OfCheckpoint(argparse.Action):
    """Gathers the options of each checkpoint by name; an option that comes again begins the next checkpoint."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: object = None
    ) -> None:
        name = self.option_strings[0].removeprefix("--")
        *before, last = namespace.own or [{}]
        namespace.own = [*before, last, {name: values}] if name in last else [*before, last | {name: values}]


def requested_models(options: argparse.Namespace) -> list[str | Classifier]:
    """The models of `--model`, checked, and the checkpoints that the caller brings, loaded.

    A checkpoint stands where `--model` names its id, else at the end.
    Raises: OptionError for no model and for options that lack one another, ModelError for what cannot be used.
    """
    own = {str(classifier.spec): classifier for classifier in custom_models(options)}
    named: list[str] = options.model
    for model_id in named:
        if model_id not in own:
            parse_model_id(model_id)
    if not (named or own):
        raise OptionError("expected a model, got none; add --model ID or --checkpoint FILE")
    order = (*named, *(model_id for model_id in own if model_id not in named))
    return [own.get(model_id, model_id) for model_id in order]


def custom_models(options: argparse.Namespace) -> list[Classifier]:
    """The checkpoints that the caller brings, if any.

    Raises: OptionError for options that lack one another, ModelError for a file that cannot be used.
    """
    return [_custom_model(given) for given in options.own or ()]


def _custom_model(given: dict[str, Any]) -> Classifier:
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
    )
    if classifier.spec.file and classifier.spec.file.note:
        print(f"gradcam: note: {classifier.spec}: {classifier.spec.file.note}", file=sys.stderr)
    return classifier
