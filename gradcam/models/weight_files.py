"""What a file of weights holds: its tensors by name, found without running code and read only when they are wanted.

Three kinds of file: safetensors; the ZIP archive that `torch.save` writes; and the stream of pickles that it wrote
before PyTorch 1.6. A tensor is at first a `StoredTensor`, which knows its shape and where its numbers lie, so that
a file can be judged before any memory is spent on it. What a file says of itself is checked against its size.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from gradcam.errors import ModelError, quoted
from gradcam.models.pickles import Calls, Global, Instance, PickleError, read_pickle

MAX_PICKLE = 64_000_000
MAX_HEADER = 8_000_000
MAX_DIRECTORY = 4_000_000
MAX_TENSORS = 50_000
MAX_NAME, MAX_AXES = 500, 64
"""Bytes of what describes the tensors in a file; how many tensors there may be; letters of a name, and axes."""


@dataclass(eq=False)
class Storage:
    """Numbers that lie one after the other in a file: so many bytes of it, from byte `start`."""

    dtype: torch.dtype
    size: int
    start: int = -1


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file: its shape, and how its numbers lie in a storage; `read` brings them to memory."""

    source: _Source
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def span(self) -> int:
        """How many numbers of the storage lie between the first and the last of the tensor's."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    @property
    def cost(self) -> int:
        """Bytes that reading takes, or that a copy takes, whichever is more."""
        return max(self.span, prod(self.shape)) * self.dtype.itemsize

    @property
    def first_byte(self) -> int:
        """The byte of the file that its numbers begin at."""
        return self.storage.start + self.offset * self.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor in memory of its own."""
        numbers = torch.empty(self.span * self.dtype.itemsize, dtype=torch.uint8)
        self.source.read_into(self.first_byte, numbers)
        return numbers.view(self.dtype).as_strided(self.shape, self.stride)

    def mapped(self) -> Tensor:
        """The tensor as pages of its file, for whoever copies it at once; in memory of its own where it cannot be.

        Nothing is read before it is used. What is written to it stays in memory. It must not be kept: whoever
        writes the file anew changes it, and whoever shortens the file ends the process that reads it.
        """
        first, rest = divmod(self.first_byte, self.dtype.itemsize)
        pages = None if rest else self.source.pages
        if pages is None:
            return self.read()
        return torch.empty(0, dtype=self.dtype).set_(pages, first, self.shape, self.stride)


def open_weights(file: str | Path | bytes, name: str = "") -> Any:
    """What a weight file holds: dictionaries and lists as they were saved, with `StoredTensor`s for tensors.

    file: a path, or bytes with their `name`; what is in it, not its suffix, tells its kind.
    Raises: ModelError, within about a second, for a file that is damaged, lies about itself, holds too much beside
        tensors, or would run code if it were unpickled.
    """
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    try:
        source = _Source(file)
        with source.open() as opened:
            return _kind_of(source, opened)(source, opened)
    except (PickleError, OSError) as error:
        reason = f"what cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise unfit(name, reason) from error


def unfit(name: str, reason: str) -> ModelError:
    """The sentence about a file that cannot be used."""
    return ModelError(
        f"expected the tensors of a model in {quoted(name)}, got {reason}; "
        "save the model's state_dict(), best as .safetensors"
    )


def read_tensors(file: str | Path | bytes, name: str = "", *, mapped: bool = False) -> OrderedDict[str, Tensor]:
    """The tensors of a weight file by name; those under `model` or `state_dict` where a training script put them.

    mapped: as pages of the file, see `StoredTensor.mapped`.
    Keeps what PyTorch notes about versions beside the tensors, for MNASNet refuses a state without it.
    Raises: ModelError.
    """
    name = name or (Path(file).name if isinstance(file, str | Path) else "the file")
    held = open_weights(file, name)
    if isinstance(held, dict):
        held = next((held[key] for key in ("model", "state_dict") if isinstance(held.get(key), dict)), held)
    stored = tensors_of(held, name)
    check_size(stored.values(), name)
    state = OrderedDict((key, tensor.mapped() if mapped else tensor.read()) for key, tensor in stored.items())
    cast(Any, state)._metadata = versions_of(held)
    return state


def tensors_of(held: Any, name: str) -> dict[str, StoredTensor]:
    """The tensors of a dictionary that `open_weights` gave.

    Raises: ModelError for none, too many, or a name that cannot be shown.
    """
    items = held if isinstance(held, dict) else {}
    stored = {key: value for key, value in items.items() if isinstance(value, StoredTensor)}
    if not stored:
        objects = [value for value in (held, *items.values()) if isinstance(value, Instance) and not value]
        unknown = [value for value in objects if value.name not in _CONTAINERS]
        raise unfit(name, _named(unknown[0]) if unknown else "none")
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


def versions_of(held: Any) -> OrderedDict[str, dict[str, int]]:
    """What PyTorch notes about the versions of a state's modules, by the modules' names."""
    noted: Any = held.attributes if isinstance(held, Instance) else None
    noted = noted.get("_metadata") if isinstance(noted, dict) else None
    if not isinstance(noted, dict):
        return OrderedDict()
    versions = {key: value.get("version") for key, value in noted.items() if isinstance(value, dict)}
    return OrderedDict((key, {"version": value}) for key, value in versions.items() if type(value) is int)


def clean(name: str) -> str:
    """A name out of a file, as a sentence may show it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])


# Bytes --------------------------------------------------------------------------------------------------------


class _Source:
    """A file, or bytes that came from one."""

    def __init__(self, file: str | Path | bytes) -> None:
        self.file = file if isinstance(file, bytes) else Path(file).expanduser()
        self.size = len(self.file) if isinstance(self.file, bytes) else self.file.stat().st_size

    @cached_property
    def pages(self) -> torch.UntypedStorage | None:
        """The whole file, mapped to memory for this process alone; None for bytes and where the system cannot."""
        if isinstance(self.file, bytes):
            return None
        try:
            pages = torch.UntypedStorage.from_file(str(self.file), shared=False, nbytes=self.size)
        except RuntimeError:
            return None
        return cast(torch.UntypedStorage, pages)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.file) if isinstance(self.file, bytes) else self.file.open("rb")

    def read_into(self, start: int, numbers: Tensor) -> None:
        """Fill a tensor of uint8 with the bytes from `start`."""
        rest = memoryview(cast(Any, numbers.numpy()))
        with self.open() as opened:
            opened.seek(start)
            while rest:
                count = cast(io.BufferedReader, opened).readinto(rest)
                if not count:
                    raise PickleError
                rest = rest[count:]


Reader = Callable[[_Source, BinaryIO], Any]


def _kind_of(source: _Source, opened: BinaryIO) -> Reader:
    start = opened.read(264)
    opened.seek(0)
    if start[257:262] == b"ustar":
        raise PickleError("a tar archive; unpack it and take the file in it")
    if start[:2] == b"PK":
        return _read_zip
    return _read_pickles if start[:1] == b"\x80" and start[8:9] != b"{" else _read_safetensors


def _check_inside(condition: bool) -> None:
    if not condition:
        raise PickleError


# safetensors --------------------------------------------------------------------------------------------------

_SAFETENSORS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "BOOL": torch.bool,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "C64": torch.complex64,
}  # fmt: skip


def _read_safetensors(source: _Source, opened: BinaryIO) -> dict[str, Any]:
    """A header of JSON says where each tensor lies; together they fill the rest of the file, without a gap.

    Source: https://huggingface.co/docs/safetensors
    """
    length = int.from_bytes(opened.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, source.size - 8):
        raise PickleError
    try:
        header = json.loads(opened.read(length), object_pairs_hook=_without_doubles, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PickleError from error
    _check_inside(isinstance(header, dict))
    header.pop("__metadata__", None)
    tensors = {key: _of_header(source, 8 + length, entry) for key, entry in header.items()}
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.storage.start, tensor.cost)):
        _check_inside(tensor.storage.start == end)
        end += tensor.cost
    _check_inside(end == source.size)
    return tensors


def _of_header(source: _Source, data: int, entry: Any) -> StoredTensor:
    try:
        dtype, shape, (start, end) = _SAFETENSORS[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise PickleError from error
    _check_inside(_are_sizes((start, end, *shape)) and start <= end and len(shape) <= MAX_AXES)
    stored = StoredTensor(source, Storage(dtype, end - start, data + start), 0, shape, _contiguous(shape), dtype)
    _check_inside(start + stored.cost == end)
    return stored


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _check_inside(len(found) == len(pairs))
    return found


def _refuse(constant: str) -> None:
    raise PickleError


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


# What torch.save wrote ----------------------------------------------------------------------------------------

_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
    "QInt8": torch.int8, "QInt32": torch.int32, "QUInt8": torch.uint8,
}  # fmt: skip
_DTYPES = {str(dtype): dtype for dtype in (*_STORAGES.values(), *_SAFETENSORS.values())}


def _dtype_of(storage: Any) -> torch.dtype | None:
    """The kind of numbers in a class of storages such as `torch.FloatStorage`; None for one that is not known."""
    _check_inside(type(storage) is Global)
    kind = storage.path.rpartition(".")[2]
    return torch.uint8 if kind == "UntypedStorage" else _STORAGES.get(kind.removesuffix("Storage"))


def _read_zip(source: _Source, opened: BinaryIO) -> Any:
    """An archive with the pickle `*/data.pkl` and a member `*/data/KEY` for each storage, none of them packed."""
    try:
        with zipfile.ZipFile(cast(BinaryIO, _InPieces(opened))) as archive:
            members = {member.filename: member for member in archive.infolist()}
            is_double = len(members) < len(archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, PickleError):
            raise
        raise PickleError from error
    if any(name.endswith("/constants.pkl") for name in members):
        raise PickleError("a TorchScript program, which runs code when opened")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members.values()):
        raise PickleError("a packed archive, which PyTorch does not write; unpack it and take the file in it")
    pickled = [name for name in members if name.endswith("/data.pkl")]
    _check_inside(len(pickled) == 1 and not is_double)
    folder = pickled[0].removesuffix("data.pkl")
    if folder + "byteorder" in members and _bytes_of(opened, members[folder + "byteorder"], 10) != b"little":
        raise PickleError("numbers with their bytes in another order")

    storages: dict[str, Storage] = {}
    data = _bytes_of(opened, members[pickled[0]], MAX_PICKLE)
    held, _ = read_pickle(data, _calls(source), _persistent(storages))
    for key, storage in storages.items():
        member = members.get(f"{folder}data/{key}")
        if member is None or member.file_size < storage.size:
            raise PickleError
        storage.start = _start_of(opened, member)
        _check_inside(storage.start + storage.size <= source.size)
    return held


class _InPieces:
    """A file that gives only so much at once, so that the directory of an archive is not read if it is huge."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, file.seekable, file

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(MAX_DIRECTORY + 1 if count < 0 else min(count, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise PickleError(f"an archive whose table of contents takes more than {MAX_DIRECTORY // 10**6} MB")
        return data


def _start_of(opened: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin: after its own header, a name and something more."""
    _check_inside(member.header_offset >= 0)
    opened.seek(member.header_offset)
    header = opened.read(30)
    _check_inside(len(header) == 30 and header[:4] == b"PK\3\4")
    name, more = struct.unpack("<HH", header[26:])
    return member.header_offset + 30 + name + more


def _bytes_of(opened: BinaryIO, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise PickleError(f"{member.file_size / 1e6:,.0f} MB of pickled objects beside the tensors")
    opened.seek(_start_of(opened, member))
    data = opened.read(member.file_size)
    _check_inside(len(data) == member.file_size)
    return data


_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that PyTorch's older files begin with."""


def _read_pickles(source: _Source, opened: BinaryIO) -> Any:
    """Pickles of a magic number, a version, a machine, the state and the keys of its storages; then each storage.

    A file with another beginning is read too, but only to name what was pickled.
    """
    head, storages = opened.read(MAX_PICKLE), dict[str, Storage]()
    first, at = read_pickle(head, {}, _persistent({}))
    if first != _MAGIC:
        raise PickleError(_named(first))
    for _ in ("version", "machine"):
        _, at = read_pickle(head, {}, _persistent({}), at)
    held, at = read_pickle(head, _calls(source), _persistent(storages), at)
    keys, at = read_pickle(head, {}, _persistent({}), at)
    _check_inside(type(keys) is list and len(keys) == len(storages) and set(map(str, keys)) == set(storages))
    for key in map(str, keys):
        opened.seek(at)
        count = int.from_bytes(opened.read(8), "little")
        storage = storages[key]
        storage.start = at + 8
        at = storage.start + storage.size
        _check_inside(count * storage.dtype.itemsize == storage.size and at <= source.size)
    return held


def _named(held: Any) -> str:
    kind = clean(held.name) if isinstance(held, Instance) else type(held).__name__
    return f"a pickled {kind} beside or instead of tensors, which could run code when opened"


def _persistent(storages: dict[str, Storage]) -> Callable[[Any], Any]:
    """What gives the storage that a pickle names, the same for the same key; notes it in `storages`."""

    def storage_of(named: Any) -> Any:
        _check_inside(type(named) is tuple and len(named) >= 2)
        if named[0] == "module":
            return named[1]  # a class of modules, beside which older files keep its source code
        _check_inside(named[0] == "storage" and len(named) >= 5)
        kind, key, count = cast(Any, named[1]), named[2], named[4]
        dtype = _dtype_of(kind)
        if dtype is None or (len(named) > 5 and named[5] is not None):
            return Instance("a storage of another kind")
        if not isinstance(key, str) or not isinstance(count, int) or not _are_sizes((count,)):
            raise PickleError
        size = count * dtype.itemsize
        known = storages.setdefault(key, Storage(dtype, size))
        _check_inside(known.size == size)
        return known if known.dtype is dtype else Instance("a storage of two kinds")

    return storage_of


def _calls(source: _Source) -> Calls:
    """What is called in place of PyTorch's own functions that put a tensor together again."""

    def tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_more: Any) -> Any:
        return _stored(source, storage, offset, shape, stride, getattr(storage, "dtype", None))

    def typed_tensor(
        storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, *dtype: Any
    ) -> Any:
        return _stored(source, storage, offset, shape, stride, _DTYPES.get(dtype[0].path))

    def of_type(function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
        make = calls.get(function.path)
        return Instance("a tensor of another kind") if make is None else make(*arguments)

    def parameter(tensor: Any, *_more: Any) -> Any:
        return tensor

    calls = {
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_tensor_v3": typed_tensor,
        "torch._utils._rebuild_parameter": parameter,
        "torch._utils._rebuild_parameter_with_state": parameter,
        "torch.nn.parameter.Parameter": parameter,
        "torch._tensor._rebuild_from_type_v2": of_type,
    }
    return calls


def _stored(
    source: _Source, storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype | None
) -> StoredTensor | Instance:
    """The tensor with this place in a storage, if it lies within it; what holds other numbers is no tensor here."""
    if not isinstance(storage, Storage) or dtype is None:
        return Instance("a tensor of another kind")
    _check_inside(type(shape) is type(stride) is tuple and len(shape) == len(stride) <= MAX_AXES)
    _check_inside(_are_sizes((offset, *shape, *stride)))
    stored = StoredTensor(source, storage, offset, shape, stride, dtype)
    _check_inside((offset + stored.span) * dtype.itemsize <= storage.size)
    return stored


def _are_sizes(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 2**62 for value in values)
