"""What every family of models can be asked for, without building one: a row's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gradcam.models.labels import Labels
from gradcam.models.weights import Location
from gradcam.types import Activation, ModelSpec, Preprocessing


@dataclass(frozen=True)
class Source:
    """A family of models, and how to ask about one of them without building it.

    names: every architecture. weights: the names of one architecture's weights, the default first; None stands for
        weights that need no name.
    build: the module in its initial state, or with the weights of a file.
    build_with_classes: the module in its initial state with a head of so many classes.
    classes: how many, 0 without a head.
    configuration: what the library says about the weights, see `configuration_of`.
    label_set: what the classes are, such as `19 dog breeds`; empty where their number tells it.
    activation: how logits become probabilities, if the source says so; never guessed.
    described_in: the files beside the weights that say what the model is; a library knows its own models.
    listed: whether `names` lists every model; a hub takes any name, and refuses it when the weights are loaded.
    """

    names: Callable[[], Sequence[str]]
    weights: Callable[[str], Sequence[str | None]]
    build: Callable[[ModelSpec, Path | None], nn.Module]
    build_with_classes: Callable[[str, int], nn.Module]
    preprocessing: Callable[[ModelSpec], Preprocessing]
    labels: Callable[[ModelSpec], Labels]
    classes: Callable[[ModelSpec], int]
    parameters: Callable[[ModelSpec], int | None]
    location: Callable[[ModelSpec], Location]
    configuration: Callable[[ModelSpec], Mapping[str, Any]]
    label_set: Callable[[ModelSpec], str] = lambda spec: ""
    activation: Callable[[ModelSpec], Activation] = lambda spec: "softmax"
    described_in: Callable[[ModelSpec], Sequence[Location]] = lambda spec: ()
    listed: bool = True
