"""What a file of weights holds: its tensors by name, found without running code and read only when they are used.

There are three kinds of file: safetensors (`safetensors_file`), the ZIP archive that `torch.save` writes, and the
stream of pickles that it wrote before PyTorch 1.6 (both `torch_file`). A tensor is at first a `StoredTensor`, which
knows its shape and where its numbers lie, so a file is judged before any memory is spent on it. What a file says of
itself is checked against its size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO, cast

from torch import Tensor

from gradcam.errors import ModelError, quoted
from gradcam.models.pickles import Instance, PickleError
from gradcam.models.safetensors_file import read_safetensors
from gradcam.models.stored_tensors import Source, StoredTensor
from gradcam.models.torch_file import describe, read_pickles, read_zip

MAX_TENSORS = 50_000
MAX_NAME = 500
"""How many tensors there may be, and letters of a name."""


def open_weights(file: str | Path | bytes, name: str = "") -> Any:
    """What a weight file holds: dictionaries and lists as they were saved, with `StoredTensor`s for tensors.

    file: a path, or bytes with their `name`; what is in it, not its suffix, tells its kind.
    Raises: ModelError, within about a second, for a file that is damaged, lies about itself, holds too much beside
        tensors, or would run code if it were unpickled.
    """
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    try:
        source = Source(file)
        with source.open() as opened:
            return _kind_of(source, opened)(source, opened)
    except (PickleError, OSError) as error:
        reason = f"what cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise unfit(name, reason) from error


_Reader = Callable[[Source, BinaryIO], Any]


def _kind_of(source: Source, opened: BinaryIO) -> _Reader:
    start = opened.read(264)
    opened.seek(0)
    if start[257:262] == b"ustar":
        raise PickleError("a tar archive; unpack it and take the file in it")
    if start[:2] == b"PK":
        return read_zip
    return read_pickles if start[:1] == b"\x80" and start[8:9] != b"{" else read_safetensors


def unfit(name: str, reason: str) -> ModelError:
    """The sentence about a file that cannot be used."""
    return ModelError(
        f"expected the tensors of a model in {quoted(name)}, got {reason}; "
        "save the model's state_dict(), best as .safetensors"
    )


def read_tensors(file: str | Path | bytes, name: str = "", *, mapped: bool = False) -> OrderedDict[str, Tensor]:
    """The tensors of a weight file by name; a training script may have put them under `model` or `state_dict`.

    mapped: as pages of the file, see `StoredTensor.mapped`.
    Keeps what PyTorch notes about versions beside the tensors, because MNASNet refuses a state without it.
    Raises: ModelError.
    """
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    content = open_weights(file, name)
    if isinstance(content, dict):
        content = next(
            (content[key] for key in ("model", "state_dict") if isinstance(content.get(key), dict)), content
        )
    stored = tensors_of(content, name)
    check_size(stored.values(), name)
    state = OrderedDict((key, tensor.mapped() if mapped else tensor.read()) for key, tensor in stored.items())
    cast(Any, state)._metadata = versions_of(content)
    return state


def tensors_of(content: Any, name: str) -> dict[str, StoredTensor]:
    """The tensors of a dictionary that `open_weights` gave.

    Raises: ModelError for none, too many, or a name that cannot be shown.
    """
    items = content if isinstance(content, dict) else {}
    stored = {key: value for key, value in items.items() if isinstance(value, StoredTensor)}
    if not stored:
        objects = [value for value in (content, *items.values()) if isinstance(value, Instance) and not value]
        unknown = [value for value in objects if value.name not in _CONTAINERS]
        raise unfit(name, describe(unknown[0]) if unknown else "none")
    if len(stored) > MAX_TENSORS:
        raise unfit(name, f"{len(stored):,} of them, more than {MAX_TENSORS:,}")
    for key in stored:
        if len(key) > MAX_NAME or not key.isprintable():
            raise unfit(name, f"one with the name {quoted(key)}")
    return stored


_CONTAINERS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.set")


def check_size(stored: Collection[StoredTensor], name: str) -> None:
    """Raises: ModelError for tensors that take much more memory than the file has bytes: views repeat numbers."""
    if sum(tensor.cost for tensor in stored) > 1_000_000 + 2 * max((t.source.size for t in stored), default=0):
        raise unfit(name, "some numbers repeated over and over")


def versions_of(content: Any) -> OrderedDict[str, dict[str, int]]:
    """What PyTorch notes about the versions of a state's modules, by the modules' names."""
    noted: Any = content.attributes if isinstance(content, Instance) else None
    noted = noted.get("_metadata") if isinstance(noted, dict) else None
    if not isinstance(noted, dict):
        return OrderedDict()
    versions = {key: value.get("version") for key, value in noted.items() if isinstance(value, dict)}
    return OrderedDict((key, {"version": value}) for key, value in versions.items() if type(value) is int)
