"""Where a model comes from, and the id that says so: all that is known of how ids are written is here.

    torchvision/vgg16@IMAGENET1K_V1               a library, an architecture of it and its weights
    timm/resnet50.a1_in1k                         the same in timm's own words
    bundled/tf_efficientnet_lite0                 weights that are installed as a package
    hf-hub:timm/resnet18.a1_in1k                  a repository of the hub with a model of timm
    hf:google/vit-base-patch16-224, hf:./mine     a repository or a folder with a model of transformers
    timm/resnet18 (untrained, seed 3)             random weights
    checkpoint/timm/resnet18@mine~0123456789abcdef    somebody's own weights: the file's name and their hash

Whether there is such a model is for `models.ids` to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

from gradcam.errors import ModelError, quoted

CHECKPOINT = "checkpoint"
"""The source of models that somebody brought: their ids name them, but only the file can make them."""

HUBS = ("hf-hub", "hf")
"""Sources whose names are repositories of the Hugging Face hub: models of timm, and models of transformers."""

_MARKS = {"torchvision": ("/", "@"), CHECKPOINT: ("/", "@"), **dict.fromkeys(HUBS, (":", ""))}
"""What stands before a name and before its weights, by source; empty if the source never names weights."""
_USUAL_MARKS = ("/", ".")

_ID = re.compile(
    rf"(?:(?P<hub>{'|'.join(HUBS)})[:/](?P<repository>.+?)|(?P<source>[^/:\s]+)/(?P<rest>\S+?))"
    r"(?: \(untrained, seed (?P<seed>[0-9]{1,19})\))?"
)


@dataclass(frozen=True)
class WeightsFile:
    """The file that somebody's own model was loaded from: its name and the SHA-256 of its bytes.

    labels: the file or the known set that named its classes. class_names: the names themselves, if neither named
        them. Both are empty if the classes are numbered.
    given_for: the id of the model whose own weights the file stands in for; empty for a checkpoint.
    prefix: of the chosen network's weights, if the file holds several of the architecture; `.` for no prefix.
    note: what was chosen or recognised in the file, in words.
    """

    name: str
    sha256: str
    labels: str = ""
    class_names: tuple[str, ...] = ()
    given_for: str = ""
    prefix: str = ""
    note: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """Where a model comes from. `str(spec)` is its id, such as `torchvision/vgg16@IMAGENET1K_V1`.

    source: the family of ids, a row of `models.sources.SOURCES`, or `checkpoint` for somebody's own.
    name: the builder or architecture, without the weights; of a checkpoint the architecture's id.
    weights: a torchvision weights name, a timm tag, `None` for the source's default, `"random"`, or the name and
        hash of a checkpoint.
    seed: for random weights only. file: of somebody's own weights only.
    """

    source: str
    name: str
    weights: str | None = None
    seed: int = 0
    file: WeightsFile | None = None

    @property
    def untrained(self) -> bool:
        return self.weights == "random"

    @property
    def architecture(self) -> str:
        """The id without weights, such as `timm/resnet18`; of a checkpoint the id that its weights are for."""
        return self.name if self.source == CHECKPOINT else str(ModelSpec(self.source, self.name))

    def __str__(self) -> str:
        before_name, before_weights = _MARKS.get(self.source, _USUAL_MARKS)
        text = f"{self.source}{before_name}{self.name}"
        if self.untrained:
            return f"{text} (untrained, seed {self.seed})"
        return f"{text}{before_weights}{self.weights}" if self.weights and before_weights else text


def find_spec(text: str) -> ModelSpec | None:
    """Read an id, whether or not there is such a model; None if `text` is not an id. A folder's path is an id."""
    match = _ID.fullmatch(f"hf:{text}" if folder_of(text) else text)
    if match is None:
        return None
    source, seed = match["hub"] or match["source"], match["seed"]
    name, weights = match["repository"] or match["rest"], ""
    if mark := _MARKS.get(source, _USUAL_MARKS)[1]:
        name, _, weights = name.partition(mark)
    return ModelSpec(source, name, "random" if seed else weights or None, int(seed or 0))


def read_spec(text: str) -> ModelSpec:
    """Read an id as `find_spec` does. Raises: ModelError if `text` is not an id."""
    if spec := find_spec(text):
        return spec
    raise ModelError(f"expected a model id such as 'torchvision/vgg16', got {quoted(text)}; write it like that")


def with_source(text: str, source: str) -> str:
    """The id with another source: `hf:acme/leaves` becomes `hf-hub:acme/leaves`. Raises: ModelError."""
    return str(replace(read_spec(text), source=source))


def untrained(text: str) -> str:
    """The id of the same architecture with random weights: `torchvision/vgg16 (untrained, seed 0)`.

    Raises: ModelError for what is no id.
    """
    return str(replace(read_spec(text), weights="random"))


def short_name(text: str) -> str:
    """The end of an id, without its source and organisation: `vgg16@IMAGENET1K_V1`."""
    return text.rpartition("/")[2]


def architecture_of(text: str) -> str:
    """`ModelSpec.architecture` of an id; empty if `text` is not an id."""
    return spec.architecture if (spec := find_spec(text)) else ""


# Folders ------------------------------------------------------------------------------------------------------


def folder_of(name: str) -> Path | None:
    """The folder that a name means, such as `./mine` or `/models/mine`; None for what can only be a repository."""
    if not name.startswith((".", "/", "~")) and not PureWindowsPath(name).drive:
        return None
    try:
        return Path(name).expanduser()
    except RuntimeError:  # `~somebody` without a home folder
        return Path(name)


def spec_of_folder(folder: Path) -> ModelSpec:
    """The model of transformers in a folder."""
    return ModelSpec(
        "hf", str(folder) if folder_of(str(folder)) else f"./{folder}"
    )  # `Path("./mine")` drops its dot


# Somebody's own models ----------------------------------------------------------------------------------------

_HASH = "~"


def checkpoint_spec(architecture: str, file: WeightsFile, weights_sha256: str) -> ModelSpec:
    """The model of a weight file. Its id has at most forty letters of the file's name, and half of the hash."""
    stem = re.sub(r"[^\w.-]+", "-", Path(file.name).stem.removesuffix(".pth"))[:40]
    return ModelSpec(CHECKPOINT, architecture, f"{stem}{_HASH}{weights_sha256[:16]}", file=file)


def is_checkpoint(text: str) -> bool:
    """Whether an id is a checkpoint's, whatever else it says."""
    return text.startswith(f"{CHECKPOINT}/")


def checkpoint_name(text: str) -> str:
    """The name of the file in a checkpoint's id; empty where there is none."""
    spec = find_spec(text)
    return (spec.weights or "").rpartition(_HASH)[0] if spec else ""


def display_name(text: str) -> str:
    """What people call a model: the name that its owner gave a checkpoint, `mine`, else the id."""
    return (checkpoint_name(text) if is_checkpoint(text) else "") or text
