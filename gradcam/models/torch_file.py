"""What `torch.save` writes: a ZIP archive, or before PyTorch 1.6 a stream of pickles. No code in them runs."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import torch

from gradcam.models.pickles import Calls, Global, Instance, PickleError, read_pickle
from gradcam.models.stored_tensors import MAX_AXES, Source, Storage, StoredTensor, are_sizes, check_inside

MAX_PICKLE = 64_000_000
MAX_DIRECTORY = 4_000_000
"""Bytes of the pickle that describes the tensors, and of an archive's table of contents."""

_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
    "QInt8": torch.int8, "QInt32": torch.int32, "QUInt8": torch.uint8,
}  # fmt: skip
_WITHOUT_STORAGE = (
    torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64, torch.complex64,
)  # fmt: skip
"""Kinds of numbers that PyTorch has no class of storages for."""

_DTYPES = {str(dtype): dtype for dtype in (*_STORAGES.values(), *_WITHOUT_STORAGE)}


def _dtype_of(storage: Any) -> torch.dtype | None:
    """The kind of numbers in a class of storages such as `torch.FloatStorage`; None for one that is not known."""
    check_inside(type(storage) is Global)
    kind = storage.path.rpartition(".")[2]
    return torch.uint8 if kind == "UntypedStorage" else _STORAGES.get(kind.removesuffix("Storage"))


def read_zip(source: Source, opened: BinaryIO) -> Any:
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
    check_inside(len(pickled) == 1 and not is_double)
    folder = pickled[0].removesuffix("data.pkl")
    if folder + "byteorder" in members and _bytes_of(opened, members[folder + "byteorder"], 10) != b"little":
        raise PickleError("numbers with their bytes in another order")

    storages: dict[str, Storage] = {}
    data = _bytes_of(opened, members[pickled[0]], MAX_PICKLE)
    content, _ = read_pickle(data, _calls(source), _persistent(storages))
    for key, storage in storages.items():
        member = members.get(f"{folder}data/{key}")
        if member is None or member.file_size < storage.size:
            raise PickleError
        storage.start = _start_of(opened, member)
        check_inside(storage.start + storage.size <= source.size)
    return content


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
    check_inside(member.header_offset >= 0)
    opened.seek(member.header_offset)
    header = opened.read(30)
    check_inside(len(header) == 30 and header[:4] == b"PK\3\4")
    name, more = struct.unpack("<HH", header[26:])
    return member.header_offset + 30 + name + more


def _bytes_of(opened: BinaryIO, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise PickleError(f"{member.file_size / 1e6:,.0f} MB of pickled objects beside the tensors")
    opened.seek(_start_of(opened, member))
    data = opened.read(member.file_size)
    check_inside(len(data) == member.file_size)
    return data


_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that PyTorch's older files begin with."""


def read_pickles(source: Source, opened: BinaryIO) -> Any:
    """Pickles of a magic number, a version, a machine, the state and the keys of its storages; then each storage.

    A file with another beginning is read too, but only to name what was pickled.
    """
    head, storages = opened.read(MAX_PICKLE), dict[str, Storage]()
    first, at = read_pickle(head, {}, _persistent({}))
    if first != _MAGIC:
        raise PickleError(describe(first))
    for _ in ("version", "machine"):
        _, at = read_pickle(head, {}, _persistent({}), at)
    content, at = read_pickle(head, _calls(source), _persistent(storages), at)
    keys, at = read_pickle(head, {}, _persistent({}), at)
    check_inside(type(keys) is list and len(keys) == len(storages) and set(map(str, keys)) == set(storages))
    for key in map(str, keys):
        opened.seek(at)
        count = int.from_bytes(opened.read(8), "little")
        storage = storages[key]
        storage.start = at + 8
        at = storage.start + storage.size
        check_inside(count * storage.dtype.itemsize == storage.size and at <= source.size)
    return content


def _persistent(storages: dict[str, Storage]) -> Callable[[Any], Any]:
    """A function that gives the storage that a pickle names, one for each key, and notes it in `storages`."""

    def storage_of(named: Any) -> Any:
        check_inside(type(named) is tuple and len(named) >= 2)
        if named[0] == "module":
            return named[1]  # a class of modules, beside which older files keep its source code
        check_inside(named[0] == "storage" and len(named) >= 5)
        kind, key, count = cast(Any, named[1]), named[2], named[4]
        dtype = _dtype_of(kind)
        if dtype is None or (len(named) > 5 and named[5] is not None):
            return Instance("a storage of another kind")
        if not isinstance(key, str) or not isinstance(count, int) or not are_sizes((count,)):
            raise PickleError
        size = count * dtype.itemsize
        known = storages.setdefault(key, Storage(dtype, size))
        check_inside(known.size == size)
        return known if known.dtype is dtype else Instance("a storage of two kinds")

    return storage_of


def _calls(source: Source) -> Calls:
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
    source: Source, storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype | None
) -> StoredTensor | Instance:
    """The tensor at this offset of a storage, if it lies inside; an `Instance` for another kind of storage."""
    if not isinstance(storage, Storage) or dtype is None:
        return Instance("a tensor of another kind")
    check_inside(type(shape) is type(stride) is tuple and len(shape) == len(stride) <= MAX_AXES)
    check_inside(are_sizes((offset, *shape, *stride)))
    stored = StoredTensor(source, storage, offset, shape, stride, dtype)
    check_inside((offset + stored.span) * dtype.itemsize <= storage.size)
    return stored


def describe(value: Any) -> str:
    """What a pickle holds instead of tensors, for a sentence."""
    kind = _clean(value.name) if isinstance(value, Instance) else type(value).__name__
    return f"a pickled {kind} beside or instead of tensors, which could run code when opened"


def _clean(name: str) -> str:
    """A name out of a file, as a sentence may show it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])
