"""Ids of models, checked: whether there is such a model, and whether a server offers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from gradcam.errors import ModelError, check_kind, nearest, quoted
from gradcam.kinds import expect_numbers
from gradcam.model_spec import CHECKPOINT, find_spec, folder_of
from gradcam.models.huggingface import CONFIG, PROCESSOR, WEIGHTS
from gradcam.models.labels import Labels
from gradcam.models.sources import SOURCES, Source
from gradcam.models.weights import find, is_within_reach
from gradcam.types import ModelSpec

MAX_LETTERS = 300
"""Letters of an id; the longest in the catalogue has 70."""
MAX_SEED = 2**63


def parse_model_id(text: str) -> ModelSpec:
    """Read a model id: `bundled/<name>`, `torchvision/<builder>[@weights]`, `timm/<name>[.tag]`,
    `hf-hub:<organisation>/<name>` for a model of timm, `hf:<organisation>/<name>` for one of transformers, or the
    path of a folder with one, such as `./mine`.

    `parse_model_id(str(spec)) == spec` for every spec, an untrained one included.

    Raises: ModelError naming the nearest ids, or saying why a model cannot be used.
    """
    return checked(_spec_of(text))


def _spec_of(text: str) -> ModelSpec:
    """What an id says, whether or not there is such a model. Raises: ModelError."""
    check_kind(text, str, "a model's id", "pass a text such as 'torchvision/vgg16'", ModelError)
    text = text.strip()
    if not _is_short_line(text):
        raise ModelError(
            f"expected a model id such as 'torchvision/vgg16', got {quoted(text)} with "
            f"{f'{len(text):,} letters' if text.isprintable() else 'control characters'}; type it anew"
        )
    spec = find_spec(text)
    if spec is None:
        known = [ModelSpec(source, name) for source, row in SOURCES.items() for name in row.names()]
        raise ModelError(
            f"expected a model id such as 'torchvision/vgg16', got {quoted(text)}; try {nearest_ids(text, known)}"
        )
    source_of(spec.source)
    return spec


def _is_short_line(text: str) -> bool:
    return len(text) <= MAX_LETTERS and text.isprintable()


def nearest_ids(text: str, known: Sequence[ModelSpec]) -> str:
    """The ids that somebody may have meant, for a sentence: those of this name, whatever their source, go first."""
    return nearest(text, [str(spec) for spec in known if spec.name == text.lower()] or [*map(str, known)])


def source_of(name: str) -> Source:
    """A row of `SOURCES`. Raises: ModelError naming the nearest source."""
    if name == CHECKPOINT:
        raise ModelError(
            "expected the file of a checkpoint, got its id alone; give the file to load_checkpoint(), with "
            "--checkpoint, or on the dashboard's page Models"
        )
    if name not in SOURCES:
        raise ModelError(f"expected a model source, got {quoted(name)}; try {nearest(name, SOURCES)}")
    return SOURCES[name]


def checked(spec: ModelSpec) -> ModelSpec:
    """The same spec, if its source knows it and it classifies; for a hub's model loading tells whether it does.

    Raises: ModelError.
    """
    source = source_of(known(spec).source)
    if not (isinstance(spec.seed, int) and 0 <= spec.seed < MAX_SEED):
        raise ModelError(f"expected a seed from 0 to 2**63 - 1, got {quoted(spec.seed)}; choose a smaller one")
    if source.listed and source.classes(spec) == 0:
        others = [replace(spec, weights=weights) for weights in source.weights(spec.name)]
        others += [ModelSpec(spec.source, name) for name in source.names()]
        usable = [str(other) for other in others if source.classes(other)]
        raise ModelError(
            f"expected a classifier, got {quoted(str(spec))}, which gives features without class scores; "
            f"try {nearest(str(spec), usable)}"
        )
    return spec


def known(spec: ModelSpec) -> ModelSpec:
    """The same spec, if its source knows the architecture and the weights.

    Raises: ModelError naming the nearest ones.
    """
    source = source_of(spec.source)
    if not source.listed:
        _check_repository(spec)
        return spec
    if spec.name not in source.names():
        raise ModelError(
            f"expected a model of {spec.source}, got {quoted(spec.name)}; try {nearest(spec.name, source.names())}"
        )
    weights = source.weights(spec.name)
    if spec.weights not in (None, "random", *weights):
        named = [name for name in weights if name]
        offered = f"try {nearest(spec.weights, named)}" if named else "leave them out"
        raise ModelError(f"expected weights of {spec.architecture}, got {quoted(spec.weights)}; {offered}")
    return spec


def _check_repository(spec: ModelSpec) -> None:
    """Raises: ModelError for what cannot be the name of a repository on the hub, nor a folder with a model."""
    if spec.source == "hf" and (folder := folder_of(spec.name)):
        _check_folder(folder, spec)
        return
    try:
        validate_repo_id(spec.name)
    except HFValidationError as error:
        problem = str(error).partition(":")[0].partition(". ")[0]
    else:
        if "/" in spec.name:
            return
        problem = "The organisation is missing"
    raise ModelError(
        f"expected a repository such as {_EXAMPLES[spec.source]}, got {quoted(str(spec))} ({problem}); name it as "
        "its page on the hub does"
    )


_EXAMPLES = {"hf-hub": "'hf-hub:timm/resnet18.a1_in1k'", "hf": "'hf:google/vit-base-patch16-224' or a folder"}


def _check_folder(folder: Path, spec: ModelSpec) -> None:
    """Raises: ModelError for a folder without the files of a model."""
    try:
        missing = [file for file in (CONFIG, PROCESSOR, WEIGHTS) if not (folder / file).is_file()]
    except (OSError, ValueError):
        missing = [CONFIG]
    if missing:
        raise ModelError(
            f"expected a folder with {CONFIG}, {PROCESSOR} and {WEIGHTS}, got {quoted(str(spec))} without "
            f"{missing[0]}; save the model and its image processor there with save_pretrained()"
        )


def is_listed(text: str) -> bool:
    """Whether an id is of a source that lists its models: no hub's, no folder's and no checkpoint's.

    Asked of every id in a link, so it looks for no nearest ids.
    """
    if not isinstance(text, str) or not _is_short_line(text.strip()):
        return False
    spec = find_spec(text.strip())
    return spec is not None and spec.source in SOURCES and SOURCES[spec.source].listed


def check_offered(text: str, hubs: bool) -> None:
    """Raises: ModelError for an id that a server does not load for its visitors: a folder of the server, which is
    not even looked at, a text that cannot be a repository's name, and a hub's model if hubs are not allowed.
    """
    spec = _spec_of(text)
    if spec.source == "hf" and folder_of(spec.name):
        raise ModelError(
            f"expected a model that this server offers, got the folder {quoted(str(spec))}; load it in Python or "
            "with the command line"
        )
    if not hubs and not source_of(spec.source).listed:
        raise ModelError(
            f"expected a model of the catalogue, got {quoted(str(spec))}, and this server loads none from hubs; "
            "choose another, or have its operator set server.hub_models in gradcam.toml"
        )
    if not source_of(spec.source).listed:
        _check_repository(spec)


def labels_of(model: str) -> Labels | None:
    """The labels of a model by its id, nothing loaded; None if it is not an id or only a network could tell."""
    try:
        spec = parse_model_id(model)
    except ModelError:
        return None
    source = SOURCES[spec.source]
    return source.labels(spec) if source.listed else None


def class_names(model: str) -> tuple[str, ...]:
    """The classes of a model by its id, nothing loaded; empty if it is not an id or only a network could tell."""
    labels = labels_of(model)
    return labels.names if labels else ()


def has_weights(model: str, seconds: float = 3) -> bool:
    """Whether a listed model's weights are on this machine, or their host answers within so many seconds.

    Raises: ModelError for what is no such model.
    """
    expect_numbers(seconds=seconds)
    spec = parse_model_id(model)
    return is_within_reach(SOURCES[spec.source].location(spec), seconds)


FileState: TypeAlias = tuple[str, int, int, int]
"""Path, bytes, time of the last change in nanoseconds and number on the disk of a file."""


def files_of(model: str) -> tuple[FileState, ...]:
    """The files that an id stands for as they are now: another answer tells that the id means another model.

    Empty for what is no id, and where a file is not on this machine. Nothing is read or downloaded.
    """
    if (spec := find_spec(model)) is None or spec.source not in SOURCES:
        return ()
    try:
        checked(spec)
        source = SOURCES[spec.source]
        weights = () if spec.untrained else (source.location(spec),)
        files = [find(location) for location in (*source.described_in(spec), *weights)]
        return tuple(_state(file) for file in files if file) if all(files) else ()
    except (ModelError, OSError):
        return ()


def _state(file: Path) -> FileState:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns, found.st_ino


def with_weights_named(spec: ModelSpec) -> ModelSpec:
    """The same spec with its default weights spelled out: it means the same after a default has changed."""
    known = SOURCES[spec.source].weights(spec.name)
    return spec if spec.weights or not known else replace(spec, weights=known[0])
