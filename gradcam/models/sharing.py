"""A checkpoint for somebody else: its file, and what the file does not say."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gradcam.errors import ModelError, quoted
from gradcam.kinds import expect
from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.classifier import Classifier, sha256_of
from gradcam.models.labels import Labels
from gradcam.types import Activation, Preprocessing


@dataclass(frozen=True)
class CheckpointOptions:
    """What `load_checkpoint` was told of a file, or found out. sha256: of the file."""

    architecture: str
    name: str
    sha256: str
    prefix: str
    labels: Labels
    preprocessing: Preprocessing
    activation: Activation


def write_options(classifier: Classifier) -> str:
    """What it takes to load a checkpoint again beside its file, as JSON. Raises: ModelError for another model."""
    expect(Classifier, classifier)
    if (file := classifier.spec.file) is None:
        raise ModelError(
            f"expected a checkpoint, got {quoted(str(classifier.spec))}; others are shared by their ids"
        )
    options = CheckpointOptions(
        classifier.spec.architecture,
        file.name,
        file.sha256,
        file.prefix,
        classifier.labels,
        classifier.preprocessing,
        classifier.activation,
    )
    return msgspec.json.encode(options).decode()


def load_shared(data: bytes, options: str) -> Classifier:
    """The checkpoint of a file that `write_options` told of, under the id that it has there.

    Raises: ModelError for another file, and as `load_checkpoint` does.
    """
    expect(bytes, data)
    expect(str, options)
    try:
        told = msgspec.json.decode(options, type=CheckpointOptions)
    except msgspec.DecodeError as error:
        raise ModelError(
            f"expected the options of a checkpoint, got: {quoted(str(error))}; share it again"
        ) from error
    return load_checkpoint(
        data,
        told.architecture,
        name=told.name,
        prefix=told.prefix or None,
        labels=told.labels,
        preprocessing=told.preprocessing,
        activation=told.activation,
        sha256=told.sha256,
    )


def is_file_of(classifier: Classifier, data: bytes) -> bool:
    """Whether a checkpoint was loaded from this file."""
    expect(Classifier, classifier)
    expect(bytes, data)
    return classifier.spec.file is not None and classifier.spec.file.sha256 == sha256_of(data)
