"""The command line's options for somebody's own checkpoint, the same for every command that computes maps."""

from __future__ import annotations

import argparse

from gradcam.checkpoint import (
    CROPS,
    INPUT,
    INTERPOLATIONS,
    LABEL_SETS,
    load_checkpoint,
    preprocessing_for,
)
from gradcam.classifier import Classifier
from gradcam.errors import OptionError
from gradcam.zoo import parse_model_id


def add_checkpoint_options(sub: argparse.ArgumentParser) -> None:
    """Add what names a checkpoint and says how its photos are prepared."""
    own = sub.add_argument_group("a model of your own")
    own.add_argument(
        "--checkpoint", metavar="FILE", help="your own weights: .safetensors, or .pt with tensors alone"
    )
    own.add_argument("--arch", metavar="ID", help="the checkpoint's architecture, such as timm/resnet18")
    own.add_argument(
        "--labels", metavar="FILE", help=f"its class names: text, CSV, JSON, or {LABEL_SETS[0]} [numbers]"
    )
    wants = sub.add_argument_group("how it wants its photos [as the architecture's own weights]")
    wants.add_argument("--input-size", type=int, metavar="PIXELS", help="side of the square input")
    wants.add_argument("--input-crop", type=float, metavar="SHARE", help="of the photo's side, up to 1")
    wants.add_argument("--input-mode", metavar="|".join(CROPS), help="how the photo meets the crop")
    wants.add_argument("--input-interpolation", metavar="NAME", help=", ".join(INTERPOLATIONS))
    wants.add_argument("--input-mean", metavar="R,G,B", help="of values from 0 to 1, such as 0.5,0.5,0.5")
    wants.add_argument("--input-std", metavar="R,G,B", help="standard deviation of such values")


def wanted_models(options: argparse.Namespace) -> list[str | Classifier]:
    """The ids of `--model`, checked, and the checkpoint that the caller brings, loaded.

    Raises: OptionError for no model and for options that lack one another, ModelError for what cannot be used.
    """
    for model_id in options.model:
        parse_model_id(model_id)
    own = own_models(options)
    if not (options.model or own):
        raise OptionError("expected a model, got none; add --model ID, or --checkpoint FILE with --arch ID")
    return [*options.model, *own]


def own_models(options: argparse.Namespace) -> list[Classifier]:
    """The checkpoint that the caller brings, if any.

    Raises: OptionError for options that lack one another, ModelError for a file that cannot be used.
    """
    if options.checkpoint is None:
        of_checkpoint = {"arch": options.arch, "labels": options.labels} | {
            f"input-{field}": getattr(options, f"input_{field}") for field in INPUT
        }
        if given := [name for name, value in of_checkpoint.items() if value is not None]:
            raise OptionError(f"expected --{given[0]} with a checkpoint, got it alone; add --checkpoint FILE")
        return []
    if options.arch is None:
        raise OptionError(
            "expected a checkpoint with its architecture, got it alone; add --arch, as in timm/resnet18"
        )
    asked = {field: getattr(options, f"input_{field}") for field in INPUT}
    preprocessing = preprocessing_for(options.arch, **asked)
    return [load_checkpoint(options.checkpoint, options.arch, labels=options.labels, preprocessing=preprocessing)]
